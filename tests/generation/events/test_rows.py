"""Rows: traits, point processes, links and forests, against the laws that they state."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from relscale.generation.events.clock import Clock, Period, phases, sample_clock
from relscale.generation.events.communities import sample_communities
from relscale.generation.events.config import WHOLE, KeyPrior, TimePrior
from relscale.generation.events.database import hidden_and_shown
from relscale.generation.events.laws import DAY
from relscale.generation.events.links import (
    alone_where_empty,
    forest_levels,
    grow_forest,
    pick_parents,
    place_in_group,
    repeat_partners,
    without_repeats,
)
from relscale.generation.events.rows import wandering
from relscale.generation.events.style import Style

PERIOD = Period(first=15_000 * DAY, n_days=1000)


def test_the_clock_gives_each_day_and_hour_its_share(rng):
    prior = TimePrior(trend=(1.0, 1.0), cycle=(0.6, 0.6))
    style = Style(WHOLE.style.replace(enabled=False), rng=rng)
    clock = sample_clock(PERIOD, prior, style, whole_days=False, rng=rng)
    moments = clock.moments(rng.random(50_000), rng=rng)
    assert stats.kstest(clock.share(moments // DAY * DAY + DAY // 2), "uniform").statistic < 0.01
    hours = moments % DAY // (DAY // 24)
    expected = np.diff(clock.hour_ends, prepend=0) * len(moments)
    assert stats.chisquare(np.bincount(hours, minlength=24), expected).pvalue > 0.001
    rising = sample_clock(PERIOD, prior.replace(cycle=(0.0, 0.0)), style, whole_days=True, rng=rng)
    shares = np.diff(rising.day_ends)
    assert shares[-1] / shares[0] == pytest.approx(np.exp(1 - 1 / PERIOD.n_days)), "the trend alone"


def test_whole_days_are_midnights(rng):
    clock = Clock(period=PERIOD, day_ends=np.linspace(0, 1, 1001), hour_ends=np.empty(0))
    assert (clock.moments(rng.random(100), rng=rng) % DAY == 0).all()


def test_phases_are_numbers_of_unit_size(rng):
    found = phases(PERIOD.first + (rng.random(20_000) * PERIOD.n_days * DAY).astype(np.int64), PERIOD)
    assert found.shape == (7, 20_000)
    assert np.abs(found.mean(axis=1)).max() < 0.3 and np.abs(found.std(axis=1) - 1).max() < 0.2


def test_parents_are_drawn_by_weight_among_those_that_exist(rng):
    born = np.array([0, 0, 10, 20, 0])
    community = np.array([0, 0, 0, 0, 1])
    weight = np.array([1.0, 3.0, 4.0, 100.0, 1.0])
    draw = {"community": community, "born": born, "weight": weight, "rng": rng}
    early = pick_parents(wanted=np.zeros(8000, int), when=np.full(8000, 5), **draw)
    assert set(early) == {0, 1} and abs((early == 1).mean() - 0.75) < 0.03
    later = pick_parents(wanted=np.zeros(8000, int), when=np.full(8000, 10), **draw)
    assert abs((later == 2).mean() - 0.5) < 0.03 and 3 not in later
    assert set(pick_parents(wanted=np.ones(10, int), when=np.full(10, 5), **draw)) == {4}
    nobody = pick_parents(wanted=np.full(500, 2), when=np.full(500, 5), **draw)
    assert set(nobody) == {0, 1, 4}, "a community without members takes anybody"
    with pytest.raises(ValueError, match="older than all"):
        pick_parents(wanted=np.zeros(1, int), when=np.array([-1]), **draw)


def test_links_follow_the_law_of_communities(rng):
    communities = sample_communities(KeyPrior(levels=(2, 2), splits=(3, 3)), 4, rng=rng)
    assert len(communities.shares) == 9 and communities.shares.sum() == pytest.approx(1)
    ends = communities.links(0.7, rng=rng)
    law = np.diff(ends, axis=1, prepend=0)
    assert (law >= 0).all() and ends[:, -1] == pytest.approx(1)
    assert (law.max(axis=1) > 0.7).all() and len(set(law.argmax(axis=1))) == 9, "a permutation of matches"


def test_loyalty_is_the_share_of_repeats(rng):
    group = rng.integers(50, size=20_000)
    partners = rng.integers(10**6, size=20_000)
    kept = repeat_partners(partners, group, 0.6, rng=rng)
    order = np.argsort(group, kind="stable")
    same = (kept[order][1:] == kept[order][:-1])[group[order][1:] == group[order][:-1]]
    assert abs(same.mean() - 0.6) < 0.02
    assert (repeat_partners(partners, group, 0.0, rng=rng) == partners).all()


def test_a_forest_grows_in_time(rng):
    order = rng.permutation(3000)
    parents = grow_forest(order, 0.2, 0.5, rng=rng)
    age = np.empty(3000, int)
    age[order] = np.arange(3000)
    child = np.flatnonzero(parents >= 0)
    assert (age[parents[child]] < age[child]).all(), "no row before its parent, so no cycle"
    roots = (parents < 0).sum()
    assert stats.binomtest(int(roots), 3000, 0.2).pvalue > 0.01
    levels = forest_levels(parents)
    assert sum(map(len, levels)) == 3000 and len(levels[0]) == roots
    assert all((np.isin(parents[level], above)).all() for above, level in pairwise(levels))
    spread = [np.bincount(p[p >= 0]).max() for p in (parents, grow_forest(order, 0.2, 0.0, rng=rng))]
    assert spread[0] > 1.5 * spread[1], "rows with many children get more"


def test_no_pair_twice():
    first, second = np.array([0, 1, 0, 1, 0]), np.array([5, 5, 5, 6, 7])
    assert without_repeats(first, second).tolist() == [0, 1, 3, 4]


def test_what_changes_from_event_to_event_is_an_autoregression(rng):
    group = rng.integers(200, size=40_000)
    values = wandering(group, 0.9, 2, rng=rng)
    assert np.abs(values.std(axis=1) - 1).max() < 0.05
    order = np.argsort(group, kind="stable")
    inside = group[order][1:] == group[order][:-1]
    lagged = [np.corrcoef(v[order][1:][inside], v[order][:-1][inside])[0, 1] for v in values]
    assert lagged == pytest.approx([0.9, 0.9], abs=0.02)
    across = [np.corrcoef(v[order][1:][~inside], v[order][:-1][~inside])[0, 1] for v in values]
    assert np.abs(across).max() < 0.25


@pytest.mark.parametrize("seed", range(6))
def test_no_row_is_older_than_what_it_refers_to(seed):
    rows, database = hidden_and_shown(seed, WHOLE)
    for table in database.tables.values():
        mine = rows[table.name]
        for key, parent in zip(mine.keys, table.fkeys.values(), strict=True):
            there = key >= 0
            assert (rows[parent].born[key[there]] <= mine.born[there]).all(), table.name
        if table.time_col:
            assert (np.diff(mine.born) >= 0).all()
    for name, plan_rows in rows.items():
        assert np.abs(plan_rows.state.std(axis=1) - 1).max() < 0.15 or len(plan_rows) < 100, name


def test_groups_of_keys():
    """Rows with an empty key are groups of their own; places count within groups."""
    assert alone_where_empty(np.array([3, -1, 3, -1])).tolist() == [3, -2, 3, -4]
    number, start = place_in_group(np.array([4, 4, 7, 9, 9, 9]))
    assert number.tolist() == [0, 1, 0, 0, 1, 2] and start.tolist() == [0, 0, 2, 3, 3, 3]
