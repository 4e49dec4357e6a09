"""How far the work in a folder is, by its files: nothing, half, stopped, failed, finished, none of ours."""

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from relscale.cli import app
from relscale.generation.corpus import generate_corpus
from relscale.generation.priors import find_prior
from relscale.platform import remote, storage
from relscale.platform.dashboard import ClusterStatus
from relscale.platform.dataflow import Receipt
from relscale.platform.errors import DataError
from relscale.sweeps.grid import Trial
from relscale.sweeps.outline import write_outline
from relscale.sweeps.status import read_status
from relscale.sweeps.status_page import status_page

NOW = 2_000_000_000.0
TRIALS = [
    Trial(key=f"{place}" * 16, n_databases=n, tokens=tokens, seed=0)
    for place, (n, tokens) in enumerate([(1, 1000), (2, 1000), (1, 500), (2, 500), (3, 500)])
]


def databases(folder: Path, count: int, *, whole: bool) -> None:
    """A corpus and its token store with so many databases, as far as their names go."""
    for path in (folder, folder.with_name(f"{folder.name}-store")):
        for number in range(count):
            (path / "databases" / f"plurel-{number}").mkdir(parents=True)
    (folder / "databases" / f"{storage.DRAFT}plurel-9.x").mkdir()
    if whole:
        storage.write_json(folder / "corpus.json", {"num_databases": count})
        store = folder.with_name(f"{folder.name}-store")
        storage.write_json(store / "store.json", {"databases": [{}] * count})


def logged(folder: Path, trial: Trial, tokens: int, *, ago: float) -> None:
    line = {"step": 1, "tokens": tokens, "loss": 0.5, "tokens_per_second": 100.0}
    path = folder / "trials" / trial.key / "metrics.jsonl"
    storage.write_text(path, json.dumps(line) + "\n" + '{"step": 2, "cut o')
    os.utime(path, (NOW - ago, NOW - ago))


@pytest.fixture
def study(tmp_path: Path, tiny) -> Path:
    """A study with its databases, one trial done, one running, one stopped, one failed, one to come."""
    folder = tmp_path / "study"
    storage.write_text(folder / "study.yaml", tiny().to_yaml())
    databases(folder / "held-out", 2, whole=True)
    databases(folder / "corpus", 3, whole=True)
    write_outline(folder, TRIALS, {TRIALS[3].key: "the loss is nan"})
    storage.write_json(folder / "trials" / TRIALS[0].key / "result.json", {"loss": 0.4})
    logged(folder, TRIALS[1], 600, ago=20)
    logged(folder, TRIALS[2], 100, ago=7200)
    return folder


def shown(folder: Path, cluster: ClusterStatus | None = None) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(status_page(read_status(folder, NOW), cluster))
    return console.export_text()


def test_a_half_finished_study(study):
    seen = read_status(study, NOW)
    assert (seen.kind, seen.stage, seen.finished, seen.at_work) == (
        "study",
        "training the grid",
        False,
        False,
    )
    assert [(part.name, part.done, part.wanted, part.whole) for part in seen.corpora] == [
        ("held-out", 2, 2, True),
        ("corpus", 3, 3, True),
    ]
    assert [trial.state for trial in seen.trials] == ["done", "running", "stopped", "failed", "waiting"]
    assert seen.tokens_per_second == 100.0
    assert seen.seconds_left == (400 + 400 + 500) / 100.0
    text = shown(study)
    assert "1 of 5 done, 1 running, 1 stopped, 1 waiting, 1 failed, 100 tokens/s, about 13 s left" in text
    assert "N=2 S=1,000 seed=0" in text and "60%" in text and "20 s ago" in text
    assert "2.0 h ago, stopped" in text
    assert "failed: N=2 S=500 seed=0 (the loss is nan)" in text


