"""Does each mechanism of the prior relational-events do what it says, and what does a cell cost?

    python benchmarks/prior.py [--databases 100] [--figures docs/images]

Prints a statistic for each mechanism with the mechanism off (or weak) and on (or strong), over so many
databases for each, with an interval of 95 % over databases, and the time of a cell of both main presets
against the default generator. Exit code 1 where on and off do not part as stated. With --figures it draws
what docs/prior.md shows.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from prior_measures import (
    alike,
    between_parents,
    community_share,
    cycle_strength,
    explained_by_last,
    gap_variation,
    gini,
    group_share,
    missing,
    n_tasks,
    repeats,
    roots,
    same_block,
    signal,
    told_by_names,
    too_young,
)
from record import write_record

from relscale.generation.admission import admit
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, generate_database
from relscale.generation.events.config import (
    EVENTS_PRESETS,
    WHOLE,
    ColumnPrior,
    EventsConfig,
    ForecastPrior,
    KeyPrior,
    StylePrior,
    TimePrior,
    TraitPrior,
)
from relscale.generation.events.database import generate_events, hidden_and_shown
from relscale.generation.events.rows import Rows

PLAIN_COLUMNS = ColumnPrior(mechanisms=("linear",), laws=("normal",), missing_prob=0, history_prob=0)
BASE = WHOLE.replace(
    num_tables=(3, 6),
    rows_entity=(60, 120),
    rows_activity=(1500, 2500),
    num_columns=(4, 8),
    meaning=WHOLE.meaning.replace(enabled=False),
    forecasts=ForecastPrior(enabled=False),
    style=StylePrior(enabled=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A statistic of a database, and two configurations that it must tell apart: low below high."""

    mechanism: str
    statistic: str
    measure: Callable[[dict[str, Rows], Database], Iterable[float]]
    low: EventsConfig
    high: EventsConfig
    names: tuple[str, str] = ("off", "on")


def main() -> None:
    """Measure all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, default=100, metavar="N", help="for each of both")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw those of docs/prior.md")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/prior.json"), metavar="FILE")
    args = parser.parse_args()
    rows, failed = [], []
    for comparison in COMPARISONS:
        found = [
            values_of(comparison, config, args.databases) for config in (comparison.low, comparison.high)
        ]
        intervals = [interval(values) for values in found]
        parted = intervals[0][2] < intervals[1][1]
        failed += [] if parted else [comparison.statistic]
        rows.append(
            {"mechanism": comparison.mechanism, "statistic": comparison.statistic, "intervals": intervals}
        )
        cells = [
            f"{name}: {m:.3f} [{a:.3f}, {b:.3f}]"
            for name, (m, a, b) in zip(comparison.names, intervals, strict=True)
        ]
        verdict = "" if parted else "NOT PARTED"
        print(
            f"{comparison.mechanism:10s} {comparison.statistic:62s} {cells[0]:34s} {cells[1]:34s}",
            verdict,
            flush=True,
        )
    for measure, name in product((speed, admitted), ("events-2", "events-1")):
        rows.append(measure(name, EVENTS_PRESETS[name], args.databases))
        print(rows[-1]["statistic"], flush=True)
    write_record(args.out, measurements=rows)
    if args.figures:
        draw(args.figures)
    sys.exit(bool(failed))


def values_of(comparison: Comparison, config: EventsConfig, n_databases: int) -> np.ndarray:
    """The statistic's mean for each database that has one."""
    means = []
    for seed in range(n_databases):
        values = [v for v in comparison.measure(*hidden_and_shown(seed, config)) if np.isfinite(v)]
        if values:
            means.append(np.mean(values))
    return np.array(means)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over databases, and its 95 % interval by the normal law."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def with_parts(**parts: object) -> EventsConfig:
    """The base with some of its parts replaced."""
    return BASE.replace(columns=parts.pop("columns", PLAIN_COLUMNS), **parts)


TRAIT = with_parts(traits=TraitPrior(event_share=(0.95, 0.95), drift_share=(0, 0)))
CHANGING = with_parts(
    traits=TraitPrior(event_share=(0.95, 0.95), drift_share=(0.9, 0.9), persistence=(0.8, 0.8))
)
NO_BURST = TimePrior(
    burst_share=(0, 0),
    regular_prob=0,
    cycle=(0, 0),
    leaving=(0, 0),
    founders=(1, 1),
    trend=(0, 0),
    rate_trend=(0, 0),
)
ASKED = {
    "forecasts": ForecastPrior(num_tasks=(4, 4), train_windows=(10, 10), aggregates=("mean", "next")),
    "columns": PLAIN_COLUMNS.replace(parent_share=(0, 0)),
    "time": NO_BURST,
}
NAMED_COLUMNS = ColumnPrior(missing_prob=0)
OTHERS = range(10_000, 10_150)


