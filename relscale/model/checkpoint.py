"""Checkpoints: a folder with the weights, what they were trained on, and how to go on.

    model.safetensors      weights under the names of the published checkpoints, float32
    config.json            the description that the trainer gives: sizes under "model", tokens seen, seed, ...
    training.safetensors   optimizer moments by parameter; only while a run is unfinished
    training.json          step and what else the loop must remember; only while a run is unfinished

Nothing is pickled, so a checkpoint from a stranger cannot run code; published `.pt` files are read for their
tensors alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from relscale.model.config import PACE, ModelConfig
from relscale.model.network import RelationalTransformer
from relscale.model.official import read_state_dict, sizes_of
from relscale.model.run_folder import PROGRESS
from relscale.model.workers import spread_like, whole
from relscale.platform import remote, storage
from relscale.platform.config import parse_config
from relscale.platform.errors import ConfigError, DataError, ResumeError

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_MOMENTS = "training.safetensors"
_FREE_TRAINING = (*PACE, "n_threads", "micro_batch_size", "parallel")
"""The last two change in which order gradients are added up, no more than the number of workers does."""


def save_model(
    folder: Path, network: RelationalTransformer, about: dict[str, Any], *, writes: bool = True
) -> None:
    """Write a finished network; `about` is JSON with the sizes under "model". Whole or absent.

    Where the network is spread over workers all of them call this, and the one with `writes` writes.
    """
    weights = _for_file(network.state_dict())
    if writes:
        with storage.new_folder(folder) as draft:
            _write_model(draft, weights, about)


def save_training(
    folder: Path,
    network: RelationalTransformer,
    about: dict[str, Any],
    optimizers: Sequence[torch.optim.Optimizer],
    progress: dict[str, Any],
    *,
    writes: bool = True,
) -> None:
    """Write an unfinished run: the network, the optimizers' moments, JSON values. Whole or absent.

    `writes` as in `save_model`.
    """
    weights = _for_file(network.state_dict())
    moments = _for_file(
        {
            f"{name}.{key}": value
            for name, parameter in network.named_parameters()
            for optimizer in optimizers
            for key, value in optimizer.state.get(parameter, {}).items()
        }
    )
    if writes:
        with storage.new_folder(folder) as draft:
            _write_model(draft, weights, about)
            save_file(moments, draft / _MOMENTS)
            storage.write_json(draft / PROGRESS, progress)


def load_model(path: Path | str) -> tuple[RelationalTransformer, dict[str, Any]]:
    """The network of a checkpoint, on the CPU, and its description.

    Parameters
    ----------
    path : a checkpoint's folder, or a published `.pt` file; of the latter only the sizes are known.

    Raises
    ------
    DataError : a file is missing or broken, or the weights do not fit the sizes in config.json; the first
        missing, unknown or misshapen key is named.
    """
    path = Path(path)
    if path.suffix == ".pt":
        remote.stage_file(path)
    else:
        remote.stage(path)
    if path.is_file():
        weights = read_state_dict(path)
        config = sizes_of(weights, path)
        about: dict[str, Any] = {"model": config.model_dump()}
    else:
        about = storage.read_json(path / _CONFIG)
        config = _sizes(about, path / _CONFIG)
        path = path / _WEIGHTS
        weights = _read(path)
    network = RelationalTransformer(config)
    _check(weights, network, path)
    network.load_state_dict(weights)
    return network, about


def _sizes(about: Any, path: Path) -> ModelConfig:
    try:
        return parse_config(ModelConfig, about["model"], source=f"'{path}'")
    except (ConfigError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' gives no valid sizes under 'model' ({error}).") from error


def load_training(
    folder: Path, network: RelationalTransformer, optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Put the state of an unfinished run into `network` and its optimizers; its JSON values.

    DataError as in `load_model`; a missing moment is an error too.
    """
    weights, moments = _read(folder / _WEIGHTS), _read(folder / _MOMENTS)
    _check(weights, network, folder / _WEIGHTS)
    state = network.state_dict()
    network.load_state_dict({name: spread_like(value, state[name]) for name, value in weights.items()})
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for optimizer in optimizers:
        for parameter in [p for group in optimizer.param_groups for p in group["params"]]:
            prefix = f"{names[id(parameter)]}."
            found = {key.removeprefix(prefix): v for key, v in moments.items() if key.startswith(prefix)}
            if not found:
                raise DataError(f"'{folder / _MOMENTS}' lacks '{prefix}*'; delete '{folder}' and run again.")
            optimizer.state[parameter] = {key: spread_like(v, parameter) for key, v in found.items()}
    return storage.read_json(folder / PROGRESS)


def training_folder(run_folder: Path, step: int) -> Path:
    """Where a run keeps the state after `step` optimizer steps."""
    return run_folder / "checkpoints" / f"step-{step:09d}"


def latest_checkpoint(run_folder: Path) -> Path | None:
    """The unfinished state of a run with the most steps, or None; brought here where the run is an image."""
    steps = (name for name in remote.names(run_folder / "checkpoints") if name.startswith("step-"))
    folders = (run_folder / "checkpoints" / name for name in sorted(steps, reverse=True))
    return next(filter(remote.stage, folders), None)


def check_same_run(folder: Path, about: dict[str, Any], *, same_budget: bool = True) -> None:
    """ResumeError unless the checkpoint's description agrees with `about` in all that shapes the weights.

    Without `same_budget` the tokens that the run is to be trained for may differ.
    """
    path = folder / _CONFIG
    found, wanted = (_shaping(description) for description in (storage.read_json(path), about))
    if not same_budget:
        del wanted["budget_tokens"]
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ResumeError(
                f"'{path}' belongs to a run with another '{name}' ({found.get(name)!r}, now {value!r}); "
                f"choose a new run folder or delete that one."
            )


def _shaping(about: dict[str, Any]) -> dict[str, Any]:
    """A description without what may change between two starts of a run, training settings spread out."""
    training = {f"training.{name}": value for name, value in about.get("training", {}).items()}
    free = ["training", "relscale_version", *(f"training.{name}" for name in _FREE_TRAINING)]
    return {name: value for name, value in {**about, **training}.items() if name not in free}


def _write_model(folder: Path, weights: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    save_file(weights, folder / _WEIGHTS)
    storage.write_json(folder / _CONFIG, about)


def _for_file(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: whole(tensor.detach()).cpu().contiguous() for name, tensor in tensors.items()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise DataError(f"'{path}' does not exist; give the folder of a checkpoint.") from error
    except SafetensorError as error:
        raise DataError(f"'{path}' is not a safetensors file ({error}); make it again.") from error


def _check(weights: dict[str, torch.Tensor], network: RelationalTransformer, path: Path) -> None:
    expected = network.state_dict()
    remedy = f"it must hold the weights of a network with {network.config!r}."
    if missing := sorted(expected.keys() - weights.keys()):
        raise DataError(f"'{path}' lacks '{missing[0]}' ({len(missing)} keys in all); {remedy}")
    if unknown := sorted(weights.keys() - expected.keys()):
        raise DataError(f"'{path}' holds the unknown '{unknown[0]}' ({len(unknown)} keys in all); {remedy}")
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            found, wanted = list(weights[name].shape), list(tensor.shape)
            raise DataError(f"'{path}' has '{name}' of shape {found}, expected {wanted}; {remedy}")
