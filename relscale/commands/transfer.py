"""Commands about real databases to learn from: transfer from one to another, fine-tuning on one task."""

from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.network import Visibility
from relscale.commands.options import Out, Set, sends_results
from relscale.platform import remote
from relscale.platform.image import place


@sends_results("real", "stores", "runs", "store")
def transfer(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Transfer file (YAML).")],
    out: Out,
    set_: Set = None,
) -> None:
    """Hold out each real database in turn, train on the others, score zero-shot; run again to resume.

    Arms: random weights trained on the other real databases, a checkpoint as it is, the checkpoint trained
    on the others. Writes OUT/transfer.md, transfer.csv and differences.csv with intervals and paired
    differences, a figure, and MLflow runs. docs/transfer.md lists the settings of the file.
    """
    import contextlib

    from relscale.platform.cluster import connect
    from relscale.platform.config import load_config
    from relscale.platform.progress import console
    from relscale.sweeps.transfer import run_transfer
    from relscale.sweeps.transfer_config import TransferConfig

    study = load_config(TransferConfig, config, set_)
    uses_ray = study.trial.n_workers > 0
    with connect(study.cluster.address, study.cluster.num_cpus) if uses_ray else contextlib.nullcontext():
        run_transfer(study, out)
    console.print(remote.reworded(f"table {out / 'transfer.md'}"), soft_wrap=True)


@sends_results("real", "store")
def finetune(
    checkpoint: Annotated[
        Path,
        typer.Option("--checkpoint", metavar="DIR", help="Checkpoint folder to start from.", parser=place),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", metavar="NAME_OR_PATH", help="RelBench name, RelBench 3 folder, or nycflights."
        ),
    ],
    task: Annotated[str, typer.Option("--task", "-t", help="Task to fit the network to.")],
    out: Out,
    visibility: Annotated[
        Visibility,
        typer.Option(
            help="Earlier labels seen when scoring: of all splits, of the earlier ones, or of train alone."
        ),
    ] = Visibility.TEMPORAL,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Fine-tuning file (YAML) with the settings."),
    ] = None,
    set_: Set = None,
) -> None:
    """Fine-tune a checkpoint on one task's train labels; run again to resume.

    The official metric on the val split chooses among the states, and ends the run when it has stopped
    getting better. The best one is scored once on the test split, beside the checkpoint as it was and
    baselines. Writes OUT/run/final (a checkpoint), OUT/fine-tuning.json and fine-tuning.md. Settings:
    learning_rate, batch_size, every_steps, patience, max_steps, seed, n_boot, text.encoder.
    """
    from relscale.platform.config import load_config
    from relscale.platform.progress import console
    from relscale.sweeps.fine_tuning import FineTuneConfig, run_fine_tuning

    def report(step: int, metric: str, value: float) -> None:
        console.print(f"step {step}: val {metric} {value:.4f}", markup=False)

    settings = load_config(FineTuneConfig, config, set_)
    run_fine_tuning(settings, checkpoint, dataset, task, out, visibility=visibility.value, report=report)
    page = (out / "fine-tuning.md").read_text(encoding="utf-8")
    console.print(page, markup=False, soft_wrap=True)
