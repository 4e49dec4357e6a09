"""Slices: every run and minimum, edges hollow, names at the lines, a frame that shows the minima."""

import numpy as np
from study_fit import S, study_fit, study_table

from relscale.analysis.slice_figures import frame, levels, loss_curves, slice_rows


def diamonds(axes) -> list:
    return [line for line in axes.lines if line.get_marker() == "D"]


def test_minima_have_intervals_and_edges_are_hollow() -> None:
    table, fit = study_table(), study_fit()
    figure = loss_curves(table, fit).figure
    for axes, axis in zip(figure.axes, ("n_databases", "tokens"), strict=True):
        slices = fit["axes"][axis]["slices"]
        marks = diamonds(axes)
        assert [mark.get_xdata()[0] for mark in marks] == [record["x_opt"] for record in slices]
        faces = [mark.get_markerfacecolor() for mark in marks]
        assert [isinstance(face, str) and face == "white" for face in faces] == [True, *[False] * 4]
        drawn = [np.asarray(line.get_xdata(), float).tolist() for line in axes.lines]
        assert all(record["ci95"]["x_opt"] in drawn for record in slices[1:])
        assert axes.get_title(loc="left").endswith("4 of 5 minima lie inside the grid")


def test_lines_and_levels_are_named_directly() -> None:
    left, right = loss_curves(study_table(), study_fit()).figure.axes
    named = {text.get_text() for text in left.texts}
    assert {"8", "16", "32", "64", "128", "N =", "column means"} <= named
    assert {"131 M", "2.1 B", "S ="} <= {text.get_text() for text in right.texts}
    assert left.get_legend() is None


def test_runs_above_the_frame_are_counted() -> None:
    table, fit = study_table(), study_fit()
    table.loc[0, "loss"] = 3.0
    low, high = frame(table, fit)
    table.loc[0, "loss"] = 30.0
    assert frame(table, fit) == (low, high)
    drawing = loss_curves(table, fit)
    above = int((table["loss"] > high).sum())
    assert f"{above} of 50 runs lie above the frame" in drawing.caption
    assert "Column means alone reach 0.41." in drawing.caption


def test_the_numbers_are_the_runs_and_the_minima() -> None:
    table, fit = study_table(), study_fit()
    rows = slice_rows(table, fit)
    assert rows["kind"].value_counts().to_dict() == {"run": 50, "minimum": 10}
    minimum = rows[(rows["slice_of"] == "tokens") & (rows["tokens"] == S[2])].iloc[0]
    record = fit["axes"]["tokens"]["slices"][2]
    assert minimum["n_databases"] == record["x_opt"] and minimum["loss"] == record["loss_opt"]
    assert [minimum["x_low"], minimum["x_high"]] == record["ci95"]["x_opt"]


def test_a_table_without_levels_has_none() -> None:
    assert levels(study_table()[["n_databases", "tokens", "seed", "loss"]]) == {}
