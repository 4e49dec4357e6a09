"""Statistics of a database and its hidden rows, which tell mechanisms of the prior relational-events apart.

Each takes the rows of all tables by name and the database, and gives one number for each table, key or column
that it applies to.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from relscale.generation.database import Database
from relscale.generation.events.laws import DAY
from relscale.generation.events.rows import Rows


def events(database: Database) -> list:
    """Tables of events: with a time and keys."""
    return [
        table
        for table in database.tables.values()
        if table.time_col and table.fkeys and len(table.data) > 200
    ]


def explained_by_last(k: int) -> Callable[..., Iterable[float]]:
    """R2 of the mean of an entity's last k values with its next, for columns of numbers of event tables."""

    def measure(rows: dict[str, Rows], database: Database) -> Iterable[float]:
        for table in events(database):
            entity = rows[table.name].keys[0]
            order = np.argsort(entity, kind="stable")
            for name in table.features():
                values = table.data[name]
                if not pa.types.is_floating(values.type) or values.null_count:
                    continue
                numbers = values.to_numpy()[order]
                inside = entity[order][k:] == entity[order][:-k]
                past = np.lib.stride_tricks.sliding_window_view(numbers, k)[:-1].mean(axis=1)
                if inside.sum() > 100:
                    yield float(np.corrcoef(past[inside], numbers[k:][inside])[0, 1] ** 2)

    return measure


