"""The schedule by hand and against the framework."""

import math

import pytest
import torch

from relscale.model.config import TrainingConfig
from relscale.model.schedule import learning_rate, trunk_steps


def test_schedule_by_hand():
    training = TrainingConfig(learning_rate=1.0, warmup_share=0.25)
    rates = [learning_rate(step, 9 + 4, training) for step in range(13)]
    # The peak lies at 0.25 * 13 - 1 = 2.25, between two steps.
    assert rates[0] == pytest.approx(0.04)
    assert rates[1] == pytest.approx(0.04 + 0.96 / 2.25)
    assert rates[3] == pytest.approx(1 - (1 - 4e-6) * 0.75 / 9.75)
    assert rates[12] == pytest.approx(4e-6)


@pytest.mark.parametrize(("n_steps", "share"), [(10, 0.2), (57, 0.2), (100, 0.35)])
def test_schedule_is_the_frameworks_one_cycle(n_steps, share):
    training = TrainingConfig(warmup_share=share)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        training.learning_rate,
        total_steps=n_steps,
        pct_start=share,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    for step in range(n_steps):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(step, n_steps, training) == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        if step < n_steps - 1:
            reference.step()


@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_runs_too_short_to_warm_up_start_at_the_peak(n_steps):
    training = TrainingConfig(learning_rate=1.0)
    rates = [learning_rate(step, n_steps, training) for step in range(n_steps)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)


def test_cosine_falls_to_its_floor_along_half_a_cosine():
    training = TrainingConfig(learning_rate=2.0, schedule="cosine", warmup_share=0.1, floor_share=0.25)
    rates = [learning_rate(step, 100, training) for step in range(100)]
    assert rates[9] == 2.0
    assert rates[99] == pytest.approx(0.5)
    for step in range(9, 100):
        angle = math.pi * (step - 9) / 90
        assert rates[step] == pytest.approx(0.5 + 1.5 * (1 + math.cos(angle)) / 2)
    assert rates[:10] == sorted(rates[:10])


def test_wsd_rises_stays_and_falls_linearly():
    training = TrainingConfig(
        learning_rate=1.0, schedule="wsd", warmup_share=0.1, decay_share=0.2, floor_share=0.0
    )
    rates = [learning_rate(step, 100, training) for step in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert set(rates[9:80]) == {1.0}
    assert rates[80:] == pytest.approx([1 - n / 20 for n in range(1, 21)])


@pytest.mark.parametrize("n_steps", [20, 33, 100, 1001])
def test_branches_are_one_until_the_shortest_falls(n_steps):
    training = TrainingConfig(
        learning_rate=1.0, schedule="wsd-branch", warmup_steps=8, decay_share=0.25, floor_share=0.0
    )
    common = trunk_steps(n_steps, training)
    rates = [learning_rate(step, n_steps, training) for step in range(n_steps)]
    assert rates[:common] == [learning_rate(step, 4 * n_steps, training) for step in range(common)]
    assert rates[7] == rates[common - 1] == 1.0
    assert rates[common] < 1.0
    assert n_steps - common == pytest.approx(0.25 * n_steps, abs=1)


def test_only_branches_warm_up_in_steps():
    for wrong in ({"schedule": "wsd-branch"}, {"schedule": "wsd", "warmup_steps": 5}):
        with pytest.raises(ValueError, match=r"it belongs to wsd-branch, which needs it"):
            TrainingConfig(**wrong)
