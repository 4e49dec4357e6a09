"""Diagnostics: residuals about zero where the surface is true, profiles with their cut, clouds of draws."""

import numpy as np
import pytest
from study_fit import bowl, study_draws, study_fit, study_table

from relscale.analysis.diagnostic_figures import clouds, profiles, residuals


def test_residuals_have_a_panel_for_the_order_only_where_it_is_known() -> None:
    table = study_table()
    predicted = bowl(table["n_databases"], table["tokens"]).to_numpy()
    drawing = residuals(table, predicted, model="bowl", noise_sd=1e-3)
    labels = [axes.get_xlabel() for axes in drawing.figure.axes]
    assert labels == ["fitted loss", "databases N", "training tokens S", "order of finishing"]
    np.testing.assert_allclose(drawing.data["residual"], table["loss"] - predicted)
    assert sorted(drawing.data["order"]) == list(range(1, 51))
    first = table["finished"].idxmin()
    assert drawing.data.loc[first, "order"] == 1
    rms = np.sqrt(np.mean((table["loss"] - predicted) ** 2))
    title = drawing.figure.axes[0].get_title(loc="left")
    assert title == f"Surface 'bowl' misses the runs by {rms:.2g}\nnoise between seeds 0.001"
    without = residuals(table.drop(columns="finished"), predicted, model="bowl", noise_sd=None)
    assert len(without.figure.axes) == 3
    assert not without.figure.axes[0].patches


def test_profiles_cross_the_cut_at_the_ends_of_their_set() -> None:
    fit = study_fit()
    drawing = profiles(fit)
    assert drawing is not None
    assert len(drawing.figure.axes) == 4
    axes = drawing.figure.axes[0]
    curve = next(line for line in axes.lines if len(line.get_xdata()) == 21)
    heights = np.asarray(curve.get_ydata())
    assert heights.min() == 0.0
    assert heights[5] == pytest.approx(1.0)  # objective 2, the cut
    low, high = fit["axes"]["n_databases"]["ci95"]["alpha"]
    assert axes.get_title(loc="left") == f"Exponent {low:.2f} to {high:.2f}"
    assert set(drawing.data["cut"]) == {2.0}


@pytest.mark.parametrize(
    ("low", "high", "title"),
    [
        (None, 0.364, "Offset E at most 0.3640: bounded on one side only"),
        (0.2, None, "Offset E at least 0.2000: bounded on one side only"),
        (None, None, "Offset E not bounded by the data"),
    ],
)
def test_open_sets_are_named(low: float | None, high: float | None, title: str) -> None:
    fit = study_fit()
    fit["axes"]["tokens"]["profile"] = None
    fit["axes"]["n_databases"]["profile"]["E"] |= {"low": low, "high": high}
    drawing = profiles(fit)
    assert drawing is not None
    assert len(drawing.figure.axes) == 2
    assert drawing.figure.axes[1].get_title(loc="left") == title


def test_without_profiles_or_draws_there_is_no_figure() -> None:
    fit = study_fit()
    for entry in fit["axes"].values():
        entry["profile"] = None
    assert profiles(fit) is None
    assert clouds({}, fit) is None


def test_clouds_hold_every_draw_that_has_a_law() -> None:
    draws, fit = study_draws(), study_fit()
    drawing = clouds(draws, fit)
    assert drawing is not None
    axes = drawing.figure.axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [39, 39]
    marks = {line.get_label(): line for line in axes.lines if line.get_markersize() == 9}
    assert marks["along tokens"].get_xdata()[0] == fit["axes"]["tokens"]["alpha"]
    assert axes.get_title(loc="left") == (
        "Correlation of exponent and offset: 1.00 (databases), 1.00 (tokens)"
    )
    assert len(drawing.data) == 78 and list(drawing.data) == ["axis", "draw", "E", "A", "alpha"]
