"""The law of two variables, L = E + A x^-alpha + B y^-beta, fitted robustly to the runs of any study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from relscale.analysis.laws import centre
from relscale.analysis.projection import ALPHA_RANGE
from relscale.analysis.results import AnalysisError
from relscale.platform.seeds import Purpose, stream

NAMES = ("E", "A", "alpha", "B", "beta")
DELTA = 1e-3
N_PARAMETERS, MIN_DISTINCT = 5, 3
START_EXPONENTS, START_SHARES = (0.1, 0.4, 1.2), (0.2, 0.5, 0.8)
"""Starts: exponents of x and y; E as a share of the smallest loss, x's term as a share of the rest."""
MAX_FAILED_DRAWS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class JointObjective:
    """scale * sum weight Huber(log L_hat - log L) of t = (log A', log B', log E, alpha, beta), with gradient.

    A' and B' are the terms at the geometric means of x and y: there they hardly depend on the exponents.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556, approach 3).
    """

    log_x: np.ndarray
    """(n,) of x over its centre; `log_y` of y."""
    log_y: np.ndarray
    log_loss: np.ndarray
    weight: np.ndarray
    """(n,) how often each run counts."""
    scale: float = 1 / DELTA**2
    """Makes a residual of the size of delta count 1/2. On the bare sum, about 1e-3, the relative-reduction
    test of L-BFGS-B stops within a few steps and reports success (Besiroglu et al. 2024)."""

    def __call__(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient (5,)."""
        residual, jacobian = self.linearise(t)
        psi = np.clip(residual, -DELTA, DELTA)
        pull = self.scale * self.weight * psi
        return float(pull @ (residual - psi / 2)), pull @ jacobian

    def linearise(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (n,) and their derivatives (n, 5)."""
        terms = np.stack([t[0] - t[3] * self.log_x, t[1] - t[4] * self.log_y, np.full_like(self.log_x, t[2])])
        highest = terms.max(0)  # scipy's logsumexp does this at five times the cost
        log_law = highest + np.log(np.exp(terms - highest).sum(0))
        share = np.exp(terms - log_law)
        slopes = np.column_stack([*share, -share[0] * self.log_x, -share[1] * self.log_y])
        return log_law - self.log_loss, slopes


@dataclass(frozen=True, slots=True, kw_only=True)
class JointOptimum:
    """The best end of all starts."""

    t: np.ndarray
    value: float
    starts: int
    starts_at_optimum: int
    """Starts that end within 1e-6 of the best objective."""
    gradient: float
    """Norm at the optimum, in coordinates in which its curvature is 1."""


def fit_joint(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    loss: str = "loss",
    n_boot: int = 1000,
    seed: int = 0,
    drop_nonfinite: bool = False,
) -> dict[str, Any]:
    """Fit the law to one row a run, from 81 starts, with a case bootstrap over the rows.

    Parameters
    ----------
    table : any table; x, y, loss : names of its columns, positive numbers.
    n_boot : bootstrap draws; 0 for no intervals. seed : root seed of the draws.
    drop_nonfinite : drop rows without a usable loss instead of refusing them.

    Returns
    -------
    "joint" of fit.json: E, A, alpha, B, beta (A and B for x and y in the columns' own units), "ci95" of each
    or None, "objective" (sum of Huber losses, not scaled), "rows" used and "dropped", "starts",
    "starts_at_optimum", "delta", "rmse_log", "columns", "warnings".

    Raises
    ------
    AnalysisError : missing_column, invalid_axis, non_finite_loss, too_few_points; exponent_at_bound where
        the loss does not fall with a variable; not_converged.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556); the cautions of Besiroglu et al. 2024 (arXiv:2404.10102).
    """
    runs = joint_runs(table, x=x, y=y, loss=loss, drop_nonfinite=drop_nonfinite)
    centres = centre(runs[x].to_numpy()), centre(runs[y].to_numpy())
    objective = JointObjective(
        log_x=np.log(runs[x].to_numpy() / centres[0]),
        log_y=np.log(runs[y].to_numpy() / centres[1]),
        log_loss=np.log(runs[loss].to_numpy()),
        weight=np.ones(len(runs)),
    )
    optimum = search(objective)
    _refuse_degenerate(optimum, (x, y), objective)
    found = _natural(optimum.t[None], centres)[0]
    draws = _natural(_bootstrap(objective, optimum, n_boot, stream(seed, Purpose.BOOTSTRAP, 2)), centres)
    valid = np.isfinite(draws).all(1)
    enough = n_boot > 0 and valid.mean() >= 0.5
    limits = np.percentile(draws[valid], [2.5, 97.5], axis=0).T.tolist() if enough else None
    residual = objective.linearise(optimum.t)[0]
    return {
        **dict(zip(NAMES, found.tolist(), strict=True)),
        "objective": optimum.value / objective.scale,
        "delta": DELTA,
        "rmse_log": float(np.sqrt(np.mean(residual**2))),
        "ci95": dict(zip(NAMES, limits, strict=True)) if limits else None,
        "rows": len(runs),
        "dropped": len(table) - len(runs),
        "columns": {"x": x, "y": y, "loss": loss},
        "starts": optimum.starts,
        "starts_at_optimum": optimum.starts_at_optimum,
        "warnings": _warnings(optimum, limits, runs[loss].to_numpy(), valid),
    }


def joint_runs(table: pd.DataFrame, *, x: str, y: str, loss: str, drop_nonfinite: bool) -> pd.DataFrame:
    """The three columns as float64, every value positive; or the AnalysisError that names what is not."""
    for name in (x, y, loss):
        if name not in table.columns:
            have = ", ".join(map(str, table.columns)) or "none"
            raise AnalysisError("missing_column", f"the table has no column '{name}'; found are {have}.")
    columns = [x, y, loss]
    runs = table[columns].apply(pd.to_numeric, errors="coerce").astype(np.float64).reset_index(drop=True)
    usable = np.isfinite(runs) & (runs > 0)
    if drop_nonfinite:
        runs, usable = runs[usable[loss]], usable[usable[loss]]
    for name in columns:
        if not usable[name].all():
            row = int(usable[name].idxmin())
            code = "non_finite_loss" if name == loss else "invalid_axis"
            message = (
                f"row {row + 1}: {name} must be a positive number, got {table[name].iloc[row]}; mend it."
            )
            raise AnalysisError(code, message)
    if len(runs) <= N_PARAMETERS:
        message = f"{len(runs)} rows, need more than the {N_PARAMETERS} parameters of the law; add runs."
        raise AnalysisError("too_few_points", message)
    for name in (x, y):
        if (n := runs[name].nunique()) < MIN_DISTINCT:
            message = f"column {name}: {n} distinct values, need at least {MIN_DISTINCT}; vary it more."
            raise AnalysisError("too_few_points", message)
    return runs


def search(objective: JointObjective) -> JointOptimum:
    """L-BFGS-B from every start of the grid, then BFGS from the best end."""
    floor = objective.log_loss.min() - 20  # a term this small is none
    bounds = [(floor, None)] * 3 + [ALPHA_RANGE] * 2
    ends = [_descend(objective, start, bounds=bounds) for start in starts(objective)]
    values = np.array([value for _, value in ends])
    best = int(np.nanargmin(values))
    t, value, gradient = _polish(objective, ends[best][0])
    agreeing = values <= value + 1e-6 * max(value, objective.scale * DELTA**2)
    return JointOptimum(
        t=t, value=value, starts=len(ends), starts_at_optimum=int(agreeing.sum()), gradient=gradient
    )


def starts(objective: JointObjective) -> np.ndarray:
    """(81, 5): exponents of both terms, times how the loss at the centre is shared out."""
    lowest, middle = np.exp(objective.log_loss.min()), np.exp(np.median(objective.log_loss))
    grid = product(START_SHARES, START_SHARES, START_EXPONENTS, START_EXPONENTS)
    return np.array(
        [
            (
                *np.log(np.array([share, 1 - share]) * (middle - offset * lowest)),
                np.log(offset * lowest),
                alpha,
                beta,
            )
            for offset, share, alpha, beta in grid
        ]
    )


def _descend(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    *,
    bounds: Sequence[tuple[float, float | None]] | None = None,
    ftol: float = 1e-14,
) -> tuple[np.ndarray, float]:
    """Where L-BFGS-B ends, its tolerances far below those that stop it early."""
    options = {"ftol": ftol, "gtol": 1e-8, "maxiter": 3000, "maxfun": 9000}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x, float(found.fun)


def _polish(objective: JointObjective, end: np.ndarray) -> tuple[np.ndarray, float, float]:
    """BFGS in coordinates in which the curvature at `end` is 1; the optimum, its value and gradient norm."""
    whitened, to_t = _whiten(objective, end)
    found = minimize(whitened, np.zeros(N_PARAMETERS), jac=True, method="BFGS", options={"gtol": 1e-7})
    return end + to_t @ found.x, float(found.fun), float(np.linalg.norm(found.jac))


def _whiten(
    objective: JointObjective, centre: np.ndarray
) -> tuple[Callable[[np.ndarray], tuple[float, np.ndarray]], np.ndarray]:
    """The objective of z, t = centre + to_t @ z, and to_t; Gauss-Newton curvature is 1 at z = 0."""
    jacobian = objective.linearise(centre)[1] * np.sqrt(objective.weight * objective.scale)[:, None]
    eigenvalues, vectors = np.linalg.eigh(jacobian.T @ jacobian)
    to_t = vectors / np.sqrt(np.maximum(eigenvalues, 1e-12 * eigenvalues[-1]))

    def whitened(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = objective(centre + to_t @ z)
        return value, slope @ to_t

    return whitened, to_t


def _bootstrap(
    objective: JointObjective, optimum: JointOptimum, n_boot: int, rng: np.random.Generator
) -> np.ndarray:
    """Optima (n_boot, 5) of runs drawn with replacement, each found from that of all runs; NaN if lost."""
    n = len(objective.log_loss)
    draws = np.full((n_boot, N_PARAMETERS), np.nan)
    for place, weight in enumerate(rng.multinomial(n, np.full(n, 1 / n), size=n_boot)):
        drawn = replace(objective, weight=weight.astype(np.float64))
        whitened, to_t = _whiten(drawn, optimum.t)
        z, _ = _descend(whitened, np.zeros(N_PARAMETERS), ftol=1e-12)
        t = optimum.t + to_t @ z
        if np.all((t[3:] > ALPHA_RANGE[0]) & (t[3:] < ALPHA_RANGE[1])):
            draws[place] = t
    return draws


def _natural(t: np.ndarray, centres: tuple[float, float]) -> np.ndarray:
    """(b, 5) searched coordinates as (E, A, alpha, B, beta)."""
    log_a, log_b, log_e, alpha, beta = t.T
    A, B = np.exp(log_a + alpha * np.log(centres[0])), np.exp(log_b + beta * np.log(centres[1]))
    return np.column_stack([np.exp(log_e), A, alpha, B, beta])


def _refuse_degenerate(optimum: JointOptimum, columns: tuple[str, str], objective: JointObjective) -> None:
    """AnalysisError where a term is missing or steps, or the gradient does not vanish."""
    lowest = objective.log_loss.min()
    for name, log_term, exponent in zip(columns, optimum.t[:2], optimum.t[3:], strict=True):
        if not ALPHA_RANGE[0] < exponent < ALPHA_RANGE[1] or log_term < lowest + np.log(1e-6):
            kind = "step" if exponent >= ALPHA_RANGE[1] else "flat"
            found = f"exponent {exponent:.3g} and a term of {np.exp(log_term):.3g} at its centre"
            message = f"column {name}: {found}; data are consistent with {kind} behaviour."
            raise AnalysisError("exponent_at_bound", message)
    if optimum.gradient > 1e-5 * max(optimum.value, objective.scale * DELTA**2):
        found = f"gradient {optimum.gradient:.2g}; objective scale {objective.scale:.3g}"
        raise AnalysisError("not_converged", f"optimiser stopped at {found}.")


def _warnings(
    optimum: JointOptimum, limits: list[list[float]] | None, loss: np.ndarray, valid: np.ndarray
) -> list[dict[str, str]]:
    found = []
    if optimum.starts_at_optimum < 3:
        message = f"{optimum.starts_at_optimum} of {optimum.starts} starts reached the best objective"
        found.append(("optimiser_disagreement", message))
    if len(valid) and 1 - valid.mean() > MAX_FAILED_DRAWS:
        message = f"{100 * (1 - valid.mean()):.0f} % of {len(valid)} draws had no valid law"
        found.append(("bootstrap_degenerate", f"{message}; intervals are optimistic"))
    if limits and (limits[0][1] - limits[0][0] > np.ptp(loss) or limits[0][0] < 1e-3 * loss.min()):
        low, high = limits[0]
        message = f"offset in [{low:.3g}, {high:.3g}] at 95 %, observed loss range {np.ptp(loss):.3g}"
        found.append(("offset_not_identifiable", f"{message}; the exponents are conditional on it"))
    return [{"code": code, "message": message} for code, message in found]
