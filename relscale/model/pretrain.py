"""Pretraining: a token store and a budget of tokens become a checkpoint.

A step's batch is a function of (seed, step): worker r of W takes places r*B/W to (r+1)*B/W of the global
items step*B to (step+1)*B. So a run that was killed goes on exactly as if it had not been, and W workers
see what one would see. Nothing here knows how many processes run or who listens to the metrics.

A run folder holds

    job.json        the settings, written before work starts
    metrics.jsonl   one line per logged step: step, tokens, loss, learning_rate, tokens_per_second
    checkpoints/    the latest unfinished state
    final/          the finished network; its presence means that the run is done
"""

import itertools
import json
import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

import relscale
from relscale.model import checkpoint
from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.encode import TensorBatch, to_tensors
from relscale.model.items import training_items
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective
from relscale.model.optim import build_optimizer, learning_rate
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore, store_fingerprint
from relscale.platform import storage
from relscale.platform.config import Config
from relscale.platform.errors import ConfigError, DataError

_PREFETCHED_BATCHES = 2


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


def n_steps(tokens: int, sampler: SamplerConfig, training: TrainingConfig) -> int:
    """Optimizer steps that cover `tokens`, padding included, as PluRel (arXiv:2602.04029) counts; >= 1."""
    return max(1, math.ceil(tokens / (training.batch_size * sampler.context_length)))


def open_data(job: PretrainJob) -> tuple[TokenStore, tuple[str, ...]]:
    """The job's store and the names to train on; ConfigError or DataError if they do not fit the job."""
    store = TokenStore.open(job.store)
    d_text = store.embeddings.shape[1]
    if d_text != job.model.d_text:
        raise ConfigError(
            f"model.d_text is {job.model.d_text}, but '{job.store}' holds vectors of {d_text}; use that."
        )
    n_held, held = len(store.names), ", ".join(store.names[:5])
    if job.databases is None:
        return store, store.names
    if isinstance(job.databases, int):
        if not 1 <= job.databases <= n_held:
            raise ConfigError(
                f"databases is {job.databases}, but '{job.store}' holds {n_held}; ask for 1 to {n_held} or "
                f"tokenize more."
            )
        return store, store.names[: job.databases]
    if unknown := sorted(set(job.databases) - set(store.names)):
        raise ConfigError(
            f"'{job.store}' has no database '{unknown[0]}'; it has {n_held}, the first are {held}."
        )
    return store, job.databases


def share_of_batch(training: TrainingConfig, rank: int, world_size: int) -> range:
    """Places within every batch that a process computes; ConfigError if the batch cannot be shared."""
    if training.batch_size % world_size:
        raise ConfigError(
            f"training.batch_size {training.batch_size} is not a multiple of the {world_size} workers; "
            f"change one of them."
        )
    share = training.batch_size // world_size
    return range(rank * share, (rank + 1) * share)


def pretrain(
    job: PretrainJob,
    *,
    report: Callable[[dict[str, Any]], None],
    rank: int = 0,
    world_size: int = 1,
    wrap: Callable[[torch.nn.Module], torch.nn.Module] = lambda network: network,
) -> Path:
    """Train a network, or go on where an earlier call stopped; the folder of the finished checkpoint.

    Parameters
    ----------
    job : what to train.
    report : called by rank 0 at every logged step with the line of metrics.jsonl. `loss` is the mean
        since the previous line, `tokens` those seen since the start of the run.
    rank, world_size : place among the processes that share every batch.
    wrap : moves the network to its device and makes its gradients those of the whole batch; the wrapped
        module is called with a `TensorBatch`.

    Raises
    ------
    ConfigError : batch_size is not a multiple of world_size; unknown databases; sizes differ from `init`.
    DataError : a loss or gradient is not finite (step and items are named); a folder is broken.
    ResumeError : the run folder belongs to another job.

    Sets the number of torch threads of this process to training.n_threads.
    """
    training = job.training
    torch.set_num_threads(training.n_threads)
    store, names = open_data(job)
    about = _describe(job, store, names)
    final = job.out / "final"
    if final.is_dir():
        checkpoint.check_same_run(final, about)
        return final
    share = share_of_batch(training, rank, world_size)

    network = _build(job)
    model = wrap(network)
    device = next(network.parameters()).device
    optimizer = build_optimizer(network, training)
    step, losses = _resume(job.out, network, optimizer, about)
    if rank == 0:
        _prepare_folder(job, step)

    items = training_items(store, names, job.seed)
    total = n_steps(job.tokens, job.sampler, training)
    tokens_per_step = training.batch_size * job.sampler.context_length

    def make_batch(step: int) -> TensorBatch:
        first = step * training.batch_size + share.start
        chosen = items.locate(first, len(share))
        contexts = sample_contexts(store, names, chosen, job.sampler, seed=job.seed, first_index=first)
        return to_tensors(contexts, store.embeddings, device)

    clock, clock_step = time.perf_counter(), step
    for batch in _prefetched(make_batch, range(step, total)):
        rate = learning_rate(step, total, training)
        loss = _update(model, optimizer, batch, rate, training)
        if not math.isfinite(loss):
            raise DataError(_not_finite(step, job))
        losses.append(loss)
        step += 1
        if step % training.log_every_steps == 0 or step == total:
            now = time.perf_counter()
            line = {
                "step": step,
                "tokens": step * tokens_per_step,
                "loss": math.fsum(_over_ranks(losses, device, world_size)) / len(losses),
                "learning_rate": rate,
                "tokens_per_second": (step - clock_step) * tokens_per_step / (now - clock),
            }
            losses, clock, clock_step = [], now, step
            if rank == 0:
                _append_metrics(job.out, line)
                report(line)
        if step < total and step % training.checkpoint_every_steps == 0:
            losses = _over_ranks(losses, device, world_size)
            if rank == 0:
                _save(job.out, network, optimizer, about, step, losses)
    if rank == 0:
        checkpoint.save_model(final, network, {**about, "tokens": total * tokens_per_step, "step": total})
        shutil.rmtree(job.out / "checkpoints", ignore_errors=True)
    return final


