"""A transfer study: hold out each real database in turn, train on the others, score zero-shot.

Three arms, as in PluRel's table (arXiv:2602.04029): "real" trains from random weights on the other real
databases, "synthetic" is a given checkpoint as it is, "synthetic + real" trains that checkpoint further on
the others. Runs lie in folders named by what decides their weights: a second call does what is missing.

    OUT/runs/<key>/                          one training run, see `relscale.model.run_folder`
    OUT/evaluations/<dataset>/<arm>-<seed>/  its scores.json and predictions
    OUT/transfer.csv, differences.csv, transfer.md, transfer.json, figures/transfer.*
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.analysis.page import save_figure
from relscale.analysis.transfer import Evaluation, markdown, transfer_table
from relscale.analysis.transfer_figures import transfer_figure
from relscale.analysis.zero_shot import evaluate_checkpoint
from relscale.model.job import PretrainJob
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform import storage
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import ConfigError, DataError
from relscale.sweeps.databases import real_database
from relscale.sweeps.pretraining import run_pretraining
from relscale.sweeps.transfer_config import TransferConfig
from relscale.sweeps.transfer_record import record_transfer

REAL, SYNTHETIC, BOTH = "real", "synthetic", "synthetic + real"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The databases of a study.

    store    all of them, to train on
    folders  name -> RelBench 3 folder
    stores   name -> token store of that one alone, to score on
    """

    store: TokenStore
    folders: Mapping[str, Path]
    stores: Mapping[str, Path]


def run_transfer(config: TransferConfig, out: Path) -> dict[str, list[dict[str, Any]]]:
    """Run what is missing of a study, and write its table, page, figure and MLflow run.

    Returns
    -------
    The table, as `transfer_table` gives it.

    Raises
    ------
    ConfigError : a held-out name is no dataset's; the sizes differ from the checkpoint's.
    DataError : two datasets are one by content; the checkpoint has another text encoder than `text`; a
        held-out database has no forecast task.
    """
    config = _tracked(config, out)
    with storage.alone_in(out):
        storage.write_json(out / "config.json", config.model_dump(mode="json"))
        data = _tokenize(config, out)
        evaluations = [
            _evaluate(config, data, out, held_out, arm, seed, checkpoint)
            for held_out in _held_out(config, data)
            for arm, seed, checkpoint in _networks(config, data, out, held_out)
        ]
        table = transfer_table(evaluations, n_boot=config.analysis.n_boot)
        _write(config, table, out)
        record_transfer(config, table, out)
    return table


def _tracked(config: TransferConfig, out: Path) -> TransferConfig:
    """All runs of a study in one MLflow store."""
    if config.tracking.uri is not None:
        return config
    uri = f"sqlite:///{out.resolve() / 'mlflow.db'}"
    return config.replace(tracking=config.tracking.replace(uri=uri))


def _tokenize(config: TransferConfig, out: Path) -> Data:
    sources = [real_database(dataset, out / "real") for dataset in config.datasets]
    store = tokenize_folders(sources, out / "stores" / "all", config.text, run=map_keys_here)
    for place, digest in enumerate(store.digests):
        if digest in store.digests[:place]:
            first = store.names[store.digests.index(digest)]
            raise DataError(f"datasets '{first}' and '{store.names[place]}' are the same; leave one out.")
    stores = {}
    for name, source in zip(store.names, sources, strict=True):
        stores[name] = out / "stores" / name
        tokenize_folders([source], stores[name], config.text, run=map_keys_here)
    return Data(store=store, folders=dict(zip(store.names, sources, strict=True)), stores=stores)


def _held_out(config: TransferConfig, data: Data) -> tuple[str, ...]:
    names = config.held_out or data.store.names
    if unknown := sorted(set(names) - set(data.store.names)):
        raise ConfigError(
            f"held_out names '{unknown[0]}', but the datasets are {', '.join(data.store.names)}; use those."
        )
    return names