def named_elsewhere() -> Iterable[Database]:
    """Databases with and without meaning, to learn from what names stand for."""
    for meaning in (BASE.meaning, WHOLE.meaning):
        config = BASE.replace(columns=NAMED_COLUMNS, rows_activity=(100, 200), meaning=meaning)
        yield from (generate_events(seed, config) for seed in OTHERS)


COMPARISONS = (
    Comparison(
        mechanism="traits",
        statistic="state of events between entities (share of variance)",
        measure=group_share,
        low=with_parts(traits=TraitPrior(enabled=False)),
        high=TRAIT,
    ),
    Comparison(
        mechanism="traits",
        statistic="R2 of the mean of the last 5, by event_share 0.2 and 0.95",
        measure=explained_by_last(5),
        low=with_parts(traits=TraitPrior(event_share=(0.2, 0.2), drift_share=(0, 0))),
        high=TRAIT,
        names=("0.2", "0.95"),
    ),
    Comparison(
        mechanism="traits",
        statistic="R2 of the last 20 where traits drift, and where they stay",
        measure=explained_by_last(20),
        low=CHANGING,
        high=TRAIT,
        names=("drift", "stay"),
    ),
    Comparison(
        mechanism="traits",
        statistic="traits between communities, by community_share 0 and 0.5",
        measure=community_share,
        low=with_parts(traits=TraitPrior(community_share=(0, 0))),
        high=with_parts(traits=TraitPrior(community_share=(0.5, 0.5))),
        names=("0", "0.5"),
    ),
    Comparison(
        mechanism="time",
        statistic="variation of an entity's gaps: regular, Poisson",
        measure=gap_variation,
        low=with_parts(time=NO_BURST.replace(regular_prob=1)),
        high=with_parts(time=NO_BURST),
        names=("regular", "Poisson"),
    ),
    Comparison(
        mechanism="time",
        statistic="variation of an entity's gaps: Poisson, half of them in bursts",
        measure=gap_variation,
        low=with_parts(time=NO_BURST),
        high=with_parts(time=NO_BURST.replace(burst_share=(0.5, 0.5))),
        names=("Poisson", "bursts"),
    ),
    Comparison(
        mechanism="time",
        statistic="weekly cycle (Rayleigh), by cycle 0 and 0.8",
        measure=cycle_strength(7),
        low=with_parts(time=NO_BURST.replace(whole_days_prob=0)),
        high=with_parts(time=NO_BURST.replace(whole_days_prob=0, cycle=(0.8, 0.8))),
        names=("0", "0.8"),
    ),
    Comparison(
        mechanism="time",
        statistic="daily cycle (Rayleigh), by cycle 0 and 0.8",
        measure=cycle_strength(1),
        low=with_parts(time=NO_BURST.replace(whole_days_prob=0)),
        high=with_parts(time=NO_BURST.replace(whole_days_prob=0, cycle=(0.8, 0.8))),
        names=("0", "0.8"),
    ),
    Comparison(
        mechanism="forecasts",
        statistic="tasks about values that pass the checks, without and with traits",
        measure=n_tasks,
        low=with_parts(traits=TraitPrior(enabled=False), **ASKED),
        high=with_parts(traits=TRAIT.traits, **ASKED),
    ),
    Comparison(
        mechanism="keys",
        statistic="inequality of children (Gini), by popularity 0 and 1.5",
        measure=gini,
        low=with_parts(keys=KeyPrior(popularity=(0, 0), loyalty=(0, 0))),
        high=with_parts(keys=KeyPrior(popularity=(1.5, 1.5), loyalty=(0, 0))),
        names=("0", "1.5"),
    ),
    Comparison(
        mechanism="keys",
        statistic="partner as in the event before, by loyalty 0 and 0.6",
        measure=repeats,
        low=with_parts(keys=KeyPrior(loyalty=(0, 0))),
        high=with_parts(keys=KeyPrior(loyalty=(0.6, 0.6))),
        names=("0", "0.6"),
    ),
    Comparison(
        mechanism="keys",
        statistic="information between communities of both ends, by coupling 0.3 and 1",
        measure=same_block,
        low=with_parts(keys=KeyPrior(coupling=(0.3, 0.3), diagonal=(0.9, 0.9), moving_prob=0)),
        high=with_parts(keys=KeyPrior(coupling=(1, 1), diagonal=(0.9, 0.9), moving_prob=0)),
        names=("0.3", "1"),
    ),
    Comparison(
        mechanism="keys",
        statistic="roots of forests, by root_share 0.1 and 0.4",
        measure=roots,
        low=with_parts(keys=KeyPrior(self_prob=1, root_share=(0.1, 0.1))),
        high=with_parts(keys=KeyPrior(self_prob=1, root_share=(0.4, 0.4))),
        names=("0.1", "0.4"),
    ),
    Comparison(
        mechanism="columns",
        statistic="R2 of a linear column on the hidden state, by signal_share 0.2 and 0.95",
        measure=signal,
        low=with_parts(columns=PLAIN_COLUMNS.replace(signal_share=(0.2, 0.2))),
        high=with_parts(columns=PLAIN_COLUMNS.replace(signal_share=(0.95, 0.95))),
        names=("0.2", "0.95"),
    ),
    Comparison(
        mechanism="columns",
        statistic="numbers between parent rows (share of variance), by parent_share 0 and 0.9",
        measure=between_parents,
        low=with_parts(columns=PLAIN_COLUMNS.replace(parent_share=(0, 0)), traits=TraitPrior(enabled=False)),
        high=with_parts(
            columns=PLAIN_COLUMNS.replace(parent_share=(0.9, 0.9)), traits=TraitPrior(enabled=False)
        ),
        names=("0", "0.9"),
    ),
    Comparison(
        mechanism="columns",
        statistic="AUC of another column for a missing cell: at random, and by all laws",
        measure=missing,
        low=with_parts(columns=ColumnPrior(enabled=False, missing_prob=1, missing_share=(0.2, 0.2))),
        high=with_parts(columns=PLAIN_COLUMNS.replace(missing_prob=1, missing_share=(0.2, 0.2))),
    ),
    Comparison(
        mechanism="meaning",
        statistic="size of numbers with that of columns so named elsewhere (correlation)",
        measure=told_by_names(named_elsewhere),
        low=BASE.replace(columns=NAMED_COLUMNS),
        high=BASE.replace(columns=NAMED_COLUMNS, meaning=WHOLE.meaning),
    ),
    Comparison(
        mechanism="style",
        statistic="minus deviation of missing shares within a database",
        measure=alike,
        low=with_parts(columns=PLAIN_COLUMNS.replace(missing_prob=0.8)),
        high=with_parts(
            columns=PLAIN_COLUMNS.replace(missing_prob=0.8), style=StylePrior(concentration=(15, 15))
        ),
    ),
)


