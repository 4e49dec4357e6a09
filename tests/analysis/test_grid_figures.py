"""The grid: every mean written, minima framed, ridges through the minima of slices, types side by side."""

import numpy as np
import pytest
from study_fit import M, study_fit, study_table

from relscale.analysis.grid_figures import loss_by_type, loss_heatmap, type_names


def frames(axes, axis: str) -> list[tuple[float, float]]:
    """Centres of the frames of `axis` in log2 tokens and log2 databases."""
    found = [patch for patch in axes.patches if patch.get_gid() == axis]
    return [
        (patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2) for patch in found
    ]


def test_means_are_written_and_minima_framed() -> None:
    table = study_table()
    table = table[(table["n_databases"] != 32) | (table["tokens"] != table["tokens"].min())]
    axes = loss_heatmap(table, study_fit()).figure.axes[0]
    means = table.pivot_table(index="n_databases", columns="tokens", values="loss")
    expected = ["no run" if np.isnan(mean) else f"{mean:.4f}" for mean in means.to_numpy().ravel()]
    assert [text.get_text() for text in axes.texts] == expected
    lowest = means.idxmin(axis=1)
    np.testing.assert_allclose(frames(axes, "n_databases"), np.log2([(lowest[n], n) for n in means.index]))
    lowest = means.idxmin(axis=0)
    np.testing.assert_allclose(frames(axes, "tokens"), np.log2([(s, lowest[s]) for s in means.columns]))


def test_ridges_pass_through_the_interior_minima() -> None:
    fit = study_fit()
    drawing = loss_heatmap(study_table(), fit)
    axes = drawing.figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [f"best S for each N: exponent {M:.2f}", f"best N for each S: exponent {1 / M:.2f}"]
    interior = fit["axes"]["n_databases"]["slices"][1:]
    dots = next(line for line in axes.lines if line.get_label() == labels[0])
    np.testing.assert_allclose(dots.get_xdata(), np.log2([record["x_opt"] for record in interior]))
    np.testing.assert_allclose(dots.get_ydata(), np.log2([record["at"] for record in interior]))
    line = next(line for line in axes.lines if line.get_color() == "black" and np.ptp(line.get_ydata()) > 3)
    assert np.ptp(line.get_xdata()) / np.ptp(line.get_ydata()) == pytest.approx(M)
    assert len(drawing.data) == 25 and drawing.data["count"].eq(2).all()


def test_without_a_ridge_nothing_is_drawn_through() -> None:
    fit = study_fit()
    for axis, ridge in (("n_databases", "tokens_of_n"), ("tokens", "n_of_tokens")):
        fit["ridge"][ridge]["exponent"] = None
        for record in fit["axes"][axis]["slices"]:
            record |= {"status": "edge", "ci95": None}
    axes = loss_heatmap(study_table(), fit).figure.axes[0]
    assert all(len(line.get_xdata()) == 0 for line in axes.lines)


def test_types_have_a_panel_each_with_what_is_reached_without_a_network() -> None:
    table = study_table()
    assert type_names(table) == ["loss_boolean", "loss_number"]
    drawing = loss_by_type(table)
    assert drawing is not None
    boolean, number = (axes for axes in drawing.figure.axes if axes.get_visible())
    assert boolean.get_title(loc="left").startswith("boolean: ")
    assert boolean.get_title(loc="left").endswith("column means alone 0.64")
    assert "alone" not in number.get_title(loc="left")
    best, ring = number.lines
    assert len(best.get_xdata()) == 5 and len(ring.get_xdata()) == 1
    assert list(drawing.data) == ["n_databases", "tokens", "loss_boolean", "loss_number"]
    assert loss_by_type(table.drop(columns=["loss_boolean", "loss_number"])) is None
