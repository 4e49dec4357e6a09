"""The optimizers and their learning rate.

Sources. AdamW, one cycle: PluRel (arXiv:2602.04029), which decays every parameter, norms and biases
included; unlike the framework's OneCycle the momentum stays at 0.9. Muon: Jordan et al. 2024 as RT-J uses it,
with updates scaled by 0.2 sqrt(max(m, n)) (Moonlight, arXiv:2502.16982), so that AdamW's rates and decay
serve both. WSD: MiniCPM (arXiv:2404.06395).
"""

import math

import torch
from torch.optim import AdamW, Muon, Optimizer

from relscale.model.config import TrainingConfig

_START_DIVISOR = 25.0
_END_DIVISOR = 25.0 * 1e4


def build_optimizers(network: torch.nn.Module, training: TrainingConfig) -> list[Optimizer]:
    """What moves the trained parameters of a network, each parameter in one of them.

    With "muon" the matrices of the blocks belong to Muon (momentum 0.95, Nesterov, 5 Newton-Schulz steps);
    encoders, decoders, norms and mask embeddings belong to AdamW, as all do otherwise.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    rate, decay = training.learning_rate, training.weight_decay
    matrices = []
    if training.optimizer == "muon":
        names = [name for name, p in parameters.items() if name.startswith("blocks.") and p.ndim == 2]
        matrices = [parameters.pop(name) for name in names]
    optimizers: list[Optimizer] = [
        AdamW(list(parameters.values()), lr=rate, betas=(0.9, 0.999), weight_decay=decay, fused=True)
    ]
    if matrices:
        optimizers.append(Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def learning_rate(step: int, n_steps: int, training: TrainingConfig) -> float:
    """The rate of optimizer step `step`, in [0, n_steps).

    Every schedule rises linearly from peak/25 at the first step to the peak at step
    warmup_share * n_steps - 1, its top. The last step has

    one-cycle : peak/250,000, after a straight fall from the top (the framework's schedule).
    cosine : floor_share * peak, after half a cosine from the top.
    wsd : floor_share * peak, after a straight fall over the last decay_share * n_steps steps.

    A run too short to warm up starts at the peak.
    """
    peak = training.learning_rate
    top, last = max(0.0, training.warmup_share * n_steps - 1), n_steps - 1
    if step < top:
        return _between(peak / _START_DIVISOR, peak, step / top)
    fall = max(top, last - training.decay_share * n_steps) if training.schedule == "wsd" else top
    share = min(1.0, max(0.0, (step - fall) / (last - fall))) if last > fall else 0.0
    if training.schedule == "one-cycle":
        return _between(peak, peak / _END_DIVISOR, share)
    if training.schedule == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return _between(peak, training.floor_share * peak, share)


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
