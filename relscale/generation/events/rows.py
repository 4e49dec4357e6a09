"""The hidden side of a table's rows: when they came to be, whom they belong to, what drives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from relscale.generation.events.clock import Clock, Period, sample_clock
from relscale.generation.events.communities import Communities
from relscale.generation.events.config import EventsConfig
from relscale.generation.events.laws import DAY
from relscale.generation.events.links import (
    alone_where_empty,
    forest_levels,
    grow_forest,
    pick_parents,
    repeat_partners,
    starts_group,
    without_repeats,
)
from relscale.generation.events.mechanisms import standardised
from relscale.generation.events.plan import KeyPlan, TablePlan
from relscale.generation.events.style import Style

MOVES = (1, 4)
"""Steps of a moving key over the period."""
LAG_DAYS = (0.0, 5.0)
"""Mean days from an event to its details, where these have times of their own."""
MAIN_WEIGHT = 4.0
"""Of the main entity, beside 1 of each other, in the Dirichlet law of their shares in an event's state."""
REDRAWS = 4
"""Times that a partner is drawn until one is found that has not ended."""
BURST_ROUNDS = 2
"""Events that follow may be followed themselves so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a table, in order of time where it shows one.

    born, died : int64 [rows], microseconds since 1970; an event is born when it happens, and never dies.
    community : int64 [rows].
    state : float32 [dimensions, rows], of mean 0 and variance 1: the traits of an entity, or what an event
        has of its entities' traits and of its own.
    weight : float64 [rows], popularity within a community.
    rate : float64 [rows], relative rate of events.
    keys : for each key int64 [rows], parent row or -1.
    """

    born: np.ndarray
    died: np.ndarray
    community: np.ndarray
    state: np.ndarray
    weight: np.ndarray
    rate: np.ndarray
    keys: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.born)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the rows of all tables are drawn from."""

    config: EventsConfig
    style: Style
    period: Period
    communities: Communities
    tables: Sequence[TablePlan]


def sample_rows(plan: TablePlan, rows: Mapping[int, Rows], world: World, *, rng: np.random.Generator) -> Rows:
    """Draw the rows of a table, given those of its parents."""
    match plan.kind:
        case "event":
            return _events(plan, rows, world, rng)
        case "detail":
            return _details(plan, rows, world, rng)
        case "link":
            return _links(plan, rows, world, rng)
    return _entities(plan, rows, world, rng)


def _entities(plan: TablePlan, rows: Mapping[int, Rows], world: World, rng: np.random.Generator) -> Rows:
    config, period = world.config, world.period
    n_rows = plan.n_rows
    born, died = _lives(plan, world, rng)
    community = world.communities.draw(n_rows, rng=rng)
    keys = []
    for key in plan.keys:
        if key.role == "self":
            keys.append(_forest(key, born, world, rng))
        else:
            # A row without a time counts as always there, so it refers to what was there from the start.
            is_open = plan.time_col is None and world.tables[key.parent].time_col is not None
            when = np.full(n_rows, period.first) if is_open else born
            keys.append(_pick(key, rows[key.parent], community, when, world, rng, is_first=not keys))
    state = _traits(plan, keys, community, rows, world, rng)
    spread = float(world.style.draw("popularity", config.keys.popularity, rng=rng)) * config.keys.enabled
    rate_spread = float(world.style.draw("rate_spread", config.traits.rate_spread, rng=rng))
    if plan.spread is not None:
        spread, rate_spread = plan.spread, plan.spread
    return Rows(
        born=born,
        died=died,
        community=community,
        state=state,
        weight=np.exp(spread * _part_of(state, rng)),
        rate=np.exp(rate_spread * _part_of(state, rng)),
        keys=tuple(keys),
    )


def _forest(key: KeyPlan, born: np.ndarray, world: World, rng: np.random.Generator) -> np.ndarray:
    """A key of each row to an earlier one of the same table."""
    prior, style = world.config.keys, world.style
    root_share = float(style.draw("root_share", prior.root_share, rng=rng))
    attachment = float(style.draw("attachment", prior.attachment, rng=rng))
    if key.root_share is not None:
        root_share = key.root_share
    return grow_forest(np.argsort(born, kind="stable"), root_share, attachment, rng=rng)


def _lives(plan: TablePlan, world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First midnight and last moment of each row; ascending births where the table shows them."""
    prior, period, n_rows = world.config.time, world.period, plan.n_rows
    born = np.full(n_rows, period.first)
    died = np.full(n_rows, period.end)
    if not prior.enabled or plan.kind == "lookup":
        return born, died
    late = rng.random(n_rows) >= world.style.draw("founders", prior.founders, rng=rng)
    late[0] = False  # somebody must be there when the first event happens
    days = (rng.random(n_rows) * period.n_days * 0.95).astype(np.int64)
    born = np.where(late, period.first + days * DAY, period.first)
    if plan.time_col:
        born = np.sort(born)
    leaves = rng.random(n_rows) < world.style.draw("leaving", prior.leaving, rng=rng)
    return born, np.where(
        leaves, born + (rng.random(n_rows) * (period.end - born)).astype(np.int64), period.end
    )


