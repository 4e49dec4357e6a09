"""Published checkpoints: a flat state dict in a `.pt` file, as PluRel releases them."""

from pathlib import Path

import torch

from relscale.model.config import ModelConfig
from relscale.platform.config import parse_config
from relscale.platform.errors import ConfigError, DataError


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.pt` file, at the top or under "model", as float32.

    Only tensors and plain containers are read (`torch.load` with `weights_only`), so that a file from a
    stranger cannot run code.

    Raises
    ------
    DataError : the file holds anything else, or is broken.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what is no such file
        raise DataError(
            f"'{path}' is not a file of weights alone (reading it without running code failed with "
            f"{type(error).__name__}); give a checkpoint folder, or a state dict that torch.save wrote."
        ) from error
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise DataError(f"'{path}' holds no state dict (names to tensors); give a checkpoint's weights.")
    return {name: tensor.float() for name, tensor in weights.items()}


def sizes_of(weights: dict[str, torch.Tensor], path: Path) -> ModelConfig:
    """The sizes of the network that a state dict belongs to; DataError names the key that does not tell."""

    def size(name: str, axis: int) -> int:
        if name not in weights or weights[name].ndim <= axis:
            raise DataError(
                f"'{path}' lacks '{name}', which gives a size of the network; give a checkpoint of PluRel."
            )
        return weights[name].shape[axis]

    d_model = size("norm_out.weight", 0)
    numbers = [int(name.split(".")[1]) for name in weights if name.startswith("blocks.")]
    sizes = {
        "n_blocks": max(numbers, default=0) + 1,
        "d_model": d_model,
        "n_heads": d_model // max(1, size("blocks.0.attns.col.q_norm.weight", 0)),
        "d_ff": size("blocks.0.ffn.w1.weight", 0),
        "d_text": size("enc_dict.text.weight", 1),
    }
    try:
        return parse_config(ModelConfig, sizes, source=f"'{path}'")
    except ConfigError as error:
        raise DataError(f"the tensors of '{path}' belong to no network ({error}).") from error
