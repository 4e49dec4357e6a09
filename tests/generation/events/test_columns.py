"""Columns: what they know of earlier events, which of them seldom change, and which cells are missing."""

import numpy as np
import pytest

from relscale.generation.events.config import WHOLE, ColumnPrior, KeyPrior, TimePrior
from relscale.generation.events.database import generate_events, hidden_and_shown
from relscale.generation.events.histories import Moments, earlier

PLAIN = WHOLE.replace(
    num_tables=(3, 5),
    rows_entity=(40, 80),
    rows_activity=(800, 1200),
    columns=ColumnPrior(laws=("normal",), missing_prob=0, history_prob=0),
).replace(meaning=WHOLE.meaning.replace(enabled=False))


@pytest.mark.parametrize("told", ["count", "sum", "mean", "last"])
def test_histories_are_what_a_loop_finds(told, rng):
    """Strictly earlier events of the same entity; unknown numbers do not count; nobody has no past."""
    rows = Moments(entity=rng.integers(-1, 6, 200), born=rng.integers(0, 50, 200))
    events = Moments(entity=rng.integers(-1, 6, 300), born=np.sort(rng.integers(0, 50, 300)))
    numbers, known = rng.standard_normal(300), rng.random(300) < 0.7
    values, empty = earlier(told, rows, events, numbers, known)
    for who, when, value, none in zip(rows.entity, rows.born, values, empty, strict=True):
        before = (events.entity == who) & (events.born < when) & (who >= 0)
        seen = numbers[before & known]
        if told in ("count", "sum"):
            assert not none
            assert value == pytest.approx(before.sum() if told == "count" else seen.sum(), abs=1e-9)
        else:
            assert none == (not len(seen))
            if len(seen):
                assert value == pytest.approx(seen.mean() if told == "mean" else seen[-1])


def repeats(config):
    """Share of an event's numbers that equal the entity's number before, over databases and columns."""
    shares = []
    for seed in range(8):
        rows, database = hidden_and_shown(seed, config)
        for name, table in database.tables.items():
            if table.time_col is None or not rows[name].keys:
                continue
            order = np.argsort(rows[name].keys[0], kind="stable")
            same = np.diff(rows[name].keys[0][order]) == 0
            for column in table.features():
                shares.append((np.diff(table.data[column].to_numpy()[order]) == 0)[same].mean())
    return np.array(shares)


def test_slow_columns_seldom_change():
    never = PLAIN.replace(columns=PLAIN.columns.replace(slow_prob=0.0))
    some = PLAIN.replace(columns=PLAIN.columns.replace(slow_prob=0.5, slow_change=(0.1, 0.1)))
    assert repeats(never).max() < 0.05
    slow = repeats(some)
    slow = slow[slow > 0.5]
    assert len(slow) > 10 and abs(np.median(slow) - 0.9) < 0.02


def test_cells_may_be_missing_in_early_rows():
    """By one of four laws; that of early rows alone ties a missing cell to the time."""
    config = PLAIN.replace(columns=PLAIN.columns.replace(missing_prob=1, missing_share=(0.2, 0.3)))
    ties = []
    for seed in range(12):
        for table in generate_events(seed, config).tables.values():
            for column in table.features() if table.time_col else ():
                missing = table.data[column].is_null().to_numpy()
                ties.append(np.corrcoef(missing, np.arange(len(missing)))[0, 1])
    ties = np.array(ties)
    assert (ties < -0.3).mean() > 0.1, "early rows"
    assert (ties > 0.3).mean() < 0.05, "not late ones"


def test_children_in_a_forest_resemble_the_row_above():
    """With no traits a row knows of the row above by its columns alone."""
    config = PLAIN.replace(
        traits=WHOLE.traits.replace(enabled=False),
        keys=KeyPrior(self_prob=1),
        rows_entity=(400, 500),
        columns=ColumnPrior(
            mechanisms=("linear",), laws=("normal",), missing_prob=0, signal_share=(0.9, 0.9),
            parent_share=(0.8, 0.8),
        ),
    )  # fmt: skip
    told = []
    for seed in range(10):
        rows, database = hidden_and_shown(seed, config)
        for name, table in database.tables.items():
            self_keys = [
                k for k, parent in zip(rows[name].keys, table.fkeys.values(), strict=True) if parent == name
            ]
            for of in self_keys:
                there = of >= 0
                columns = [table.data[c].to_numpy() for c in table.features()]
                for i, child in enumerate(columns):
                    above = [np.corrcoef(child[there], other[of[there]])[0, 1] ** 2 for other in columns[:i]]
                    told += [max(above)] if above else []
    assert len(told) > 10 and np.mean(told) > 0.05


def test_two_classes_may_be_all_that_there_are():
    config = WHOLE.replace(columns=ColumnPrior(classes=(2, 2)), num_tables=(3, 4), rows_activity=(300, 500))
    for seed in range(10):
        generate_events(seed, config)


def test_partners_are_seldom_gone():
    """Loyal entities may still meet one that has gone."""
    config = PLAIN.replace(time=TimePrior(leaving=(0.5, 0.5)))
    gone, all_ = 0, 0
    for seed in range(10):
        rows, database = hidden_and_shown(seed, config)
        for name, table in database.tables.items():
            if table.time_col is None:
                continue
            for of, parent in zip(rows[name].keys[1:], list(table.fkeys.values())[1:], strict=True):
                there = of >= 0
                gone += (rows[parent].died[of[there]] <= rows[name].born[there]).sum()
                all_ += there.sum()
    assert all_ > 2000 and gone / all_ < 0.1