def read_metrics(run_folder: Path) -> list[dict[str, Any]]:
    """The logged lines of a run, in order; a last line that was cut off by a kill is left out."""
    path = run_folder / "metrics.jsonl"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _build(job: PretrainJob) -> RelationalTransformer:
    if job.init is None:
        return RelationalTransformer(job.model, seed=job.seed)
    network, _ = checkpoint.load_model(job.init)
    if network.config != job.model:
        raise ConfigError(f"'{job.init}' has {network.config!r}; set model to the same sizes.")
    return network


def _describe(job: PretrainJob, store: TokenStore, names: tuple[str, ...]) -> dict[str, Any]:
    """What a checkpoint says about itself; two runs with equal descriptions give equal weights."""
    manifest = storage.read_json(store.path / "store.json")
    entries = {entry["name"]: entry for entry in manifest["databases"]}
    # Of these databases alone: a store that grows at its end keeps the runs made on its front.
    used = {**manifest, "databases": [entries[name] for name in names]}
    return {
        **job.model_dump(mode="json", include={"model", "sampler", "training", "seed", "init"}),
        "budget_tokens": job.tokens,
        "databases": list(names),
        "data_fingerprint": store_fingerprint(used),
        "text_encoder": manifest["encoder"],
        "relscale_version": relscale.__version__,
    }


def _resume(
    out: Path, network: RelationalTransformer, optimizer: torch.optim.Optimizer, about: dict[str, Any]
) -> tuple[int, list[float]]:
    """Steps done and the losses not logged yet; restores weights and moments if there are any."""
    folder = checkpoint.latest_checkpoint(out)
    if folder is None:
        return 0, []
    checkpoint.check_same_run(folder, about)
    progress = checkpoint.load_training(folder, network, optimizer)
    return progress["step"], progress["losses"]


def _prepare_folder(job: PretrainJob, step: int) -> None:
    """Write the settings down; drop what killed calls left and the lines that will be written again."""
    storage.sweep_drafts(job.out)
    storage.sweep_drafts(job.out / "checkpoints")
    storage.write_json(job.out / "job.json", job.model_dump(mode="json"))
    kept = [json.dumps(line) + "\n" for line in read_metrics(job.out) if line["step"] <= step]
    storage.write_text(job.out / "metrics.jsonl", "".join(kept))


def _save(
    out: Path,
    network: RelationalTransformer,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
    step: int,
    losses: list[float],
) -> None:
    """Write the state after `step` steps and drop the older one."""
    folder = checkpoint.training_folder(out, step)
    checkpoint.save_training(folder, network, about, optimizer, {"step": step, "losses": losses})
    for other in folder.parent.glob("step-*"):
        if other != folder:
            shutil.rmtree(other)


def _prefetched(make: Callable[[int], TensorBatch], steps: range) -> Iterator[TensorBatch]:
    """make(step) of each step in order, made ahead by one thread beside the training."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = iter(steps)
        pending = deque(pool.submit(make, step) for step in itertools.islice(ahead, _PREFETCHED_BATCHES))
        while pending:
            batch = pending.popleft().result()
            pending.extend(pool.submit(make, step) for step in itertools.islice(ahead, 1))
            yield batch


def _update(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: TensorBatch,
    rate: float,
    training: TrainingConfig,
) -> float:
    """One optimizer step; the loss, or a number that is not finite if loss or gradient is not."""
    with torch.autocast(batch.value.device.type, torch.bfloat16, enabled=training.precision == "bf16"):
        prediction = model(batch)
    loss = objective(prediction, batch)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        return float("nan")
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss.item()


def _not_finite(step: int, job: PretrainJob) -> str:
    first = step * job.training.batch_size
    return (
        f"the loss or its gradient is not finite at step {step}, items {first} to "
        f"{first + job.training.batch_size - 1} of seed {job.seed}; lower training.learning_rate or look "
        f"for extreme values in the databases."
    )


def _over_ranks(losses: list[float], device: torch.device, world_size: int) -> list[float]:
    """Each loss as the mean over the processes; all of them call this at the same step."""
    if world_size == 1 or not losses:
        return losses
    total = torch.tensor(losses, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(total)
    return (total / world_size).tolist()


def _append_metrics(out: Path, line: dict[str, Any]) -> None:
    with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
