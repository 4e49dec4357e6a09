"""A pretraining run as plain values, and whether its data fit it."""

import math
from pathlib import Path

from pydantic import Field

from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig, TargetsConfig, TrainingConfig
from relscale.model.items import ItemSequence, check_training_context, training_items
from relscale.model.known_items import check_known_context, known_items
from relscale.model.schedule import trunk_steps
from relscale.model.store import TokenStore
from relscale.platform.config import Config
from relscale.platform.errors import ConfigError


class HeldOutData(Config):
    """Databases that the run is scored on while it trains on others."""

    store: Path
    """Folder of their token store."""
    databases: tuple[str, ...] | None = None
    """Names of those that count; None takes all."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Which of their cells are asked for."""


class PretrainJob(Config):
    """One pretraining run, as plain values."""

    store: Path
    """Folder of the token store."""
    out: Path
    """Run folder, on storage that every worker and the driver share."""
    databases: int | tuple[str, ...] | None = None
    """Names to train on, or how many from the front of the store; None takes all."""
    model: ModelConfig = ModelConfig()
    """Size of the network; with `init` it must be that checkpoint's."""
    sampler: SamplerConfig = SamplerConfig()
    """What one context sees."""
    training: TrainingConfig = TrainingConfig()
    """How the weights are fitted."""
    tokens: int = Field(ge=1)
    """Tokens to train on, padding included; rounded up to whole steps."""
    seed: int = Field(default=0, ge=0)
    """Of initial weights, order of items and contexts."""
    init: Path | None = None
    """Checkpoint to start from; None draws the weights."""
    trunk: Path | None = None
    """Run folder of a shorter "wsd-branch" run with otherwise equal settings, to go on from where it begins
    to fall; changes no weight, only what must be computed. None computes all steps."""
    targets: TargetsConfig | None = None
    """Train on what real databases knew by their val timestamps, mixed so; None: on every cell of every
    number and boolean column, which is for databases without splits."""
    held_out: HeldOutData | None = None
    """What to score the network on every training.evaluate_every_steps; None: nothing."""


def n_steps(tokens: int, sampler: SamplerConfig, training: TrainingConfig) -> int:
    """Optimizer steps that cover `tokens`, padding included, as PluRel (arXiv:2602.04029) counts; >= 1."""
    return max(1, math.ceil(tokens / (training.batch_size * sampler.context_length)))


def open_data(job: PretrainJob) -> tuple[TokenStore, tuple[str, ...]]:
    """The job's store and the names to train on; ConfigError or DataError if they do not fit the job.

    Everything that can be known of the data before work starts is checked here.
    """
    _check_warmup(job)
    store = TokenStore.open(job.store)
    _check_width(store, job)
    names = _chosen(store, job.databases)
    store.bring(names)
    shortest = min(job.sampler.context_lengths or (job.sampler.context_length,))
    if job.targets is None:
        check_training_context(store, names, shortest, label_share=job.training.label_share)
    else:
        check_known_context(store, names, job.targets, shortest)
    if job.held_out is not None:
        _check_apart(store, names, *open_held_out(job))
    return store, names


def items_to_train_on(job: PretrainJob, store: TokenStore, names: tuple[str, ...]) -> ItemSequence:
    """The training items of the job; DataError if there is no cell to train on."""
    if job.targets is None:
        return training_items(store, names, job.seed, label_share=job.training.label_share)
    return known_items(store, names, job.targets, job.seed)


def open_held_out(job: PretrainJob) -> tuple[TokenStore, tuple[str, ...]]:
    """The store and the names that a job with `held_out` is scored on; errors as `open_data`."""
    assert job.held_out is not None
    store = TokenStore.open(job.held_out.store)
    _check_width(store, job)
    return store, _chosen(store, job.held_out.databases)


def _check_warmup(job: PretrainJob) -> None:
    warmup, total = job.training.warmup_steps, n_steps(job.tokens, job.sampler, job.training)
    if warmup is not None and warmup > trunk_steps(total, job.training):
        raise ConfigError(
            f"training.warmup_steps is {warmup}, but a run of {job.tokens:,} tokens begins to fall after "
            f"{trunk_steps(total, job.training)} of its {total} steps; lower warmup_steps or decay_share."
        )


def _check_width(store: TokenStore, job: PretrainJob) -> None:
    d_text = store.embeddings.shape[1]
    if d_text != job.model.d_text:
        raise ConfigError(
            f"model.d_text is {job.model.d_text}, but '{store.path}' holds vectors of {d_text}; use that."
        )


def _chosen(store: TokenStore, wanted: int | tuple[str, ...] | None) -> tuple[str, ...]:
    """The names that `wanted` means, as `PretrainJob.databases` has it."""
    n_held, first = len(store.names), ", ".join(store.names[:5])
    if wanted is None:
        return store.names
    if isinstance(wanted, int):
        if not 1 <= wanted <= n_held:
            raise ConfigError(
                f"databases is {wanted}, but '{store.path}' holds {n_held}; ask for 1 to {n_held} or "
                f"tokenize more."
            )
        return store.names[:wanted]
    if unknown := sorted(set(wanted) - set(store.names)):
        raise ConfigError(
            f"'{store.path}' has no database '{unknown[0]}'; it has {n_held}, the first are {first}."
        )
    return wanted


def _check_apart(
    store: TokenStore, names: tuple[str, ...], held_store: TokenStore, held_names: tuple[str, ...]
) -> None:
    """ConfigError if a held-out database is one of those trained on, by content."""
    digests = dict(zip(store.names, store.digests, strict=True))
    trained = {digests[name]: name for name in names}
    for name, digest in zip(held_store.names, held_store.digests, strict=True):
        if name in held_names and digest in trained:
            raise ConfigError(
                f"the held-out database '{name}' of '{held_store.path}' is '{trained[digest]}', which is "
                f"trained on; hold out databases of other seeds."
            )
