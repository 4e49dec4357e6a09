"""The forms of a whole surface L(N, S): columns that are linear in some parameters, and their derivatives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relscale.analysis.frontier import UNIT, Grid
from relscale.analysis.laws import centre
from relscale.analysis.projection import ALPHA_RANGE

MIN_CELLS_FREE_DEPTH = 100
"""Below so many grid points the bowl's depth h is not told apart from p and q, and stays 1."""

Columns = Callable[["Points", np.ndarray], tuple[np.ndarray, np.ndarray]]
Values = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The centres of a grid: geometric means of its N, of its S in billions, and of S / U."""

    n: float
    s: float
    repeats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Places on the surface, (n,) each; logarithms about the centres of `Scale`."""

    log_n: np.ndarray
    log_s: np.ndarray
    log_unique: np.ndarray
    """ln of the unique tokens U = u N over the centre of S; NaN where u is unknown."""
    log_repeats: np.ndarray
    """ln of S / U about its centre; of S / N where u is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One model: L = columns(shape) @ linear, every parameter at least 0.

    `columns` takes the points and the (q,) values of the shape parameters; it returns the (n, l) columns
    and their (n, l, q) derivatives by the logarithm of each shape parameter.
    `report` turns centred values into those of the formula: N counted from 1, S in billions.
    """

    name: str
    linear: tuple[str, ...]
    shape: dict[str, tuple[float, float]]
    """Names and search limits; all positive, searched in their logarithms."""
    min_cells: int
    columns: Columns
    report: Callable[[Values, Scale], Values]
    may_vanish: tuple[str, ...] = ()
    """Shape parameters whose lower limit stands for 0, where the form keeps all its terms."""

    @property
    def names(self) -> tuple[str, ...]:
        """Linear parameters, then those of the shape."""
        return (*self.linear, *self.shape)


def scale_of(grid: Grid, unique: np.ndarray | None) -> Scale:
    """The centres of a grid; `unique` are its tokens per database (I, J), or None."""
    n, s = centre(grid.n_databases), centre(grid.tokens / UNIT["tokens"])
    if unique is None:
        return Scale(n=n, s=s, repeats=s / n)
    known = unique[np.isfinite(unique)] / UNIT["tokens"]
    return Scale(n=n, s=s, repeats=s / (n * centre(known)))


def points_at(n: np.ndarray, s: np.ndarray, unique: np.ndarray | None, scale: Scale) -> Points:
    """Points at N databases, S billions of tokens and u billions of unique tokens per database."""
    u = np.full_like(n, np.nan) if unique is None else unique
    ratio = s / n if unique is None else s / (u * n)
    return Points(
        log_n=np.log(n / scale.n),
        log_s=np.log(s / scale.s),
        log_unique=np.log(u * n / scale.s),
        log_repeats=np.log(ratio / scale.repeats),
    )


def _powers(*terms: tuple[np.ndarray, dict[int, np.ndarray]], n_shape: int) -> tuple[np.ndarray, np.ndarray]:
    """A column of ones and one for each term: its values, and its derivative by some shape parameters."""
    values = np.column_stack([np.ones_like(terms[0][0]), *(term for term, _ in terms)])
    slopes = np.zeros((*values.shape, n_shape))
    for column, (_, by) in enumerate(terms, start=1):
        for parameter, slope in by.items():
            slopes[:, column, parameter] = slope
    return values, slopes


