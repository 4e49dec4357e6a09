"""The grid: N x S x seed as a list of trials, each with an address made of all that decides its result."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from relscale.model.config import PACE
from relscale.platform.errors import ConfigError
from relscale.platform.progress import human_count
from relscale.sweeps.config import StudyConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One point of the grid: `n_databases` (N) databases, `tokens` (S) training tokens, one `seed`."""

    key: str
    """Content address, 16 hexadecimal digits: equal keys have equal results."""
    n_databases: int
    tokens: int
    seed: int
    trunk: str | None = None
    """Trials with equal trunks are branches of one run (schedule "wsd-branch"); None is a run of its own."""
    recipe: str = ""
    """Fingerprint of all settings but N, S and seed: only trials of one recipe make one law."""
    variant: str = ""
    """Name of the variant (see `relscale.sweeps.variants`)."""

    @property
    def label(self) -> str:
        """Short name for people, such as "N=8 S=1.05M seed=0"."""
        point = f"N={self.n_databases} S={human_count(self.tokens)} seed={self.seed}"
        return f"{self.variant} {point}" if self.variant else point


def whole_steps(tokens: int, tokens_per_step: int) -> int:
    """Optimizer steps that a budget of `tokens` buys, rounded up; at least 1."""
    return max(1, -(-tokens // tokens_per_step))


def check_grid(config: StudyConfig) -> None:
    """ConfigError if two budgets are the same number of steps, or a batch cannot be shared by the workers."""
    _budgets(config)
    batch_size, n_workers = config.training.batch_size, max(1, config.trial.n_workers)
    if batch_size % n_workers:
        raise ConfigError(
            f"training.batch_size {batch_size} is not a multiple of trial.n_workers {n_workers}; change one."
        )


def _budgets(config: StudyConfig) -> list[int]:
    """grid.tokens, rounded up to whole optimizer steps."""
    per_step = config.training.batch_size * config.sampler.context_length
    budgets = [whole_steps(tokens, per_step) * per_step for tokens in config.grid.tokens]
    if len(set(budgets)) < len(budgets):
        raise ConfigError(
            f"grid.tokens {list(config.grid.tokens)}: two budgets are the same number of optimizer steps of "
            f"{per_step} tokens; set them further apart or lower training.batch_size."
        )
    return budgets


def plan_trials(
    config: StudyConfig,
    *,
    databases: Sequence[str],
    held_out: Sequence[str],
    encoder: str,
    code: str,
    variant: str = "",
) -> list[Trial]:
    """Every trial of the study, longest first so that the last one to finish is a short one.

    Parameters
    ----------
    config : the study.
    databases, held_out : digests of the training and held-out databases, in corpus order.
    encoder, code : fingerprints of the text encoder and of the code that trains and scores.
    variant : name that the trials carry.

    Returns
    -------
    Trials with `tokens` rounded up to whole optimizer steps, so that the grid states what is seen.

    Raises
    ------
    ConfigError : as `check_grid`.
    """
    common: dict[str, object] = {
        "held_out": list(held_out),
        "encoder": encoder,
        "code": code,
        "model": config.model.model_dump(),
        "sampler": config.sampler.model_dump(),
        "training": config.training.model_dump(exclude={*PACE}),
        "evaluation": config.evaluation.model_dump(exclude={"batch_size"}),
        # Gradients are averaged in another order with another number of workers.
        "trial": config.trial.model_dump(),
    }
    branches = config.training.schedule == "wsd-branch"
    recipe = _address({name: part for name, part in common.items() if name != "held_out"})
    trials = [
        Trial(
            key=_address(common, databases=list(databases[:n]), tokens=tokens, seed=seed),
            n_databases=n,
            tokens=tokens,
            seed=seed,
            trunk=_address(common, databases=list(databases[:n]), seed=seed) if branches else None,
            recipe=recipe,
            variant=variant,
        )
        for n, tokens, seed in product(config.grid.n_databases, _budgets(config), config.grid.seeds)
    ]
    return sorted(trials, key=lambda trial: (-trial.tokens, trial.n_databases, trial.seed))


def chains(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials that must run one after the other, the shortest first, in the order of their first trial.

    Branches of one trunk are a chain: each goes on from where the one before it begins to fall. Every other
    trial is a chain of its own.
    """
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.trunk or trial.key, []).append(trial)
    return [sorted(chain, key=lambda trial: trial.tokens) for chain in found.values()]


def _address(common: dict[str, object], **own: object) -> str:
    canonical = json.dumps({**common, **own}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
