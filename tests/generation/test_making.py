"""One database of a corpus: the same bytes anywhere, its receipt, and what is not the seed's fault."""

import dataclasses
import errno
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, generate_database
from relscale.generation.making import MAX_DEATHS, finished_receipt, make_database
from relscale.generation.priors import PRIORS, Prior
from relscale.platform import storage
from relscale.platform.errors import ResourceError
from relscale.platform.storage import RECEIPT

TINY = GeneratorConfig(num_tables=(3, 3), rows_entity=(15, 20), rows_activity=(25, 30), num_columns=(3, 4))
PLUREL = PRIORS["plurel"]


def make(out: Path, seed: int = 0, prior: Prior = PLUREL) -> dict:
    return make_database(seed, out=out, prior=prior, config=TINY, preset="plurel-1.1", tasks=True)


def raising(error: BaseException) -> Prior:
    def generate(seed: int, config: GeneratorConfig) -> Database:
        raise error

    return dataclasses.replace(PLUREL, generate=generate)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 2), make(tmp_path / "b", 2)
    assert first["digest"] == second["digest"]
    assert first["digest"] != make(tmp_path / "a", 3)["digest"]
    assert storage.read_json(tmp_path / "a" / "databases" / "plurel-2" / RECEIPT) == first
    assert finished_receipt(2, out=tmp_path / "a", prior=PLUREL) == first
    assert names(tmp_path / "a" / "drafts") == []


def test_what_is_done_is_kept(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert make(tmp_path, prior=raising(AssertionError("made again"))) == first


@pytest.mark.parametrize("lost", ["manifest.yaml", RECEIPT, "db", "tasks"])
def test_what_lost_a_part_is_made_again(tmp_path: Path, lost: str) -> None:
    first = make(tmp_path)
    part = tmp_path / "databases" / "plurel-0" / lost
    for file in sorted([part, *part.rglob("*")], reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert finished_receipt(0, out=tmp_path, prior=PLUREL) == {}
    assert make(tmp_path)["digest"] == first["digest"]
    assert finished_receipt(0, out=tmp_path, prior=PLUREL)


def test_a_truncated_file_is_made_again(tmp_path: Path) -> None:
    first = make(tmp_path)
    file = tmp_path / "databases" / "plurel-0" / "db" / "table_1.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert make(tmp_path)["digest"] == first["digest"]
    assert file.read_bytes() == whole


def test_a_failing_seed_is_rejected_with_its_reason(tmp_path: Path) -> None:
    receipt = make(tmp_path, 7, raising(ZeroDivisionError("by zero")))
    assert receipt["reason"] == "generation failed: ZeroDivisionError: by zero"
    assert not receipt["admitted"]
    assert storage.read_json(tmp_path / "rejected" / "7.json") == receipt
    assert names(tmp_path / "databases") == names(tmp_path / "drafts") == []
    assert make(tmp_path, 7) == receipt, "a rejection is final"


def test_too_little_memory_is_not_the_seeds_fault(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="'plurel-0' does not fit in the memory of its machine"):
        make(tmp_path, prior=raising(MemoryError()))
    assert names(tmp_path / "rejected") == names(tmp_path / "databases") == names(tmp_path / "drafts") == []


def test_a_full_disk_is_not_the_seeds_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(database: Database, folder: Path, tasks: list) -> None:
        (folder / "half").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("relscale.generation.making.write_database", fail)
    with pytest.raises(ResourceError, match="plurel-0': No space left on device; free some space and"):
        make(tmp_path)
    assert names(tmp_path / "rejected") == names(tmp_path / "databases") == names(tmp_path / "drafts") == []


def test_a_seed_whose_process_dies_again_and_again_ends_the_job(tmp_path: Path) -> None:
    for death in range(MAX_DEATHS):
        (tmp_path / "drafts" / f"{storage.DRAFT}plurel-0.{death}").mkdir(parents=True)
    (tmp_path / "drafts" / f"{storage.DRAFT}plurel-00.x").mkdir()
    with pytest.raises(ResourceError, match=rf"'plurel-0' has died {MAX_DEATHS} times, .* run again"):
        make(tmp_path)
    assert make(tmp_path, 1)["admitted"]


def test_the_database_is_the_one_that_the_prior_gives(tmp_path: Path) -> None:
    make(tmp_path, 4)
    for name, table in generate_database(4, TINY).tables.items():
        assert pq.read_table(tmp_path / "databases" / "plurel-4" / "db" / f"{name}.parquet") == table.data
