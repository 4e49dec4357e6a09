"""The schedule by hand and against the framework; which parameters move."""

import pytest
import torch

from relscale.model.config import ModelConfig, TrainingConfig
from relscale.model.network import RelationalTransformer
from relscale.model.optim import build_optimizer, learning_rate


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


def test_decay_reaches_norms_and_biases_too():
    network = RelationalTransformer(ModelConfig(n_blocks=1, d_model=8, n_heads=2, d_ff=8))
    training = TrainingConfig(learning_rate=0.1, weight_decay=0.5)
    optimizer = build_optimizer(network, training)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    for parameter in trained.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert {"norm_out.weight", "enc_dict.number.bias", "mask_embs.number"} <= trained.keys()
    for name, parameter in trained.items():
        torch.testing.assert_close(parameter.detach(), before[name] * 0.95, msg=name)
