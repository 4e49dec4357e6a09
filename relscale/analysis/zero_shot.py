"""Zero-shot scores: a checkpoint on the tasks of a real database, beside baselines on the same rows.

Zero-shot means that no weight is fitted to the database. A row's context holds what was known at its time:
rows of the database and labels of the task from strictly earlier times, the scored split's included
(visibility "temporal", the protocol of RT, arXiv:2510.06377, and PluRel, arXiv:2602.04029). The baselines
see the same labels. Metrics are those of the relbench package.
"""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from relscale.analysis.baselines import baseline_predictions
from relscale.platform import storage
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import DataError, ResourceError
from relscale.platform.progress import console
from relscale.platform.seeds import Purpose, stream

if TYPE_CHECKING:
    from relscale.model.config import SamplerConfig, TextConfig
    from relscale.model.network import RelationalTransformer
    from relscale.model.store import DatabaseStore, TokenStore
    from relscale.model.tasks import TaskSpec

_SPLITS = ("train", "val", "test")
_Metric = Callable[[np.ndarray, np.ndarray], float]


def evaluate_checkpoint(
    checkpoint: Path,
    dataset: str | Path,
    out: Path,
    *,
    tasks: Sequence[str] | None = None,
    split: str = "test",
    context_seeds: Sequence[int] = (0,),
    sampler: "SamplerConfig | None" = None,
    text: "TextConfig | None" = None,
    batch_size: int = 32,
    n_boot: int = 1000,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Score every row of a split of a database's tasks; write scores.json and predictions/<task>.parquet.

    Parameters
    ----------
    checkpoint : folder with model.safetensors and config.json, or a published `.pt` file.
    dataset : RelBench 3 folder, or a name that relbench fetches from its Hub.
    out : folder to write to; the database's tokens are kept in out/store for the next call.
    tasks : names of tasks; None takes all that a Relational Transformer can score.
    split : "val" or "test".
    context_seeds : contexts per row; z-scores or logits are averaged over them.
    sampler : what a context sees; None takes what the checkpoint was trained with. Nothing but the target
        is hidden in either case.
    text : the text encoder of a checkpoint that names none, as published ones; None is the packaged one.
    n_boot : bootstrap draws behind each interval, over rows.
    device : torch's name of the device to compute on, such as "cuda".
    progress : called with a sentence per task scored or left out; None prints it.

    Returns
    -------
    The content of scores.json, an entry per task: dataset, task, split, metric (of relbench: "roc_auc" or
    "nmae"), value, ci95, rows, entities, visibility, baselines (name: value), own_label_share (share of
    contexts that hold an earlier label of the row's own entity; None for autocomplete), context_seeds,
    checkpoint; for a regression also r2, r2_ci95, r2_baselines.

    Raises
    ------
    DataError : not a RelBench 3 folder, or one with broken keys; an unknown task; out/store was made with
        another text encoder than the checkpoint's. ConfigError : a row to predict does not fit a context.
        ResourceError : the name cannot be fetched, or the device not used.
    """
    from relscale.model.checkpoint import load_model
    from relscale.model.predict import on_device, trained_sampler

    say = progress or partial(console.print, markup=False, soft_wrap=True)
    network, about = load_model(checkpoint)
    source = open_dataset(dataset)
    store = _tokenize(source.dataset_dir, out / "store", about.get("text_encoder"), text, checkpoint)
    setup = _Setup(
        network=on_device(network, device),
        store=store,
        database=store.database(store.names[0]),
        sampler=(sampler or trained_sampler(about, checkpoint)).replace(mask_prob=0.0, visibility="temporal"),
        context_seeds=tuple(context_seeds),
        batch_size=batch_size,
        n_boot=n_boot,
    )
    scores: list[dict[str, Any]] = []
    for spec in _tasks(setup.database, tasks, say):
        task = source.load_task(spec.name)
        tables = {name: task.get_table(name, mask_input_cols=False).df for name in _SPLITS}
        if reason := _unscorable(task, tables, split):
            say(f"{spec.name}: left out, {reason}")
            continue
        started = time.monotonic()
        entry, rows = _score(setup, spec, task, tables, split)
        scores.append({**entry, "checkpoint": str(checkpoint)})
        _write_rows(out / "predictions" / f"{spec.name}.parquet", rows)
        say(_sentence(entry, time.monotonic() - started))
    if not scores:
        raise DataError(
            f"'{dataset}' has no task that can be scored on split '{split}'; see the reasons above."
        )
    storage.write_json(out / "scores.json", scores)
    return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """What all tasks of one evaluation share."""

    network: "RelationalTransformer"
    store: "TokenStore"
    database: "DatabaseStore"
    sampler: "SamplerConfig"
    context_seeds: tuple[int, ...]
    batch_size: int
    n_boot: int


def open_dataset(dataset: str | Path) -> Any:
    """The relbench dataset of a RelBench 3 folder or Hub name.

    Raises
    ------
    DataError : not such a folder. ResourceError : the name cannot be fetched.
    """
    import relbench

    path = Path(dataset).expanduser()
    if (path / "manifest.yaml").is_file():
        return relbench.load_dataset(path)
    if isinstance(dataset, Path) or path.exists() or path.is_absolute() or dataset.startswith("."):
        raise DataError(f"'{dataset}' is not a RelBench 3 folder (no manifest.yaml); check the path.")
    try:
        return relbench.load_dataset(dataset)
    except Exception as error:  # the Hub client raises many kinds
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ResourceError(
            f"'{dataset}' is no folder here and could not be fetched from the RelBench Hub ({reason}); give "
            f"the path of a RelBench 3 folder, or run once with a network connection."
        ) from error


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


def _tasks(
    database: "DatabaseStore", names: Sequence[str] | None, say: Callable[[str], None]
) -> "list[TaskSpec]":
    if names is not None:
        return [database.task(name) for name in names]
    for name, reason in database.skipped_tasks.items():
        say(f"{name}: left out, {reason}")
    return list(database.predictable_tasks)


def _unscorable(task: Any, tables: dict[str, pd.DataFrame], split: str) -> str:
    """Why relbench's metric cannot be computed; empty if it can."""
    if getattr(task, "evaluator", None):
        return f"it is scored by the protocol '{task.evaluator}', which relbench does not provide"
    if task.time_col is None:
        return "its labels have no time"
    for name in ("train", split):
        if tables[name][task.target_col].nunique() < 2:
            return f"the labels of split '{name}' are all equal"
    return ""


def _score(
    setup: _Setup, spec: "TaskSpec", task: Any, tables: dict[str, pd.DataFrame], split: str
) -> tuple[dict[str, Any], pd.DataFrame]:
    """A task's entry of scores.json, and its rows with all predictions."""
    columns = {"time_col": task.time_col, "entity_col": task.entity_col, "target_col": task.target_col}
    known = tables[split][list(columns.values())].set_axis(["time", "entity", "target"], axis=1)
    baselines = baseline_predictions(tables, **columns, split=split)
    prediction = _predict(setup, spec, split, known)
    rows = known.reset_index(drop=True).assign(prediction=prediction, **baselines)
    measured = _measure(task.metrics[0], rows, list(baselines), setup.n_boot)
    entry = {
        "dataset": setup.database.name,
        "task": spec.name,
        "split": split,
        "metric": task.metrics[0].__name__,
        **measured,
        "rows": len(rows),
        "entities": int(rows["entity"].nunique()),
        "visibility": "temporal",
        "own_label_share": None if spec.is_autocomplete else _own_label_share(setup, spec, split),
        "context_seeds": list(setup.context_seeds),
    }
    if spec.task_type == "regression":
        from sklearn.metrics import r2_score

        r2 = _measure(r2_score, rows, list(baselines), setup.n_boot)
        entry |= {"r2": r2["value"], "r2_ci95": r2["ci95"], "r2_baselines": r2["baselines"]}
    return entry, rows


def _predict(setup: _Setup, spec: "TaskSpec", split: str, known: pd.DataFrame) -> np.ndarray:
    """float64 [n]: the prediction of every row of relbench's label table."""
    from relscale.model.predict import predict_task

    found = predict_task(
        setup.network,
        setup.store,
        spec.name,
        split=split,
        sampler=setup.sampler,
        context_seeds=setup.context_seeds,
        batch_size=setup.batch_size,
    )
    order = np.arange(len(found.node))
    if spec.is_autocomplete:  # relbench orders these by time
        nodes = setup.database.table(spec.entity_table).offset + known["entity"].to_numpy(np.int64)
        order = np.searchsorted(found.node, nodes)
    target = known["target"].to_numpy(np.float64)
    assert len(target) == len(order)
    assert np.allclose(found.label[order], target, rtol=1e-3, atol=1e-3 * target.std()), "rows out of order"
    return found.prediction[order]


def _own_label_share(setup: _Setup, spec: "TaskSpec", split: str) -> float:
    """Share of contexts with a visible label of the row's own entity."""
    from relscale.model.items import task_items
    from relscale.model.sampler import sample_contexts

    items = task_items(setup.database, spec.name, split)
    column = setup.database.columns[int(items.column[0])]
    n_with = 0
    for first in range(0, len(items), 1024):
        batch = sample_contexts(
            setup.store,
            setup.store.names,
            items.slice(first, first + 1024),
            setup.sampler,
            seed=setup.context_seeds[0],
            first_index=first,
        )
        entity = batch.parents[np.arange(batch.n_contexts), batch.target, 0]  # a label's only parent
        label = (batch.node >= 0) & (batch.column == column.text_row) & ~batch.masked
        n_with += int((label & (batch.parents[:, :, 0] == entity[:, None])).any(axis=1).sum())
    return n_with / len(items)


def _measure(metric: _Metric, rows: pd.DataFrame, baselines: list[str], n_boot: int) -> dict[str, Any]:
    """A metric of the prediction with its interval over resampled rows, and of the baselines."""
    target, prediction = rows["target"].to_numpy(np.float64), rows["prediction"].to_numpy()
    rng = stream(0, Purpose.BOOTSTRAP)
    draws = []
    for _ in range(n_boot):
        pick = rng.integers(0, len(rows), len(rows))
        if np.ptp(target[pick]) > 0:  # neither AUROC nor R2 exists for equal labels
            draws.append(metric(target[pick], prediction[pick]))
    return {
        "value": float(metric(target, prediction)),
        "ci95": np.percentile(draws, [2.5, 97.5]).tolist(),
        "baselines": {name: float(metric(target, rows[name].to_numpy())) for name in baselines},
    }


def _write_rows(path: Path, rows: pd.DataFrame) -> None:
    data = io.BytesIO()
    rows.to_parquet(data, index=False)
    storage.write_bytes(path, data.getvalue())


def _sentence(entry: dict[str, Any], seconds: float) -> str:
    low, high = entry["ci95"]
    others = ", ".join(f"{name} {value:.3f}" for name, value in entry["baselines"].items())
    return (
        f"{entry['task']}: {entry['metric']} {entry['value']:.3f} [{low:.3f}, {high:.3f}], {others}; "
        f"{entry['rows']} rows in {seconds:.0f} s"
    )
