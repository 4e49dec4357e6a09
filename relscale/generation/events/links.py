"""Links: which parent row a row refers to, never one that came to be later."""

import numpy as np


def pick_parents(
    *,
    wanted: np.ndarray,
    when: np.ndarray,
    community: np.ndarray,
    born: np.ndarray,
    weight: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw a parent row for each child row, in the wanted community, by weight, among those that exist.

    Parameters
    ----------
    wanted, when : community and moment of each child; int64 [children].
    community, born, weight : of each parent; the first of them must be born by the first moment.

    Returns
    -------
    int64 [children]. Where nobody of the community exists yet, all communities serve.

    Cost: O((parents + children) log parents). Rows of a community are sorted by birth, so those that exist
    are a prefix, and a draw by weight is a search in its running sum.
    """
    by_birth = np.argsort(born, kind="stable")
    n_born = np.searchsorted(born[by_birth], when, side="right")
    if not n_born.min(initial=1):
        raise ValueError("a row would be older than all of its possible parents")
    chosen = _by_prefix(np.zeros(len(when), np.int64), n_born, weight[by_birth], rng)
    rank = np.empty(len(born), np.int64)
    rank[by_birth] = np.arange(len(born))
    place = community * (len(born) + 1) + rank
    order = np.argsort(place, kind="stable")
    start = np.searchsorted(place[order], wanted * (len(born) + 1))
    stop = np.searchsorted(place[order], wanted * (len(born) + 1) + n_born)
    own = start < stop
    parents = by_birth[chosen]
    parents[own] = order[_by_prefix(start[own], stop[own], weight[order], rng)]
    return parents


def _by_prefix(
    start: np.ndarray, stop: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A position of [start, stop) for each pair, by weight."""
    ends = np.concatenate([[0.0], np.cumsum(weight)])
    height = ends[start] + rng.random(len(start)) * (ends[stop] - ends[start])
    return np.clip(np.searchsorted(ends, height, side="right") - 1, start, stop - 1)


def repeat_partners(
    partners: np.ndarray, group: np.ndarray, loyalty: float, *, rng: np.random.Generator
) -> np.ndarray:
    """Give a share of the rows the partner of the row before in their group; rows are in order of time.

    Parameters
    ----------
    partners, group : int64 [rows], partner and entity of each row.
    loyalty : probability of taking over, for all but the first row of a group.
    """
    order = np.argsort(group, kind="stable")
    fresh = starts_group(group[order]) | (rng.random(len(group)) >= loyalty)
    source = np.maximum.accumulate(np.where(fresh, np.arange(len(group)), 0))
    result = np.empty_like(partners)
    result[order] = partners[order][source]
    return result


def starts_group(sorted_groups: np.ndarray) -> np.ndarray:
    """Whether each place begins a run of equal numbers; bool [rows]."""
    return (
        np.concatenate([[True], sorted_groups[1:] != sorted_groups[:-1]])
        if len(sorted_groups)
        else np.zeros(0, bool)
    )


def place_in_group(sorted_groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each place's number within its run of equal numbers, from 0, and where its run begins; int64 [rows]."""
    places = np.arange(len(sorted_groups))
    start = np.maximum.accumulate(np.where(starts_group(sorted_groups), places, 0))
    return places - start, start


def alone_where_empty(keys: np.ndarray) -> np.ndarray:
    """The keys as groups: a row with an empty key is a group of its own."""
    return np.where(keys >= 0, keys, -1 - np.arange(len(keys)))


def grow_forest(
    order: np.ndarray, root_share: float, attachment: float, *, rng: np.random.Generator
) -> np.ndarray:
    """Parents within one table, in order of time: an earlier row, or -1 for a root.

    A row copies the parent of a random earlier row with probability `attachment`, and else has that row
    itself as its parent: the more children, the more it gets (Kumar et al. 2000, the copying model).

    Parameters
    ----------
    order : int64 [rows], row numbers, the oldest first. The oldest is a root.
    root_share : probability of being a root, for each other row.
    """
    n_rows = len(order)
    earlier = (rng.random(n_rows) * np.arange(n_rows)).astype(np.int64).tolist()
    is_root = (rng.random(n_rows) < root_share).tolist()
    copies = (rng.random(n_rows) < attachment).tolist()
    parents = [-1] * n_rows
    for place in range(1, n_rows):
        if not is_root[place]:
            other = earlier[place]
            parents[place] = parents[other] if copies[place] and parents[other] >= 0 else other
    result = np.full(n_rows, -1)
    found = np.array(parents)
    result[order] = np.where(found >= 0, order[found], -1)
    return result


def forest_levels(parents: np.ndarray) -> list[np.ndarray]:
    """Rows of a forest by depth, roots first."""
    depth = np.zeros(len(parents), np.int64)
    up = parents.copy()
    while (up >= 0).any():
        depth[up >= 0] += 1
        up = np.where(up >= 0, parents[up], -1)
    return [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=0)) + 1)]


def without_repeats(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Positions of the first occurrence of each pair, ascending."""
    _, index = np.unique(first * (second.max(initial=0) + 1) + second, return_index=True)
    return np.sort(index)
