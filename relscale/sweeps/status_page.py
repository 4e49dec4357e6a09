"""What `relscale status` prints: how far the work is, the running trials, failures, the cluster."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relscale.platform import remote
from relscale.platform.dashboard import ClusterStatus
from relscale.platform.progress import human_count, human_seconds
from relscale.sweeps.status import Part, Status, TrialStatus
from relscale.sweeps.summary import STYLE

SHOWN = 20
"""Running trials that are listed."""


def status_page(status: Status, cluster: ClusterStatus | None = None) -> RenderableType:
    """Lay out a status for a terminal."""
    facts = [*_facts(status), *(_cluster_facts(cluster) if cluster else ())]
    table = Table.grid(padding=(0, 2))
    for name, sentence in facts:
        table.add_row(Text(name, style="dim"), Text(sentence))
    running = [trial for trial in status.trials if trial.state in ("running", "stopped")]
    parts: list[RenderableType] = [Text(f"{status.kind} {status.name}: {status.stage}", style="bold"), table]
    if running:
        parts.append(_running_table(running))
    return Group(*parts, *map(Text, _failures(status.trials)))


def _facts(status: Status) -> Iterator[tuple[str, str]]:
    if status.at_work:
        yield "at work", "a process of this machine"
    elif not status.finished and not status.count("running"):
        yield "at work", "none on this machine; the command that began it goes on with it"
    if status.corpora:
        yield "databases", "; ".join(map(_part, status.corpora))
    if status.stores:
        yield "token stores", "; ".join(map(_part, status.stores))
    if status.trials:
        yield "trials", _trials(status)
    if status.spending:
        yield "spent", _spent(status)
    if status.report:
        yield "report", remote.shown(status.report)


def _part(part: Part) -> str:
    wanted = "" if part.wanted is None else f" of {part.wanted:,}"
    refused = f" ({part.refused:,} seeds refused)" if part.refused else ""
    return f"{part.name} {part.done:,}{wanted}{refused}"


def _trials(status: Status) -> str:
    counts = [f"{status.count('done')} of {len(status.trials)} done"]
    for state in ("running", "stopped", "waiting", "failed"):
        if count := status.count(state):
            counts.append(f"{count} {state}")
    if status.seconds_left is not None:
        counts.append(f"{human_count(round(status.tokens_per_second))} tokens/s")
        counts.append(f"about {human_seconds(status.seconds_left)} left")
    return ", ".join(counts)


def _spent(status: Status) -> str:
    spending = status.spending or {}
    hours = ", ".join(f"{group} {value:.2f} h" for group, value in spending["node_hours"].items())
    return (
        f"about ${spending['dollars']:.2f} ({hours}) at ${spending['dollars_per_hour']:.2f} an hour last seen"
    )


def _running_table(trials: Sequence[TrialStatus]) -> Table:
    table = Table(**STYLE)
    for name in ("trial", "trained", "loss", "tokens/s", "last line"):
        table.add_column(name, justify="left" if name == "trial" else "right", no_wrap=True)
    for trial in trials[:SHOWN]:
        line = trial.line or {}
        ago = "—" if trial.age is None else f"{human_seconds(trial.age)} ago"
        table.add_row(
            trial.label,
            f"{trial.tokens_done / trial.tokens:.0%}",
            f"{line['loss']:.4f}" if line else "—",
            human_count(round(line["tokens_per_second"])) if line else "—",
            f"{ago}, stopped" if trial.state == "stopped" else ago,
        )
    if len(trials) > SHOWN:
        table.add_row(f"and {len(trials) - SHOWN} more")
    return table


def _failures(trials: Sequence[TrialStatus]) -> Iterator[str]:
    """A sentence for each reason, with the trials that it ended."""
    by_reason = defaultdict(list)
    for trial in trials:
        if trial.reason is not None:
            by_reason[trial.reason].append(trial.label)
    for reason, labels in by_reason.items():
        yield f"failed: {', '.join(labels)} ({reason})"


def _cluster_facts(cluster: ClusterStatus) -> Iterator[tuple[str, str]]:
    nodes = ", ".join(f"{count} {group}" for group, count in sorted(cluster.nodes.items()))
    yield "nodes", nodes or "none"
    waiting = [f"{count} x {{{asked}}}" for asked, count in cluster.demand.items()]
    yield "waiting for", ", ".join([*waiting, *cluster.coming]) or "nothing"
    for job in cluster.jobs:
        yield "job", job
