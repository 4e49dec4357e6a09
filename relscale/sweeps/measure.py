"""What a study's databases and tokens cost on this machine: measured on its own first databases and model."""

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from relscale.generation.making import make_database
from relscale.generation.priors import find_prior
from relscale.model.arrays import database_content
from relscale.model.mapping import write_arrays
from relscale.model.source import read_database
from relscale.model.store import TokenStore
from relscale.platform.dataflow import Receipt, map_keys_here
from relscale.platform.errors import ConfigError, ResourceError
from relscale.platform.storage import read_json
from relscale.sweeps.budget import Pace, Part, Sample, grid_of, stated_pace
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.variants import variants

SAMPLE_SECONDS = 2.0
"""For which databases are made."""
TRAIN_SECONDS = 8.0
"""For which the model is trained."""
MOST_DATABASES = 16
LEAST_DATABASES = 2
MOST_SEEDS = 40
"""Seeds that are tried until some databases are admitted."""
ENDLESS = 10**15
"""Tokens of the run that is measured; it is stopped by the clock."""


def measure_parts(
    config: StudyConfig,
    folder: Path,
    *,
    seconds: float = SAMPLE_SECONDS,
    tokens_per_second: float | None = None,
    store: Path | None = None,
) -> list[Part]:
    """The study's variants with what their databases and tokens cost, measured in `folder`, equal ones once.

    Parameters
    ----------
    seconds : for which databases are made.
    tokens_per_second : pace of training, so that nothing is trained; None measures it.
    store : token store of the study's corpus; None counts the cells of the databases that are made.
    """
    samples: dict[str, tuple[Sample, list[Path]]] = {}
    paces: dict[str, Pace] = {}
    parts = []
    for variant in variants(config):
        own = variant.config
        trials = grid_of(own)
        corpus = own.corpus.fingerprint()
        if corpus not in samples:
            samples[corpus] = sample_databases(own, folder / corpus, seconds=seconds)
        sample, databases = samples[corpus]
        network = "".join(group.fingerprint() for group in (own.model, own.sampler, own.training))
        if tokens_per_second is not None:
            paces[network] = stated_pace(tokens_per_second)
        elif network not in paces:
            paces[network] = measure_pace(own, databases, folder / network, seconds=TRAIN_SECONDS)
        sample = with_store(sample, store) if store else sample
        parts.append(Part(name=variant.name, config=own, trials=trials, sample=sample, pace=paces[network]))
    return parts


def sample_databases(config: StudyConfig, folder: Path, *, seconds: float) -> tuple[Sample, list[Path]]:
    """Make and read the first databases of the study's corpus, at least two, for about so many seconds.

    Returns
    -------
    What they hold and cost, and their folders below `folder`. The text encoder's time is not in
    `tokenize_seconds`: databases of one prior share their strings, which are encoded once.

    Raises
    ------
    ConfigError : none of the first seeds gives a usable database.
    """
    corpus = config.corpus
    make = partial(
        make_database,
        prior=find_prior(corpus.prior),
        config=corpus.generator,
        preset=corpus.preset,
        tasks=corpus.tasks,
    )
    make(corpus.seed_offset, out=folder / "warm-up")  # loads compiled code, which is no cost of a database
    receipts: list[Receipt] = []
    started = time.monotonic()
    for seed in range(corpus.seed_offset, corpus.seed_offset + MOST_SEEDS):
        receipts.append(make(seed, out=folder))
        n_made = sum(receipt["admitted"] for receipt in receipts)
        over = time.monotonic() - started > seconds
        if n_made == MOST_DATABASES or (n_made >= LEAST_DATABASES and over):
            break
    made = [receipt for receipt in receipts if receipt["admitted"]]
    if not made:
        reason, _ = Counter(receipt["reason"] for receipt in receipts).most_common(1)[0]
        raise ConfigError(
            f"none of the first {MOST_SEEDS} seeds gives a usable database; the commonest reason is "
            f"'{reason}'. Change the generator's settings."
        )
    folders = [folder / "databases" / receipt["name"] for receipt in made]
    facts = [_facts(config, path, folder / "arrays.bin") for path in folders]
    return (
        Sample(
            cells=tuple(fact["cells"] for fact in facts),
            items=tuple(fact["items"] for fact in facts),
            contexts=fmean(fact["contexts"] for fact in facts),
            row_width=max(fact["row_width"] for fact in facts),
            corpus_bytes=fmean(receipt["bytes"] for receipt in made),
            store_bytes=fmean(fact["bytes"] for fact in facts),
            generate_seconds=sum(receipt["seconds"] for receipt in receipts) / len(made),
            tokenize_seconds=fmean(fact["seconds"] for fact in facts),
            peak_mb=max(receipt["peak_mb"] for receipt in receipts),
        ),
        folders,
    )


