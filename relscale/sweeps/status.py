"""How far a study, corpus, token store or run is, read from the files of its folder alone.

Works without Ray, beside the process that works there or after it. Of an image, the object store is read,
and nothing is brought here; what its driver has not sent yet is seen on the driver's machine.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from relscale.generation.corpus import WANTED
from relscale.platform import objects, remote
from relscale.platform.config import load_config, parse_config
from relscale.platform.errors import DataError
from relscale.platform.spending import SPENDING
from relscale.platform.storage import DRAFT
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.outline import OUTLINE
from relscale.sweeps.variants import corpus_folder, variants

RECENT_SECONDS = 600.0
"""A trial whose last line is older is taken for stopped."""
TAIL = 65536
"""Bytes at the end of a metrics file in which its last line lies."""

State = Literal["waiting", "running", "stopped", "done", "failed"]
UNFINISHED = ("waiting", "running", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A corpus or a token store: databases that are done, of so many."""

    name: str
    done: int
    wanted: int | None
    """None where nothing says it."""
    whole: bool
    """Whether its index or manifest is written."""
    refused: int = 0
    """Seeds that gave no usable database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStatus:
    """A trial of the grid, or the only run."""

    label: str
    state: State
    tokens: int
    tokens_done: int = 0
    line: Mapping[str, Any] | None = None
    """What it logged last, unless it is done."""
    age: float | None = None
    """Seconds since then; None on an object store."""
    reason: str | None = None
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the files of a folder say."""

    kind: Literal["study", "corpus", "token store", "run"]
    name: str
    stage: str
    finished: bool
    at_work: bool
    """Whether a relscale process of this machine holds the folder."""
    corpora: Sequence[Part] = ()
    stores: Sequence[Part] = ()
    trials: Sequence[TrialStatus] = ()
    report: Path | None = None
    spending: Mapping[str, Any] | None = None
    """Content of spending.json."""

    def count(self, state: State) -> int:
        """How many trials are in that state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def tokens_per_second(self) -> float:
        """Of all running trials, by what each logged last."""
        lines = [trial.line for trial in self.trials if trial.state == "running" and trial.line]
        return sum(line["tokens_per_second"] for line in lines)

    @property
    def seconds_left(self) -> float | None:
        """Until all trials are trained at that pace; None while none runs. Branches of a trunk take less."""
        left = sum(trial.tokens - trial.tokens_done for trial in self.trials if trial.state in UNFINISHED)
        return left / self.tokens_per_second if self.tokens_per_second else None


def read_status(folder: Path, now: float | None = None) -> Status:
    """What the files of a folder, or of an image, say at the time `now` (seconds since 1970).

    Raises
    ------
    DataError : the folder is no study, corpus, token store or run of relscale.
    ResourceError : the object store does not answer.
    """
    now = time.time() if now is None else now
    names = {*remote.names(folder), *(os.listdir(folder) if folder.is_dir() else ())}
    if "study.yaml" in names:
        return _study(folder, now)
    if "generation.json" in names:
        part = _corpus(folder, None)
        stage = "whole" if part.whole else "generating databases"
        return _alone("corpus", folder, stage, part.whole, corpora=[part])
    if "store.json" in names or {"databases", "shared"} & names:
        part = _store(folder, None)
        stage = "whole" if part.whole else "tokenizing databases"
        return _alone("token store", folder, stage, part.whole, stores=[part])
    if "job.json" in names:
        job = _json(folder / "job.json") or {}
        done = "final" in names
        trial = _trial(folder, f"run {folder.name}", job["tokens"], done=done, reason=None, now=now)
        return _alone("run", folder, "trained" if done else "training", done, trials=[trial])
    raise DataError(
        f"'{remote.shown(folder)}' holds no study (study.yaml), corpus (generation.json), token store "
        "(store.json) or run (job.json); give the folder that --out named."
    )


def _alone(kind: Any, folder: Path, stage: str, finished: bool, **parts: Any) -> Status:
    return Status(
        kind=kind,
        name=folder.name,
        stage=stage,
        finished=finished,
        at_work=_at_work(folder),
        spending=_json(folder / SPENDING),
        **parts,
    )


def _study(folder: Path, now: float) -> Status:
    config = _config(folder)
    wanted = {"held-out": config.corpus.held_out_databases}
    for variant in variants(config):
        name = corpus_folder(config, variant, folder).name
        wanted[name] = max(variant.config.grid.n_databases)
    corpora = [_corpus(folder / name, count) for name, count in wanted.items()]
    stores = [_store(folder / f"{name}-store", count) for name, count in wanted.items()]
    trials = _trials(folder, now)
    page = folder / ("compare.html" if config.grid.axes else "report.html")
    report = page if _read(page) is not None else None
    at_work = _at_work(folder)
    stage, finished = _stage(corpora, stores, trials, report, at_work=at_work)
    return Status(
        kind="study",
        name=config.name,
        stage=stage,
        finished=finished,
        at_work=at_work,
        corpora=corpora,
        stores=stores,
        trials=trials,
        report=report,
        spending=_json(folder / SPENDING),
    )


def _config(folder: Path) -> StudyConfig:
    local = folder / "study.yaml"
    if local.is_file():
        return load_config(StudyConfig, local)
    import yaml

    return parse_config(StudyConfig, yaml.safe_load(_read(local) or b""), source=remote.shown(local))


def _stage(
    corpora: Sequence[Part],
    stores: Sequence[Part],
    trials: Sequence[TrialStatus],
    report: Path | None,
    *,
    at_work: bool,
) -> tuple[str, bool]:
    """What is being done or comes next, and whether all is done."""
    for verb, parts in (("generating", corpora), ("tokenizing into", stores)):
        for part in parts:
            if not part.whole:
                return f"{verb} {part.name}", False
    # A study of an earlier version has no list of trials.
    if any(trial.state in UNFINISHED for trial in trials) or not (trials or report):
        return "training the grid", False
    done = report is not None and not at_work
    return ("finished", True) if done else ("fits, zero-shot scores, report, record", False)


def _corpus(folder: Path, wanted: int | None) -> Part:
    record = _json(folder / "corpus.json")
    if wanted is None:
        wanted = (record or _json(folder / WANTED) or {}).get("num_databases")
    return Part(
        name=folder.name,
        done=len(_names(folder / "databases")),
        wanted=wanted,
        whole=record is not None and record["num_databases"] >= (wanted or 0),
        refused=len(_names(folder / "rejected")),
    )


def _store(folder: Path, wanted: int | None) -> Part:
    manifest = _json(folder / "store.json")
    listed = len(manifest["databases"]) if manifest else 0
    return Part(
        name=folder.name,
        done=max(listed, len(_names(folder / "databases"))),
        wanted=wanted if manifest is None or wanted is not None else listed,
        whole=manifest is not None and listed >= (wanted or 0),
    )


def _trials(folder: Path, now: float) -> list[TrialStatus]:
    outline = _json(folder / OUTLINE)
    if outline is None:
        return []
    several = len({row["variant"] for row in outline["trials"]}) > 1
    return [
        _trial(
            folder / "trials" / row["key"],
            f"{row['variant'] + ' ' if several else ''}N={row['n_databases']} S={row['tokens']:,} "
            f"seed={row['seed']}",
            row["tokens"],
            done=_read(folder / "trials" / row["key"] / "result.json") is not None,
            reason=outline["failures"].get(row["key"]),
            now=now,
        )
        for row in outline["trials"]
    ]


def _trial(
    folder: Path, label: str, tokens: int, *, done: bool, reason: str | None, now: float
) -> TrialStatus:
    if done:
        return TrialStatus(label=label, state="done", tokens=tokens, tokens_done=tokens)
    line, age = _last_line(folder, now)
    state: State = "running" if age is None or age < RECENT_SECONDS else "stopped"
    if reason is not None:
        state = "failed"
    elif line is None and (age is None or state == "stopped"):
        state = "waiting"
    return TrialStatus(
        label=label,
        state=state,
        tokens=tokens,
        tokens_done=line["tokens"] if line else 0,
        line=line,
        age=age,
        reason=reason,
    )


def _last_line(folder: Path, now: float) -> tuple[dict[str, Any] | None, float | None]:
    """The last whole line that a run has logged, and the seconds since it wrote to its folder."""
    path = folder / "metrics.jsonl"
    if path.is_file():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().split(b"\n")
        age = max(0.0, now - path.stat().st_mtime)
    else:
        lines, age = (_read(path) or b"").split(b"\n"), None
    return (json.loads(lines[-2]), age) if len(lines) > 1 else (None, age)


def _names(folder: Path) -> list[str]:
    return [name for name in remote.names(folder) if not name.startswith(DRAFT)]


def _json(path: Path) -> Any:
    data = _read(path)
    return None if data is None else json.loads(data)


def _read(path: Path) -> bytes | None:
    """A file's bytes; of an image from its store, or from here what is not there yet."""
    if remote.origin(path) is not None and (data := objects.read(path)) is not None:
        return data
    return path.read_bytes() if path.is_file() else None


def _at_work(folder: Path) -> bool:
    """Whether a process of this machine holds the folder's lock; by the kernel's list, for to try it is to
    take it."""
    lock, table = folder / "relscale.lock", Path("/proc/locks")
    if not (lock.is_file() and table.is_file()):
        return False
    number = f":{lock.stat().st_ino} "
    return any("FLOCK" in entry and number in entry for entry in table.read_text().splitlines())
