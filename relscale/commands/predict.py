"""The command that asks a checkpoint about a moment whose labels nobody knows yet."""

from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.options import Config, Out, Set, load_study, sends_results
from relscale.platform.image import place, reworded


@sends_results("real")
def predict(
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
        typer.Option("--dataset", metavar="NAME_OR_PATH", help="RelBench name or folder, or nycflights."),
    ],
    task: Annotated[str, typer.Option("--task", "-t", help="Forecast to make.")],
    out: Out,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT", help="From when on, such as 2024-01-31 [default: the latest row's time]."
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV or Parquet: entities and moments [default: all entities]."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu",
    config: Config = None,
    set_: Set = None,
) -> None:
    """Predict what nobody knows yet: a task from a moment on, from the database as it was known then.

    Nothing later than the moment is read, nor a label whose window ends later. FILE names entities by the
    source's key or as `entity`, and moments as `timestamp`; each moment costs one tokenization. Writes
    OUT/<task>.parquet and OUT/<task>.csv. Settings: zero_shot.context_seeds and .context_lengths,
    evaluation.batch_size; text.encoder where the checkpoint names none.
    """
    study = load_study(config, set_)
    from relscale.analysis.forecasts import forecast
    from relscale.platform.progress import console
    from relscale.platform.storage import write_bytes, write_text
    from relscale.sweeps.databases import real_database

    answers = forecast(
        checkpoint,
        real_database(dataset, out / "real"),
        task,
        rows=rows,
        at=at,
        context_seeds=study.zero_shot.context_seeds,
        sampler=study.zero_shot.sampler,
        text=study.text,
        batch_size=study.evaluation.batch_size,
        device=device,
    )
    write_bytes(out / f"{task}.parquet", answers.to_parquet(index=False))
    write_text(out / f"{task}.csv", answers.to_csv(index=False))
    console.print(
        f"{len(answers):,} predictions {reworded(str(out / f'{task}.parquet'))} and {task}.csv",
        soft_wrap=True,
        highlight=False,
    )