def _networks(
    config: TransferConfig, data: Data, out: Path, held_out: str
) -> Iterator[tuple[str, int, Path]]:
    """(arm, seed, checkpoint) of every network that is scored on a held-out database."""
    for seed in config.seeds:
        yield REAL, seed, _train(config, data, out, held_out, seed, None)
    if config.checkpoint is not None:
        yield SYNTHETIC, 0, config.checkpoint
        for seed in config.seeds:
            yield BOTH, seed, _train(config, data, out, held_out, seed, config.checkpoint)


def _train(
    config: TransferConfig, data: Data, out: Path, held_out: str, seed: int, init: Path | None
) -> Path:
    settings = config.model_dump(mode="json", include={"model", "sampler", "training", "targets", "tokens"})
    names = tuple(name for name in data.store.names if name != held_out)
    digests = [data.store.digests[data.store.place(name)] for name in names]
    start = storage.digest_files(init) if init else None
    key = _key([settings, seed, digests, data.store.text_encoder["fingerprint"], start])
    job = PretrainJob(
        store=data.store.path.resolve(),
        out=(out / "runs" / key).resolve(),
        databases=names,
        model=config.model,
        sampler=config.sampler,
        training=config.training,
        tokens=config.tokens,
        seed=seed,
        init=init.resolve() if init else None,
        targets=config.targets,
    )
    return run_pretraining(job, config.trial, config.tracking, config.name)


def _evaluate(
    config: TransferConfig, data: Data, out: Path, held_out: str, arm: str, seed: int, checkpoint: Path
) -> Evaluation:
    folder = out / "evaluations" / held_out / f"{arm.replace(' ', '')}-{seed}"
    tasks = _forecast_tasks(data, held_out)
    options: dict[str, Any] = {
        "tasks": tasks,
        "split": config.split,
        "visibility": config.visibility,
        "context_seeds": config.context_seeds,
        "n_boot": config.analysis.n_boot,
        "sampler": config.scoring_sampler,
    }
    inputs = {
        **options,
        "checkpoint": storage.digest_files(checkpoint),
        "database": data.store.digests[data.store.place(held_out)],
    }
    with storage.unless_current(folder / "inputs.json", inputs, [folder / "scores.json"]) as must_run:
        if must_run:
            share_store(data.stores[held_out], folder)
            evaluate_checkpoint(checkpoint, data.folders[held_out], folder, text=config.text, **options)
    return read_evaluation(folder, held_out, arm, seed)


def share_store(store: Path, folder: Path) -> None:
    """Let an evaluation in `folder` find its tokens made."""
    storage.make_folder(folder)
    if not (folder / "store").exists():
        (folder / "store").symlink_to(store.resolve(), target_is_directory=True)


def read_evaluation(folder: Path, dataset: str, arm: str, seed: int) -> Evaluation:
    """What `evaluate_checkpoint` left in a folder."""
    scores = storage.read_json(folder / "scores.json")
    return Evaluation(
        dataset=dataset,
        arm=arm,
        seed=seed,
        scores=scores,
        predictions={
            entry["task"]: pd.read_parquet(folder / "predictions" / f"{entry['task']}.parquet")
            for entry in scores
        },
    )


def _forecast_tasks(data: Data, name: str) -> list[str]:
    tasks = [task.name for task in data.store.database(name).predictable_tasks if not task.is_autocomplete]
    if not tasks:
        raise DataError(f"'{name}' has no forecast task to be scored on; leave it out of held_out.")
    return tasks


def _key(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _write(config: TransferConfig, table: dict[str, list[dict[str, Any]]], out: Path) -> None:
    note = (
        f"Zero-shot on split {config.split}, visibility {config.visibility}; {config.tokens:,} tokens for "
        f"each run on real databases, seeds {', '.join(map(str, config.seeds))}. Brackets: 95 % intervals "
        "over entities and seeds, differences paired by entity. No network saw a row of the database it is "
        "scored on."
    )
    storage.write_json(out / "transfer.json", table)
    for name, rows in (("transfer", "values"), ("differences", "differences")):
        storage.write_text(out / f"{name}.csv", pd.DataFrame(table[rows]).to_csv(index=False))
    storage.write_text(out / "transfer.md", markdown(table, config.name, note))
    drawing = transfer_figure(table["values"])
    save_figure(drawing.figure, out, "transfer", drawing.caption)
