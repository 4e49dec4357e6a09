"""Passwords in addresses, and how they are shown: not at all."""

import re
from typing import overload

MASK = "***"
_PATTERNS = (
    re.compile(r"(://[^\s:/@]*:)[^\s]*(?=@)"),  # up to the last @: a password may hold one
    re.compile(r"([?&](?:password|passwd|pwd|token|secret|secret_key)=)[^\s&'\"]*", re.IGNORECASE),
)


@overload
def masked(text: str) -> str: ...
@overload
def masked(text: None) -> None: ...
def masked(text: str | None) -> str | None:
    """A text in which every password of a URI ("scheme://user:password@host", "?password=...") is ***.

    >>> masked("postgresql://ann:s3cret@host/base")
    'postgresql://ann:***@host/base'
    """
    if text is None:
        return None
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text
