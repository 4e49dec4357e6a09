"""Fine-tuning: which state is kept, when it stops, exact resume."""

from pathlib import Path

import pytest
import torch

from relscale.model.checkpoint import load_model, save_model
from relscale.model.config import ModelConfig, SamplerConfig
from relscale.model.fine_tune import FineTuneJob, best_of, fine_tune
from relscale.model.network import RelationalTransformer
from relscale.platform.errors import DataError, ResumeError

SIZES = ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32)


@pytest.fixture
def job(handmade_store, tmp_path: Path) -> FineTuneJob:
    save_model(tmp_path / "start", RelationalTransformer(SIZES, seed=0), {"model": SIZES.model_dump()})
    return FineTuneJob(
        checkpoint=tmp_path / "start",
        store=handmade_store.path,
        task="churn",
        out=tmp_path / "run",
        sampler=SamplerConfig(context_length=32, bfs_width=8),
        batch_size=4,
        learning_rate=1e-3,
        every_steps=2,
        patience=2,
        max_steps=12,
    )


def _size(network: RelationalTransformer) -> float:
    """A score that is a function of the weights alone."""
    with torch.no_grad():
        return float(sum(parameter.abs().sum() for parameter in network.parameters()))


def _ignore(step: int, value: float) -> None:
    pass


def test_the_best_is_kept_and_patience_ends_the_run(job: FineTuneJob):
    values = iter([1.0, 3.0, 2.0, 3.0, 9.0])
    seen: list[dict] = []

    def score(network: RelationalTransformer) -> float:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(values)

    network, about = load_model(fine_tune(job, score, _ignore))
    assert about["scores"] == [[0, 1.0], [2, 3.0], [4, 2.0], [6, 3.0]] and about["step"] == 2
    assert all(torch.equal(value, seen[1][name]) for name, value in network.state_dict().items())
    assert not torch.equal(seen[0]["norm_out.weight"], seen[1]["norm_out.weight"])
    assert sorted(path.name for path in job.out.iterdir()) == ["final"]


def test_a_killed_run_goes_on_as_if_it_had_not_been(job: FineTuneJob, tmp_path: Path):
    calls = 0

    def killed(network: RelationalTransformer) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return _size(network)

    with pytest.raises(KeyboardInterrupt):
        fine_tune(job, killed, _ignore)
    steps: list[int] = []
    resumed = load_model(fine_tune(job, _size, lambda step, value: steps.append(step)))
    whole = load_model(fine_tune(job.replace(out=tmp_path / "whole"), _size, _ignore))
    assert steps[0] == 6 and resumed[1] == whole[1]
    states = resumed[0].state_dict(), whole[0].state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_another_run_is_not_taken_for_this_one(job: FineTuneJob):
    fine_tune(job, _size, _ignore)
    with pytest.raises(ResumeError, match="another 'learning_rate'"):
        fine_tune(job.replace(learning_rate=2e-3), _size, _ignore)


def test_an_unknown_task_is_refused(job: FineTuneJob):
    with pytest.raises(DataError, match="no task 'sales'"):
        fine_tune(job.replace(task="sales"), _size, _ignore)


def test_the_first_of_equal_scores_is_best():
    assert best_of([[0, 1.0], [2, 3.0], [4, 3.0]]) == 1
