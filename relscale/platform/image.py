"""Images: the folder of this machine that stands for a storage URI.

s3://bucket/prefix is imaged in MIRROR/relscale-mirror/s3/bucket/prefix, where MIRROR is the environment's
RELSCALE_MIRROR or ~/.cache/relscale. The path itself says where its content belongs, so everything but
`remote` goes on with plain paths, and a task on another node needs no setting to understand one: MIRROR
must only be a folder that can be written there too.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from relscale.platform.errors import ConfigError

ENVIRONMENT = "RELSCALE_MIRROR"
FOLDER = "relscale-mirror"
WORK = "relscale-work"
SCHEMES = ("s3", "gs", "file")
OPTIONS = ("endpoint_override", "region", "scheme")
"""What the query of a URI may set, as pyarrow names it."""

_IMAGE = re.compile(rf"(?:/[^\s'\"]*)?/(?:{FOLDER}|{WORK})/({'|'.join(SCHEMES)})(@[^/\s'\"]*)?/([^\s'\"]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the content of an image belongs.

    scheme   one of `SCHEMES`. query  the options of its URI, such as endpoint_override=http://host:9000
    key      bucket/prefix; of file: an absolute path
    """

    scheme: str
    query: str
    key: str

    @property
    def options(self) -> dict[str, str]:
        """The query as a table."""
        return dict(parse_qsl(self.query))

    @property
    def uri(self) -> str:
        """For people: without the query."""
        return f"{self.scheme}://{self.key}"


def place(text: str | Path) -> Path:
    """The local path of a path, or of a URI's image; touches no file.

    Raises
    ------
    ConfigError : an unknown scheme or option, credentials in the URI, no bucket, or a part such as "..".
    """
    if "://" not in str(text):
        return Path(text)
    scheme, rest = str(text).split("://", 1)
    if scheme not in SCHEMES:
        raise ConfigError(
            f"'{scheme}://' is no storage that relscale knows; valid are: "
            f"{', '.join(f'{known}://' for known in SCHEMES)}."
        )
    if "@" in rest or "%40" in rest:
        raise ConfigError(
            f"a '{scheme}://' URI must not hold credentials, which others would see; set them in the "
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or give the machine a role."
        )
    parts = urlsplit(str(text))
    _check_options(parts.query)
    names = _names(parts.netloc + parts.path, scheme)
    root = Path(os.environ.get(ENVIRONMENT) or "~/.cache/relscale").expanduser().resolve()
    return root.joinpath(FOLDER, scheme + (f"@{quote(parts.query, safe='')}" if parts.query else ""), *names)


def origin(path: Path) -> Origin | None:
    """Where an image's content belongs; None for a path that is no image."""
    if FOLDER not in path.parts:
        return None
    at = len(path.parts) - path.parts[::-1].index(FOLDER)
    head, *names = path.parts[at:] or ("",)
    scheme, _, query = head.partition("@")
    if scheme not in SCHEMES or not names:
        return None
    key = "/".join(names)
    return Origin(scheme=scheme, query=unquote(query), key=f"/{key}" if scheme == "file" else key)


def shown(path: Path) -> str:
    """A path as its user wrote it: an image's URI without its options, any other path as it is."""
    found = origin(path)
    return found.uri if found else str(path)


def reworded(text: str) -> str:
    """A message with the URIs of the images that it names."""
    return _IMAGE.sub(lambda m: f"{m[1]}://{'/' if m[1] == 'file' else ''}{m[3]}", text)


def workplace(path: Path) -> Path:
    """The plain folder beside the mirror in which an image's content may be made; any other path itself."""
    return Path(*(WORK if part == FOLDER else part for part in path.parts))


def bookkeeping(path: Path, kind: str) -> Path:
    """A file for `remote` about an image, out of the image's way: its `kind` is "lock" or "record"."""
    at = len(path.parts) - path.parts[::-1].index(FOLDER)
    mirror, own = Path(*path.parts[:at]), Path(*path.parts[at:])
    return mirror / "bookkeeping" / own.with_name(f"{own.name}.{kind}")


def _check_options(query: str) -> None:
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ConfigError(
                f"a storage URI has the unknown option '{name}'; valid are: {', '.join(OPTIONS)}."
            )


def _names(path: str, scheme: str) -> list[str]:
    """The parts of bucket/prefix; each must be a name."""
    names = path.strip("/").split("/")
    if not all(names) or {".", "..", FOLDER, WORK} & set(names):
        raise ConfigError(
            f"'{scheme}://{path}' is no storage URI: write {scheme}://bucket/prefix without empty parts, "
            "'.' or '..'."
        )
    return names
