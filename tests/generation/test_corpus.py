"""Corpora: nested prefixes, resumed and extended runs, rejected seeds, refused mixtures."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relscale.generation import corpus
from relscale.generation.config import GeneratorConfig
from relscale.generation.corpus import corpus_digest, corpus_sentence, generate_corpus, reporter
from relscale.generation.database import Database
from relscale.generation.priors import PRIORS, Prior
from relscale.platform import dataflow, storage
from relscale.platform.errors import ConfigError, ResumeError
from relscale.platform.storage import RECEIPT

TINY = GeneratorConfig(num_tables=(3, 3), rows_entity=(15, 20), rows_activity=(25, 30), num_columns=(3, 4))
PLUREL = PRIORS["plurel"]
MEASURED = ["seconds", "write_seconds", "peak_mb"]


def make(
    out: Path, n: int, config: GeneratorConfig = TINY, *, run=dataflow.map_keys_here, prior=PLUREL, **options
) -> pa.Table:
    return generate_corpus(out, prior, config, preset="plurel-1.1", num_databases=n, run=run, **options)


def contents(index: pa.Table) -> list[dict]:
    return index.drop_columns(MEASURED).to_pylist()


def backwards(function, keys):
    """A cluster that works in another order."""
    return dataflow.map_keys_here(function, list(reversed(keys)))


def no_work(function, keys):
    assert not keys, f"{keys} are made again"
    return iter(())


def changed(generate) -> Prior:
    """The prior with another function; seeds go through `generate(seed, config)`."""
    return dataclasses.replace(PLUREL, generate=generate)


def one_of_two(seed: int, config: GeneratorConfig) -> Database:
    """Seed 3 fails outright, other odd seeds give a database without rows."""
    if seed == 3:
        raise RuntimeError("no luck")
    database = PLUREL.generate(seed, config)
    if seed % 2 == 0:
        return database
    first = next(iter(database.tables.values()))
    empty = dataclasses.replace(first, data=first.data.slice(0, 0))
    return dataclasses.replace(database, tables=database.tables | {first.name: empty})


def never(seed: int, config: GeneratorConfig) -> Database:
    raise ValueError("too dull")


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
        assert 0 < row["write_seconds"] < row["seconds"]
        assert row["peak_mb"] > 50
        others = [f for f in folder.rglob("*") if f.is_file() and f.name != RECEIPT]
        assert row["bytes"] == sum(f.stat().st_size for f in others)
        kinds = [field.type for f in files for field in pq.read_schema(f)]  # keys are integers
        assert (row["n_number"], row["n_boolean"], row["n_text"], row["n_time"]) == (
            kinds.count(pa.float64()),
            kinds.count(pa.bool_()),
            0,
            kinds.count(pa.timestamp("us")),
        )
        assert row["n_tasks"] == len(list(folder.glob("tasks/*/manifest.yaml")))
    assert sum(index["n_tasks"].to_pylist()) > 0


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
    seen = []
    assert make(tmp_path, 3, progress=seen.append, run=no_work) == index
    assert [receipt["seed"] for receipt in seen] == [0, 1, 2]


def test_many_databases_are_checked_by_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(tmp_path, 3)
    (tmp_path / "databases" / "plurel-1" / "manifest.yaml").unlink()
    monkeypatch.setattr(corpus, "CHECKED_HERE", 2)
    calls = []

    def run(function, keys):
        calls.append(list(keys))
        return dataflow.map_keys_here(function, keys)

    assert contents(make(tmp_path, 3, run=run)) == contents(index)
    assert calls == [[0, 1, 2], [1]]


def test_damage_is_mended(tmp_path: Path) -> None:
    index = make(tmp_path, 5)
    databases = tmp_path / "databases"
    shutil.rmtree(databases / "plurel-0")  # lost
    (databases / "plurel-1" / RECEIPT).unlink()  # never finished
    next((databases / "plurel-2" / "db").iterdir()).write_bytes(b"PAR1")  # half a file
    (databases / "plurel-3" / RECEIPT).write_text("{")  # half a receipt
    (tmp_path / "drafts" / f"{storage.DRAFT}plurel-4.xyz").mkdir(parents=True)  # a killed process's draft
    (tmp_path / "corpus.json").unlink()
    again = make(tmp_path, 5)
    assert contents(again) == contents(index)
    assert again["seconds"][4] == index["seconds"][4]
    assert sorted(path.name for path in databases.iterdir()) == [f"plurel-{seed}" for seed in range(5)]
    assert not (tmp_path / "drafts").exists()


def test_rejected_seeds_are_recorded_and_replaced(tmp_path: Path) -> None:
    index = make(tmp_path / "a", 3, prior=changed(one_of_two))
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
    assert rejected == {1: "table 'table_0': no rows", 3: "generation failed: RuntimeError: no luck"}
    assert contents(make(tmp_path / "b", 4, prior=changed(one_of_two)))[:5] == contents(index)
    assert contents(make(tmp_path / "a", 4, prior=changed(one_of_two)))[:5] == contents(index)
    assert corpus_sentence(index).startswith("3 databases (2 more refused, see index.parquet) with ")


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    make(tmp_path, 1)
    other = TINY.replace(num_columns=(3, 5))
    with pytest.raises(ResumeError) as error:
        make(tmp_path, 1, other)
    assert TINY.fingerprint() in str(error.value)
    assert other.fingerprint() in str(error.value)
    with pytest.raises(ResumeError, match="made with seed_offset 0, this run has 9"):
        make(tmp_path, 1, seed_offset=9)
    with pytest.raises(ResumeError, match="made with tasks True, this run has False"):
        make(tmp_path, 1, tasks=False)
    with pytest.raises(ResumeError, match="made with prior_version"):
        make(tmp_path, 1, prior=dataclasses.replace(PLUREL, version=PLUREL.version + 1))


def test_a_prior_names_its_databases(tmp_path: Path) -> None:
    other = dataclasses.replace(PLUREL, name="my-own")
    index = make(tmp_path, 2, prior=other)
    assert index["name"].to_pylist() == ["my-own-0", "my-own-1"]
    assert index["prior"].to_pylist() == ["my-own", "my-own"]
    manifest = (tmp_path / "databases" / "my-own-1" / "manifest.yaml").read_text()
    assert manifest.startswith("name: my-own-1\n")


def test_a_corpus_without_tasks(tmp_path: Path) -> None:
    plain = make(tmp_path / "a", 1, tasks=False)
    assert plain["n_tasks"].to_pylist() == [0]
    assert not (tmp_path / "a" / "databases" / "plurel-0" / "tasks").exists()
    assert plain["digest"] != make(tmp_path / "b", 1)["digest"]


def test_a_prior_without_usable_databases_is_given_up(tmp_path: Path) -> None:
    reason = "only 0 can be used; the commonest reason is 'generation failed: ValueError: too dull'"
    with pytest.raises(ConfigError, match=reason):
        make(tmp_path, 1, prior=changed(never))


def test_progress_tells_databases_bytes_and_reasons() -> None:
    seen = []
    report = reporter(lambda amount, note: seen.append((amount, note)))
    report({"name": "plurel-0", "admitted": True, "reason": None, "bytes": 2_500_000})
    report({"name": "plurel-1", "admitted": False, "reason": "dull"})
    report({"name": "plurel-2", "admitted": True, "reason": None, "bytes": 500_000})
    assert seen == [(1, "2.5 MB"), (0, "2.5 MB, refused plurel-1: dull"), (1, "3 MB")]


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_databases is 0"):
        make(tmp_path, 0)
    with pytest.raises(ConfigError, match="seed_offset -1"):
        make(tmp_path, 1, seed_offset=-1)


@pytest.mark.ray
def test_the_cluster_makes_the_same_corpus(tmp_path: Path, ray_session: None) -> None:
    here, there = make(tmp_path / "a", 4), make(tmp_path / "b", 4, run=dataflow.map_keys)
    assert contents(here) == contents(there)
