"""Fine-tuning on one task of a real database: chosen on the val split, scored once on the test split."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from relscale.analysis.baselines import Visibility
from relscale.analysis.label_tables import label_tables
from relscale.analysis.task_predictions import load_predictor, predict_rows
from relscale.analysis.task_scores import LOWER_IS_BETTER
from relscale.analysis.transfer import markdown, transfer_table
from relscale.analysis.zero_shot import evaluate_checkpoint, open_dataset
from relscale.model.checkpoint import load_model
from relscale.model.config import TextConfig
from relscale.model.fine_tune import FineTuneJob, Score, fine_tune
from relscale.model.network import RelationalTransformer
from relscale.model.predict import trained_sampler
from relscale.platform import storage
from relscale.platform.config import Config
from relscale.sweeps.databases import real_database
from relscale.sweeps.transfer import read_evaluation, share_store

ZERO_SHOT, TUNED = "zero-shot", "fine-tuned"


class FineTuneConfig(Config):
    """How one task is fine-tuned."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Of all steps, after RT (arXiv:2510.06377)."""
    batch_size: int = Field(default=32, ge=1)
    """Contexts per optimizer step."""
    every_steps: int = Field(default=100, ge=1)
    """Optimizer steps between two scores on the val split."""
    patience: int = Field(default=5, ge=1)
    """Scores in a row without a better one that end the run."""
    max_steps: int = Field(default=5000, ge=1)
    """Steps after which the run ends in any case."""
    seed: int = Field(default=0, ge=0)
    """Of the order of rows and of contexts."""
    n_boot: int = Field(default=1000, ge=100)
    """Bootstrap draws behind each interval."""
    text: TextConfig = TextConfig()
    """Text encoder of a checkpoint that names none."""


def run_fine_tuning(
    config: FineTuneConfig,
    checkpoint: Path,
    dataset: str,
    task: str,
    out: Path,
    *,
    visibility: Visibility,
    report: Callable[[int, str, float], None],
) -> dict[str, Any]:
    """Fine-tune, score before and after on the test split, write OUT/fine-tuning.json and .md; resumable.

    Parameters
    ----------
    visibility : whose earlier labels contexts and baselines hold when val and test are scored.
    report : called with step, metric and value on the val split.

    Returns
    -------
    "val": metric and (step, value) of each state; "step": of the best; "table": as `transfer_table`, of
    the arms "zero-shot" and "fine-tuned" on the test split.

    Errors as `fine_tune` and `evaluate_checkpoint`.
    """
    with storage.alone_in(out):
        folder = real_database(dataset, out / "real")
        score, metric, store = _val_score(config, checkpoint, folder, task, out, visibility)
        sign = -1 if metric in LOWER_IS_BETTER else 1
        _, about = load_model(checkpoint)
        job = FineTuneJob(
            checkpoint=checkpoint,
            store=store,
            task=task,
            out=out / "run",
            sampler=trained_sampler(about, checkpoint),
            **config.model_dump(exclude={"n_boot", "text"}),
        )
        final = fine_tune(job, score, lambda step, value: report(step, metric, sign * value))
        evaluations = []
        for arm, network in ((ZERO_SHOT, checkpoint), (TUNED, final)):
            place = out / arm
            options: dict[str, Any] = {"tasks": [task], "visibility": visibility, "n_boot": config.n_boot}
            inputs = {**options, "checkpoint": storage.digest_files(network)}
            with storage.unless_current(place / "inputs.json", inputs, [place / "scores.json"]) as must_run:
                if must_run:
                    share_store(store, place)
                    evaluate_checkpoint(network, folder, place, text=config.text, **options)
            evaluations.append(read_evaluation(place, dataset_of(folder), arm, config.seed))
        _, tuned = load_model(final)
        result = {
            "task": task,
            "visibility": visibility,
            "val": {"metric": metric, "scores": [[step, sign * value] for step, value in tuned["scores"]]},
            "step": tuned["step"],
            "test": {one.arm: one.scores[0] for one in evaluations},
            "table": transfer_table(evaluations, n_boot=config.n_boot),
        }
        storage.write_json(out / "fine-tuning.json", result)
        page = markdown(result["table"], f"Fine-tuning on {task}", _note(result))
        storage.write_text(out / "fine-tuning.md", page)
    return result


def _note(result: dict[str, Any]) -> str:
    """What was chosen how, and the official metric before and after."""
    test = []
    for arm, entry in result["test"].items():
        low, high = entry["ci95_entities"] or entry["ci95"]
        test.append(f"{arm} {entry['value']:.3f} [{low:.3f}, {high:.3f}]")
    baseline = result["test"][ZERO_SHOT]["best_baseline"]
    name, scored = result["val"]["metric"], result["val"]["scores"]
    best = dict(scored)[result["step"]]
    return (
        f"Split test, visibility {result['visibility']}: {name} {', '.join(test)}, best baseline "
        f"{baseline['value']:.3f} ({baseline['name'].replace('_', ' ')}). The state after step "
        f"{result['step']} has the best {name} on the val split, {best:.3f} (before the first step "
        f"{scored[0][1]:.3f}), of {len(scored)} scored up to step {scored[-1][0]}."
    )


def dataset_of(folder: Path) -> str:
    """Name in a RelBench 3 folder's manifest."""
    return str(open_dataset(folder).manifest.name)


def _val_score(
    config: FineTuneConfig, checkpoint: Path, folder: Path, task: str, out: Path, visibility: Visibility
) -> tuple[Score, str, Path]:
    """The official metric on the val split, its name, and the database's token store.

    The metric counts upward: one that is better when lower is negated.
    """
    labels = label_tables(open_dataset(folder), task)
    predictor = load_predictor(checkpoint, folder, out, visibility=visibility, text=config.text)
    target = labels.splits["val"]["label"].to_numpy(np.float64)
    name, metric = labels.metric
    sign = -1 if name in LOWER_IS_BETTER else 1

    def score(network: RelationalTransformer) -> float:
        prediction, _ = predict_rows(replace(predictor, network=network), labels, "val")
        return sign * float(metric(target, prediction))

    return score, name, predictor.store.path
