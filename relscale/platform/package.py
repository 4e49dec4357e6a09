"""The package of a submitted job: the files that its command names, and nothing secret.

A job runs in a fresh folder of a cluster node that holds the package alone. Ray stores packages under the
hash of their bytes, so the same files are sent once.
"""

import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import relscale
from relscale.platform.errors import ConfigError, DataError
from relscale.platform.masking import masked
from relscale.platform.progress import human_bytes

LIMIT = 100 * 2**20
"""Bytes of a package that Ray's job server takes."""

SECRET_FILES = (
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "id_rsa*", "id_ecdsa*", "id_ed25519*",
    "*token", "*token.txt", "*.token", "*credentials*", "*secret*", "kubeconfig*", ".netrc", ".pgpass",
)  # fmt: skip
"""Names of files that hold keys, whatever lies in them."""

SECRET_FOLDERS = {".aws", ".ssh", ".kube", ".gnupg", ".docker", ".ray"}

NOT_CODE = (".git", ".venv", "__pycache__", "node_modules", ".*_cache", ".hypothesis", "runs", "*.egg-info")
"""Names in an included folder that no job needs."""

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bA(?:K|S)IA[0-9A-Z]{16}\b")
_OPTION = re.compile(r"(--[^=]+=|-[A-Za-z])?(.*)", re.DOTALL)
_READ_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a job takes with it.

    files   {name in the job's folder: file of this machine}
    words   the command with the names of the files as the job sees them
    skipped secret files of included folders, which stay here
    """

    files: Mapping[str, Path]
    words: Sequence[str]
    skipped: Sequence[Path] = ()


def select(
    words: Sequence[str], *, out: str | None, include: Sequence[Path] = (), with_code: bool = False
) -> Package:
    """Choose what the command `words` needs of this machine.

    Parameters
    ----------
    words : the command, its name first. Words that are files here, also behind "--option=", are taken.
    out : the word that says where it writes, which is never taken.
    include : further files, and folders with what lies in them, below the current folder.
    with_code : whether the source of this very relscale goes along.

    Raises
    ------
    ConfigError : a word is a folder of this machine that the cluster cannot see; a file, a word or an
        included path is a secret. DataError : an included path does not exist.
    """
    files: dict[str, Path] = {}
    skipped: list[Path] = []
    for path in include:
        for found in _included(path):
            if _is_secret(found):
                skipped.append(found)
            else:
                files[_name(found, len(files))] = found
    folders = [os.path.normpath(path) for path in include]
    sent = list(words[:1])
    for word in words[1:]:
        if masked(word) != word or _PRIVATE_KEY.search(word):
            raise ConfigError(
                f"the command holds a password or key ('{masked(word)}'), and Ray shows "
                "commands to all users of its dashboard; set it in the environment of the nodes instead."
            )
        option, value = _OPTION.match(word).groups(default="")  # type: ignore[union-attr]
        path = Path(value)
        if value in ("", out) or not path.exists():
            sent.append(word)
        elif path.is_dir():
            _check_seen(path, folders)
            sent.append(word)
        else:
            _check_no_secret(path)
            name = _name(path, len(files))
            files[name] = path
            sent.append(f"{option}{name}")
    if with_code:
        files |= _code()
    return Package(files=files, words=sent, skipped=skipped)


def write(package: Package, file: Path) -> int:
    """Write the package as a zip whose bytes depend on names and contents alone; how many bytes it has.

    Raises
    ------
    DataError : it is larger than `LIMIT`; the largest files are named.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(package.files):
            entry = zipfile.ZipInfo(name)  # of 1980, always
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with package.files[name].open("rb") as source, archive.open(entry, "w") as target:
                while data := source.read(_READ_BYTES):
                    target.write(data)
                    if archive.fp.tell() > LIMIT:  # type: ignore[union-attr]
                        raise DataError(_too_large(package.files))
    size = file.stat().st_size
    if size > LIMIT:
        raise DataError(_too_large(package.files))
    return size


def _included(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"--include '{path}' does not exist; give a file or folder below this folder.")
    if os.path.relpath(path).startswith(".."):
        raise ConfigError(
            f"--include '{path}' lies outside the current folder; run the command from a folder above it."
        )
    if path.is_dir():
        return sorted(_walk(path))
    _check_no_secret(path)
    return [path]


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder; links are not followed, since they may lead out of it."""
    for path in folder.iterdir():
        if path.is_symlink() or any(fnmatch(path.name, pattern) for pattern in NOT_CODE):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _code() -> dict[str, Path]:
    """The source of this relscale, where the job's Python looks first."""
    source = Path(relscale.__file__).parent
    return {f"relscale/{path.relative_to(source).as_posix()}": path for path in _walk(source)}


def _name(path: Path, number: int) -> str:
    """A file's name in the job's folder: the same below the current folder, an own one outside."""
    relative = os.path.relpath(path)
    return f"outside/{number}/{path.name}" if relative.startswith("..") else Path(relative).as_posix()


def _check_seen(folder: Path, included: Sequence[str]) -> None:
    own = os.path.normpath(folder)
    if folder.is_absolute() or any(own == other or own.startswith(f"{other}/") for other in included):
        return
    raise ConfigError(
        f"'{folder}' is a folder of this machine, which the job does not see; give an absolute path that all "
        "nodes share or a URI such as s3://bucket/prefix, or send a small one along with --include."
    )


def _check_no_secret(path: Path) -> None:
    if _is_secret(path):
        raise ConfigError(
            f"'{path}' holds a password, key or token by its name or content, and every user of the cluster "
            "could read it there; set it in the environment of the nodes instead."
        )


def _is_secret(path: Path) -> bool:
    names = {path.name.lower(), path.resolve().name.lower()}
    if any(fnmatch(name, pattern) for name in names for pattern in SECRET_FILES):
        return True
    if SECRET_FOLDERS & {*path.absolute().parts, *path.resolve().parts}:
        return True
    with path.open("rb") as file:
        text = file.read(_READ_BYTES).decode(errors="replace")
    return "\0" not in text and (masked(text) != text or _PRIVATE_KEY.search(text) is not None)


def _too_large(files: Mapping[str, Path]) -> str:
    sizes = sorted(((path.stat().st_size, name) for name, path in files.items()), reverse=True)
    largest = ", ".join(f"{name} ({human_bytes(size)})" for size, name in sizes[:3])
    return (
        f"the package is larger than the {human_bytes(LIMIT)} that Ray takes, most of it in {largest}; put "
        "data on storage that the cluster sees and give its path or URI."
    )
