"""What a person sees while work runs: bars on a terminal, plain lines in a log."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(highlight=False)
"""The one place that relscale prints to."""

SECONDS_BETWEEN_LINES = 5.0
SECONDS_OF_PACE = 60.0
"""Pace and time left are those of the last so many seconds: work that was found done soon does not count."""

Advance = Callable[..., None]
"""`advance(amount=1, note="")`: so much more is done; `note` stands beside the bar."""


@contextlib.contextmanager
def bar(
    label: str, total: float, unit: str, above: Callable[[], RenderableType] | None = None
) -> Iterator[Advance]:
    """Show the progress of `total` units of work; yields the function that advances it.

    `above` draws what stands above the bar on a terminal.

    On a terminal it is a bar with the pace and the time left; elsewhere a line with them for a tenth of the
    work, five seconds apart at least, and one for its end, so that the log of a submitted job stays readable.
    """
    with (
        _terminal_bar(label, total, unit, above)
        if console.is_terminal
        else _log_lines(label, total, unit) as advance
    ):
        yield advance


@contextlib.contextmanager
def stages(label: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage of a job; yields `progress(unit, done, total)`: a new unit opens a new bar."""
    unit, seen = "", 0
    with contextlib.ExitStack() as open_bar:
        advance: Advance | None = None

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal unit, seen, advance
            if advance is None or stage != unit:
                open_bar.close()
                unit, seen = stage, 0
                advance = open_bar.enter_context(bar(label, total, stage))
            advance(done - seen)
            seen = done

        yield progress


class _Below(Progress):
    """Bars below something else."""

    above: Callable[[], RenderableType] | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        if self.above is not None:
            yield self.above()
        yield from super().get_renderables()


@contextlib.contextmanager
def _terminal_bar(
    label: str, total: float, unit: str, above: Callable[[], RenderableType] | None
) -> Iterator[Advance]:
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with _Below(*columns, console=console, speed_estimate_period=SECONDS_OF_PACE) as display:
        display.above = above
        task = display.add_task(f"{label:<12}", total=total, count=_count(0, total, unit), pace="", note="")

        def advance(amount: float = 1, note: str = "") -> None:
            display.advance(task, amount)
            shown = display.tasks[task]
            pace = f"{human_count(shown.speed)}/s" if shown.speed else ""
            display.update(task, count=_count(shown.completed, total, unit), pace=pace, note=note)

        yield advance


@contextlib.contextmanager
def _log_lines(label: str, total: float, unit: str) -> Iterator[Advance]:
    started = last = time.monotonic()
    done, tenths = 0.0, 0
    seen = deque([(started, 0.0)])

    def advance(amount: float = 1, note: str = "") -> None:
        nonlocal done, tenths, last
        before, done, now = done, done + amount, time.monotonic()
        seen.append((now, done))
        while len(seen) > 2 and now - seen[1][0] > SECONDS_OF_PACE:
            seen.popleft()
        ends = before < total <= done
        tenth = int(10 * done / total) if total else 10
        if ends or (tenth > tenths and now - last >= SECONDS_BETWEEN_LINES):
            tenths, last = tenth, now
            pace = (done - seen[0][1]) / max(now - seen[0][0], 1e-9)
            left = "" if ends or not pace else f", {human_seconds((total - done) / pace)} left"
            line = (
                f"{label:<12} {_count(done, total, unit)}  {human_seconds(now - started)}, "
                f"{human_count(pace)}/s{left}  {note}"
            )
            console.print(line.rstrip(), soft_wrap=True)

    yield advance


def _count(done: float, total: float, unit: str) -> str:
    return f"{human_count(done)}/{human_count(total)} {unit}"


def human_count(value: float) -> str:
    """A count in a reader's digits: 8, 1,024, 524 M, 33.6 B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e4)):
        if value >= 0.9995 * size:
            divisor = 1e3 if unit == "K" else size
            return f"{float(f'{value / divisor:.3g}'):,.10g} {unit}"
    return f"{value:,.10g}" if value == int(value) else f"{value:.3g}"


def human_bytes(count: float) -> str:
    """Bytes in a reader's digits, by powers of ten: 999 B, 16.4 KB, 524 MB, 33.6 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= 0.9995 * size:
            return f"{float(f'{count / size:.3g}'):,.10g} {unit}"
    return f"{count:.0f} B"


def human_seconds(seconds: float) -> str:
    """A duration in a reader's digits: 8 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
