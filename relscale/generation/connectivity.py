"""Stage 2, foreign keys: which parent row each child row refers to."""

import math

import numpy as np

from relscale.generation.config import ConnectivityPrior
from relscale.generation.draws import draw_count, draw_counts


def sample_parents(
    n_parents: int, n_children: int, *, prior: ConnectivityPrior, rng: np.random.Generator
) -> np.ndarray:
    """Draw the parent row of every child row from a bipartite hierarchical stochastic block model.

    Rows of both sides form contiguous blocks, nested over several levels; a child prefers the parents
    of matching blocks. Rows of one block are exchangeable, so a child draws the parent's block first
    and then a uniform row in it, which is the same law as weighing every pair of rows.

    Parameters
    ----------
    n_parents, n_children : row counts, at least 1.
    prior : depth, blocks and scores of the hierarchy.
    rng : the only source of randomness.

    Returns
    -------
    int64 [n_children], values in [0, n_parents).

    Cost: O(blocks_parent * blocks_child * levels + n_children).
    Source: PluRel (arXiv:2602.04029), bipartite HSBM; the block-level sampler is ours.
    """
    n_levels = draw_count(prior.levels, rng=rng)
    parent_splits = draw_counts(prior.clusters_per_level, n_levels, rng=rng)
    child_splits = draw_counts(prior.clusters_per_level, n_levels, rng=rng)
    scores = [
        _level_scores(*splits, prior=prior, rng=rng)
        for splits in zip(parent_splits, child_splits, strict=True)
    ]
    block_prob = block_probabilities(block_sizes(n_parents, math.prod(parent_splits)), scores)
    return draw_rows(block_prob, n_parents, n_children, rng=rng)


def block_sizes(n_rows: int, n_blocks: int) -> np.ndarray:
    """Rows in each contiguous block as int64 [n_blocks]: ceil(n_rows / n_blocks) each, while they last."""
    width = math.ceil(n_rows / n_blocks)
    return np.diff(np.minimum(np.arange(n_blocks + 1) * width, n_rows))


def block_probabilities(parent_sizes: np.ndarray, scores: list[np.ndarray]) -> np.ndarray:
    """Law of the parent's block given the child's block.

    Parameters
    ----------
    parent_sizes : rows in each parent block, int64 [P]; empty blocks get probability 0.
    scores : one matrix [parent splits, child splits] per level, coarsest first.

    Returns
    -------
    float64 [P, C], columns sum to 1, proportional to size times the product of the levels' scores.
    """
    log_score: np.ndarray = np.zeros((1, 1))
    for level in scores:
        # Blocks are numbered in mixed radix with the coarsest level most significant, as in `numpy.kron`.
        pairs = log_score[:, None, :, None] + np.log(level)[None, :, None, :]
        log_score = pairs.reshape(len(log_score) * len(level), -1)
    log_size = np.log(parent_sizes, where=parent_sizes > 0, out=np.full(len(parent_sizes), -np.inf))
    log_weight = log_score + log_size[:, None]
    weight = np.exp(log_weight - log_weight.max(axis=0))
    return weight / weight.sum(axis=0)


def draw_rows(
    block_prob: np.ndarray, n_parents: int, n_children: int, *, rng: np.random.Generator
) -> np.ndarray:
    """A parent row for every child row, given the law of blocks [P, C]; int64 [n_children]."""
    sizes = block_sizes(n_parents, block_prob.shape[0])
    starts = np.cumsum(sizes) - sizes
    cumulative = np.cumsum(block_prob, axis=0)
    cumulative /= cumulative[-1]  # exactly 1 from the last block with rows on, so no empty one is drawn
    rows = []
    for child_block, n_rows in enumerate(block_sizes(n_children, block_prob.shape[1])):
        block = np.searchsorted(cumulative[:, child_block], rng.random(n_rows), side="right")
        rows.append(starts[block] + (rng.random(n_rows) * sizes[block]).astype(np.int64))
    return np.concatenate(rows)


def _level_scores(
    n_parent: int, n_child: int, *, prior: ConnectivityPrior, rng: np.random.Generator
) -> np.ndarray:
    scores = rng.uniform(*prior.off_diagonal_score, size=(n_parent, n_child))
    match = np.arange(max(n_parent, n_child))
    scores[match % n_parent, match % n_child] = prior.diagonal_score
    return scores
