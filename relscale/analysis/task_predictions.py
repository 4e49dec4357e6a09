"""A checkpoint's predictions of a task's rows: the network, the tokens of one database, what contexts see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relscale.analysis.baselines import Visibility
from relscale.analysis.label_tables import LabelTables
from relscale.analysis.one_vs_rest import class_task, write_one_vs_rest
from relscale.platform.config import parse_config
from relscale.platform.dataflow import map_keys_here

if TYPE_CHECKING:
    from relscale.model.config import SamplerConfig, TextConfig
    from relscale.model.network import RelationalTransformer
    from relscale.model.predict import TaskPredictions
    from relscale.model.store import DatabaseStore, TokenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """What all tasks of one evaluation share; `folder` is the database's, `out` holds the tokens."""

    checkpoint: Path
    folder: Path
    out: Path
    text: "TextConfig | None"
    encoder: dict[str, str] | None
    network: "RelationalTransformer"
    store: "TokenStore"
    sampler: "SamplerConfig"
    context_seeds: tuple[int, ...]
    batch_size: int

    @property
    def database(self) -> "DatabaseStore":
        """The store's only one."""
        return self.store.database(self.store.names[0])


def load_predictor(
    checkpoint: Path,
    folder: Path,
    out: Path,
    *,
    visibility: Visibility = "temporal",
    context_seeds: Sequence[int] = (0,),
    context_lengths: Sequence[int] = (),
    sampler: Mapping[str, Any] | None = None,
    text: "TextConfig | None" = None,
    batch_size: int = 32,
    device: str = "cpu",
) -> Predictor:
    """Load a checkpoint and tokenize a RelBench 3 folder into out/store, or find the tokens there.

    The parameters and errors are those of `evaluate_checkpoint`; context_lengths go before the sampler's.
    """
    from relscale.model.checkpoint import load_model
    from relscale.model.config import of_lengths
    from relscale.model.predict import on_device, trained_sampler

    changes = {**(sampler or {}), **of_lengths(context_lengths)}
    network, about = load_model(checkpoint)
    encoder = about.get("text_encoder")
    return Predictor(
        checkpoint=checkpoint,
        folder=folder,
        out=out,
        text=text,
        encoder=encoder,
        network=on_device(network, device),
        store=_tokenize(folder, out / "store", encoder, text, checkpoint),
        sampler=asked_sampler(trained_sampler(about, checkpoint), changes, visibility),
        context_seeds=tuple(context_seeds),
        batch_size=batch_size,
    )


def asked_sampler(
    trained: "SamplerConfig", changes: Mapping[str, Any], visibility: Visibility
) -> "SamplerConfig":
    """What the contexts of an evaluation see: as in training, but for some settings and without masks.

    Raises
    ------
    ConfigError : the changed settings contradict the others.
    """
    settings = {**trained.model_dump(), "context_lengths": (), **changes}
    settings |= {"mask_prob": 0.0, "visibility": visibility}
    if settings["context_lengths"] and settings["local_context_length"]:
        settings["local_context_length"] = min(settings["local_context_length"], settings["context_length"])
    return parse_config(type(trained), settings, source="the sampler's settings over the checkpoint's")


