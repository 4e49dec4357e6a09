"""What `relscale plan` prints: trials, stages, storage, what a trial needs, and all of it in one sentence."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relscale.platform.progress import human_bytes, human_count, human_seconds
from relscale.sweeps.budget import Plan
from relscale.sweeps.summary import STYLE


def plan_page(plan: Plan, cost: Mapping[str, float] | None = None) -> RenderableType:
    """Lay out a plan for a terminal; `cost` is {stage: dollars}, where prices are known."""
    return Group(
        *(trial_table(plan, variant) for variant in plan.samples),
        stage_table(plan, cost or {}),
        at_once_table(plan),
        *(Text(line) for line in notes(plan)),
        Text(f"\n{sentence(plan)}{cost_sentence(cost) if cost else ''}", style="bold"),
    )


def trial_table(plan: Plan, variant: str) -> Table:
    """A column for each S: what each of its trials takes, then, for each N, how often cells come by."""
    trials = {(t.n_databases, t.tokens): t for t in plan.trials if t.variant == variant}
    numbers, budgets = (sorted(set(axis)) for axis in zip(*trials, strict=True))
    seeds = len({trial.seed for trial in plan.trials})
    size = f"{len(numbers)} N x {len(budgets)} S x {seeds} seed{'s' if seeds > 1 else ''}"
    table = Table(title=f"{plan.name}{_of(variant)}: {size}", **STYLE)
    table.add_column("tokens (S)", style="bold")
    for tokens in budgets:
        table.add_column(human_count(tokens), justify="right")
    of_budget = [trials[numbers[0], tokens] for tokens in budgets]
    table.add_row("steps", *(f"{trial.steps:,}" for trial in of_budget))
    table.add_row("tokens trained", *(human_count(trial.new_tokens) for trial in of_budget))
    times = [human_seconds(trial.train_seconds + trial.score_seconds) for trial in of_budget]
    table.add_row("time", *times, end_section=True)
    for count in ("epochs", "views"):
        for n in numbers:
            cells = [_short(getattr(trials[n, tokens], count)) for tokens in budgets]
            table.add_row(f"{count}, N={n}", *cells, end_section=n == numbers[-1])
    return table


def stage_table(plan: Plan, cost: Mapping[str, float]) -> Table:
    """Where the hours go, one thing at a time, and the dollars."""
    table = Table(title="Stages, one thing at a time", **STYLE)
    for name in ("stage", "work", "time", "share", *(["cost"] if cost else [])):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in plan.stages:
        share = stage.hours / plan.hours
        dollars = [f"${cost[stage.name]:,.2f}"] if cost else []
        table.add_row(stage.name, stage.work, human_seconds(3600 * stage.hours), f"{share:.1%}", *dollars)
    return table


def at_once_table(plan: Plan) -> Table:
    """How long the grid takes with more trials at once."""
    table = Table(title="The grid with so many trials at once", **STYLE)
    for count, _ in plan.at_once:
        table.add_column(str(count), justify="right")
    table.add_row(*(human_seconds(3600 * hours) for _, hours in plan.at_once))
    return table


def notes(plan: Plan) -> list[str]:
    """What a trial needs, what lies on disk, and what the numbers rest on."""
    disk = plan.storage
    return [
        f"A trial needs {plan.needs.sentence}; generating and tokenizing take 1 CPU and up to "
        f"{human_bytes(plan.generation_mb * 2**20)} of memory a task.",
        f"On disk: corpus {human_bytes(disk['corpus'])}, token store {human_bytes(disk['store'])}, "
        f"checkpoints {human_bytes(disk['checkpoints'])}, and {human_bytes(disk['running_trial'])} for each "
        "trial while it runs.",
        *(
            f"Pace of a trial{_of(variant)}, {pace.source}: {human_count(round(pace.training))} tokens/s in "
            f"training, {human_count(round(pace.scoring))} in scoring."
            for variant, pace in plan.paces.items()
        ),
        *(
            f"Cells of {len(sample.cells)} databases{_of(variant)} are counted; where a trial has more, "
            f"epochs and views are within {2 * sample.relative_error:.0%} (two standard errors)."
            for variant, sample in plan.samples.items()
        ),
    ]


def _of(variant: str) -> str:
    return f" of {variant}" if variant else ""


def sentence(plan: Plan) -> str:
    """The totals."""
    seeds = len({trial.seed for trial in plan.trials})
    spared = 1 - plan.new_tokens / sum(trial.tokens for trial in plan.trials)
    trunk = f" ({spared:.0%} fewer than without shared trunks)" if spared else ""
    here = f"{plan.here} at once, as here" if plan.here else f"{plan.at_once[-1][0]} at once"
    hours = dict(plan.at_once).get(plan.here or 0, plan.at_once[-1][1])
    total = sum(plan.storage[part] for part in ("corpus", "store", "checkpoints"))
    return (
        f"{len(plan.trials)} trials ({seeds} seed{'s' if seeds > 1 else ''}) train on "
        f"{human_count(plan.new_tokens)} tokens{trunk} in {human_seconds(3600 * plan.hours)} one at a time, "
        f"the grid in {human_seconds(3600 * hours)} with {here}, and leave {human_bytes(total)}."
    )


def cost_sentence(cost: Mapping[str, float]) -> str:
    """The total in dollars, and what is not in it."""
    return (
        f" Machines at work cost ${sum(cost.values()):,.2f}; the head, idle machines and storage come on top."
    )


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else human_count(round(value))