def group_share(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Share of an event's state between entities, beyond chance."""
    for table in events(database):
        mine = rows[table.name]
        counts = np.bincount(mine.keys[0])
        sums = np.stack([np.bincount(mine.keys[0], row) for row in mine.state])
        total = (sums**2 / np.maximum(counts, 1)).sum() / mine.state.size
        yield float(total - (counts > 0).sum() / len(mine))


def community_share(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Share of entities' traits between communities, beyond chance."""
    for name, mine in rows.items():
        if database.tables[name].time_col is None and len(mine) > 50:
            counts = np.bincount(mine.community)
            sums = np.stack([np.bincount(mine.community, row) for row in mine.state])
            total = (sums**2 / np.maximum(counts, 1)).sum() / mine.state.size
            yield float(total - (counts > 0).sum() / len(mine))


def gap_variation(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Coefficient of variation of the gaps between an entity's events; 1 for a Poisson process of even
    rate."""
    for table in events(database):
        mine = rows[table.name]
        order = np.lexsort((mine.born, mine.keys[0]))
        gaps, same = np.diff(mine.born[order]), np.diff(mine.keys[0][order]) == 0
        if same.sum() > 100:
            entity = mine.keys[0][order][1:][same]
            mean = np.bincount(entity, gaps[same]) / np.maximum(np.bincount(entity), 1)
            ratio = gaps[same] / np.maximum(mean[entity], 1)
            yield float(ratio.std())


def cycle_strength(days: float) -> Callable[..., Iterable[float]]:
    """Length of the mean unit vector of the events' phases in a cycle (Rayleigh)."""

    def measure(rows: dict[str, Rows], database: Database) -> Iterable[float]:
        for table in events(database):
            phase = 2 * np.pi * (rows[table.name].born / DAY / days % 1)
            if days >= 1 and len(np.unique(rows[table.name].born % DAY)) > 1:
                yield float(abs(np.exp(1j * phase).mean()))

    return measure


def too_young(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Share of keys to a row that came to be later; all entities are taken as they came to be."""
    for table in database.tables.values():
        for of, parent in zip(rows[table.name].keys, table.fkeys.values(), strict=True):
            there = of >= 0
            yield float((rows[parent].born[of[there]] > rows[table.name].born[there]).mean())


def gini(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Inequality of the numbers of children of a partner's rows."""
    for table in events(database):
        for of, parent in list(zip(rows[table.name].keys, table.fkeys.values(), strict=True))[1:]:
            counts = np.sort(np.bincount(of[of >= 0], minlength=len(rows[parent])))
            n = len(counts)
            if n > 50 and counts.sum() > 500:
                yield float(2 * (np.arange(1, n + 1) * counts).sum() / (n * counts.sum()) - (n + 1) / n)


def repeats(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Share of an entity's events with the partner of the one before."""
    for table in events(database):
        keys = rows[table.name].keys
        if len(keys) > 1:
            order = np.argsort(keys[0], kind="stable")
            same = np.diff(keys[0][order]) == 0
            if len(np.unique(keys[1])) > 40:
                yield float((np.diff(keys[1][order])[same] == 0).mean())


def same_block(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Mutual information, in bits, of the communities of both ends of a partner's key."""
    for table in events(database):
        for of, parent in list(zip(rows[table.name].keys, table.fkeys.values(), strict=True))[1:2]:
            there = of >= 0
            mine, theirs = rows[table.name].community[there], rows[parent].community[of[there]]
            joint = np.histogram2d(
                mine, theirs, bins=(np.arange(mine.max() + 2), np.arange(theirs.max() + 2))
            )[0]
            joint /= joint.sum()
            product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
            yield float((joint[joint > 0] * np.log2(joint[joint > 0] / product[joint > 0])).sum())


def signal(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """R2 of a linear fit of a column on the row's hidden state, for columns of numbers without parents."""
    for table in database.tables.values():
        for name in table.features() if not table.fkeys else ():
            values = table.data[name]
            if pa.types.is_floating(values.type) and not values.null_count and len(values) > 50:
                numbers, state = values.to_numpy(), rows[table.name].state.T.astype(float)
                design = np.concatenate([state, np.ones((len(state), 1))], axis=1)
                rest = numbers - design @ np.linalg.lstsq(design, numbers, rcond=None)[0]
                yield float(1 - rest.var() / numbers.var())


def missing(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Largest AUC, from 0.5 up, with which another column of numbers tells where a cell is missing."""
    for table in database.tables.values():
        columns = [c for c in table.features() if pa.types.is_floating(table.data[c].type)]
        for name in columns:
            mask = table.data[name].is_null().to_numpy()
            if not 20 < mask.sum() < len(mask) - 20 or len(columns) < 2:
                continue
            found = [0.5]
            for other in columns:
                known = table.data[other].is_valid().to_numpy()
                if other != name and mask[known].any():
                    ranks = np.argsort(np.argsort(table.data[other].filter(pa.array(known)).to_numpy()))
                    n = mask[known].sum()
                    auc = (ranks[mask[known]].sum() - n * (n - 1) / 2) / (n * (known.sum() - n))
                    found.append(max(auc, 1 - auc))
            yield max(found)


def alike(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Minus the deviation of the missing shares of a database's columns that have any."""
    shares = [
        table.data[c].null_count / len(table.data)
        for table in database.tables.values()
        for c in table.features()
        if table.data[c].null_count
    ]
    if len(shares) > 3:
        yield -float(np.std(shares))


def roots(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Share of rows without a parent in a table's key to itself."""
    for table in database.tables.values():
        for of, parent in zip(rows[table.name].keys, table.fkeys.values(), strict=True):
            if parent == table.name:
                yield float((of < 0).mean())


def n_tasks(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Forecast tasks that pass the checks."""
    return [float(len(database.tasks))]


def between_parents(rows: dict[str, Rows], database: Database) -> Iterable[float]:
    """Share of the variance of an event's numbers between the rows of its first key, beyond chance."""
    for table in events(database):
        groups = np.unique(rows[table.name].keys[0], return_inverse=True)[1]
        sizes = np.bincount(groups)
        for name in table.features():
            if pa.types.is_floating(table.data[name].type) and not table.data[name].null_count:
                ranks = rankdata(table.data[name].to_numpy())
                means = np.bincount(groups, ranks) / sizes
                share = (sizes * (means - ranks.mean()) ** 2).sum() / (len(ranks) * ranks.var())
                by_chance = (len(sizes) - 1) / (len(ranks) - 1)
                yield float((share - by_chance) / (1 - by_chance))


def told_by_names(others: Callable[[], Iterable[Database]]) -> Callable[..., Iterable[float]]:
    """Correlation of the sizes of a database's numbers with those of columns of the same names in others."""

    @functools.cache
    def known() -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for other in others():
            for name, size in _sizes(other):
                found.setdefault(name, []).append(size)
        return {name: float(np.mean(sizes)) for name, sizes in found.items()}

    def measure(rows: dict[str, Rows], database: Database) -> Iterable[float]:
        pairs = [(known()[name], size) for name, size in _sizes(database) if name in known()]
        if len(pairs) >= 8 and all(np.ptp(side) > 0 for side in zip(*pairs, strict=True)):
            yield float(np.corrcoef(np.array(pairs).T)[0, 1])

    return measure


def _sizes(database: Database) -> Iterable[tuple[str, float]]:
    """Columns of numbers, and the logarithm of the median of their absolute values."""
    for table in database.tables.values():
        for name in table.features():
            kind = table.data[name].type
            numbers = table.data[name].drop_null()
            if (pa.types.is_floating(kind) or pa.types.is_integer(kind)) and len(numbers):
                yield name, float(np.log1p(np.median(np.abs(numbers.to_numpy()))))