def speed(name: str, config: EventsConfig, n_databases: int) -> dict:
    """Microseconds of a cell, turn about with the default generator."""
    configs = [(generate_events, config), (generate_database, GeneratorConfig())]
    costs = np.zeros((len(configs), n_databases))
    for seed in range(n_databases + 2):
        for i, (generate, one) in enumerate(configs):
            started = time.perf_counter()
            n_cells = generate(seed, one).n_cells
            if seed >= 2:  # the first ones compile and read
                costs[i, seed - 2] = 1e6 * (time.perf_counter() - started) / n_cells
    ours, default = np.median(costs, axis=1)
    return {
        "mechanism": "speed",
        "statistic": f"{name}: a cell takes {ours:.2f} us, one of the default generator {default:.2f}: "
        f"ratio {ours / default:.2f} (bar 1.5)",
        "ratio": ours / default,
    }


def admitted(name: str, config: EventsConfig, n_databases: int) -> dict:
    """Databases that admission takes, keys that lead to later rows, and tasks."""
    taken, young, n_tasks = 0, 0.0, 0
    for seed in range(n_databases):
        rows, database = hidden_and_shown(seed, config)
        taken += admit(database) is None
        young = max(young, *too_young(rows, database))
        n_tasks += len(database.tasks)
    return {
        "mechanism": "whole",
        "statistic": f"{name}: {taken} of {n_databases} admitted; largest share of keys to later rows {young}"
        f"; {n_tasks / n_databases:.1f} forecast tasks a database",
        "admitted": taken,
    }


def draw(folder: Path) -> None:
    """The figures of docs/prior.md."""
    from prior_figures import draw_all

    folder.mkdir(parents=True, exist_ok=True)
    draw_all(folder)


if __name__ == "__main__":
    main()
