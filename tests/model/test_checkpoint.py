"""Checkpoints: round trips, whole or absent, errors that name the key."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from relscale.model import checkpoint
from relscale.model.config import ModelConfig, TrainingConfig
from relscale.model.network import RelationalTransformer
from relscale.model.optim import build_optimizers
from relscale.platform.errors import DataError, ResumeError

CONFIG = ModelConfig(n_blocks=1, d_model=8, n_heads=2, d_ff=8)
ABOUT = {"model": CONFIG.model_dump(), "tokens": 100, "seed": 3, "training": {"learning_rate": 0.1}}


@pytest.fixture
def network() -> RelationalTransformer:
    return RelationalTransformer(CONFIG, seed=5)


def _stepped(network, n_steps, training):
    optimizers = build_optimizers(network, training)
    for step in range(n_steps):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, 0.1 * (step + 1)) if parameter.requires_grad else None
        for optimizer in optimizers:
            optimizer.step()
    return optimizers


def test_a_saved_network_comes_back_bit_for_bit(network, tmp_path):
    checkpoint.save_model(tmp_path / "final", network, ABOUT)
    loaded, about = checkpoint.load_model(tmp_path / "final")
    assert about == ABOUT
    assert loaded.config == CONFIG
    state = loaded.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "final").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_half_precision_weights_load_as_float32(network, tmp_path):
    checkpoint.save_model(tmp_path / "c", network, ABOUT)
    path = tmp_path / "c" / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    loaded, _ = checkpoint.load_model(tmp_path / "c")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_training_goes_on_exactly(network, tmp_path, kind):
    training = TrainingConfig(optimizer=kind)
    optimizers = _stepped(network, 3, training)
    folder = checkpoint.training_folder(tmp_path, 3)
    checkpoint.save_training(folder, network, ABOUT, optimizers, {"step": 3, "losses": [0.1]})
    other = RelationalTransformer(CONFIG, seed=6)
    resumed = build_optimizers(other, training)
    assert checkpoint.load_training(folder, other, resumed) == {"step": 3, "losses": [0.1]}
    for n, both in ((network, optimizers), (other, resumed)):
        for parameter in n.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        for optimizer in both:
            optimizer.step()
    state = other.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_the_latest_checkpoint_is_that_of_the_most_steps(network, tmp_path):
    assert checkpoint.latest_checkpoint(tmp_path) is None
    for step in (9, 10, 100):
        checkpoint.training_folder(tmp_path, step).mkdir(parents=True)
    assert checkpoint.latest_checkpoint(tmp_path) == checkpoint.training_folder(tmp_path, 100)


def test_errors_name_the_key(network, tmp_path):
    folder = tmp_path / "c"
    checkpoint.save_model(folder, network, ABOUT)
    path = folder / "model.safetensors"
    weights = load_file(path)
    key = "blocks.0.ffn.w1.weight"
    broken = {
        rf"lacks '{key}' \(1 keys in all\)": {n: t for n, t in weights.items() if n != key},
        r"holds the unknown 'extra'": {**weights, "extra": torch.zeros(1)},
        rf"has '{key}' of shape \[4, 8\], expected \[8, 8\]": {**weights, key: torch.zeros(4, 8)},
    }
    for message, tensors in broken.items():
        save_file(tensors, path)
        with pytest.raises(DataError, match=message):
            checkpoint.load_model(folder)
    path.write_bytes(b"no tensors")
    with pytest.raises(DataError, match="not a safetensors file"):
        checkpoint.load_model(folder)
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        checkpoint.load_model(folder)


def test_sizes_that_are_none_are_refused(network, tmp_path):
    checkpoint.save_model(tmp_path / "c", network, ABOUT)
    for sizes in ({"d_model": 7, "n_heads": 2}, {"width": 3}, None):
        (tmp_path / "c" / "config.json").write_text(json.dumps({"model": sizes}))
        with pytest.raises(DataError, match="no valid sizes under 'model'"):
            checkpoint.load_model(tmp_path / "c")


def test_a_missing_moment_is_an_error(network, tmp_path):
    folder = checkpoint.training_folder(tmp_path, 3)
    checkpoint.save_training(folder, network, ABOUT, _stepped(network, 3, TrainingConfig()), {"step": 3})
    path = folder / "training.safetensors"
    save_file({n: t for n, t in load_file(path).items() if not n.startswith("norm_out.")}, path)
    with pytest.raises(DataError, match=r"lacks 'norm_out\.weight\.\*'"):
        checkpoint.load_training(folder, network, build_optimizers(network, TrainingConfig()))


def test_another_run_is_refused_unless_only_its_pace_of_writing_differs(network, tmp_path):
    checkpoint.save_model(tmp_path / "c", network, ABOUT)
    checkpoint.check_same_run(
        tmp_path / "c", {**ABOUT, "training": {"learning_rate": 0.1, "n_threads": 2}, "relscale_version": "9"}
    )
    with pytest.raises(ResumeError, match=r"another 'training.learning_rate' \(0.1, now 0.2\)"):
        checkpoint.check_same_run(tmp_path / "c", {**ABOUT, "training": {"learning_rate": 0.2}})
    with pytest.raises(ResumeError, match=r"another 'seed' \(3, now 4\)"):
        checkpoint.check_same_run(tmp_path / "c", {**ABOUT, "seed": 4})
