"""The schedule by hand and against the framework; which parameters move."""

import math

import pytest
import torch

from relscale.model.config import ModelConfig, TrainingConfig
from relscale.model.network import RelationalTransformer
from relscale.model.optim import build_optimizers, learning_rate


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
    (optimizer,) = build_optimizers(network, training)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    for parameter in trained.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert {"norm_out.weight", "enc_dict.number.bias", "mask_embs.number"} <= trained.keys()
    for name, parameter in trained.items():
        torch.testing.assert_close(parameter.detach(), before[name] * 0.95, msg=name)


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


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"warmup_share 0.5 and decay_share 0.6 are more than the whole"):
        TrainingConfig(schedule="wsd", warmup_share=0.5, decay_share=0.6)
    with pytest.raises(ValueError, match=r"muon needs whole matrices"):
        TrainingConfig(optimizer="muon", parallel="fsdp")


def _muon_update(gradient: torch.Tensor) -> torch.Tensor:
    """The first update of the reference recipe, in float64: momentum 0.95 with Nesterov, 5 iterations."""
    momentum = 0.05 * gradient
    x = (0.05 * gradient + 0.95 * momentum).double()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return 0.2 * max(gradient.shape) ** 0.5 * (x.T if tall else x)


def test_muon_moves_the_blocks_matrices_and_adamw_the_rest():
    network = RelationalTransformer(ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32))
    training = TrainingConfig(optimizer="muon", learning_rate=0.1, weight_decay=0.5)
    adamw, muon = build_optimizers(network, training)
    names = {id(p): name for name, p in network.named_parameters() if p.requires_grad}
    moved = [{names[id(p)] for p in o.param_groups[0]["params"]} for o in (adamw, muon)]
    assert moved[0] | moved[1] == set(names.values())
    assert moved[0].isdisjoint(moved[1])
    relations = [f"attns.{a}.{w}" for a in ("col", "feat", "nbr") for w in ("wq", "wk", "wv", "wo")]
    matrices = {f"blocks.0.{part}.weight" for part in [*relations, "ffn.w1", "ffn.w2", "ffn.w3"]}
    assert moved[1] == matrices
    generator = torch.Generator().manual_seed(0)
    for key in ("blocks.0.ffn.w1.weight", "blocks.0.ffn.w2.weight", "blocks.0.attns.col.wq.weight"):
        parameter = network.get_parameter(key)
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        before, update = parameter.detach().clone(), _muon_update(parameter.grad)
        muon.step()
        expected = before * 0.95 - 0.1 * update.float()
        # The library iterates in bfloat16, of 8 binary digits.
        torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=0.03 * 0.1)
        parameter.grad = None