def test_every_stage_has_its_name(study, tiny):
    os.remove(study / "corpus-store" / "store.json")
    assert read_status(study, NOW).stage == "tokenizing into corpus-store"
    os.remove(study / "held-out" / "corpus.json")
    assert read_status(study, NOW).stage == "generating held-out"
    storage.write_json(study / "held-out" / "corpus.json", {"num_databases": 2})
    storage.write_json(study / "corpus-store" / "store.json", {"databases": [{}] * 3})
    write_outline(study, TRIALS[:1], {})
    assert read_status(study, NOW).stage == "fits, zero-shot scores, report, record"
    (study / "report.html").write_text("<html>")
    seen = read_status(study, NOW)
    assert seen.finished and seen.stage == "finished" and seen.report == study / "report.html"
    assert "report.html" in shown(study)
    with storage.alone_in(study):
        assert not read_status(study, NOW).finished, "an earlier report is about to be replaced"


def test_a_process_that_holds_the_folder_is_seen(study):
    with storage.alone_in(study):
        assert read_status(study, NOW).at_work and "a process of this machine" in shown(study)
    assert not read_status(study, NOW).at_work


def test_what_was_spent_and_what_the_cluster_does(study):
    record = {"dollars": 1.234, "dollars_per_hour": 0.75, "node_hours": {"cpu_gen": 2.0, "head": 1.5}}
    storage.write_json(study / "spending.json", record)
    cluster = ClusterStatus(
        nodes={"head": 1, "cpu_gen": 4}, demand={"CPU: 1": 9}, coming=[], jobs=["a running: b"]
    )
    text = shown(study, cluster)
    assert "about $1.23 (cpu_gen 2.00 h, head 1.50 h) at $0.75 an hour last seen" in text
    assert "4 cpu_gen, 1 head" in text and "9 x {CPU: 1}" in text and "a running: b" in text


def test_a_corpus_a_store_and_a_run_alone(tmp_path):
    databases(tmp_path / "made", 2, whole=False)
    storage.write_json(tmp_path / "made" / "generation.json", {})
    storage.write_json(tmp_path / "made" / "wanted.json", {"num_databases": 5})
    corpus = read_status(tmp_path / "made", NOW)
    assert (corpus.kind, corpus.corpora[0].done, corpus.corpora[0].wanted, corpus.finished) == (
        "corpus",
        2,
        5,
        False,
    )
    store = read_status(tmp_path / "made-store", NOW)
    assert (store.kind, store.stores[0].done, store.stores[0].wanted) == ("token store", 2, None)
    run = TRIALS[1]
    logged(tmp_path, run, 250, ago=5)
    storage.write_json(tmp_path / "trials" / run.key / "job.json", {"tokens": 1000})
    seen = read_status(tmp_path / "trials" / run.key, NOW)
    assert (seen.kind, seen.trials[0].state, seen.seconds_left) == ("run", "running", 7.5)
    (tmp_path / "trials" / run.key / "final").mkdir()
    assert read_status(tmp_path / "trials" / run.key, NOW).finished


def test_a_corpus_that_was_interrupted_knows_how_many_it_is_to_have(tmp_path, tiny):
    def interrupted(function: Callable[[int], Receipt], keys: Sequence[int]) -> Iterator[tuple[int, Receipt]]:
        yield keys[0], function(keys[0])
        raise KeyboardInterrupt

    corpus = tiny().corpus
    with pytest.raises(KeyboardInterrupt):
        generate_corpus(
            tmp_path,
            find_prior(corpus.prior),
            corpus.generator,
            preset=corpus.preset,
            num_databases=3,
            run=interrupted,
        )
    (part,) = read_status(tmp_path, NOW).corpora
    assert (part.done, part.wanted, part.whole) == (1, 3, False)


def test_a_study_on_an_object_store_is_read_where_it_lies(study, tmp_path, monkeypatch):
    monkeypatch.setenv("RELSCALE_MIRROR", str(tmp_path / "mirror"))
    image = remote.place(f"file://{study}")
    seen = read_status(image, NOW)
    assert [trial.state for trial in seen.trials] == ["done", "running", "running", "failed", "waiting"]
    assert seen.corpora == read_status(study, NOW).corpora
    assert not (tmp_path / "mirror").exists(), "nothing is brought here"


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no study"):
        read_status(tmp_path, NOW)
    with pytest.raises(DataError, match="holds no study"):
        read_status(tmp_path / "absent", NOW)


def test_the_command_ends_well_for_a_half_finished_study(study):
    done = CliRunner().invoke(app, ["status", str(study)])
    assert done.exit_code == 0 and "study tiny: training the grid" in done.output
