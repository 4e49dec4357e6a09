"""What a law says beyond its data, and where it stops saying anything."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from relscale.analysis.frontier import AXES, UNIT
from relscale.analysis.intervals import percentiles
from relscale.analysis.laws import power_law
from relscale.analysis.points import Law
from relscale.analysis.results import AnalysisError
from relscale.platform.progress import human_count

FARTHEST = 4.0
N_WITHIN, N_BEYOND = 61, 33


def outlook(law: Law, draws: np.ndarray | None, dof: float) -> dict[str, Any]:
    """The law's 95 % interval up to `FARTHEST` times the data, and how far it says something.

    Parameters
    ----------
    law : the fitted points.
    draws : (3, b) bootstrap draws of E, A and alpha; None if there is no interval.
    dof : degrees of freedom of the draws' spread.

    Returns
    -------
    {"unit", "x", "low", "high", "horizon"}: A is for x in this unit; x is not. Beyond the horizon the 95 %
    interval of the improvement over the largest fitted x is wider than the improvement. The difference is
    paired within draws: that of the loss itself has a finite width even at the data's end.
    """
    unit, used = UNIT[law.axis], law.x[law.used]
    largest = used.max()
    beyond = np.geomspace(largest, FARTHEST * largest, N_BEYOND)[1:]
    x = np.concatenate([np.geomspace(used.min() / FARTHEST, largest, N_WITHIN), beyond])
    record: dict[str, Any] = {"unit": unit, "x": (x * unit).tolist(), "low": None, "high": None}
    if draws is None:
        return record | {"horizon": float(beyond[-1] * unit)}
    offset, scale, alpha = draws[..., None]
    low, high = percentiles(power_law(x, offset, scale, alpha), dof)
    gain = power_law(largest, 0.0, scale, alpha) - power_law(beyond, 0.0, scale, alpha)
    narrow = np.ptp(percentiles(gain, dof), axis=0) <= np.median(gain, 0)
    n_narrow = len(beyond) if narrow.all() else int(narrow.argmin())
    horizon = beyond[n_narrow - 1] if n_narrow else largest
    return record | {"low": low.tolist(), "high": high.tolist(), "horizon": float(horizon * unit)}


def forecast(entry: Mapping[str, Any], x: float) -> dict[str, Any]:
    """The loss that a fitted axis foretells at one value.

    Parameters
    ----------
    entry : an axis of fit.json.
    x : databases, or tokens (not billions).

    Returns
    -------
    {"x", "loss", "low", "high", "tested"}: 95 % interval of the law, None where the fit has none; whether
    the fit passed through an extrapolation test, whose errors say more than the interval.

    Raises
    ------
    AnalysisError : the axis' own code where no law was fitted; invalid_axis; extrapolation_too_far beyond
        4 times the data, or beyond the horizon (see `outlook`).
    """
    if entry["status"] == "failed":
        raise AnalysisError(entry["code"], f"no law to forecast {human_count(x)} from: {_why(entry)}")
    if not (np.isfinite(x) and x > 0):
        raise AnalysisError("invalid_axis", f"a forecast needs a positive number, got {x:g}.")
    reach = entry["forecast"]
    fitted = [point["x"] for point in entry["points"]]
    _refuse_far(x, min(fitted), max(fitted), reach["horizon"])
    loss = float(power_law(np.array(x / reach["unit"]), entry["E"], entry["A"], entry["alpha"]))
    ends = {
        name: None if reach[name] is None else float(np.interp(np.log(x), np.log(reach["x"]), reach[name]))
        for name in ("low", "high")
    }
    return {"x": float(x), "loss": loss, **ends, "tested": entry["extrapolation"]["status"] == "ok"}


def parse_request(text: str) -> tuple[str, float]:
    """Axis and value of "n_databases=4096"; AnalysisError invalid_axis for anything else."""
    axis, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    if axis not in AXES or not (np.isfinite(value) and value > 0):
        forms = " or ".join(f"{name}=NUMBER" for name in AXES)
        raise AnalysisError("invalid_axis", f"a forecast at '{text}' cannot be read; write {forms}.")
    return axis, value


def forecast_records(
    axes: Mapping[str, Mapping[str, Any]], requests: Iterable[tuple[str, float]]
) -> list[dict[str, Any]]:
    """A record for each request (axis, x): "axis", what `forecast` returns, and why it refused, if it did."""
    return [_record(axes[axis], axis, x) for axis, x in requests]


def _record(entry: Mapping[str, Any], axis: str, x: float) -> dict[str, Any]:
    try:
        return {"axis": axis, **forecast(entry, x), "code": None, "message": None}
    except AnalysisError as error:
        nothing = dict.fromkeys(("loss", "low", "high", "tested"))
        return {"axis": axis, "x": x, **nothing, "code": error.code, "message": str(error)}


def _refuse_far(x: float, smallest: float, largest: float, horizon: float) -> None:
    close = 1 + 1e-9
    start = f"requested {human_count(x)} is"
    if x * FARTHEST * close < smallest:
        message = f"{start} {smallest / x:.3g} times below the smallest fitted value {human_count(smallest)}"
        raise AnalysisError("extrapolation_too_far", f"{message}; forecasts reach a factor {FARTHEST:g}.")
    message = f"{start} {x / largest:.3g} times the largest fitted value {human_count(largest)}"
    if x > largest * FARTHEST * close:
        raise AnalysisError("extrapolation_too_far", f"{message}; forecasts reach a factor {FARTHEST:g}.")
    if x > max(horizon, largest) * close:
        raise AnalysisError(
            "extrapolation_too_far",
            f"{message}; beyond {human_count(horizon)} the interval of the improvement is wider than the "
            f"improvement.",
        )


def _why(entry: Mapping[str, Any]) -> str:
    return next(warning["message"] for warning in entry["warnings"] if warning["code"] == entry["code"])
