"""Foreign keys: the block sampler against the law over all pairs of rows."""

import numpy as np
import pytest
from scipy.stats import chisquare

from relscale.generation import connectivity
from relscale.generation.config import ConnectivityPrior
from relscale.generation.connectivity import block_probabilities, block_sizes, draw_rows, sample_parents

CASES = [(7, 5, 0), (100, 40, 1), (3, 50, 2), (1, 4, 3), (250, 9, 4), (64, 64, 5), (10, 1, 6)]


def random_levels(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    splits = rng.integers(1, 4, size=(rng.integers(1, 5), 2)).tolist()
    return [connectivity._level_scores(a, b, prior=ConnectivityPrior(), rng=rng) for a, b in splits]


def cluster(row: int, n_rows: int, n_clusters: int) -> int:
    return min(row // -(-n_rows // n_clusters), n_clusters - 1)


def pairwise_law(n_parents: int, n_children: int, levels: list[np.ndarray]) -> np.ndarray:
    """The definition: a score for every pair of rows, normalised over parents; [parents, children]."""
    parent_splits = [level.shape[0] for level in levels]
    child_splits = [level.shape[1] for level in levels]
    score = np.ones((n_parents, n_children))
    for a in range(n_parents):
        for b in range(n_children):
            p = cluster(a, n_parents, int(np.prod(parent_splits)))
            q = cluster(b, n_children, int(np.prod(child_splits)))
            for depth, level in enumerate(levels):
                digit_a = p // int(np.prod(parent_splits[depth + 1 :])) % parent_splits[depth]
                digit_b = q // int(np.prod(child_splits[depth + 1 :])) % child_splits[depth]
                score[a, b] *= level[digit_a, digit_b]
    return score / score.sum(axis=0)


@pytest.mark.parametrize(("n_parents", "n_children", "seed"), CASES)
def test_block_law_equals_the_pairwise_law(n_parents: int, n_children: int, seed: int) -> None:
    levels = random_levels(seed)
    n_blocks = np.prod([level.shape for level in levels], axis=0)
    sizes = block_sizes(n_parents, int(n_blocks[0]))
    block_law = block_probabilities(sizes, levels)
    row_law = np.repeat(block_law / np.maximum(sizes, 1)[:, None], sizes, axis=0)
    per_child = np.repeat(row_law, block_sizes(n_children, int(n_blocks[1])), axis=1)
    np.testing.assert_allclose(per_child, pairwise_law(n_parents, n_children, levels), rtol=0, atol=1e-12)


def test_rows_are_drawn_from_the_block_law() -> None:
    law = np.array([[0.1, 0.7], [0.6, 0.3], [0.3, 0.0]])  # 3 parent blocks of 2, 2, 1 rows
    rows = draw_rows(law, 5, 60_000, rng=np.random.default_rng(0))
    row_law = np.array([[0.05, 0.05, 0.3, 0.3, 0.3], [0.35, 0.35, 0.15, 0.15, 0.0]])
    first, second = np.bincount(rows[:30_000], minlength=5), np.bincount(rows[30_000:], minlength=5)
    assert chisquare(first, 30_000 * row_law[0]).pvalue > 0.01
    assert chisquare(second[:4], 30_000 * row_law[1, :4]).pvalue > 0.01
    assert second[4] == 0


def test_empty_trailing_blocks_are_never_drawn() -> None:
    prior = ConnectivityPrior(levels=(4, 5), clusters_per_level=(3, 3))
    for seed in range(40):
        rows = sample_parents(5, 400, prior=prior, rng=np.random.default_rng(seed))
        assert rows.dtype == np.int64
        assert rows.shape == (400,)
        assert rows.min() >= 0
        assert rows.max() < 5


def test_matching_levels_are_on_the_wrapped_diagonal() -> None:
    scores = connectivity._level_scores(3, 2, prior=ConnectivityPrior(), rng=np.random.default_rng(0))
    assert (scores == 0.9).tolist() == [[True, False], [False, True], [True, False]]
    assert ((scores[scores != 0.9] >= 0.001) & (scores[scores != 0.9] < 0.002)).all()


def test_fan_out_is_that_of_the_reference() -> None:
    """Gini of an activity table's fan-out lies between 0.21 and 0.40 in nine of ten draws."""
    ginis = []
    for seed in range(60):
        rows = sample_parents(750, 3500, prior=ConnectivityPrior(), rng=np.random.default_rng(seed))
        counts = np.sort(np.bincount(rows, minlength=750))
        ginis.append((2 * np.arange(1, 751) - 751) @ counts / (750 * counts.sum()))
    assert abs(np.median(ginis) - 0.30) < 0.04
