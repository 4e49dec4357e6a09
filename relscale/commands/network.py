"""Commands of one network: pretrain it, score it on a real database."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relscale.commands.options import Config, Out, Set, load_study, sends_results
from relscale.platform.image import place, reworded, shown

if TYPE_CHECKING:
    from relscale.model.config import SamplerConfig

NOT_READ = {"visibility", "mask_prob", "context_lengths"}
"""Settings of the sampler that belong to training, or are options of `evaluate`."""


class Split(StrEnum):
    """Splits that can be scored."""

    VAL = "val"
    TEST = "test"


class Visibility(StrEnum):
    """Whose labels contexts and baselines may hold."""

    TEMPORAL = "temporal"
    STRICT = "strict"
    TRAIN_ONLY = "train-only"


def pretrain(
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="Token store to train on.", parser=place)
    ],
    out: Out,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Training tokens [default: the largest of grid.tokens].")
    ] = None,
    num_databases: Annotated[
        int | None, typer.Option("--num-databases", "-n", min=1, help="Train on the first N [default: all].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and order.")] = 0,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            metavar="CHECKPOINT",
            help="Start from a checkpoint folder or a published .pt file.",
            parser=place,
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            "--held-out", metavar="STORE", help="Store of other databases, to be scored on.", parser=place
        ),
    ] = None,
    real: Annotated[
        bool | None,
        typer.Option(
            "--real/--synthetic",
            help="Whether to train on labels and cells known by the val timestamp alone, or on all cells "
            "[default: --real if a database that no prior made has forecast tasks].",
        ),
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Pretrain one Relational Transformer; run again to resume.

    Leaves the checkpoint (model.safetensors, config.json) in OUT/final and the losses in
    OUT/metrics.jsonl, and mirrors them in MLflow. Settings: model.*, sampler.*, training.*, targets.*,
    evaluation.*, trial.*, cluster.*, tracking.uri.
    """
    study = load_study(config, set_)
    import contextlib

    from relscale.model.job import HeldOutData, PretrainJob
    from relscale.model.known_items import is_real
    from relscale.model.store import TokenStore
    from relscale.model.text import check_encoder
    from relscale.platform.cluster import connect
    from relscale.platform.progress import console
    from relscale.sweeps.pretraining import run_pretraining

    for path in (store, held_out) if held_out else (store,):
        check_encoder(TokenStore.open(path), study.text)
    if real is None:
        real = is_real(TokenStore.open(store))
    job = PretrainJob(
        store=store.resolve(),
        out=out.resolve(),
        databases=num_databases,
        model=study.model,
        sampler=study.sampler,
        training=study.training,
        tokens=tokens or max(study.grid.tokens),
        seed=seed,
        init=init.resolve() if init else None,
        targets=study.targets if real else None,
        held_out=HeldOutData(store=held_out.resolve(), evaluation=study.evaluation) if held_out else None,
    )
    cluster = (
        connect(study.cluster.address, study.cluster.num_cpus)
        if study.trial.n_workers
        else contextlib.nullcontext()
    )
    with cluster:
        checkpoint = run_pretraining(job, study.trial, study.tracking, study.name)
    console.print(f"checkpoint {shown(checkpoint)}", soft_wrap=True)


@sends_results("real", "store", "one-vs-rest")
def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Option(
            "--checkpoint",
            metavar="PATH",
            help="Checkpoint folder, or a published .pt file.",
            parser=place,
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", metavar="NAME_OR_PATH", help="RelBench name, RelBench 3 folder, or nycflights."
        ),
    ],
    out: Out,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Task to score; repeatable [default: all].")
    ] = None,
    split: Annotated[Split, typer.Option(help="Split of the tasks to score.")] = Split.TEST,
    visibility: Annotated[
        list[Visibility] | None,
        typer.Option(
            help="Earlier labels that are seen: of all splits (temporal), of those before the scored one "
            "(strict), or of train alone (train-only); repeatable [default: temporal]."
        ),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Check that nothing leaks into the predictions too.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu",
    config: Config = None,
    set_: Set = None,
) -> None:
    """Score a checkpoint zero-shot on a real database, beside simple baselines on the same rows.

    Writes OUT/report.html, OUT/scores.json, .csv and .md, OUT/left_out.json, OUT/predictions/<task>.parquet,
    for the test split OUT/submission/ as `python -m relbench.submit` reads it (visibilities strict and
    train-only), and with --audit OUT/audit.json; a leak ends with exit code 2. Settings:
    zero_shot.context_seeds and .context_lengths, evaluation.batch_size, analysis.n_boot; sampler.*, of which
    those that are given go before the checkpoint's; text.encoder where the checkpoint names none (PluRel's
    published ones were trained with all-MiniLM-L12-v2).
    """
    study = load_study(config, set_)
    from relscale.analysis.score_report import write_scores
    from relscale.analysis.zero_shot import evaluate_checkpoint
    from relscale.platform.progress import console
    from relscale.sweeps.databases import real_database
    from relscale.sweeps.summary import score_table

    folder = real_database(dataset, out / "real")
    options: dict[str, Any] = {
        "context_seeds": study.zero_shot.context_seeds,
        "sampler": {**_given(study.sampler), **study.zero_shot.sampler},
        "text": study.text,
        "batch_size": study.evaluation.batch_size,
        "device": device,
    }
    asked: list[Any] = [one.value for one in visibility or [Visibility.TEMPORAL]]
    scores = evaluate_checkpoint(
        checkpoint,
        folder,
        out,
        tasks=task or None,
        split=split.value,
        visibility=asked,
        n_boot=study.analysis.n_boot,
        **options,
    )
    report = write_scores(out, scores, n_boot=study.analysis.n_boot)
    console.print(score_table(scores))
    if audit:
        tasks = list(dict.fromkeys(score["task"] for score in scores))
        _audit(checkpoint, folder, out, asked, tasks, split, study.analysis.n_boot, options)
    console.print(reworded(f"report {report}, scores {out / 'scores.json'}"), soft_wrap=True)


def _given(sampler: "SamplerConfig") -> dict[str, Any]:
    """The settings that a study file or --set states; the options say which labels are seen."""
    return {name: getattr(sampler, name) for name in sampler.model_fields_set - NOT_READ}


def _audit(
    checkpoint: Path,
    folder: Path,
    out: Path,
    visibilities: list[Any],
    tasks: list[str],
    split: Split,
    n_boot: int,
    options: dict[str, Any],
) -> None:
    """Audit every visibility; DataError if anything leaks."""
    from relscale.analysis.audit import audit_checkpoint, audit_sentences, leaks
    from relscale.analysis.task_predictions import load_predictor
    from relscale.platform.errors import DataError
    from relscale.platform.progress import console

    predictors = [
        load_predictor(checkpoint, folder, out, visibility=seen, **options) for seen in visibilities
    ]
    entries = audit_checkpoint(predictors, out, tasks=tasks, split=split.value, n_boot=n_boot)
    for sentence in audit_sentences(entries):
        console.print(sentence, markup=False, soft_wrap=True)
    if found := leaks(entries):
        raise DataError(f"the audit found a leak ({'; '.join(found)}); do not use these scores.")
