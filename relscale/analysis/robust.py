"""The final estimate of an axis' law: Huber's loss on log losses, many starts, a test of the gradient."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from relscale.analysis.laws import centre
from relscale.analysis.projection import ALPHA_RANGE, AxisFit, at_bound
from relscale.analysis.results import AnalysisError

N_STARTS = 21
MIN_AGREEING = 3
MIN_DELTA = 1e-3
PERTURBATION = np.array([1.0, 0.05, 0.5])
"""SD of the starts around least squares: log excess, log E, exponent. An offset is known far better."""
# The scaled objective where every residual has the size of delta: optima are then of order 1 to 100.
OBJECTIVE_AT_DELTA = 100.0
GRADIENT_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class HuberLog:
    """scale * sum Huber_delta(root_weight (log L_hat - log L)), a function of t = (log A', log E, alpha).

    A' is the excess at the centre of x. Value and gradient are for `scipy.optimize`.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556, approach 3); there equal weights.
    """

    log_x: np.ndarray
    """(n,) of x over its centre."""
    log_loss: np.ndarray
    """(n,)"""
    root_weight: np.ndarray
    """(n,) root of the inverse variance of the log loss, its mean square 1."""
    delta: float
    scale: float

    def __call__(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient (3,)."""
        residual, share = self._residual(t)
        psi = np.clip(residual, -self.delta, self.delta)
        pull = self.scale * self.root_weight * psi
        slope = np.array([pull @ share, pull @ (1 - share), -(pull * share) @ self.log_x])
        return self.scale * float(psi @ (residual - psi / 2)), slope

    def curvature(self, t: np.ndarray) -> np.ndarray:
        """Gauss-Newton approximation of the second derivatives: (3, 3)."""
        share = self._residual(t)[1]
        jacobian = self.root_weight[:, None] * np.column_stack([share, 1 - share, -share * self.log_x])
        return self.scale * jacobian.T @ jacobian

    def _residual(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_excess = t[0] - t[2] * self.log_x
        log_law = np.logaddexp(log_excess, t[1])
        return self.root_weight * (log_law - self.log_loss), np.exp(log_excess - log_law)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustFit:
    """The law at the optimum of `HuberLog`, and how the optimiser got there."""

    E: float
    A: float
    alpha: float
    delta: float
    scale: float
    n_starts: int
    n_at_optimum: int
    """Starts that end within 1e-6 of the best objective."""
    alpha_spread: float
    """Largest less smallest exponent at which the starts end."""
    gradient: float
    """Norm at the optimum, of the scaled objective, in coordinates in which its curvature is 1."""


def fit_robust(
    x: np.ndarray,
    loss: np.ndarray,
    weights: np.ndarray,
    start: AxisFit,
    *,
    rng: np.random.Generator,
    axis: str = "x",
) -> RobustFit:
    """Refine a least-squares law by Huber's loss on log losses.

    Parameters
    ----------
    x, loss, weights : (n,) as for `fit_axis`; the weights are inverse variances of the losses.
    start : what `fit_axis` found for them.
    rng : draws the other starts.
    axis : what x is, for messages.

    Returns
    -------
    RobustFit. Residuals are measured in their own standard errors (the weights), so where none exceeds
    delta this is weighted least squares but for terms of second order in the relative residual.

    Raises
    ------
    AnalysisError : not_converged; exponent_at_bound.
    """
    objective = huber_log(x, loss, weights, start)
    first = np.log([start.A * centre(x) ** -start.alpha, max(start.E, 1e-3 * loss.min()), np.e])
    first[2] = start.alpha
    starts = first + PERTURBATION * np.vstack([np.zeros(3), rng.normal(size=(N_STARTS - 1, 3))])
    ends, values, gradient = minimise(objective, starts)
    best = ends[values.argmin()]
    refuse_unconverged(gradient, float(values.min()), objective, axis)
    if not ALPHA_RANGE[0] * 1.01 < best[2] < ALPHA_RANGE[1] * 0.99:
        raise at_bound(axis, low=best[2] < 1)
    agreeing = values <= values.min() + 1e-6 * max(values.min(), 1.0)
    return RobustFit(
        E=float(np.exp(best[1])),
        A=float(np.exp(best[0]) * centre(x) ** best[2]),
        alpha=float(best[2]),
        delta=objective.delta,
        scale=objective.scale,
        n_starts=len(starts),
        n_at_optimum=int(agreeing.sum()),
        alpha_spread=float(np.ptp(ends[:, 2])),
        gradient=gradient,
    )


def huber_log(x: np.ndarray, loss: np.ndarray, weights: np.ndarray, start: AxisFit) -> HuberLog:
    """The objective of these points; delta is 1.5 robust SD of the residuals of `start`, at least 1e-3."""
    # The variance of log L is that of L over L squared.
    root_weight = np.sqrt(weights) * loss
    root_weight = root_weight / np.sqrt(np.mean(root_weight**2))
    residual = root_weight * np.log(loss / (start.E + start.A * x**-start.alpha))
    # Three parameters take their share of n residuals.
    spread = 1.4826 * float(np.median(np.abs(residual))) * np.sqrt(len(x) / (len(x) - 3))
    delta = max(MIN_DELTA, 1.5 * spread)
    return HuberLog(
        log_x=np.log(x / centre(x)),
        log_loss=np.log(loss),
        root_weight=root_weight,
        delta=delta,
        scale=OBJECTIVE_AT_DELTA / (len(x) * delta**2 / 2),
    )


def minimise(objective: HuberLog, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """L-BFGS-B from every start (k, 3), then BFGS from the best end.

    Returns the ends (k, 3), their objectives (k,), and the norm of the gradient at the best one. The
    search is in coordinates in which the curvature at the first start is 1: in the parameters themselves
    the objective's rounding stops a line search at gradients far above the tolerance.
    """
    eigenvalues, vectors = np.linalg.eigh(objective.curvature(starts[0]))
    to_t = vectors / np.sqrt(np.maximum(eigenvalues, 1e-9 * eigenvalues[-1]))

    def whitened(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = objective(starts[0] + to_t @ z)
        return value, slope @ to_t

    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 3000}
    found = [
        minimize(whitened, z, jac=True, method="L-BFGS-B", options=options)
        for z in np.linalg.solve(to_t, (starts - starts[0]).T).T
    ]
    values = np.array([end.fun for end in found])
    best = int(np.nanargmin(values))
    polished = minimize(whitened, found[best].x, jac=True, method="BFGS", options={"gtol": 1e-9})
    ends = np.array([end.x for end in found])
    if polished.fun <= values[best]:
        ends[best], values[best] = polished.x, polished.fun
    gradient = float(np.linalg.norm(whitened(ends[best])[1]))
    return starts[0] + ends @ to_t.T, values, gradient


def refuse_unconverged(gradient: float, value: float, objective: HuberLog, axis: str) -> None:
    """AnalysisError not_converged unless the gradient vanishes beside the objective."""
    if gradient > GRADIENT_TOLERANCE * max(value, 1.0):
        raise AnalysisError(
            "not_converged",
            f"axis {axis}: optimiser stopped at gradient {gradient:.2g}; "
            f"objective scale {objective.scale:.3g}",
        )