def _term(exponent: float, log: np.ndarray, place: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """exp(-exponent log), and its derivative by the logarithm of the exponent, parameter `place`."""
    power = np.exp(-exponent * log)
    return power, {place: -exponent * log * power}


def _additive(points: Points, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alpha, beta = shape
    return _powers(_term(alpha, points.log_n, 0), _term(beta, points.log_s, 1), n_shape=2)


def _bowl(points: Points, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _powers(_bowl_term(points, shape), n_shape=5)


def _bowl_term(points: Points, shape: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """N^-a g(x), x = ln(S / (k N^m)), with g(x) = (q e^(p x) + p e^(-q x)) / (p + q)."""
    alpha, k, m, p, q = shape
    x = points.log_s - np.log(k) - m * points.log_n
    base, up, down = np.exp(-alpha * points.log_n), np.exp(p * x), np.exp(-q * x)
    g = (q * up + p * down) / (p + q)
    slope = p * q * (up - down) / (p + q)
    return base * g, {
        0: -alpha * points.log_n * base * g,
        1: -base * slope,
        2: -m * points.log_n * base * slope,
        3: p * base * (down + q * x * up - g) / (p + q),
        4: q * base * (up - p * x * down - g) / (p + q),
    }


def _deep_bowl(points: Points, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """With h free: A N^-a + A h N^-a (g(x) - 1), linear in A and A h."""
    floor, by_alpha = _term(shape[0], points.log_n, 0)
    bowl, by_shape = _bowl_term(points, shape)
    rise = {**by_shape, 0: by_shape[0] - by_alpha[0]}
    return _powers((floor, by_alpha), (bowl - floor, rise), n_shape=5)


def _ratio(points: Points, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alpha, beta, c, d = shape
    ratio = points.log_s - points.log_n
    return _powers(
        _term(alpha, points.log_n, 0),
        _term(beta, points.log_s, 1),
        _term(c, -ratio, 2),
        _term(d, ratio, 3),
        n_shape=4,
    )


def _repetition(points: Points, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Effective tokens min(S, U) + U R* (1 - exp(-R / R*)) with R = max(0, S / U - 1) repeats."""
    alpha, beta, limit = shape
    s, unique = np.exp(points.log_s), np.exp(points.log_unique)
    repeats = np.maximum(0.0, s / unique - 1)
    decay = np.exp(-repeats / limit)
    effective = np.minimum(s, unique) + unique * limit * (1 - decay)
    power, by_beta = _term(beta, np.log(effective), 1)
    by_limit = -beta * power * unique * (limit * (1 - decay) - repeats * decay) / effective
    return _powers(_term(alpha, points.log_n, 0), (power, {**by_beta, 2: by_limit}), n_shape=3)


def _overfit(points: Points, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alpha, beta, c, g = shape
    penalty = np.exp(c * points.log_repeats - g * points.log_n)
    by = {2: c * points.log_repeats * penalty, 3: -g * points.log_n * penalty}
    return _powers(_term(alpha, points.log_n, 0), _term(beta, points.log_s, 1), (penalty, by), n_shape=4)


def _sums(values: Values, scale: Scale) -> Values:
    """E, A and B of the sums of powers."""
    return values | {
        "A": values["A"] * scale.n ** values["alpha"],
        "B": values["B"] * scale.s ** values["beta"],
    }


def _report_bowl(values: Values, scale: Scale) -> Values:
    found = values | {
        "A": values["A"] * scale.n ** values["alpha"],
        "k": values["k"] * scale.s * scale.n ** -values["m"],
    }
    if "Ah" in found:
        found["h"] = found.pop("Ah") / values["A"] if values["A"] > 0 else np.nan
    return found


def _report_ratio(values: Values, scale: Scale) -> Values:
    """Also the floor along the best S / N, which the data know better than E."""
    ratio, c, d = scale.s / scale.n, values["c"], values["d"]
    found = _sums(values, scale) | {"C": values["C"] * ratio**-c, "D": values["D"] * ratio**d}
    if values["C"] > 0 and values["D"] > 0:
        best = (d * found["D"] / (c * found["C"])) ** (1 / (c + d))
        found |= {"floor": values["E"] + found["C"] * best**c + found["D"] * best**-d, "best_ratio": best}
    return found


def _report_overfit(values: Values, scale: Scale) -> Values:
    weight = scale.repeats ** -values["c"] * scale.n ** values["g"]
    return _sums(values, scale) | {"P": values["P"] * weight}


_CURVATURE = (0.03, 5.0)
_CENTRE = (1e-3, 1e3)
"""Where S = k N^m passes the centre of N, over the centre of S; beyond it no grid holds the optimum."""
_RIDGE = (0.05, 5.0)
_SUM = {"alpha": ALPHA_RANGE, "beta": ALPHA_RANGE}
_BOWL = {"alpha": ALPHA_RANGE, "k": _CENTRE, "m": _RIDGE, "p": _CURVATURE, "q": _CURVATURE}


def forms(n_cells: int) -> list[Form]:
    """The candidates for a grid of so many points, simplest first.

    additive    L = E + A N^-alpha + B S^-beta                                  (5 parameters)
    repetition  L = E + A N^-alpha + B S'^-beta, S' the effective tokens        (6)
    bowl        L = E + A N^-alpha (1 + h (g(ln(S / (k N^m))) - 1))             (7; 8 with h)
    overfit     L = E + A N^-alpha + B S^-beta + P (S / U)^c N^-g               (8)
    ratio       L = E + A N^-alpha + B S^-beta + C (S / N)^c + D (N / S)^d      (9)

    S in billions of tokens; U = u N, or N where the tokens per database u are unknown (P takes them up if
    they are constant). Needed are 15, 25 or 40 grid points, about four for each parameter.

    Source: Hoffmann et al. arXiv:2203.15556 (additive), Muennighoff et al. arXiv:2305.16264 (repetition).
    """
    depth = n_cells >= MIN_CELLS_FREE_DEPTH
    bowl = ("E", "A", "Ah") if depth else ("E", "A")
    sums, penalties = ("E", "A", "B"), {"c": ALPHA_RANGE, "d": ALPHA_RANGE}
    return [
        Form(name="additive", linear=sums, shape=_SUM, min_cells=15, columns=_additive, report=_sums),
        Form(
            name="repetition",
            linear=sums,
            shape=_SUM | {"repeats": (0.1, 1000.0)},
            min_cells=25,
            columns=_repetition,
            report=_sums,
        ),
        Form(
            name="bowl",
            linear=bowl,
            shape=_BOWL,
            min_cells=25,
            columns=_deep_bowl if depth else _bowl,
            report=_report_bowl,
        ),
        Form(
            name="overfit",
            linear=(*sums, "P"),
            shape=_SUM | {"c": ALPHA_RANGE, "g": ALPHA_RANGE},
            min_cells=25,
            columns=_overfit,
            report=_report_overfit,
            may_vanish=("g",),
        ),
        Form(
            name="ratio",
            linear=(*sums, "C", "D"),
            shape=_SUM | penalties,
            min_cells=40,
            columns=_ratio,
            report=_report_ratio,
        ),
    ]
