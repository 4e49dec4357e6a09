"""The optimizer and its learning rate: AdamW under a one-cycle schedule.

Source: PluRel (arXiv:2602.04029): weight decay on every parameter, norms and biases included; the rate
rises linearly from peak/25 and falls linearly to peak/250,000. Unlike the framework's OneCycle, the
momentum stays at 0.9.
"""

import torch

from relscale.model.config import TrainingConfig

_START_DIVISOR = 25.0
_END_DIVISOR = 25.0 * 1e4


def build_optimizer(network: torch.nn.Module, training: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over every parameter that is trained, as one fused update per step."""
    return torch.optim.AdamW(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=training.learning_rate,
        betas=(0.9, 0.999),
        weight_decay=training.weight_decay,
        fused=True,
    )


def learning_rate(step: int, n_steps: int, training: TrainingConfig) -> float:
    """The rate of optimizer step `step`, in [0, n_steps), as the framework's schedule has it.

    The first step has peak/25, the step warmup_share * n_steps - 1 the peak, the last peak/250,000. A run
    too short to warm up starts at the peak.
    """
    peak = training.learning_rate
    top, last = max(0.0, training.warmup_share * n_steps - 1), n_steps - 1
    if step < top:
        return _between(peak / _START_DIVISOR, peak, step / top)
    return _between(peak, peak / _END_DIVISOR, (step - top) / (last - top) if last else 0.0)


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
