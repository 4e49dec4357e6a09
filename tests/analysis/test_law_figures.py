"""Laws: curve and band as fitted, points at their excess, forecasts beside what was found, or a reason."""

import numpy as np
import pytest
from study_fit import E, study_fit

from relscale.analysis.law_figures import axis_law, extrapolation


@pytest.mark.parametrize(("axis", "unit"), [("n_databases", 1.0), ("tokens", 1e9)])
def test_the_curve_is_the_law_and_points_lie_at_their_excess(axis: str, unit: float) -> None:
    fit = study_fit()
    entry = fit["axes"][axis]
    drawing = axis_law(fit, axis)
    left, right = drawing.figure.axes
    curve = left.lines[0]
    expected = entry["E"] + entry["A"] * (np.asarray(curve.get_xdata()) / unit) ** -entry["alpha"]
    np.testing.assert_allclose(np.asarray(curve.get_ydata()), expected)
    assert (left.get_yscale(), right.get_xscale(), right.get_yscale()) == ("linear", "log", "log")
    low, high = entry["ci95"]["alpha"]
    assert right.get_title(loc="left") == (
        f"Frontier law: exponent {entry['alpha']:.2f} (95 %: {low:.2f} to {high:.2f})"
    )
    dots = [line for line in right.lines if line.get_marker() == "o"]
    excess = np.concatenate([line.get_ydata() for line in dots])
    np.testing.assert_allclose(excess, [point["loss"] - E for point in entry["points"]])
    assert len(left.collections) == 1  # the band
    assert drawing.data["kind"].value_counts().to_dict() == {"point": 4, "band": 4}


def test_the_interval_of_the_offset_is_carried_to_every_point() -> None:
    fit = study_fit()
    entry = fit["axes"]["n_databases"]
    right = axis_law(fit, "n_databases").figure.axes[1]
    bars = [
        line.get_ydata()
        for line in right.lines
        if np.ptp(line.get_xdata()) == 0 and len(line.get_xdata()) == 2
    ]
    low, high = entry["ci95"]["E"]
    loss = entry["points"][0]["loss"]
    assert any(np.allclose(bar, [loss - high, loss - low]) for bar in bars)


def test_held_out_points_are_hollow_beside_their_forecast() -> None:
    fit = study_fit()
    right = axis_law(fit, "tokens").figure.axes[1]
    labels = {line.get_label(): line for line in right.lines}
    held_out, forecast = labels["held out of the forecast"], labels["forecast from the rest"]
    points = fit["axes"]["tokens"]["extrapolation"]["points"]
    assert held_out.get_markerfacecolor() == "white"
    assert list(held_out.get_xdata()) == [point["x"] for point in points]
    np.testing.assert_allclose(forecast.get_ydata(), [point["predicted"] - E for point in points])


def test_a_law_of_an_older_fit_needs_no_new_field() -> None:
    fit = study_fit()
    entry = fit["axes"]["tokens"]
    entry |= {"ci95": None, "band": None, "status": "boundary"}
    del entry["extrapolation"]
    drawing = axis_law(fit, "tokens")
    assert (
        drawing.figure.axes[1].get_title(loc="left").startswith("Boundary law: exponent 0.47 (no interval)")
    )
    assert extrapolation({"axes": {"n_databases": entry, "tokens": entry}}) is None


def test_a_failed_axis_shows_its_slices_and_the_reason() -> None:
    fit = study_fit()
    message = "axis tokens: minimum at the high end in all 5 slices"
    fit["axes"]["tokens"] |= {"status": "failed", "code": "no_interior_optimum",
                              "warnings": [{"code": "no_interior_optimum", "message": message}]}  # fmt: skip
    drawing = axis_law(fit, "tokens")
    left, right = drawing.figure.axes
    assert left.get_title(loc="left") == "No law is claimed along tokens"
    assert len(left.lines) == 5
    assert "minimum at the high end in all 5 slices." in " ".join(right.texts[0].get_text().split())
    assert list(drawing.data) == ["kind", "x", "loss"] and len(drawing.data) == 5


def test_forecasts_are_drawn_against_what_was_found() -> None:
    fit = study_fit()
    fit["axes"]["n_databases"]["extrapolation"]["coverage"] = 0.5
    drawing = extrapolation(fit)
    assert drawing is not None
    first = drawing.figure.axes[0]
    assert first.get_title(loc="left").startswith("Databases: 1 of 2 inside the 95 % band\nskill 0.75")
    assert {"forecast", "found", "no change", "fitted"} == {text.get_text() for text in first.texts}
    assert len(drawing.data) == 4
    fit["axes"]["tokens"]["extrapolation"]["status"] = "failed"
    for point in fit["axes"]["n_databases"]["extrapolation"]["points"]:
        point |= {"low": None, "high": None}
    fit["axes"]["n_databases"]["extrapolation"] |= {"coverage": None, "skill": None}
    drawing = extrapolation(fit)
    assert drawing is not None
    assert drawing.figure.axes[0].get_title(loc="left").startswith("Databases: no band\nerror 0.001")
