"""Communities: a hierarchy that all tables of a database share, and who links to whom across it."""

from dataclasses import dataclass

import numpy as np

from relscale.generation.draws import draw_count, draw_counts
from relscale.generation.events.config import KeyPrior
from relscale.generation.events.mechanisms import standardised


@dataclass(frozen=True, slots=True, kw_only=True)
class Communities:
    """Leaves of the hierarchy.

    shares : float64 [k], of a table's rows.
    traits : float32 [dimensions, k], mean trait of each; mean 0 and variance 1 over the leaves.
    nearness : float64 [k, k], share of the levels that two leaves have in common.
    """

    shares: np.ndarray
    traits: np.ndarray
    nearness: np.ndarray

    def draw(self, count: int, *, rng: np.random.Generator) -> np.ndarray:
        """Communities of rows; int64 [count]."""
        return np.searchsorted(np.cumsum(self.shares)[:-1], rng.random(count), side="right")

    def links(self, diagonal: float, *, rng: np.random.Generator) -> np.ndarray:
        """Cumulative law of the parent's community by the child's: float64 [k, k], rows end at 1.

        `diagonal` of the links go to the matching community, by a random permutation; the others anywhere,
        the more the nearer and larger.
        """
        k = len(self.shares)
        match = rng.permutation(k)
        others = self.shares * (0.2 + self.nearness[match])
        law = (1 - diagonal) * others / others.sum(axis=1, keepdims=True)
        law[np.arange(k), match] += diagonal
        ends = np.cumsum(law, axis=1)
        return ends / ends[:, -1:]


def sample_communities(prior: KeyPrior, dimensions: int, *, rng: np.random.Generator) -> Communities:
    """Draw the hierarchy: splits at each level, sizes by a Dirichlet law, traits as sums over levels."""
    splits = draw_counts(prior.splits, draw_count(prior.levels, rng=rng), rng=rng)
    k = int(np.prod(splits))
    traits, nearness, below = np.zeros((dimensions, k)), np.zeros((k, k)), k
    for split in splits:
        below //= int(split)
        branch = np.arange(k) // below
        traits += rng.standard_normal((dimensions, int(branch[-1]) + 1))[:, branch]
        nearness += branch[:, None] == branch[None]
    return Communities(
        shares=rng.dirichlet(np.full(k, 2.0)),
        traits=standardised(traits) if k > 1 else np.zeros((dimensions, 1), np.float32),
        nearness=nearness / len(splits),
    )
