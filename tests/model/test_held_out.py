"""The held-out loss and its levels, against plain loops."""

import numpy as np
import pytest

from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig
from relscale.model.context import SemType
from relscale.model.held_out import HeldOut
from relscale.model.network import RelationalTransformer

ONE = SamplerConfig(context_length=48, bfs_width=8)
EVALUATION = EvaluationConfig(columns_per_type=2, rows_per_column=7)


@pytest.fixture(scope="module")
def network() -> RelationalTransformer:
    return RelationalTransformer(ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32))


@pytest.fixture(scope="module")
def held_out(toy_store):
    return HeldOut(toy_store, toy_store.names, ONE, EVALUATION)


def test_the_loss_is_the_mean_over_tasks_of_task_means(network, held_out, toy_store):
    found, cells, items = held_out.scores(network), held_out.predictions(network), held_out.items
    losses: dict[tuple[int, int, int], list[float]] = {}
    for i in range(len(items)):
        key = (int(items.database[i]), int(items.column[i]), int(cells.sem_type[i]))
        losses.setdefault(key, []).append(float(cells.loss[i]))
    means = {key: float(np.mean(part)) for key, part in losses.items()}

    def mean(keep) -> float:
        return float(np.mean([value for key, value in means.items() if keep(key)]))

    assert found["loss"] == pytest.approx(mean(lambda key: True))
    assert found["loss_boolean"] == pytest.approx(mean(lambda key: key[2] == SemType.BOOLEAN))
    assert found["loss_number"] == pytest.approx(mean(lambda key: key[2] == SemType.NUMBER))
    for index, name in enumerate(toy_store.names):
        assert found["per_database"][name] == pytest.approx(mean(lambda key, i=index: key[0] == i))
    assert (found["n_tasks"], found["n_cells"]) == (len(means), len(items)) == (12, 84)
    assert found["relative_loss"] == pytest.approx(found["loss"] / found["loss_mean_predictor"])


def test_a_metrics_line_has_the_same_losses(network, held_out):
    scores, line = held_out.scores(network), held_out.line(network)
    assert line == {f"held_out_{name}": scores[name] for name in ("loss", "loss_boolean", "loss_number")}


def test_the_mean_predictor_knows_base_rates_alone(network, held_out, toy_store):
    cells, items = held_out.predictions(network), held_out.items
    losses: dict[tuple[int, int], list[float]] = {}
    for i, label in enumerate(cells.label.astype(float)):
        column = toy_store.database(toy_store.names[items.database[i]]).columns[items.column[i]]
        rate = column.mean if label > 0 else 1 - column.mean
        huber = label**2 / 2 if abs(label) < 1 else abs(label) - 0.5
        loss = -np.log(rate) if column.sem_type == SemType.BOOLEAN else huber
        losses.setdefault((int(items.database[i]), int(items.column[i])), []).append(loss)
    expected = np.mean([np.mean(part) for part in losses.values()])
    assert held_out.scores(network)["loss_mean_predictor"] == pytest.approx(expected, rel=1e-5)


def test_a_type_without_tasks_has_no_loss(network, toy_store):
    held_out = HeldOut(toy_store, ["toy-1"], ONE, EVALUATION.replace(rows_per_column=3))
    types = [toy_store.database("toy-1").columns[c].sem_type for c in held_out.items.column]
    first_number = types.index(SemType.NUMBER)
    held_out.items = held_out.items.slice(first_number, first_number + 3)
    found = held_out.scores(network)
    assert found["loss_boolean"] is None
    assert found["loss_mean_predictor_boolean"] is None
    assert found["loss_number"] == found["loss"] == found["per_database"]["toy-1"]
