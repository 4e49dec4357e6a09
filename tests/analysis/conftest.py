"""Results tables from surfaces whose laws are known."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

Surface = Callable[[float, float], float]
TableMaker = Callable[..., pd.DataFrame]

N_DATABASES = [8 * 2**i for i in range(8)]
TOKENS = [131_072_000 * 2**i for i in range(10)]


class Bowl:
    """The scale-homogeneous surface: both frontiers are exact power laws with one offset.

    L = E + A N^-a g(x), x = ln(S / (k N^m)), g(x) = (q e^(p x) + p e^(-q x)) / (p + q); S in billions.
    """

    E, A, alpha, k, m, p, q = 0.36, 0.07, 0.38, 0.117, 0.79, 0.5, 1.0

    def __init__(self, k: float = 0.117) -> None:
        self.k = k

    def __call__(self, n: float, s: float) -> float:
        return self.E + self.A * n**-self.alpha * self._g(np.log(s / 1e9 / (self.k * n**self.m)))

    def _g(self, x: float) -> float:
        return (self.q * np.exp(self.p * x) + self.p * np.exp(-self.q * x)) / (self.p + self.q)

    @property
    def beta(self) -> float:
        return self.alpha / self.m

    @property
    def B(self) -> float:
        """Coefficient of the frontier over N, from the root x* of b g(x) + g'(x) = 0."""
        slope = self.p * self.q / (self.p + self.q)
        x = brentq(
            lambda x: self.beta * self._g(x) + slope * (np.exp(self.p * x) - np.exp(-self.q * x)), -9, 0
        )
        return float(self.A * self.k**self.beta * np.exp(self.beta * x) * self._g(x))


def additive(n: float, s: float) -> float:
    """Monotone in both axes: no optimum anywhere."""
    return 0.36 + 0.1 * n**-0.38 + 0.03 * (s / 1e9) ** -0.48


@pytest.fixture(scope="session")
def bowl() -> Bowl:
    return Bowl()


@pytest.fixture(scope="session")
def bowl_at() -> Callable[[float], Bowl]:
    """A bowl whose optimum lies at S = k N^0.79 billion tokens."""
    return Bowl


@pytest.fixture(scope="session")
def monotone() -> Surface:
    return additive


@pytest.fixture(scope="session")
def make_table() -> TableMaker:
    """Results table of a surface: normal noise of SD `sigma`, `seeds` runs for each grid point."""

    def make(
        surface: Surface,
        *,
        sigma: float = 0.0,
        seeds: int = 1,
        rng: np.random.Generator | None = None,
        n_databases: Sequence[int] = N_DATABASES,
        tokens: Sequence[int] = TOKENS,
    ) -> pd.DataFrame:
        rng = rng or np.random.default_rng(0)
        rows = [
            (n, s, seed, surface(n, s) + sigma * rng.normal())
            for n in n_databases
            for s in tokens
            for seed in range(seeds)
        ]
        return pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])

    return make
