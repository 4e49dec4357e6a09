"""The folder of a pretraining run: its settings, what it logged, and a listener to that.

job.json        the settings, written before work starts
metrics.jsonl   one line per logged step, with the fields of `meter.Meter.line`
checkpoints/    the latest unfinished state
trunk/          of a "wsd-branch" run, the state before its rate falls: longer runs go on from there
seen.json       what each database gave, with the fields of `seen.table`
final/          the finished network; its presence means that the run is done

Where the folder is the image of a storage URI, a state is sent when it is written, and the lines until then
before it; whoever goes on starts from what is whole on the store.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from relscale.platform import remote, storage

PROGRESS = "training.json"
"""File of an unfinished state that says how far it is: step, and what else the loop must remember."""
_METRICS = "metrics.jsonl"
_FILES = ("job.json", _METRICS, "seen.json")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The logged lines of a run, in order; a last line that was cut off by a kill is left out."""
    path = folder / _METRICS
    return _lines(path.read_text(encoding="utf-8") if path.is_file() else "")


def bring_files(folder: Path) -> None:
    """Bring the files beside the states of a run here, where the folder is an image."""
    for name in _FILES if remote.origin(folder) else ():
        remote.stage_file(folder / name)


def bring(folder: Path) -> None:
    """Bring all that a finished run has left on the store of an image."""
    bring_files(folder)
    for state in (trunk_folder(folder), folder / "final"):
        remote.stage(state)


def send_whole(folder: Path) -> None:
    """Send a finished run to the store of an image."""
    for state in filter(Path.is_dir, (trunk_folder(folder), folder / "final")):
        send(folder, state)


def send(folder: Path, state: Path) -> None:
    """Send a state of the run to the store of an image, the lines that led to it first."""
    for name in _FILES:
        if (folder / name).is_file():
            remote.publish(folder / name)
    remote.publish(state)


def append_metrics(folder: Path, line: dict[str, Any]) -> None:
    """Add a logged line."""
    with (folder / _METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def trunk_folder(folder: Path) -> Path:
    """Where a run keeps the state that longer runs share."""
    return folder / "trunk"


def prepare(folder: Path, job: dict[str, Any], step: int, trunk: Path | None) -> None:
    """Write the settings down; drop what killed calls left and the lines that will be written again.

    `trunk` is the folder of the run that this one goes on from, whose lines become its own.
    """
    storage.sweep_drafts(folder)
    storage.sweep_drafts(folder / "checkpoints")
    for one in (folder, trunk) if trunk else (folder,):
        bring_files(one)
    storage.write_json(folder / "job.json", job)
    remote.publish(folder / "job.json")
    known = read_metrics(folder) or (read_metrics(trunk) if trunk else [])
    kept = [json.dumps(line) + "\n" for line in known if line["step"] <= step]
    storage.write_text(folder / _METRICS, "".join(kept))


@contextlib.contextmanager
def following(
    folder: Path, listen: Callable[[list[dict[str, Any]]], None], *, seconds: float
) -> Iterator[None]:
    """While the block runs, a thread hands each line that a run logs to `listen`, once.

    Several lines may come at once, looked for every so many seconds and a last time when the block has ended
    well. Where the folder is an image and the run's worker on another node, they come with its states. An
    error of `listen` ends the listening, and is raised when the block has ended.
    """
    ended = threading.Event()
    failure: list[Exception] = []

    def follow() -> None:
        heard, last_time = 0, False
        try:
            while not last_time:
                last_time = ended.wait(seconds)
                if lines := [line for line in _logged(folder) if line["step"] > heard]:
                    heard = lines[-1]["step"]
                    listen(lines)
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=follow, name="relscale-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failure:
        raise failure[0]


def _logged(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run here, or those on the store where the run is elsewhere."""
    if (folder / _METRICS).is_file() or remote.origin(folder) is None:
        return read_metrics(folder)
    return _lines((remote.read(folder / _METRICS) or b"").decode())


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
