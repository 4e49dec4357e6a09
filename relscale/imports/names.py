"""Names that RelBench's queries and files can hold unquoted: letters, digits and underscores."""

import keyword
from collections.abc import Iterable


def plain_names(names: Iterable[str], reserved: Iterable[str] = ()) -> list[str]:
    """A plain name for each, different from all others and from `reserved` whatever the case of letters."""
    taken = {name.casefold() for name in reserved}
    plain = []
    for name in names:
        word = "".join(sign if f"a{sign}".isidentifier() else "_" for sign in name.strip())
        if not word.isidentifier() or keyword.iskeyword(word):
            word = f"_{word}"
        number, free = 2, word
        while free.casefold() in taken:
            number, free = number + 1, f"{word}_{number}"
        taken.add(free.casefold())
        plain.append(free)
    return plain
