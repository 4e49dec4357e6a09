"""The audit passes an honest sampler and fails predictors that peek."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relscale.analysis import audit
from relscale.analysis.audit import CHANCE, Subject, audit_checkpoint, audit_task, leaks, subject_of
from relscale.analysis.task_predictions import Predictor, load_predictor
from relscale.model.checkpoint import save_model
from relscale.model.config import ModelConfig, SamplerConfig
from relscale.model.items import Items
from relscale.model.mapping import DatabaseArrays
from relscale.model.network import RelationalTransformer

SIZES = ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=16)


@pytest.fixture(scope="module")
def predictor(rel_f1: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Untrained, with contexts of 64 cells."""
    out = tmp_path_factory.mktemp("audit")
    sampler = SamplerConfig(context_length=64)
    about = {"model": SIZES.model_dump(), "sampler": sampler.model_dump()}
    save_model(out / "final", RelationalTransformer(SIZES, seed=0), about)
    return load_predictor(out / "final", rel_f1, out)


def few_rows(subject: Subject, n: int = 40) -> Subject:
    return replace(subject, items=subject.items.slice(0, n))


@pytest.mark.parametrize("visibility", ["temporal", "strict", "train-only"])
@pytest.mark.parametrize("task", ["driver-dnf", "driver-position"])
def test_no_prediction_depends_on_what_is_forbidden(predictor: Predictor, task: str, visibility: str) -> None:
    seen = replace(predictor, sampler=predictor.sampler.replace(visibility=visibility))
    check = audit._forbidden(few_rows(subject_of(seen, task, "test")))
    assert (check["verdict"], check["largest_change"], check["changed"]) == ("pass", 0.0, 0)
    assert check["cells"] > 10_000


def own_label(arrays: DatabaseArrays, items: Items) -> np.ndarray:
    return audit._labels(arrays, items)


def a_later_row(arrays: DatabaseArrays, items: Items) -> np.ndarray:
    """The first cell of the latest row of the database: the same for every item."""
    row = int(arrays.node_time.argmax())
    bits = arrays.cell_bits[arrays.cell_ptr[row] : arrays.cell_ptr[row + 1]].astype(np.float64)
    return np.full(len(items), bits.sum())


@pytest.mark.parametrize("peek", [own_label, a_later_row])
def test_a_predictor_that_peeks_is_found(predictor: Predictor, peek: audit.Predict) -> None:
    subject = replace(few_rows(subject_of(predictor, "driver-dnf", "test")), predict=peek)
    check = audit._forbidden(subject)
    assert check["verdict"] == "fail"
    assert check["changed"] > 0.9 * check["rows"]
    assert leaks([{"task": "driver-dnf", "visibility": "strict", "checks": [check]}])[0].startswith(
        "driver-dnf, strict: "
    )


def mean_of_own_labels(arrays: DatabaseArrays, items: Items, *, column: int) -> np.ndarray:
    """What a model with contexts of labels alone would say."""
    values = np.full(len(arrays.node_time), np.nan)
    place = np.flatnonzero(arrays.cell_column == column)
    row = np.searchsorted(arrays.cell_ptr, place, side="right") - 1
    values[row] = arrays.cell_bits[place].view(np.float32)
    found = []
    for node in items.node:
        own = row[arrays.parents[row, 0] == arrays.parents[node, 0]]
        past = own[arrays.node_time[own] < arrays.node_time[node]]
        found.append(values[past].mean() if len(past) else 0.0)
    return np.array(found)


def test_labels_that_are_shuffled_or_hidden_take_the_score_of_a_predictor_that_uses_them(
    predictor: Predictor,
) -> None:
    subject = subject_of(predictor, "driver-position", "test")
    column = int(subject.items.column[0])
    honest = replace(subject, predict=lambda arrays, items: mean_of_own_labels(arrays, items, column=column))
    entry = audit_task(honest, n_boot=200)
    assert [(check["name"], check["verdict"]) for check in entry["checks"]] == [
        ("forbidden", "pass"),
        ("shuffled", "pass"),
        ("own hidden", "pass"),
    ]
    _, shuffled, hidden = entry["checks"]
    assert shuffled["values"]["changed"] < CHANCE["r2"] < 0.2 < shuffled["values"]["intact"]
    assert hidden["values"]["changed"] < hidden["values"]["intact"]
    # One that needs no labels stands above chance whatever becomes of them, and the audit says so.
    blind = replace(subject, predict=lambda _, items: own_label(subject.database.arrays, items))
    verdicts = {check["name"]: check["verdict"] for check in audit_task(blind, n_boot=100)["checks"]}
    assert verdicts == {"forbidden": "pass", "shuffled": "fail", "own hidden": "inconclusive"}


def test_an_untrained_network_has_no_score_to_lose(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "N_ROWS", 40)
    (entry,) = audit_checkpoint([predictor], tmp_path, tasks=["driver-dnf"], n_boot=50)
    assert (tmp_path / "audit.json").is_file()
    assert (entry["dataset"], entry["visibility"], entry["rows"]) == ("rel-f1", "temporal", 40)
    assert entry["checks"][0]["verdict"] == "pass"
    assert leaks([entry]) == []
