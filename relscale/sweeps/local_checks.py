"""What can be known of a study without a cluster: settings, seeds, versions, disk, tracking, package.

Each check gives a verdict and a sentence; a RelscaleError is a failure in its own words. What is tried is
removed again, but for a point in the experiment "relscale doctor" of a tracking server.
"""

import contextlib
import json
import platform
import shutil
import sqlite3
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from relscale.model.config import TextConfig
from relscale.model.text import PACKAGED, TextEncoder
from relscale.platform import storage
from relscale.platform.errors import RelscaleError, ResourceError
from relscale.platform.masking import masked
from relscale.platform.progress import human_bytes
from relscale.platform.tracking import PORTS, Point, Tracker, TrackingConfig, check_tracking
from relscale.sweeps.budget import Part, Plan
from relscale.sweeps.config import CorpusConfig, StudyConfig
from relscale.sweeps.grid import check_grid

Status = Literal["ok", "warn", "fail"]
Verdict = tuple[Status, str]

PACKAGE_LIMIT = 100 * 2**20
"""Bytes of a zipped working folder that Ray's job server takes."""


def settings(config: StudyConfig) -> Verdict:
    """Whether the settings contradict each other."""
    check_grid(config)
    grid = config.grid
    n_trials = len(grid.n_databases) * len(grid.tokens) * len(grid.seeds)
    return "ok", f"the settings fit together; {n_trials} trials a variant."


def seeds(corpus: CorpusConfig, n_databases: int) -> Verdict:
    """Whether training and held-out seeds stay apart; refused ones are replaced by later ones."""
    training, held_out = corpus.seed_offset, corpus.held_out_seed_offset
    (low, n_low), (high, _) = sorted([(training, n_databases), (held_out, corpus.held_out_databases)])
    where = f"training seeds start at {training}, held-out ones at {held_out}"
    remedy = "set corpus.held_out_seed_offset further away"
    if high < low + n_low:
        return "fail", f"{where}: they overlap; {remedy}."
    if high < low + 2 * n_low:
        return "warn", f"{where}: refused seeds may make them meet; {remedy}."
    return "ok", f"{where}, apart."


def versions() -> Verdict:
    """Whether the installed packages are those that relscale declares."""
    wrong = []
    python = metadata.metadata("relscale")["Requires-Python"]
    if platform.python_version() not in SpecifierSet(python):
        wrong.append(f"Python {platform.python_version()} (needs {python})")
    for line in metadata.requires("relscale") or []:
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            found = "absent"
        if found == "absent" or not needed.specifier.contains(found, prereleases=True):
            wrong.append(f"{needed.name} {found} (needs {needed.specifier or 'any'})")
    if wrong:
        return "fail", f"{', '.join(wrong)}; run `pip install --upgrade relscale` with its constraints.txt."
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "ray", "mlflow"))
    return "ok", f"Python {platform.python_version()}, {versions}."


def text_encoder(text: TextConfig, d_text: int) -> Verdict:
    """Whether the encoder is at hand without a network, and of the network's width."""
    name = text.encoder if text.encoder == PACKAGED else str(_at_hand(text.encoder))
    encoder = TextEncoder(TextConfig(encoder=name))
    config = encoder.folder / "config.json"
    width = json.loads(config.read_text())["hidden_size"] if config.is_file() else d_text
    if width != d_text:
        return "fail", f"'{text.encoder}' gives vectors of {width}; set model.d_text={width}, not {d_text}."
    return "ok", f"'{text.encoder}' is on this machine, fingerprint {encoder.fingerprint}."


def _at_hand(encoder: str) -> Path:
    """The folder of a sentence-transformers model, without the network."""
    if Path(encoder).is_dir():
        return Path(encoder)
    from huggingface_hub import snapshot_download

    repository = encoder if "/" in encoder else f"sentence-transformers/{encoder}"
    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except Exception as error:  # the hub raises many kinds
        raise ResourceError(
            f"text encoder '{encoder}' is not on this machine, and a node without a network cannot fetch it; "
            f"run `hf download {repository}`, or use '{PACKAGED}'."
        ) from error


