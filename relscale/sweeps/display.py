"""The grid while it fills up: losses of finished trials, shares of running ones."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relscale.platform import metrics
from relscale.platform.progress import bar, human_count
from relscale.sweeps.collect import trial_folder
from relscale.sweeps.grid import Trial
from relscale.sweeps.summary import STYLE
from relscale.sweeps.trial import finished

Show = Callable[[str, Mapping[str, Any]], None]
"""Called with a trial's key and a line that it has reported."""


class GridDisplay:
    """What is known of every trial."""

    def __init__(self, trials: Sequence[Trial], out: Path, todo: set[str]) -> None:
        """`todo` holds the keys of the trials that are still to be run; the others have a result."""
        self.trials = {trial.key: trial for trial in trials}
        self.tokens = dict.fromkeys(todo, 0)
        self.losses: dict[str, float | None] = {}
        for trial in trials:
            if trial.key not in todo:
                result = finished(trial_folder(out, trial))
                self.losses[trial.key] = result["loss"] if result else None

    def hear(self, key: str, line: Mapping[str, Any]) -> tuple[int, str]:
        """Note a line; how many tokens it adds, and a sentence for a log."""
        trial, before = self.trials[key], self.tokens[key]
        if "held_out_loss" in line and "loss" not in line:
            self.losses[key] = line["held_out_loss"]
            note = f"{trial.label}: held-out loss {line['held_out_loss']:.4f}"
        elif "failed" in line:
            self.losses[key] = None
            note = f"{trial.label}: failed ({line['failed']})"
        else:
            note = f"{trial.label}: training loss {line['loss']:.4f}"
        self.tokens[key] = max(before, int(line.get("tokens", before)))
        return self.tokens[key] - before, f"{len(self.losses)}/{len(self.trials)} trials, {note}"

    def states(self) -> dict[str, int]:
        """How many trials are waiting, running, done or failed."""
        done = sum(loss is not None for loss in self.losses.values())
        running = sum(tokens > 0 and key not in self.losses for key, tokens in self.tokens.items())
        failed = len(self.losses) - done
        waiting = len(self.trials) - done - running - failed
        return {"waiting": waiting, "running": running, "done": done, "failed": failed}

    def table(self) -> RenderableType:
        """A table for each variant: a row for each N, a column for each S, means over the seeds so far."""
        names = dict.fromkeys(trial.variant for trial in self.trials.values())
        return Group(*(self._variant(name) for name in names))

    def _variant(self, name: str) -> Table:
        points: dict[tuple[int, int], list[str]] = {}
        for key, trial in self.trials.items():
            if trial.variant == name:
                points.setdefault((trial.n_databases, trial.tokens), []).append(key)
        budgets = sorted({tokens for _, tokens in points})
        table = Table(title=f"Held-out loss {name}".rstrip(), **STYLE)
        table.add_column("databases", justify="right", style="bold")
        for tokens in budgets:
            table.add_column(f"{human_count(tokens)} tokens", justify="right")
        for n in sorted({n for n, _ in points}):
            table.add_row(str(n), *(self._point(points.get((n, tokens), [])) for tokens in budgets))
        return table

    def _point(self, keys: Sequence[str]) -> Text:
        """The mean loss of a point's finished runs and how many there are, or how far the first one is."""
        done = [key for key in keys if key in self.losses]
        known = [loss for key in done if (loss := self.losses[key]) is not None]
        if len(done) > len(known):
            return Text("failed", style="red")
        if known:
            part = "" if len(done) == len(keys) else f" {len(done)}/{len(keys)}"
            return Text(f"{np.mean(known):.4f}{part}", style="" if not part else "dim")
        share = sum(self.tokens[key] / self.trials[key].tokens for key in keys) / max(1, len(keys))
        return Text(f"{share:.0%}" if share else "·", style="dim")


@contextlib.contextmanager
def grid_display(display: GridDisplay) -> Iterator[Show]:
    """Show the grid above a bar of tokens while it is trained."""
    total = sum(display.trials[key].tokens for key in display.tokens)
    with bar("train grid", total, "tokens", above=display.table) as advance:

        def show(key: str, line: Mapping[str, Any]) -> None:
            amount, note = display.hear(key, line)
            metrics.count_tokens(amount)
            metrics.show_trials(display.states())
            advance(amount, note=note)

        metrics.show_trials(display.states())
        try:
            yield show
        finally:
            metrics.show_trials({})  # Ray goes on to export the last values of a driver that has ended
