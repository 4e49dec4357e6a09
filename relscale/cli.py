"""The `relscale` command: every stage of a study in the order of its work, and the whole of it.

Heavy libraries are imported inside the commands, so that `relscale --help` answers at once.
"""

import sys
from typing import Annotated

import typer

from relscale import __version__
from relscale.commands.analysis import fit
from relscale.commands.compare import compare
from relscale.commands.data import generate, inspect, tokenize
from relscale.commands.imports import import_
from relscale.commands.network import evaluate, pretrain
from relscale.commands.planning import doctor, plan
from relscale.commands.predict import predict
from relscale.commands.status import status
from relscale.commands.study import demo, settings, sweep
from relscale.commands.submit import jobs, submit
from relscale.commands.transfer import finetune, transfer
from relscale.platform.errors import RelscaleError
from relscale.platform.image import reworded
from relscale.platform.jobs import check_submitted_version

app = typer.Typer(
    name="relscale",
    help="Measure scaling laws of relational foundation models: generate databases, pretrain on N of them "
    "for S tokens, fit the laws, score zero-shot on real databases. Start with `relscale demo`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Handle options that belong to no command."""
    if version:
        print(__version__)
        raise typer.Exit()


for command in (
    demo,
    generate,
    import_,
    inspect,
    tokenize,
    pretrain,
    plan,
    doctor,
    sweep,
    status,
    fit,
    compare,
    evaluate,
    predict,
    finetune,
    transfer,
    settings,
    jobs,
):
    app.command(command.__name__.rstrip("_"))(command)  # `import` is a word of Python
# What follows the submitted command's name is its own, with or without "--" before it.
app.command("submit", context_settings={"allow_interspersed_args": False})(submit)


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2."""
    try:
        check_submitted_version()
        app()
    except RelscaleError as error:
        print(f"relscale: {reworded(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("relscale: stopped; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
