"""The learning rate of every step.

Sources. One cycle: PluRel (arXiv:2602.04029); unlike the framework's OneCycle the momentum stays at 0.9. WSD:
MiniCPM (arXiv:2404.06395); branches of one trunk: Hagele et al. 2024 (arXiv:2405.18392).
"""

import math

from relscale.model.config import TrainingConfig

_START_DIVISOR = 25.0
_END_DIVISOR = 25.0 * 1e4


def learning_rate(step: int, n_steps: int, training: TrainingConfig) -> float:
    """The rate of optimizer step `step`, in [0, n_steps).

    Every schedule rises linearly from peak/25 at the first step to the peak at step
    warmup_share * n_steps - 1, its top. The last step has

    one-cycle : peak/250,000, after a straight fall from the top (the framework's schedule).
    cosine : floor_share * peak, after half a cosine from the top.
    wsd, wsd-branch : floor_share * peak, after a straight fall over the last decay_share * n_steps steps.

    The top of "wsd-branch" is step warmup_steps - 1, however long the run. A run too short to warm up starts
    at the peak.
    """
    peak = training.learning_rate
    warmup = training.warmup_share * n_steps if training.warmup_steps is None else training.warmup_steps
    top, last = max(0.0, warmup - 1), n_steps - 1
    if step < top:
        return _between(peak / _START_DIVISOR, peak, step / top)
    fall = max(top, _last_of_trunk(n_steps, training)) if training.schedule.startswith("wsd") else top
    share = min(1.0, max(0.0, (step - fall) / (last - fall))) if last > fall else 0.0
    if training.schedule == "one-cycle":
        return _between(peak, peak / _END_DIVISOR, share)
    if training.schedule == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return _between(peak, training.floor_share * peak, share)


def trunk_steps(n_steps: int, training: TrainingConfig) -> int:
    """Steps that a "wsd-branch" run of `n_steps` has in common with every longer one: before its fall."""
    return max(0, math.floor(_last_of_trunk(n_steps, training)) + 1)


def _last_of_trunk(n_steps: int, training: TrainingConfig) -> float:
    """The place on the axis of steps where the rate begins to fall."""
    return n_steps - 1 - training.decay_share * n_steps


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
