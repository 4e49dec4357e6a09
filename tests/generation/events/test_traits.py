"""Hidden traits: seen in an entity's events, the more its past tells; absent where they are switched off."""

import numpy as np
import pyarrow as pa
import pytest

from relscale.generation.events.config import WHOLE, ColumnPrior, KeyPrior, TimePrior, TraitPrior
from relscale.generation.events.database import generate_events, hidden_and_shown
from relscale.generation.events.mechanisms import _FUNCTIONS, apply

CLEAR = WHOLE.replace(
    num_tables=(3, 4),
    rows_entity=(60, 60),
    rows_activity=(2000, 2000),
    num_columns=(4, 6),
    columns=ColumnPrior(mechanisms=("linear",), laws=("normal",), missing_prob=0, history_prob=0),
    keys=KeyPrior(self_prob=0, link_prob=0, twin_prob=0),
    time=TimePrior(regular_prob=0),
)


def explained_by_last(database, k):
    """R2 of the mean of an entity's last k values, for each column of numbers of its event tables."""
    found = []
    for table in database.tables.values():
        if table.time_col is None or not table.fkeys:
            continue
        entity = table.data[next(iter(table.fkeys))].to_numpy()
        order = np.argsort(entity, kind="stable")
        for name in table.features():
            if not pa.types.is_floating(table.data[name].type):
                continue
            values = table.data[name].to_numpy()[order]
            inside = entity[order][k:] == entity[order][:-k]
            windows = np.lib.stride_tricks.sliding_window_view(values, k)[:-1].mean(axis=1)
            if inside.sum() > 100:
                found.append(np.corrcoef(windows[inside], values[k:][inside])[0, 1] ** 2)
    return np.array(found)


def mean_r2(k, seeds=range(12), **traits):
    config = CLEAR.replace(traits=TraitPrior(**traits), meaning=CLEAR.meaning.replace(enabled=False))
    return np.mean(np.concatenate([explained_by_last(generate_events(seed, config), k) for seed in seeds]))


def test_an_entitys_past_tells_of_its_next_event():
    weak, strong = (mean_r2(5, event_share=(share, share), drift_share=(0, 0)) for share in (0.2, 0.95))
    assert weak < strong - 0.03
    assert mean_r2(5, event_share=(0.95, 0.95), drift_share=(0, 0)) > mean_r2(
        1, event_share=(0.95, 0.95), drift_share=(0, 0)
    ), "more past rows know more of a trait that stays"


def test_recent_events_tell_more_where_traits_change():
    changing = {"event_share": (0.95, 0.95), "drift_share": (0.9, 0.9), "persistence": (0.7, 0.7)}
    assert mean_r2(1, **changing) > mean_r2(20, **changing)


def test_rows_share_nothing_without_traits():
    def group_share(enabled):
        found = []
        for seed in range(8):
            config = CLEAR.replace(traits=TraitPrior(enabled=enabled, event_share=(0.95, 0.95)))
            rows, database = hidden_and_shown(seed, config)
            for table in database.tables.values():
                if table.time_col and table.fkeys:
                    state, entity = rows[table.name].state, rows[table.name].keys[0]
                    sums = np.stack([np.bincount(entity, dimension) for dimension in state])
                    counts = np.bincount(entity)
                    pairs = (sums**2).sum() - (state**2).sum()  # twice the products of two rows of an entity
                    found.append(pairs / len(state) / (counts * (counts - 1)).sum())
        return float(np.mean(found))

    assert group_share(True) > 0.25
    assert abs(group_share(False)) < 0.02


def test_members_of_a_community_are_alike():
    def share(between):
        found = []
        for seed in range(10):
            config = CLEAR.replace(
                traits=TraitPrior(community_share=(between, between), parent_share=(0, 0)),
                rows_entity=(400, 400),
            )
            rows, _ = hidden_and_shown(seed, config)
            mine = max((r for r in rows.values() if len(r) == 400), key=lambda r: r.community.max())
            means = np.stack(
                [
                    np.bincount(mine.community, row) / np.maximum(np.bincount(mine.community), 1)
                    for row in mine.state
                ]
            )
            found.append(np.mean(means[:, mine.community] ** 2))
        return float(np.mean(found))

    assert share(0.6) > 0.35 > 0.12 > share(0.0)


@pytest.mark.parametrize("kind", _FUNCTIONS)
def test_mechanisms_have_unit_size(kind):
    rng = np.random.default_rng(0)
    drivers = rng.standard_normal((3, 5000)).astype(np.float32)
    for _ in range(20):
        values = apply(kind, drivers, rng=rng)
        assert values.shape == (5000,) and values.dtype == np.float32
        assert (abs(values.mean()) < 1e-3 and abs(values.std() - 1) < 1e-3) or not values.any()
    assert not apply(kind, np.zeros((1, 10), np.float32), rng=rng).any(), "of nothing comes nothing"
