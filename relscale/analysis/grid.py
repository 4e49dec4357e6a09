"""The N x S grid: the losses of its points, and how they would vary if they were measured again."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from relscale.analysis.noise import Noise, noise_of

AXES = ("n_databases", "tokens")
UNIT = {"n_databases": 1.0, "tokens": 1e9}
"""A law's coefficients are for x in this unit: databases, and billions of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLosses:
    """Losses of a grid's points by held-out database."""

    means: np.ndarray
    """(I, J, D) mean loss of each point's runs on each database; 0 at points without a run."""
    own: np.ndarray
    """(I, J) variance that the loss of one run owes to its own luck with single databases: of what neither
    the run nor the database explains, divided by D. 0 where no point has two runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Losses on the N x S grid; a point is the runs that share (n_databases, tokens)."""

    n_databases: np.ndarray
    """(I,) distinct values, ascending."""
    tokens: np.ndarray
    """(J,) distinct values, ascending; in tokens."""
    losses: np.ndarray
    """(I, J, K) one loss a run, NaN beyond a point's number of runs."""
    noise: Noise
    """How much the loss of a run varies between seeds."""
    trunks: bool = False
    """Whether the runs of one N at the same place of the last axis are branches of one trunk."""
    by_database: DatabaseLosses | None = None
    """Where the losses on each held-out database are known."""

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> "Grid":
        """The grid of a checked results table (see `check_results`)."""
        n, row = np.unique(table["n_databases"].to_numpy(dtype=np.float64), return_inverse=True)
        s, column = np.unique(table["tokens"].to_numpy(dtype=np.float64), return_inverse=True)
        trunks = "trunk" in table.columns and bool(table["trunk"].notna().all())
        if trunks:
            rank = table.groupby("n_databases")["trunk"].transform(lambda trunk: pd.factorize(trunk)[0])
        else:
            rank = table.groupby(list(AXES)).cumcount()
        losses = np.full((len(n), len(s), int(rank.max()) + 1), np.nan)
        losses[row, column, rank.to_numpy()] = table["loss"].to_numpy(dtype=np.float64)
        return cls._of(n, s, losses, trunks)

    @classmethod
    def _of(cls, n: np.ndarray, s: np.ndarray, losses: np.ndarray, trunks: bool) -> "Grid":
        noise = noise_of(losses)
        if trunks:  # branches of one trunk are no independent measurements of the noise
            dofs = np.maximum(np.isfinite(losses).any(1).sum(1) - 1, 0)
            noise = replace(noise, dof=int(dofs.min() if noise.by in ("n_databases", "both") else dofs.sum()))
        return cls(n_databases=n, tokens=s, losses=losses, noise=noise, trunks=trunks)

    def part(self, axis: str, largest: float) -> "Grid":
        """The grid as it would be without runs beyond `largest` on an axis, and without its databases."""
        if axis == "n_databases":
            kept = self.n_databases <= largest
            return Grid._of(self.n_databases[kept], self.tokens, self.losses[kept], self.trunks)
        kept = self.tokens <= largest
        return Grid._of(self.n_databases, self.tokens[kept], self.losses[:, kept], self.trunks)

    @property
    def counts(self) -> np.ndarray:
        """(I, J) number of runs of each point."""
        return np.isfinite(self.losses).sum(2)

    @property
    def noise_sd(self) -> float | None:
        """SD of the loss between seeds, pooled over all points; None if no point has two runs."""
        return self.noise.sd

    @property
    def noise_dof(self) -> int:
        """Degrees of freedom of a point's SD."""
        return self.noise.dof

    @property
    def precision(self) -> np.ndarray:
        """(I, J) runs of the pooled SD that would be as good as each point's own; 0 where there is none."""
        return self.counts / self.noise.relative

    @property
    def means(self) -> np.ndarray:
        """(I, J) mean loss of each point, NaN where there is no run."""
        return _mean(self.losses)

    def resampled_means(self, n_draws: int, *, rng: np.random.Generator) -> np.ndarray:
        """Means of a bootstrap over runs, and over held-out databases where the grid knows them.

        At each point its runs are drawn with replacement; with trunks, those of each N, all branches of a
        trunk together. Deviations are inflated by sqrt(n / (n - 1)), since n runs resampled vary too little.
        A point with one run gets normal deviations with the pooled SD.

        Databases are drawn jointly for all points, and their effect adds to that of the runs. What a run owes
        to its luck with single databases varies in both draws and would count twice (Owen 2007,
        arXiv:0712.1111), so the deviations of runs shrink by its share of their variance.

        Returns
        -------
        float64 of shape (n_draws, I, J), NaN where there is no run. Needs a pooled SD.
        """
        assert self.noise_sd is not None
        counts, means = self.counts, self.means
        n = np.isfinite(self.losses).any(1).sum(1)[:, None] if self.trunks else counts
        shape = (n_draws, *self.losses.shape)
        uniform = rng.random((n_draws, len(n), n.shape[1], shape[3]))
        chosen = np.broadcast_to((uniform * n[..., None]).astype(np.int64), shape)
        used = np.arange(shape[3]) < n[..., None]
        deviations = np.broadcast_to(self.losses - means[..., None], shape)
        drawn = np.where(used, np.take_along_axis(deviations, chosen, axis=3), np.nan)
        drawn = np.nansum(drawn, 3) / np.maximum(np.isfinite(drawn).sum(3), 1)
        drawn *= np.sqrt(n / np.maximum(n - 1, 1))
        alone = rng.normal(0.0, self.noise_sd * np.sqrt(self.noise.relative), drawn.shape)
        of_runs = np.where(counts == 1, alone, drawn)
        if self.by_database is None:
            return means + of_runs
        share = self.by_database.own / (self.noise_sd**2 * self.noise.relative)
        kept = np.sqrt(np.clip(1 - share, 0.0, 1.0))
        return means + kept * of_runs + _database_shifts(self.by_database.means, n_draws, rng)

    def raised_means(self) -> tuple[np.ndarray, np.ndarray]:
        """(c, I, J) means with one point each raised by its standard error; that error's dof (c,)."""
        row, column = np.nonzero(self.counts)
        n = self.counts[row, column]
        means = np.tile(self.means, (len(n), 1, 1))
        errors = (self.noise_sd or 0.0) / np.sqrt(self.precision[row, column])
        means[np.arange(len(n)), row, column] += errors
        return means, np.where(n > 1, n - 1, max(self.noise_dof, 1)).astype(np.float64)

    def jackknife_means(self) -> np.ndarray:
        """(r, I, J) means without one run each, or without one trunk; the only run of a point stays."""
        if self.trunks:
            groups = np.isfinite(self.losses).any(1)
            taken = [(row, slice(None), k) for row, k in zip(*np.nonzero(groups), strict=True)]
        else:
            taken = list(zip(*np.nonzero(np.isfinite(self.losses)), strict=True))
        whole = self.means
        means = np.empty((len(taken), *whole.shape))
        for number, place in enumerate(taken):
            losses = self.losses[place[0]].copy()
            losses[place[1:]] = np.nan
            without = _mean(losses)
            means[number] = whole
            means[number, place[0]] = np.where(np.isnan(without), whole[place[0]], without)
        return means


def _mean(losses: np.ndarray) -> np.ndarray:
    counts = np.isfinite(losses).sum(-1)
    return np.where(counts > 0, np.nansum(losses, -1) / np.maximum(counts, 1), np.nan)


def _database_shifts(losses: np.ndarray, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """(n_draws, I, J) how means over databases (I, J, D) move if these are drawn with replacement."""
    size = losses.shape[2]
    weights = rng.multinomial(size, np.full(size, 1 / size), size=n_draws) / size - 1 / size
    inflated = weights * np.sqrt(size / max(size - 1, 1))
    return np.einsum("bd,ijd->bij", inflated, losses, optimize=True)
