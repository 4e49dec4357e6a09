"""Model FLOP utilisation: the arithmetic that the model asks for, as a share of what the machine can do.

FLOPs are those of the blocks' matrix products, 24 d^2 + 6 d f a cell and block, times 3 with the backward
pass. Attention scores, encoders and decoders are left out: the former depend on how sparse the relations
are, the latter are below a hundredth. So is padding, which asks for nothing; that the last block computes a
part of its tokens only is not subtracted. The machine's rate is measured, not read from a data sheet: a large
matrix product in the training's number format, on the training's device and threads.
"""

import functools
import time

import torch

from relscale.model.config import ModelConfig, TrainingConfig
from relscale.model.workers import Workers

_REPEATS = 5
_SIDE = {"cpu": 1024, "cuda": 8192}


def flops_per_cell(model: ModelConfig) -> int:
    """Floating point operations of the blocks' matrix products per cell, forward and backward."""
    d, f = model.d_model, model.d_ff
    return 3 * model.n_blocks * (24 * d * d + 6 * d * f)


def matmul_rate(training: TrainingConfig, workers: Workers) -> float:
    """FLOPs per second that this process reaches in matrix products, times the number of workers.

    The best of some repeats, about 0.2 s in all on a CPU; measured once per process. Workers that share a
    machine's cores should each have their own (training.n_threads).
    """
    return _matmul_rate(training.precision, workers.device, training.n_threads) * workers.size


@functools.cache
def _matmul_rate(precision: str, device: torch.device, n_threads: int) -> float:
    side = _SIDE[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.full((side, side), 1.0 / side, dtype=dtype, device=device)
    seconds = []
    with torch.inference_mode():
        for _ in range(1 + _REPEATS):  # the first one loads what it needs
            _wait(device)
            start = time.perf_counter()
            torch.mm(a, a)
            _wait(device)
            seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
