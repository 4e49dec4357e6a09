"""Corpora: nested prefixes, resumed and extended runs, rejected seeds, refused mixtures."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relscale.generation import corpus
from relscale.generation.config import GeneratorConfig
from relscale.generation.corpus import RECEIPT, corpus_digest, expected_seconds, generate_corpus
from relscale.platform import dataflow, storage
from relscale.platform.errors import ConfigError, ResumeError

TINY = GeneratorConfig(num_tables=(3, 3), rows_entity=(15, 20), rows_activity=(25, 30), num_columns=(3, 4))


def make(
    out: Path, n: int, config: GeneratorConfig = TINY, *, run=dataflow.map_keys_here, **options
) -> pa.Table:
    return generate_corpus(out, config, preset="plurel-1.1", num_databases=n, run=run, **options)


def contents(index: pa.Table) -> list[dict]:
    return index.drop_columns("seconds").to_pylist()


def backwards(function, keys, **options) -> list[dict]:
    """A cluster that works in another order; results come back in the order of keys, as promised."""
    return dataflow.map_keys_here(function, list(reversed(keys)), **options)[::-1]


@pytest.fixture
def reject_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd seeds are refused, and seed 3 fails outright."""
    admit, generate = corpus.admit, corpus.generate_database

    def generate_but_3(seed: int, config: GeneratorConfig):
        if seed == 3:
            raise RuntimeError("no luck")
        return generate(seed, config)

    def admit_even(database) -> str | None:
        return "odd" if int(database.name.rpartition("-")[2]) % 2 else admit(database)

    monkeypatch.setattr(corpus, "generate_database", generate_but_3)
    monkeypatch.setattr(corpus, "admit", admit_even)


def test_a_corpus_is_its_folders_index_and_record(tmp_path: Path) -> None:
    seen = []
    index = make(tmp_path, 3, seed_offset=5, progress=seen.append)
    assert index["name"].to_pylist() == ["plurel-5", "plurel-6", "plurel-7"]
    assert pq.read_table(tmp_path / "index.parquet") == index
    assert sorted(receipt["seed"] for receipt in seen) == [5, 6, 7]
    record = storage.read_json(tmp_path / "corpus.json")
    assert record["num_databases"] == 3
    assert record["seed_offset"] == 5
    assert record["config_fingerprint"] == TINY.fingerprint()
    assert GeneratorConfig.model_validate(record["config"]) == TINY
    assert record["digest"] == corpus_digest(index)
    for row in index.to_pylist():
        folder = tmp_path / "databases" / row["name"]
        files = list(folder.rglob("*.parquet"))
        assert row["tables"] == len(files) == 3
        assert row["cells"] == sum(pq.read_table(f).num_rows * pq.read_table(f).num_columns for f in files)
        assert row["rows"] == sum(pq.read_metadata(f).num_rows for f in files)
        assert row["digest"] == storage.digest_files(folder, exclude=frozenset([RECEIPT]))
        assert row["admitted"]
        assert row["reason"] is None
        assert row["seconds"] > 0


def test_small_corpora_are_prefixes_of_large_ones(tmp_path: Path) -> None:
    small, large = make(tmp_path / "a", 2), make(tmp_path / "b", 5, run=backwards)
    assert contents(large)[:2] == contents(small)
    extended = make(tmp_path / "a", 5)
    assert contents(extended) == contents(large)
    assert extended["seconds"][:2] == small["seconds"]  # kept, not made again
    records = [storage.read_json(tmp_path / side / "corpus.json") for side in "ab"]
    assert records[0] == records[1]


def test_a_smaller_request_keeps_the_corpus(tmp_path: Path) -> None:
    index = make(tmp_path, 3)
    assert make(tmp_path, 1) == index
    assert storage.read_json(tmp_path / "corpus.json")["num_databases"] == 3


def test_a_second_run_does_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(tmp_path, 3)
    monkeypatch.setattr(corpus, "generate_database", None)
    seen = []
    assert make(tmp_path, 3, progress=seen.append) == index
    assert [receipt["seed"] for receipt in seen] == [0, 1, 2]


def test_damage_is_mended(tmp_path: Path) -> None:
    index = make(tmp_path, 5)
    databases = tmp_path / "databases"
    shutil.rmtree(databases / "plurel-0")  # lost
    (databases / "plurel-1" / RECEIPT).unlink()  # never finished
    next((databases / "plurel-2" / "db").iterdir()).write_bytes(b"PAR1")  # half a file
    (databases / "plurel-3" / RECEIPT).write_text("{")  # half a receipt
    (databases / f"{storage.DRAFT}plurel-4.xyz").mkdir()  # a killed process's draft
    (tmp_path / "corpus.json").unlink()
    again = make(tmp_path, 5)
    assert contents(again) == contents(index)
    assert again["seconds"][4] == index["seconds"][4]
    assert sorted(path.name for path in databases.iterdir()) == [f"plurel-{seed}" for seed in range(5)]


@pytest.mark.usefixtures("reject_odd")
def test_rejected_seeds_are_recorded_and_replaced(tmp_path: Path) -> None:
    index = make(tmp_path / "a", 3)
    assert index["seed"].to_pylist() == [0, 1, 2, 3, 4]
    assert index["admitted"].to_pylist() == [True, False, True, False, True]
    assert [path.name for path in corpus.database_folders(tmp_path / "a")] == [
        "plurel-0",
        "plurel-2",
        "plurel-4",
    ]
    assert sorted(path.name for path in (tmp_path / "a" / "databases").iterdir()) == [
        "plurel-0",
        "plurel-2",
        "plurel-4",
    ]
    rejected = {
        int(path.stem): storage.read_json(path)["reason"] for path in (tmp_path / "a" / "rejected").iterdir()
    }
    assert rejected == {1: "odd", 3: "generation failed: RuntimeError: no luck"}
    assert contents(make(tmp_path / "b", 4))[:5] == contents(index)
    assert contents(make(tmp_path / "a", 4))[:5] == contents(index)


def test_a_full_disk_is_not_a_rejected_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seed: int, config: GeneratorConfig) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(corpus, "generate_database", fail)
    with pytest.raises(OSError, match="disk full"):
        make(tmp_path, 1)
    assert not (tmp_path / "rejected").exists()


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    make(tmp_path, 1)
    other = TINY.replace(num_columns=(3, 5))
    with pytest.raises(ResumeError) as error:
        make(tmp_path, 1, other)
    assert TINY.fingerprint() in str(error.value)
    assert other.fingerprint() in str(error.value)
    with pytest.raises(ResumeError, match="made with seed_offset 0, this run has 9"):
        make(tmp_path, 1, seed_offset=9)


def test_a_prior_without_usable_databases_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "generate_database", lambda seed, config: None)
    monkeypatch.setattr(corpus, "admit", lambda database: "too dull")
    with pytest.raises(ConfigError, match="only 0 can be used; the commonest reason is 'too dull'"):
        make(tmp_path, 1)


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_databases is 0"):
        make(tmp_path, 0)
    with pytest.raises(ConfigError, match="seed_offset -1"):
        make(tmp_path, 1, seed_offset=-1)


def test_expected_seconds_grow_with_the_database() -> None:
    assert 0 < expected_seconds(TINY) < 0.05 < 1 < expected_seconds(GeneratorConfig()) < 10


@pytest.mark.ray
def test_the_cluster_makes_the_same_corpus(tmp_path: Path, ray_session: None) -> None:
    here, there = make(tmp_path / "a", 4), make(tmp_path / "b", 4, run=dataflow.map_keys)
    assert contents(here) == contents(there)