def _part_of(state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number for each row, half of whose variance a direction of the state explains; float64 [rows]."""
    direction = rng.standard_normal(len(state))
    own = rng.standard_normal(state.shape[1])
    return np.sqrt(0.5) * (direction / np.linalg.norm(direction) @ state + own)


def _traits(
    plan: TablePlan,
    keys: list[np.ndarray],
    community: np.ndarray,
    rows: Mapping[int, Rows],
    world: World,
    rng: np.random.Generator,
) -> np.ndarray:
    """Traits of entities: their community's, their parents' turned, and their own."""
    prior, style = world.config.traits, world.style
    dimensions = len(world.communities.traits)
    own = rng.standard_normal((dimensions, len(community))).astype(np.float32)
    if not prior.enabled:
        return own
    shared = float(style.draw("community_share", prior.community_share, rng=rng))
    inherited = float(style.draw("parent_share", prior.parent_share, rng=rng)) * (1 - shared)
    own = np.sqrt(shared) * world.communities.traits[:, community] + np.sqrt(1 - shared - inherited) * own
    parts = [
        _seen(rows[key.parent].state, of, rng)
        for key, of in zip(plan.keys, keys, strict=True)
        if key.role == "reference"
    ]
    if parts:
        own = own + np.sqrt(inherited / len(parts)) * sum(parts)
    for key, of in zip(plan.keys, keys, strict=True):
        if key.role == "self":
            kept = np.sqrt(1 - inherited)
            for level in forest_levels(of)[1:]:
                own[:, level] = kept * own[:, level] + np.sqrt(inherited) * own[:, of[level]]
    return standardised(own)


def _seen(state: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A parent's state from a child's side, its coordinates exchanged and turned; 0 where there is no
    parent."""
    turned = state[rng.permutation(len(state))] * rng.choice([-1, 1], (len(state), 1)).astype(np.float32)
    return np.where(rows >= 0, turned[:, rows], 0)


def _pick(
    key: KeyPlan,
    parents: Rows,
    community: np.ndarray,
    when: np.ndarray,
    world: World,
    rng: np.random.Generator,
    *,
    is_first: bool = True,
) -> np.ndarray:
    """Parent rows of a key by communities, popularity and existence; a share of them empty."""
    prior, style = world.config.keys, world.style
    ends = world.communities.links(float(style.draw("diagonal", prior.diagonal, rng=rng)), rng=rng)
    follows = community
    if prior.enabled and not is_first:
        alone = rng.random(len(community)) >= style.draw("coupling", prior.coupling, rng=rng)
        follows = np.where(alone, world.communities.draw(len(community), rng=rng), community)
    wanted = (ends[follows] < rng.random(len(follows))[:, None]).sum(axis=1)
    if prior.enabled and world.config.time.enabled and rng.random() < prior.moving_prob:
        steps = int(rng.integers(*MOVES, endpoint=True))
        position = (when - world.period.first) / (world.period.end - world.period.first)
        wanted = (wanted + (position * (steps + 1)).astype(np.int64)) % len(ends)
    chosen = np.zeros(len(when), np.int64)
    unmet = np.arange(len(when))
    for _ in range(REDRAWS):
        chosen[unmet] = pick_parents(
            wanted=wanted[unmet],
            when=when[unmet],
            community=parents.community,
            born=parents.born,
            weight=parents.weight,
            rng=rng,
        )
        unmet = unmet[parents.died[chosen[unmet]] <= when[unmet]]
        if not len(unmet):
            break
    return np.where(rng.random(len(chosen)) < key.null_share, -1, chosen)


def _events(plan: TablePlan, rows: Mapping[int, Rows], world: World, rng: np.random.Generator) -> Rows:
    actor = rows[plan.keys[0].parent]
    if world.config.time.enabled:
        clock = sample_clock(
            world.period, world.config.time, world.style, whole_days=plan.whole_days, rng=rng
        )
        who, when = _point_process(actor, plan.n_rows, clock, world, rng)
    else:
        who = rng.choice(len(actor), plan.n_rows, p=actor.rate / actor.rate.sum())
        span = world.period.end - world.period.first
        when = world.period.first + (np.arange(plan.n_rows) * (span / plan.n_rows)).astype(np.int64)
        if plan.whole_days:
            when = when // DAY * DAY
    return _with_partners(plan, [who], when, actor.community[who], rows, world, rng)


def _point_process(
    actor: Rows, n_rows: int, clock: Clock, world: World, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Entities and moments of events: a Poisson process of each entity while it lives, with followers.

    Conditioned on the number of events that follow no other, their places in the clock's cumulative intensity
    are uniform, or evenly spaced with a shift where a table's events are regular; then those of each entity
    are moved by its own trend. Each may be followed,
    after an exponential lag, by others of the same entity: a Hawkes process, cut after `BURST_ROUNDS`
    generations.
    """
    prior, style = world.config.time, world.style
    burst = float(style.draw("burst_share", prior.burst_share, rng=rng))
    lag = float(style.draw("burst_lag", prior.burst_lag, rng=rng)) * (world.period.end - world.period.first)
    start, stop = clock.share(actor.born), clock.share(actor.died)
    expected = actor.rate * (stop - start)
    counts = rng.multinomial(max(1, round(n_rows * (1 - burst))), expected / expected.sum())
    who = np.repeat(np.arange(len(actor)), counts)
    place = rng.random(len(who))
    if rng.random() < prior.regular_prob:
        number = np.arange(len(who)) - np.repeat(np.cumsum(counts) - counts, counts)
        shift = np.repeat(rng.random(len(counts)), counts)
        place = (number + shift + 0.2 * (place - 0.5)).clip(0) / np.repeat(counts, counts)
    spread = float(style.draw("rate_trend", prior.rate_trend, rng=rng))
    place = rising(place.clip(0, 1), (spread * rng.standard_normal(len(actor)))[who])
    when = clock.moments(start[who] + place * (stop - start)[who], rng=rng)
    followed, moments = [who], [when]
    for _ in range(BURST_ROUNDS):
        chosen = rng.integers(len(followed[-1]), size=rng.poisson(burst * len(followed[-1])))
        then = moments[-1][chosen] + rng.exponential(lag, len(chosen)).astype(np.int64)
        if not len(clock.hour_ends):
            then = then // DAY * DAY
        alive = then < np.minimum(actor.died[followed[-1][chosen]], world.period.end)
        followed.append(followed[-1][chosen][alive])
        moments.append(then[alive])
        if not len(followed[-1]):
            break
    who, when = np.concatenate(followed), np.concatenate(moments)
    order = np.argsort(when, kind="stable")
    return who[order], when[order]


def rising(place: np.ndarray, trend: np.ndarray) -> np.ndarray:
    """Uniform numbers of [0, 1] as such of a density proportional to exp(trend x); float64 [n]."""
    steep = np.abs(trend) > 1e-6
    safe = np.where(steep, trend, 1.0)
    return np.where(steep, np.log1p(place * np.expm1(safe)) / safe, place).clip(0, 1)


def _details(plan: TablePlan, rows: Mapping[int, Rows], world: World, rng: np.random.Generator) -> Rows:
    """Several rows for each event, at its time or a little later."""
    spine = rows[plan.keys[0].parent]
    many = rng.gamma(2.0, 0.5, len(spine))
    spread = world.tables[plan.keys[0].parent].spread
    if spread is not None:  # a gamma law with the variance of a lognormal one of that spread
        shape = 1 / max(np.expm1(spread**2), 1e-6)
        many = rng.gamma(shape, 1 / shape, len(spine))
    of = np.repeat(np.arange(len(spine)), rng.poisson(many / many.mean() * plan.n_rows / len(spine)))
    if not len(of):
        of = np.arange(min(len(spine), plan.n_rows))
    when = spine.born[of]
    if world.config.time.enabled:
        mean = rng.uniform(*LAG_DAYS) * (rng.random() < 0.5)
        when = np.minimum(
            when + (rng.exponential(1.0, len(of)) * mean * DAY).astype(np.int64), world.period.end - 1
        )
    if plan.whole_days:  # not before the event itself, so after its last midnight at its own moment
        midnight, last = when // DAY * DAY, (world.period.end - 1) // DAY * DAY
        after = np.minimum(-(-when // DAY) * DAY, last)
        when = np.maximum(np.where(midnight < spine.born[of], after, midnight), spine.born[of])
    order = np.argsort(when, kind="stable")
    return _with_partners(plan, [of[order]], when[order], spine.community[of[order]], rows, world, rng)


def _links(plan: TablePlan, rows: Mapping[int, Rows], world: World, rng: np.random.Generator) -> Rows:
    """Pairs without repetition, from when both are there; the first one of each is drawn by popularity."""
    left, right = (rows[key.parent] for key in plan.keys)
    who = np.searchsorted(np.cumsum(left.weight) / left.weight.sum(), rng.random(plan.n_rows))
    who = np.minimum(who, len(left) - 1)
    start = left.born[who]
    even = (np.arange(len(who)) + 0.5) / len(who)  # with no process of time at equal gaps
    place = rng.random(len(who)) if world.config.time.enabled else even
    when = start + (place * (world.period.end - start)).astype(np.int64)
    if plan.whole_days:
        when = when // DAY * DAY
    order = np.argsort(when, kind="stable")
    who, when = who[order], when[order]
    other = _pick(plan.keys[1], right, left.community[who], when, world, rng, is_first=False)
    kept = without_repeats(who, other)
    return _finish(plan, [who[kept], other[kept]], when[kept], left.community[who[kept]], rows, world, rng)


def _with_partners(
    plan: TablePlan,
    keys: list[np.ndarray],
    when: np.ndarray,
    community: np.ndarray,
    rows: Mapping[int, Rows],
    world: World,
    rng: np.random.Generator,
) -> Rows:
    """Draw the further keys of rows whose first key and time are known."""
    oldest = max(int(rows[key.parent].born.min()) for key in plan.keys if key.role != "self")
    when = np.maximum(when, oldest)  # of each parent one is there
    prior = world.config.keys
    for key in plan.keys[1:]:
        if key.role == "self":
            keys.append(_forest(key, when, world, rng))
            continue
        chosen = _pick(key, rows[key.parent], community, when, world, rng, is_first=False)
        if prior.enabled and plan.kind == "event":
            loyalty = float(world.style.draw("loyalty", prior.loyalty, rng=rng))
            chosen = repeat_partners(chosen, keys[0], loyalty, rng=rng)
        keys.append(chosen)
    return _finish(plan, keys, when, community, rows, world, rng)


def _finish(
    plan: TablePlan,
    keys: list[np.ndarray],
    when: np.ndarray,
    community: np.ndarray,
    rows: Mapping[int, Rows],
    world: World,
    rng: np.random.Generator,
) -> Rows:
    n_rows = len(when)
    return Rows(
        born=when,
        died=np.full(n_rows, np.iinfo(np.int64).max),
        community=community,
        state=_event_state(plan, keys, rows, world, rng),
        weight=np.ones(n_rows),
        rate=np.ones(n_rows),
        keys=tuple(keys),
    )


def _event_state(
    plan: TablePlan, keys: list[np.ndarray], rows: Mapping[int, Rows], world: World, rng: np.random.Generator
) -> np.ndarray:
    """What drives an event: its entities' traits, of which the main one's changes in time, pairs, and
    chance."""
    prior, style = world.config.traits, world.style
    dimensions, n_rows = len(world.communities.traits), len(keys[0])
    own = rng.standard_normal((dimensions, n_rows)).astype(np.float32)
    if not prior.enabled:
        return own
    drift = float(style.draw("drift_share", prior.drift_share, rng=rng))
    persistence = float(style.draw("persistence", prior.persistence, rng=rng))
    parts = []
    of_others = [j for j, key in enumerate(plan.keys) if key.role != "self"]
    for j in of_others:
        key, of = plan.keys[j], keys[j]
        part = _seen(rows[key.parent].state, of, rng)
        if j == plan.main and key.role != "spine":
            part = np.sqrt(1 - drift) * part + np.sqrt(drift) * wandering(
                alone_where_empty(of), persistence, dimensions, rng=rng
            )
        parts.append(part)
    shares = rng.dirichlet([MAIN_WEIGHT if j == plan.main else 1.0 for j in of_others])
    together = sum(np.sqrt(share) * part for share, part in zip(shares, parts, strict=True))
    if len(parts) > 1:
        pair = float(style.draw("interaction_share", prior.interaction_share, rng=rng))
        together = np.sqrt(1 - pair) * together + np.sqrt(pair) * parts[0] * parts[1]
    explained = float(style.draw("event_share", prior.event_share, rng=rng))
    return standardised(np.sqrt(explained) * together + np.sqrt(1 - explained) * own)


def wandering(
    group: np.ndarray, persistence: float, dimensions: int, *, rng: np.random.Generator
) -> np.ndarray:
    """A stationary first-order autoregression over the rows of each group, rows being in order of time.

    Returns
    -------
    float32 [dimensions, rows], of mean 0 and variance 1.
    """
    order = np.argsort(group, kind="stable")
    first = starts_group(group[order])
    noise = rng.standard_normal((dimensions, len(group)))
    noise[:, ~first] *= np.sqrt(1 - persistence**2)
    # One pass over all groups at once; what a group has from the one before is taken out again.
    through = lfilter([1.0], [1.0, -persistence], noise, axis=1)
    start = np.maximum.accumulate(np.where(first, np.arange(len(group)), 0))
    before = np.where(start > 0, through[:, start - 1], 0.0)
    through -= before * persistence ** (np.arange(len(group)) - start + 1)
    result = np.empty((dimensions, len(group)), np.float32)
    result[:, order] = through
    return result