def row_width(part: Part) -> Verdict:
    """Whether the row to predict fits a context; the sweep would refuse a store with a wider one."""
    sampler, seen = part.config.sampler, part.sample.row_width
    length = min(sampler.context_lengths or (sampler.context_length,))
    # The most columns that the prior draws, and the time; a prior of one's own may not say.
    possible = max(seen, getattr(part.config.corpus.generator, "num_columns", (0, 0))[1] + 1)
    if possible <= length:
        return "ok", f"rows have up to {possible} cells, contexts {length}."
    must = f"must fit a context, which has {length}"
    remedy = f"set sampler.context_length to at least {possible}, or lower corpus.generator.num_columns"
    if seen > length:
        return "fail", f"a row of {seen} cells was made and {must}; {remedy}."
    return (
        "warn",
        f"rows of {possible} cells may be made and {must}; {remedy}.",
    )


@contextlib.contextmanager
def probe_folder(out: Path) -> Iterator[Path]:
    """A folder that is made as the study will make its own, in `out` or where that will be."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    with storage.writing(out):
        folder = Path(tempfile.mkdtemp(prefix=".relscale-doctor.", dir=place))
    try:
        with storage.alone_in(folder), storage.new_folder(folder / "whole") as draft:
            storage.write_text(draft / "probe", folder.name)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def space(probe: Path, plan: Plan) -> Verdict:
    """Whether what the study writes fits the disk."""
    needed, free = sum(plan.storage.values()), shutil.disk_usage(probe).free
    sentence = f"{human_bytes(free)} are free, about {human_bytes(needed)} will be written"
    if free < needed:
        return "fail", f"{sentence}; free some space or choose another --out."
    return ("warn" if free < 2 * needed else "ok"), f"{sentence}."


def tracking(config: TrackingConfig, probe: Path | None) -> Verdict:
    """Whether runs can be recorded; `probe` lies where the output goes, None if that cannot be written."""
    uri = config.uri or ""
    if urllib.parse.urlsplit(uri).scheme.partition("+")[0] in PORTS:
        check_tracking(config)
        _record_a_point(config)
        return "ok", f"MLflow at '{masked(uri)}' took a point (experiment 'relscale doctor')."
    if not uri:
        if probe is None:
            return "fail", "mlflow.db would lie in the output folder, which cannot be written."
        _lock(probe / "probe.db")
        return "ok", "runs go to mlflow.db in the output folder."
    if not uri.startswith("sqlite:///"):
        return "warn", f"'{masked(uri)}' is neither a server nor sqlite:///FILE; it is not checked."
    file = Path(urllib.parse.unquote(uri.removeprefix("sqlite:///")))
    if file.is_file():
        _lock(file)
    else:
        with probe_folder(file.parent) as folder:
            _lock(folder / "probe.db")
    return "ok", f"runs go to the SQLite file '{file}'."


def _record_a_point(config: TrackingConfig) -> None:
    try:
        tracker = Tracker(config, Path(), "relscale doctor")
        run = tracker.run("probe", "probe", params={})
        tracker.log_points(run, [Point("probe", 1.0, 0)])
        tracker.end(run)
    except RelscaleError:
        raise
    except Exception as error:  # MLflow's own kinds, which only platform/tracking.py may know
        reason = masked(" ".join(str(error).split()))[:200]
        raise ResourceError(
            f"MLflow at '{masked(config.uri)}' answers, but cannot be written ({reason}); mend the server."
        ) from error


def _lock(file: Path) -> None:
    """Take SQLite's write lock for a moment, which network filesystems may refuse."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=5)) as database:
            database.execute("begin immediate")
            database.rollback()
    except sqlite3.Error as error:
        raise ResourceError(
            f"SQLite cannot write in '{file.parent}' ({error}); set tracking.uri to a server's address."
        ) from error


def package(folder: Path) -> Verdict:
    """What `ray job submit --working-dir .` would upload: all that git does not ignore."""
    sizes: dict[str, int] = {}
    for path in _files(folder):
        if path.is_file() and not path.is_symlink():
            top = path.relative_to(folder).parts[0]
            sizes[top] = sizes.get(top, 0) + path.stat().st_size
            if sum(sizes.values()) > PACKAGE_LIMIT:
                largest = max(sizes, key=lambda name: sizes[name])
                return "warn", (
                    f"this folder holds more than the {human_bytes(PACKAGE_LIMIT)} that a job may upload, "
                    f"most of it in '{largest}'; submit from the checkout, or let git ignore what is no code."
                )
    return "ok", f"a job submitted from this folder would upload {human_bytes(sum(sizes.values()))} at most."


def _files(folder: Path) -> Iterator[Path]:
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    with contextlib.suppress(OSError):
        listed = subprocess.run(command, capture_output=True)
        if listed.returncode == 0:
            return (folder / name for name in listed.stdout.decode(errors="replace").split("\0") if name)
    return folder.rglob("*")
