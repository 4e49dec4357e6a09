"""The ridges of the grid: how the best value of one axis grows with the other, and whether they agree."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from relscale.analysis.frontier import Minima, View, minima, ridge_exponent
from relscale.analysis.intervals import percentiles
from relscale.analysis.ushape import Shape

MAX_ERRORS = 2.0
"""Combined standard errors beyond which two exponents contradict each other."""


def ridge_record(
    slices: View, found: Minima, shape: Shape, draws: np.ndarray | None
) -> tuple[dict[str, Any], np.ndarray | None]:
    """{"exponent", "ci95"} of ln x_opt against ln at, and its draws (b,); None without a U to follow."""
    exponent = float(ridge_exponent(slices.at, found))
    if not np.isfinite(exponent) or shape.verdict in ("decreasing", "increasing", "flat"):
        return {"exponent": None, "ci95": None}, None
    if draws is None:
        return {"exponent": exponent, "ci95": None}, None
    drawn = ridge_exponent(slices.at, minima(slices.x, draws, slices.precision))
    valid = drawn[np.isfinite(drawn)]
    enough = len(valid) >= 0.5 * len(drawn)
    ci95 = percentiles(valid, slices.noise_dof).tolist() if enough else None
    return {"exponent": exponent, "ci95": ci95}, drawn


def consistency(
    exponents: Mapping[str, float | None], draws: Mapping[str, np.ndarray | None]
) -> dict[str, Any] | None:
    """Whether both frontiers and both ridges can be those of one scale-homogeneous surface.

    There the ridges are one line, m' = 1/m, and the frontiers' exponents are alpha_N = m alpha_S.

    Parameters
    ----------
    exponents, draws : of "m" (tokens of n), "m_prime" (n of tokens), "alpha_n" and "alpha_s": the
        estimates, and draws (b,) from the same resampled grids, NaN where a draw has none.

    Returns
    -------
    {"m_prime": CHECK, "alpha_n": CHECK, "consistent", "message"}, CHECK = {"value", "expected",
    "difference", "se", "errors"}; None where an estimate or its draws are missing. The message names the
    numbers where a difference is above 2 standard errors (of the paired draws).
    """
    if any(exponents[name] is None for name in exponents) or any(draws[name] is None for name in draws):
        return None
    expected = {"m_prime": _reciprocal, "alpha_n": _product}
    checks: dict[str, Any] = {}
    for name, rule in expected.items():
        drawn = draws[name] - rule(draws)
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn) < 2:
            return None
        # Half the middle 68 %: a quotient of exponents has far outliers.
        se = float(np.subtract(*np.percentile(drawn, [84.13, 15.87]))) / 2
        value, target = float(exponents[name]), float(rule(exponents))  # type: ignore[arg-type]
        checks[name] = {"value": value, "expected": target, "difference": value - target, "se": se,
                        "errors": abs(value - target) / se if se > 0 else None}  # fmt: skip
    wrong = [_sentence(name, check) for name, check in checks.items() if (check["errors"] or 0) > MAX_ERRORS]
    message = f"{'; '.join(wrong)}: no surface with one penalty in S / (k N^m) has these" if wrong else None
    return {**checks, "consistent": not wrong, "message": message}


def _reciprocal(values: Mapping[str, Any]) -> Any:
    return 1 / values["m"]


def _product(values: Mapping[str, Any]) -> Any:
    return values["m"] * values["alpha_s"]


def _sentence(name: str, check: Mapping[str, float]) -> str:
    what = {
        "m_prime": "the exponent of the best number of databases",
        "alpha_n": "the exponent of the loss in databases",
    }[name]
    return (
        f"{what} is {check['value']:.3g}, the other ridge and axis imply {check['expected']:.3g} "
        f"({check['errors']:.2g} standard errors apart)"
    )
