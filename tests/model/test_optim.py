"""Which parameters move, and how."""

import pytest
import torch

from relscale.model.config import ModelConfig, TrainingConfig
from relscale.model.network import RelationalTransformer
from relscale.model.optim import build_optimizers


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
