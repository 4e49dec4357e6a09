"""Faults of a corpus in the making: killed workers and drivers, full disks, places that cannot be written."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from relscale.cli import main
from relscale.generation.config import GeneratorConfig
from relscale.generation.corpus import generate_corpus
from relscale.generation.making import MAX_DEATHS
from relscale.generation.priors import PRIORS, Prior
from relscale.platform import dataflow, storage
from relscale.platform.errors import ResourceError
from relscale.platform.storage import RECEIPT

TINY = GeneratorConfig(num_tables=(3, 3), rows_entity=(15, 20), rows_activity=(25, 30), num_columns=(3, 4))
PLUREL = PRIORS["plurel"]
SETTINGS = [
    "--set=corpus.generator={num_tables: [3, 3], rows_entity: [15, 20], rows_activity: [25, 30], "
    "num_columns: [3, 4]}",
    "--set=cluster.num_cpus=2",
]
N = 60


def make(out: Path, n: int = N, *, run=dataflow.map_keys_here, prior: Prior = PLUREL) -> pa.Table:
    return generate_corpus(out, prior, TINY, preset="plurel-1.1", num_databases=n, run=run)


def content(out: Path) -> dict[str, object]:
    """Everything of a corpus but what was measured: bytes of each database, reasons, the record."""
    databases = {
        folder.name: storage.digest_files(folder, exclude=frozenset([RECEIPT]))
        for folder in (out / "databases").iterdir()
    }
    reasons = {path.name: storage.read_json(path)["reason"] for path in (out / "rejected").glob("*")}
    return {"databases": databases, "reasons": reasons, "record": storage.read_json(out / "corpus.json")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("undisturbed")
    make(out)
    return content(out)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def deadly(seeds: set[int], marks: Path | None = None) -> Prior:
    """The prior, whose process is killed at these seeds: once each if `marks` is a folder, else always."""
    generate = PLUREL.generate

    def kill(seed: int, config: GeneratorConfig) -> object:
        mark = None if marks is None else marks / str(seed)
        if seed in seeds and not (mark and mark.exists()):
            if mark:
                mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return generate(seed, config)

    return dataclasses.replace(PLUREL, generate=kill)


@pytest.mark.ray
def test_killed_workers_change_nothing(tmp_path: Path, ray_session: None, undisturbed: dict) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    make(tmp_path / "out", run=dataflow.map_keys, prior=deadly({1, 30}, marks))
    assert files(marks) == ["1", "30"], "each of these seeds has lost its worker once"
    assert content(tmp_path / "out") == undisturbed
    assert not (tmp_path / "out" / "drafts").exists()


@pytest.mark.cluster
@pytest.mark.ray
def test_a_seed_that_always_kills_its_worker_ends_the_job(tmp_path: Path, ray_session: None) -> None:
    message = f"the process that makes 'plurel-3' has died {MAX_DEATHS} times"
    with pytest.raises(ResourceError, match=message):
        make(tmp_path, 6, run=dataflow.map_keys, prior=deadly({3}))
    kept = set(files(tmp_path / "databases"))
    assert "plurel-3" not in kept
    make(tmp_path, 6)
    assert set(files(tmp_path / "databases")) >= kept | {"plurel-3"}


@pytest.mark.cluster
@pytest.mark.ray
def test_a_killed_driver_changes_nothing(tmp_path: Path, undisturbed: dict) -> None:
    out = tmp_path / "out"
    arguments = ["generate", "--out", str(out), "-n", str(N), *SETTINGS]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "relscale.cli", *arguments],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
        deadline = time.monotonic() + 120
        while len(files(out / "databases")) < 5:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "no database is finished"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {name: (out / "databases" / name).stat().st_ino for name in files(out / "databases")}
    assert not (out / "corpus.json").exists(), "killed too late to show anything"
    make(out)
    assert content(out) == undisturbed
    after = {name: (out / "databases" / name).stat().st_ino for name in before}
    assert after == before, "whole databases are kept"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `relscale generate` in this process, without Ray; it must end with 2 and one sentence."""
    monkeypatch.setattr(dataflow, "map_keys", dataflow.map_keys_here)
    monkeypatch.setattr(dataflow, "connect", lambda *arguments: contextlib.nullcontext())

    def run(out: Path, *arguments: object) -> str:
        monkeypatch.setattr(
            sys, "argv", ["relscale", "generate", f"--out={out}", *SETTINGS, *map(str, arguments)]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        error = capsys.readouterr().err
        assert ended.value.code == 2, error
        assert error.startswith("relscale: ") and error.count("\n") == 1, f"one sentence, not {error}"
        return error

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 512 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "relscale-test", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount command: {error}")
    if mounted.returncode:
        pytest.skip(f"a small filesystem cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(refused, small_disk: Path, undisturbed: dict) -> None:
    out = small_disk / "out"
    message = refused(out, "-n", N)
    assert "No space left on device; free some space and run again; what is whole is kept." in message
    kept = files(out / "databases")
    assert 0 < len(kept) < N
    everything = undisturbed["databases"]
    for name in kept:
        found = storage.digest_files(out / "databases" / name, exclude=frozenset([RECEIPT]))
        assert found == everything[name]
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    make(out)
    assert content(out) == undisturbed


def test_a_place_that_cannot_be_written(refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot make the folder" in refused(tmp_path / "file" / "corpus", "-n", 1)
    assert "cannot make the folder" in refused(tmp_path / "file", "-n", 1)
    assert "cannot make the folder" in refused(Path("/proc/relscale"), "-n", 1)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "databases").write_text("in the way")
    message = refused(tmp_path / "corpus", "-n", 1)
    assert "plurel-0': " in message and "choose another folder" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", 0], "num_databases is 0 and seed_offset 0; at least 1 and 0 are needed"),
        (["-n", -1], "num_databases is -1"),
        (["-n", 1, "--seed-offset", -1], "corpus.seed_offset"),
        (["-n", 1, "--set=corpus.generator.rows_entity=[0, 0]"], "setting 'rows_entity.0' is 0"),
        (["-n", 1, "--set=corpus.generator.rows_activity=[9, 3]"], "the low end 9 is above the high end 3"),
        (["-n", 1, "--prior=nonsense"], "unknown prior 'nonsense'; valid are: plurel"),
        (["-n", 1, "--preset=nonsense"], "prior 'plurel' has no preset 'nonsense'; valid are: plurel-1.1"),
    ],
)
def test_numbers_and_names_that_make_no_corpus(
    refused, tmp_path: Path, arguments: list, message: str
) -> None:
    assert message in refused(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()
