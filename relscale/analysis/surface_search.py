"""Least squares of a surface by variable projection: only the shape is searched, the rest is linear."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares, nnls
from scipy.stats import qmc

from relscale.analysis.surface_forms import Form, Points

N_SCREENED, N_BEST, N_SPREAD = 256, 12, 8
"""Starts are the best 12 of 256 points of a Halton sequence, and its first 8, wherever they lie."""
N_STEPS = 60
"""At most, from each start; where the form fits, a dozen do."""
EXACT = 1e-8
"""Root mean squares below this share of the largest loss are rounding; objectives are compared above it."""
MAX_CONDITION, MAX_CORRELATION = 1e6, 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is fitted: means at points, with the roots of their weights; weights have mean 1."""

    points: Points
    loss: np.ndarray
    root_weight: np.ndarray

    def without(self, out: np.ndarray) -> "Data":
        """The data with the points `out` (n,) bool left out."""
        keep = ~out
        points = Points(**{name: getattr(self.points, name)[keep] for name in Points.__slots__})
        return Data(points=points, loss=self.loss[keep], root_weight=self.root_weight[keep])

    @property
    def floor(self) -> float:
        """The sum of squares that counts as none."""
        return float((EXACT * np.abs(self.loss).max()) ** 2 * len(self.loss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The best fit of a form: `shape` (q,) and `linear` (l,) values, both about the centres."""

    shape: np.ndarray
    linear: np.ndarray
    rss: float
    starts: int
    starts_at_optimum: int
    rivals: np.ndarray
    """(r, q) shapes of other optima whose objective, n / 2 ln RSS, is within 1."""


def search(form: Form, data: Data) -> Optimum:
    """Minimise the weighted sum of squares from 20 starts, in the logarithms of the shape parameters.

    The best end is refined once more, to a relative change of 1e-13.
    Linear parameters come from non-negative least squares at every step. The Jacobian is Kaufman's:
    the derivative of the columns, projected off their span; its gradient is exact.
    Deterministic: the starts are a Halton sequence over the search limits.

    Source: Golub and Pereyra 1973; Kaufman 1975.
    """
    low, high = _limits(form)
    candidates = low + (high - low) * qmc.Halton(len(low), scramble=False).random(N_SCREENED + 1)[1:]
    screened = np.argsort([np.linalg.norm(_solve(form, data, log_shape)[2]) for log_shape in candidates])
    starts = np.vstack([candidates[screened[:N_BEST]], candidates[:N_SPREAD]])
    found = [refine(form, data, start) for start in starts]
    found.append(refine(form, data, min(found, key=lambda end: end[1])[0], tolerance=1e-13))
    rss = np.array([max(value, data.floor) for _, value in found])
    best = int(rss.argmin())
    objective = len(data.loss) / 2 * np.log(rss / rss[best])
    logs = np.array([log_shape for log_shape, _ in found])
    at_optimum = rss <= rss[best] * (1 + 1e-6)
    apart = np.abs(logs - logs[best]).max(1) > 0.05  # 5 % of a parameter
    return Optimum(
        shape=np.exp(logs[best]),
        linear=_solve(form, data, logs[best])[0],
        rss=found[best][1],
        starts=len(starts),
        starts_at_optimum=int(at_optimum[:-1].sum()),
        rivals=np.exp(logs[(objective < 1) & apart]),
    )


def refine(form: Form, data: Data, start: np.ndarray, *, tolerance: float = 1e-8) -> tuple[np.ndarray, float]:
    """The optimum next to a start: its (q,) log shape, and the sum of squares there."""
    low, high = _limits(form)
    found = least_squares(
        lambda log_shape: _solve(form, data, log_shape)[2],
        np.clip(start, low + 1e-6, high - 1e-6),
        jac=lambda log_shape: _jacobian(form, data, log_shape),
        bounds=(low, high),
        xtol=tolerance,
        ftol=tolerance,
        gtol=1e-15,
        max_nfev=N_STEPS,
    )
    return found.x, 2 * float(found.cost)


def predict(form: Form, points: Points, shape: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """The surface at points; (n,)."""
    return form.columns(points, shape)[0] @ linear


def solve(form: Form, data: Data, log_shape: np.ndarray) -> np.ndarray:
    """The best linear parameters for a shape; (l,), none negative."""
    return _solve(form, data, log_shape)[0]


def at_limits(form: Form, data: Data, optimum: Optimum) -> list[str]:
    """The linear parameters whose term vanishes (E may), and those of the shape at a search limit."""
    low, high = _limits(form)
    log_shape = np.log(optimum.shape)
    zeros = np.array([name in form.may_vanish for name in form.shape])
    ends = ((log_shape < low + 0.01) & ~zeros) | (log_shape > high - 0.01)
    sizes = np.abs(form.columns(data.points, optimum.shape)[0] * optimum.linear).max(0)
    gone = sizes <= EXACT * np.abs(data.loss).max()
    gone[0] = False
    return [name for name, out in zip(form.names, [*gone, *ends], strict=True) if out]


def identify(form: Form, data: Data, optimum: Optimum) -> tuple[float, list[str], np.ndarray]:
    """How well the data tell the parameters apart, linearised at the optimum.

    Returns
    -------
    condition : of the Jacobian by (linear, log shape), its columns scaled to length 1.
    names : parameters that are not separately identifiable: those of a pair whose correlation is beyond
        0.99, and where the condition is above 1e6 those in its weakest directions.
    errors : (l + q,) standard errors of the centred values, from the residual's own variance.
    """
    values, slopes = form.columns(data.points, optimum.shape)
    jacobian = np.column_stack([values, np.einsum("nlq,l->nq", slopes, optimum.linear)])
    jacobian *= data.root_weight[:, None]
    lengths = np.linalg.norm(jacobian, axis=0)
    _, singular, directions = np.linalg.svd(jacobian / lengths, full_matrices=False)
    condition = float(singular[0] / max(singular[-1], 1e-300))
    covariance = (directions.T / np.maximum(singular, 1e-12 * singular[0]) ** 2) @ directions
    spread = np.sqrt(np.diag(covariance))
    correlation = np.abs(covariance / np.outer(spread, spread))
    np.fill_diagonal(correlation, 0.0)
    weak = correlation.max(0) > MAX_CORRELATION
    if condition > MAX_CONDITION:
        weak |= (np.abs(directions[singular < singular[0] / MAX_CONDITION]) > 0.3).any(0)
    variance = max(optimum.rss, data.floor) / max(len(data.loss) - len(lengths), 1)
    errors = np.sqrt(variance) * spread / lengths
    errors[len(form.linear) :] *= optimum.shape
    return condition, [name for name, bad in zip(form.names, weak, strict=True) if bad], errors


def _limits(form: Form) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.log(np.array(list(form.shape.values()))).T
    return low, high


def _solve(form: Form, data: Data, log_shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear parameters, weighted columns and weighted residual at a shape."""
    columns = form.columns(data.points, np.exp(log_shape))[0] * data.root_weight[:, None]
    lengths = np.sqrt(np.einsum("nl,nl->l", columns, columns))
    linear = nnls(columns / lengths, data.loss * data.root_weight)[0] / lengths
    return linear, columns, columns @ linear - data.loss * data.root_weight


def _jacobian(form: Form, data: Data, log_shape: np.ndarray) -> np.ndarray:
    linear, columns, _ = _solve(form, data, log_shape)
    slopes = form.columns(data.points, np.exp(log_shape))[1]
    moved = np.einsum("nlq,l->nq", slopes, linear) * data.root_weight[:, None]
    span = np.linalg.qr(columns[:, linear > 0])[0]
    return moved - span @ (span.T @ moved)