def with_store(sample: Sample, path: Path) -> Sample:
    """The sample with the cells and items of a token store's databases."""
    store = TokenStore.open(path)
    items = [0] * len(store.names)
    for record in store.trainable[store.trainable["first"] < 0]:  # labels are asked for beside the cells
        items[record["database"]] += int(record["n_cells"])
    entries = read_json(path / "store.json")["databases"]
    return replace(sample, cells=tuple(entry["n_cells"] for entry in entries), items=tuple(items))


def measure_pace(config: StudyConfig, folders: Sequence[Path], folder: Path, *, seconds: float) -> Pace:
    """Train the study's own model on these databases for so many seconds, then score with it.

    Steps are of as few contexts as are computed at once, since a step of the whole batch may take minutes.
    One worker is measured; a trial of several is taken to be as many times as fast. Trials are scored on a
    CPU, so scoring is measured there.
    """
    from relscale.model.network import RelationalTransformer
    from relscale.model.tokenize import tokenize_folders

    store = tokenize_folders(folders, folder / "store", config.text, run=map_keys_here)
    on_gpu = config.trial.use_gpu and _has_gpu(RelationalTransformer(config.model))
    training = _training_rate(config, store, folder / "run", on_gpu=on_gpu, seconds=seconds)
    # After training, which has set this process's number of threads, as in a trial.
    scoring = _scoring_rate(config, store, RelationalTransformer(config.model))
    return Pace(
        training=training * max(1, config.trial.n_workers),
        scoring=scoring,
        source=f"measured on this machine's {'GPU' if on_gpu else 'CPU'}",
    )


class _Enough(Exception):
    """Ends the measured run."""


def _training_rate(
    config: StudyConfig, store: TokenStore, out: Path, *, on_gpu: bool, seconds: float
) -> float:
    """Tokens per second of training steps, the first of which is left out."""
    from relscale.model.distributed import train
    from relscale.model.feed import contexts_at_once
    from relscale.model.job import PretrainJob
    from relscale.model.workers import Workers

    at_once = config.training.batch_size
    if not on_gpu:
        at_once = min(at_once, contexts_at_once(config.training, config.sampler, Workers()))
    lines: list[dict[str, Any]] = []
    started = time.monotonic()

    def report(line: dict[str, Any]) -> None:
        lines.append(line)
        if len(lines) > 2 and time.monotonic() - started > seconds:
            raise _Enough

    job = PretrainJob(
        store=store.path,
        out=out,
        model=config.model,
        sampler=config.sampler,
        training=config.training.replace(
            batch_size=at_once,
            log_every_steps=1,
            checkpoint_every_steps=ENDLESS,
            evaluate_every_steps=ENDLESS,
        ),
        tokens=ENDLESS,
    )
    with contextlib.suppress(_Enough):
        train(job, storage=out, use_gpu=on_gpu, report=report)
    return median(line["tokens_per_second"] for line in lines[1:])


def _scoring_rate(config: StudyConfig, store: TokenStore, network: Any) -> float:
    """Tokens per second of forward passes over held-out contexts, the first of which are left out."""
    from relscale.model.items import evaluation_items
    from relscale.model.predict import predict_items

    sampler = config.sampler.replace(mask_prob=config.evaluation.mask_prob)
    items = evaluation_items(store, store.names[:1], columns_per_type=1, rows_per_column=8, seed=0)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        predict_items(
            network, store, store.names[:1], items, sampler, seed=0, batch_size=config.evaluation.batch_size
        )
        seconds.append(time.perf_counter() - started)
    return len(items) * config.sampler.context_length / seconds[-1]


def _has_gpu(network: Any) -> bool:
    from relscale.model.predict import on_device

    try:
        on_device(network, "cuda")
    except ResourceError:
        return False
    return True


def _facts(config: StudyConfig, database: Path, scratch: Path) -> dict[str, Any]:
    """What the token store would hold of a database, and what that costs."""
    started = time.perf_counter()
    content = database_content(read_database(database))
    write_arrays(scratch, content.arrays)
    seconds = time.perf_counter() - started
    columns = [column for column in content.meta["columns"] if column["trainable"]]
    per_type = Counter(column["sem_type"] for column in columns)
    evaluation = config.evaluation
    asked = sum(min(count, evaluation.columns_per_type) for count in per_type.values())
    trainable = {column["table"] for column in columns}
    return {
        "cells": content.meta["n_cells"],
        "items": sum(column["n_cells"] for column in columns),
        "contexts": asked * evaluation.rows_per_column,
        "row_width": max(
            table["row_width"]
            for table in content.meta["tables"]
            if table["kind"] == "db" and table["name"] in trainable
        ),
        "bytes": scratch.stat().st_size,
        "seconds": seconds,
    }
