"""What a fitted surface says of the frontiers: its minimum over each axis, and where it lies."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import brentq

from relscale.analysis.frontier import AXES, Grid

N_FINE = 401
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Loss at (n,) databases and (n,) tokens."""


def frontier(surface: Surface, grid: Grid) -> dict[str, list[dict[str, Any]]]:
    """The minimum over one axis at every sampled value of the other, within the sampled range.

    Returns
    -------
    {"n_databases": [{"x", "loss", "at", "inside"}], "tokens": [...]}: at `x` databases (or tokens) the
    loss is smallest at `at` tokens (or databases); `inside` is False where that is an end of the range.
    """
    values = {"n_databases": grid.n_databases, "tokens": grid.tokens}
    found: dict[str, list[dict[str, Any]]] = {}
    for axis, other in (AXES, AXES[::-1]):
        fine = np.geomspace(values[other][0], values[other][-1], N_FINE)
        found[axis] = [_minimum(surface, axis, x, fine) for x in values[axis]]
    return found


def ridge(points: list[dict[str, Any]]) -> float | None:
    """Slope of ln `at` against ln `x` over the minima inside the range; None for fewer than 3."""
    inside = [point for point in points if point["inside"]]
    if len(inside) < 3:
        return None
    x, at = (np.log([point[name] for point in inside]) for name in ("x", "at"))
    return float(np.polyfit(x, at, 1)[0])


def bowl_laws(parameters: Mapping[str, float]) -> dict[str, dict[str, float] | None]:
    """Both frontiers of the bowl in closed form, wherever they lie.

    Parameters
    ----------
    parameters : E, A, alpha, k, m, p, q, and h where it is not 1; S in billions of tokens.

    Returns
    -------
    For each axis {"E", "A", "alpha", "k", "m"}: the frontier E + A x^-alpha with the optimum of the other
    axis at k x^m. Over N it exists only if loss falls fast enough left of the ridge (q > alpha / m for
    h = 1): else "tokens" is None and the loss has no smallest value at a fixed S.
    """
    E, A, alpha, k, m = (parameters[name] for name in ("E", "A", "alpha", "k", "m"))
    over_tokens = {"E": E, "A": A, "alpha": alpha, "k": k, "m": m}
    beta, root = alpha / m, _root(parameters)
    if root is None:
        return {"n_databases": over_tokens, "tokens": None}
    scale = A * k**beta * np.exp(beta * root) * _bowl(root, parameters)[0]
    centre = (np.exp(-root) / k) ** (1 / m)
    over_n = {"E": E, "A": float(scale), "alpha": beta, "k": float(centre), "m": 1 / m}
    return {"n_databases": over_tokens, "tokens": over_n}


def _minimum(surface: Surface, axis: str, x: float, fine: np.ndarray) -> dict[str, Any]:
    """Smallest value on the fine grid; inside it, of the parabola through the three lowest points."""
    here = np.full_like(fine, x)
    loss = surface(here, fine) if axis == "n_databases" else surface(fine, here)
    best = int(loss.argmin())
    inside = 0 < best < len(fine) - 1
    at, lowest = fine[best], loss[best]
    if inside:
        left, middle, right = loss[best - 1 : best + 2]
        bend = left + right - 2 * middle
        shift = (left - right) / (2 * bend) if bend > 0 else 0.0
        at *= (fine[1] / fine[0]) ** shift
        lowest = middle - bend * shift**2 / 2
    return {"x": float(x), "loss": float(lowest), "at": float(at), "inside": inside}


def _root(parameters: Mapping[str, float]) -> float | None:
    """Where the loss at a fixed S is smallest, as x = ln(S / (k N^m)) < 0: beta g(x) + g'(x) = 0."""
    beta = parameters["alpha"] / parameters["m"]

    def slope(x: float) -> float:
        value, derivative = _bowl(x, parameters)
        return beta * value + derivative

    low = -1.0
    while slope(low) > 0 and low > -200 / parameters["q"]:
        low *= 2
    return float(brentq(slope, low, 0.0)) if slope(low) < 0 else None


def _bowl(x: float, parameters: Mapping[str, float]) -> tuple[float, float]:
    """The bowl's bracket and its slope."""
    p, q, h = parameters["p"], parameters["q"], parameters.get("h", 1.0)
    up, down = np.exp(p * x), np.exp(-q * x)
    value = 1 + h * ((q * up + p * down) / (p + q) - 1)
    return float(value), float(h * p * q * (up - down) / (p + q))
