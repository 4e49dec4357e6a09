"""The doctor on settings that are sound and on some that are not; each trouble is named, nothing stays."""

from dataclasses import replace
from pathlib import Path

import pytest

from relscale.model.config import TextConfig
from relscale.platform.errors import RelscaleError
from relscale.platform.tracking import TrackingConfig
from relscale.sweeps import doctor, local_checks
from relscale.sweeps.config import CorpusConfig
from relscale.sweeps.doctor import examine
from relscale.sweeps.measure import measure_parts


def found(config, out: Path) -> dict[str, tuple[str, str]]:
    return {finding.check: (finding.status, finding.sentence) for finding in examine(config, out)}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_sound_study_passes_and_leaves_nothing(tiny, tmp_path):
    findings = found(tiny(), tmp_path / "study")
    assert {status for status, _ in findings.values()} == {"ok"}, findings
    assert findings["placement"][1].startswith("2 trials at once, each with 1 CPU; there are 2 CPUs")
    assert set(findings) >= {"settings", "seeds", "versions", "text encoder", "row width", "folder", "space"}
    assert set(findings) >= {"tracking", "package", "cluster", "nodes", "CPU", "shared folder"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_every_trouble_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    broken = tiny(
        training={"batch_size": 4, "n_threads": 64},
        corpus={**tiny().corpus.model_dump(), "held_out_seed_offset": 2},
        sampler={"context_length": 2},
        tracking={"uri": "http://127.0.0.1:9"},
        model={"n_blocks": 1, "d_model": 16, "n_heads": 2, "d_ff": 32, "d_text": 100},
    )
    findings = found(broken, tmp_path / "file" / "out")
    failed = {check: sentence for check, (status, sentence) in findings.items() if status == "fail"}
    assert "they overlap" in failed["seeds"]
    assert "set model.d_text=384, not 100" in failed["text encoder"]
    assert "must fit a context, which has 2; set sampler.context_length to at least 5" in failed["row width"]
    assert "cannot write" in failed["folder"] and "choose another folder" in failed["folder"]
    assert "'http://127.0.0.1:9' does not answer" in failed["tracking"]
    assert "a trial needs 64 CPUs, the cluster has 2 CPUs" in failed["placement"]
    assert "space" not in findings and "shared folder" not in findings


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_settings_that_contradict_each_other_are_named(tiny, tmp_path):
    findings = found(tiny(grid={"n_databases": [1], "tokens": [1, 2]}), tmp_path)
    assert findings["settings"][0] == "fail"
    assert "two budgets are the same number of optimizer steps" in findings["settings"][1]


def test_rows_that_may_be_too_wide(tiny, tmp_path):
    config = tiny(corpus={"generator": {"num_tables": [1, 1], "num_columns": [3, 40]}})
    (part,) = measure_parts(config, tmp_path, seconds=0, tokens_per_second=1)
    narrow = replace(part, sample=replace(part.sample, row_width=10))
    status, sentence = local_checks.row_width(narrow)
    assert status == "warn" and "at least 41" in sentence


def test_an_unreachable_cluster_ends_what_needs_one(tiny, tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    config = tiny(cluster={"address": "127.0.0.1:9"})
    findings = found(config, tmp_path)
    assert findings["cluster"][0] == "fail" and "does not answer" in findings["cluster"][1]
    assert "placement" not in findings


def test_nodes_that_differ():
    sound = {"python": "3.11.7", "relscale": "0.1.0", "machine": "x86_64", "features": ["avx2"], "sees": True}
    older = {**sound, "relscale": "0.0.9", "features": [], "sees": False}
    answers = {"node-one-": sound, "node-two-": older}
    status, sentence = doctor._nodes(answers)
    assert status == "fail" and "relscale 0.0.9" in sentence
    assert doctor._cpu(answers)[0] == "warn"
    status, sentence = doctor._shared(answers, Path("/data/.probe"))
    assert status == "fail" and "'/data' is not seen by 1 nodes (node-two)" in sentence
    assert doctor._shared({"node-one": sound, "node-two": sound}, Path("/data/.probe"))[0] == "ok"


def test_seeds_that_may_meet():
    def status(**settings):
        return local_checks.seeds(CorpusConfig(held_out_databases=10, **settings), 100)[0]

    assert status(held_out_seed_offset=1000) == "ok"
    assert status(held_out_seed_offset=150) == "warn"
    assert status(held_out_seed_offset=99) == "fail"
    assert status(seed_offset=15, held_out_seed_offset=0) == "warn"
    assert status(seed_offset=5, held_out_seed_offset=0) == "fail"


def test_packages_are_compared_with_what_relscale_declares(monkeypatch):
    monkeypatch.setattr(local_checks.metadata, "requires", lambda name: ["numpy>=99", "nowhere", "torch"])
    status, sentence = local_checks.versions()
    assert status == "fail" and "(needs >=99)" in sentence and "nowhere absent (needs any)" in sentence
    assert "torch" not in sentence


def test_a_folder_that_is_too_large_to_upload(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large.bin").write_bytes(bytes(2000))
    (tmp_path / "code.py").write_bytes(bytes(10))
    assert local_checks.package(tmp_path) == (
        "ok",
        "a job submitted from this folder would upload 2.01 KB at most.",
    )
    monkeypatch.setattr(local_checks, "PACKAGE_LIMIT", 1000)
    status, sentence = local_checks.package(tmp_path)
    assert status == "warn" and "most of it in 'data'" in sentence


def test_sqlite_files_are_tried_and_left_as_they_were(tmp_path):
    import sqlite3

    def verdict(file: Path):
        return local_checks.tracking(TrackingConfig(uri=f"sqlite:///{file}"), None)

    assert verdict(tmp_path / "runs.db")[0] == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes.db").write_text("no database at all, but some text that is long enough")
    with pytest.raises(RelscaleError, match="SQLite cannot write"):
        verdict(tmp_path / "notes.db")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("create table runs (id)")
    before = (tmp_path / "mlflow.db").read_bytes()
    assert verdict(tmp_path / "mlflow.db")[0] == "ok"
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_an_encoder_that_is_not_at_hand_is_not_fetched(tmp_path):
    with pytest.raises(RelscaleError, match="not on this machine"):
        local_checks.text_encoder(TextConfig(encoder="nobody/no-such-model"), 384)
    (tmp_path / "config.json").write_text('{"hidden_size": 384}')
    assert local_checks.text_encoder(TextConfig(encoder=str(tmp_path)), 384)[0] == "ok"
