"""Published `.pt` checkpoints: sizes from shapes, nothing but tensors, errors that name the key."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from relscale.model.checkpoint import load_model
from relscale.model.config import ModelConfig
from relscale.model.network import RelationalTransformer
from relscale.platform.errors import DataError

CONFIG = ModelConfig(n_blocks=2, d_model=24, n_heads=3, d_ff=20, d_text=10)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    network = RelationalTransformer(CONFIG, seed=5)
    return {name: tensor.bfloat16() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("nested", [False, True])
def test_a_published_file_gives_its_sizes_and_weights(weights, tmp_path: Path, nested: bool):
    torch.save({"model": weights, "step": 7} if nested else weights, tmp_path / "published.pt")
    network, about = load_model(tmp_path / "published.pt")
    assert network.config == CONFIG
    assert about == {"model": CONFIG.model_dump()}
    state = network.state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert all(torch.equal(state[name], tensor.float()) for name, tensor in weights.items())


class Harmful:
    """Runs code where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def test_a_file_with_code_in_it_is_refused_unread(weights, tmp_path: Path):
    path, harm = tmp_path / "x.pt", tmp_path / "harm"
    for write in (
        lambda content: torch.save(content, path),
        lambda content: path.write_bytes(pickle.dumps(content)),
    ):
        write({"model": weights, "extra": Harmful(harm)})
        with pytest.raises(DataError, match=r"x\.pt' is not a file of weights alone .* UnpicklingError"):
            load_model(path)
        assert not harm.exists()
        pickle.loads(pickle.dumps(Harmful(harm)))  # the trap does work
        harm.rmdir()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.pt' is not a file of weights alone"):
        load_model(tmp_path / "x.pt")


def test_other_networks_are_refused_with_the_key(weights, tmp_path: Path):
    path = tmp_path / "x.pt"
    key = "blocks.1.attns.col.wq.weight"
    cases = {
        "holds no state dict": [weights["norm_out.weight"]],
        r"lacks 'norm_out\.weight', which gives a size": {"norm_out.scale": torch.ones(3)},
        r"lacks 'blocks\.0\.attns\.col\.q_norm\.weight'": {  # the first RT
            name: tensor for name, tensor in weights.items() if "q_norm" not in name
        },
        r"holds the unknown 'blocks\.0\.norms\.full\.weight'": {
            **weights,
            "blocks.0.norms.full.weight": torch.ones(24),
        },
        rf"has '{key}' of shape \[24, 12\], expected \[24, 24\]": {**weights, key: torch.ones(24, 12)},
        "belong to no network": {**weights, "blocks.0.attns.col.q_norm.weight": torch.ones(50)},
    }
    for message, content in cases.items():
        torch.save(content, path)
        with pytest.raises(DataError, match=message):
            load_model(path)