def predict_rows(predictor: Predictor, labels: LabelTables, split: str) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n] and [n, K]: predictions of a split's rows, and those of each of the K context seeds.

    In the units of the label; the probability of "true" for a boolean, the place of the class for a
    multi-class task.
    """
    if labels.classes is None:
        found = _predict(predictor, labels.name, split)
        order = _order(predictor, labels, found, split)
        scores = found.score[order]
        if labels.task_type == "regression":
            mean, std = _column(predictor, labels)
            return found.prediction[order], scores * std + mean
        return found.prediction[order], 1 / (1 + np.exp(-scores))
    one = class_predictor(predictor, labels)
    runs = [_predict(one, class_task(labels.name, place), split) for place in range(len(labels.classes))]
    logits = np.stack([run.score for run in runs])
    classes, by_seed = logits.mean(axis=2).argmax(axis=0), logits.argmax(axis=0)
    return classes.astype(np.float64), by_seed.astype(np.float64)


def class_predictor(predictor: Predictor, labels: LabelTables) -> Predictor:
    """The predictor of the database whose tasks are the classes of a multi-class task."""
    assert labels.classes is not None
    place = predictor.out / "one-vs-rest" / labels.name
    folder = write_one_vs_rest(predictor.folder, labels.name, labels.classes, place / "database")
    store = _tokenize(folder, place / "store", predictor.encoder, predictor.text, predictor.checkpoint)
    return replace(predictor, folder=folder, store=store)


def own_label_share(predictor: Predictor, labels: LabelTables, split: str) -> float | None:
    """Share of contexts that hold a visible label of the row's own entity; None for autocomplete tasks."""
    from relscale.model.items import task_items
    from relscale.model.predict import at_each_length
    from relscale.model.sampler import sample_contexts

    if labels.is_autocomplete:
        return None
    name = labels.name
    if labels.classes is not None:
        predictor, name = class_predictor(predictor, labels), class_task(labels.name, 0)
    items = task_items(predictor.database, name, split)
    column = predictor.database.columns[int(items.column[0])]
    n_with = 0
    runs = list(product(at_each_length(predictor.sampler), predictor.context_seeds))
    for (sampler, seed), first in product(runs, range(0, len(items), 1024)):
        batch = sample_contexts(
            predictor.store,
            predictor.store.names,
            items.slice(first, first + 1024),
            sampler,
            seed=seed,
            first_index=first,
        )
        entity = batch.parents[np.arange(batch.n_contexts), batch.target, 0]  # a label's only parent
        label = (batch.node >= 0) & (batch.column == column.text_row) & ~batch.masked
        n_with += int((label & (batch.parents[:, :, 0] == entity[:, None])).any(axis=1).sum())
    return n_with / (len(items) * len(runs))


def _tokenize(
    folder: Path, store: Path, encoder: dict[str, str] | None, text: "TextConfig | None", checkpoint: Path
) -> "TokenStore":
    """The store of one database, made with the checkpoint's text encoder or found so."""
    from relscale.model.config import TextConfig
    from relscale.model.store import TokenStore
    from relscale.model.text import check_same_encoder
    from relscale.model.tokenize import tokenize_folders

    if encoder is not None:
        text = TextConfig(encoder=encoder["name"])
    whose = f"checkpoint '{checkpoint}'"
    if (store / "store.json").is_file():
        check_same_encoder(TokenStore.open(store), encoder, whose=whose)
    made = tokenize_folders([folder], store, text or TextConfig(), run=map_keys_here)
    check_same_encoder(made, encoder, whose=whose)
    return made


def _predict(predictor: Predictor, task: str, split: str) -> "TaskPredictions":
    from relscale.model.predict import predict_task

    return predict_task(
        predictor.network,
        predictor.store,
        task,
        split=split,
        sampler=predictor.sampler,
        context_seeds=predictor.context_seeds,
        batch_size=predictor.batch_size,
    )


def _order(predictor: Predictor, labels: LabelTables, found: "TaskPredictions", split: str) -> np.ndarray:
    """int64 [n]: place of each row of relbench's label table in the predictions."""
    rows, order = labels.splits[split], np.arange(len(found.node))
    if labels.is_autocomplete:  # relbench orders these by time
        offset = predictor.database.table(labels.task.entity_table).offset
        order = np.searchsorted(found.node, rows["entity"].to_numpy(np.int64) + offset)
    target = rows["label"].to_numpy(np.float64)
    assert len(target) == len(order)
    assert np.allclose(found.label[order], target, rtol=1e-3, atol=1e-3 * target.std()), "rows out of order"
    return order


def _column(predictor: Predictor, labels: LabelTables) -> tuple[float, float]:
    """Mean and deviation behind the z-scores of the label."""
    database, spec = predictor.database, predictor.database.task(labels.name)
    column = database.columns[database.column_index(spec.table, spec.target_col)]
    return column.mean, column.std
