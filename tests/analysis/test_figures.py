"""What the figures show: points, lines, marks and words; not how they look."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relscale.analysis import figures
from relscale.analysis.fit import fit_results

SCORE = {
    "dataset": "rel-f1", "task": "driver-dnf", "split": "test", "metric": "roc_auc", "value": 0.71,
    "ci95": [0.69, 0.73], "rows": 702, "visibility": "temporal",
    "baselines": {"constant": 0.5, "entity mean": 0.68},
}  # fmt: skip


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def title(axes: Axes) -> str:
    return axes.get_title(loc="left")


def is_drawn(figure: Figure) -> bool:
    """Whether the picture has ink: more than a few colours."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba()).reshape(-1, 4)  # type: ignore[attr-defined]
    return len(np.unique(pixels, axis=0)) > 20


def test_loss_curves_mark_edges_hollow(bowl, make_table) -> None:
    table = make_table(bowl, sigma=3e-4, seeds=3)
    fit = fit_results(table, n_boot=0)
    figure = figures.loss_curves(table, fit)
    assert is_drawn(figure)
    for axes, axis in zip(figure.axes, ("n_databases", "tokens"), strict=True):
        slices = fit["axes"][axis]["slices"]
        diamonds = [line for line in axes.lines if line.get_marker() == "D"]
        faces = [line.get_markerfacecolor() for line in diamonds]
        hollow = [isinstance(face, str) and face == "white" for face in faces]
        assert hollow == [record["status"] == "edge" for record in slices]
        assert [line.get_xdata()[0] for line in diamonds] == [record["x_opt"] for record in slices]
        n_interior = hollow.count(False)
        assert f"{n_interior} of {len(slices)} minima lie inside the grid" in title(axes)


def test_heat_map_writes_every_mean_and_marks_minima(bowl, make_table) -> None:
    table = make_table(bowl, n_databases=[8, 16, 32], tokens=[10**9, 2 * 10**9, 4 * 10**9, 8 * 10**9])
    table = table[(table["n_databases"] != 32) | (table["tokens"] != 10**9)]
    figure = figures.loss_heatmap(table)
    assert is_drawn(figure)
    axes = figure.axes[0]
    means = table.pivot(index="n_databases", columns="tokens", values="loss").to_numpy()
    written = np.array(texts(axes)).reshape(3, 4)
    expected = np.array(["no run" if np.isnan(mean) else f"{mean:.4f}" for mean in means.ravel()])
    np.testing.assert_array_equal(written, expected.reshape(3, 4))
    in_rows, in_columns = axes.lines
    np.testing.assert_array_equal(np.round(in_rows.get_xdata() + 0.4), np.nanargmin(means, 1))
    np.testing.assert_array_equal(np.round(in_columns.get_ydata() - 0.3), np.nanargmin(means, 0))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 B", "2 B", "4 B", "8 B"]


def test_a_law_is_drawn_through_its_points_with_its_interval(monotone, make_table) -> None:
    fit = fit_results(make_table(monotone, sigma=3e-4, seeds=3), n_boot=100)
    entry = fit["axes"]["tokens"]
    figure = figures.axis_law(fit, "tokens")
    assert is_drawn(figure)
    left, right = figure.axes
    low, high = entry["ci95"]["alpha"]
    assert title(right) == f"Boundary law: exponent {entry['alpha']:.2f} (95 %: {low:.2f} to {high:.2f})"
    curve = left.lines[0]
    expected = entry["E"] + entry["A"] * (np.asarray(curve.get_xdata()) / 1e9) ** -entry["alpha"]
    np.testing.assert_allclose(np.asarray(curve.get_ydata()), expected)
    assert left.get_yscale() == "linear"
    assert right.get_xscale() == right.get_yscale() == "log"
    assert len(left.collections) >= 1  # the band


def test_a_failed_axis_shows_points_and_reason(bowl, make_table) -> None:
    fit = fit_results(make_table(bowl, n_databases=[8, 16, 32]))
    figure = figures.axis_law(fit, "n_databases")
    assert is_drawn(figure)
    left, right = figure.axes
    assert title(left) == "No law is claimed along databases"
    assert len(left.lines) == 3
    words = " ".join(texts(right)[0].split())
    assert "3 distinct values, need at least 4; have 8, 16, 32." in words


def test_learning_curves_have_a_panel_for_each_n() -> None:
    rows = [
        (f"{n}-{s}-{seed}", n, s, seed, s * step / 20, 1.0 / step + 0.01 * seed)
        for n in (8, 16, 32, 64, 128)
        for s in (10**8, 10**9)
        for seed in (0, 1)
        for step in range(1, 21)
    ]
    columns = ["trial", "n_databases", "tokens_total", "seed", "tokens", "loss"]
    figure = figures.learning_curves(pd.DataFrame(rows, columns=columns))
    assert is_drawn(figure)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [title(axes) for axes in shown] == [f"{n} databases" for n in (8, 16, 32, 64, 128)]
    assert all(len(axes.lines) == 4 for axes in shown)
    assert len({line.get_color() if isinstance(line.get_color(), str) else tuple(line.get_color())
                for line in shown[0].lines}) == 2  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, "better than the best baseline"),
        ({"ci95": [0.66, 0.76]}, "level with the best baseline"),
        ({"metric": "mae"}, "worse than the best baseline"),
        ({"value": None, "ci95": None}, "no score"),
        ({"baselines": {}}, "no baseline"),
    ],
)
def test_zero_shot_panels_state_the_finding(changes: dict, finding: str) -> None:
    score = {**SCORE, **changes}
    figure = figures.zero_shot_bars([score, {**SCORE, "task": "driver-top3"}])
    assert is_drawn(figure)
    first, second = figure.axes
    assert title(first) == f"rel-f1 / driver-dnf (test): {finding}"
    assert title(second).startswith("rel-f1 / driver-top3")
    n_bars = len(score["baselines"]) + (score["value"] is not None)
    assert len(first.patches) == n_bars
    assert (" no score" in texts(first)) == (score["value"] is None)


def test_constant_tables_can_be_drawn(make_table) -> None:
    table = make_table(lambda n, s: 0.5, n_databases=[8], tokens=[10**9])
    fit = fit_results(table)
    figures.loss_curves(table, fit).canvas.draw()
    figures.loss_heatmap(table).canvas.draw()
    figures.axis_law(fit, "tokens").canvas.draw()


def test_equal_figures_are_equal_files(bowl, make_table) -> None:
    table = make_table(bowl, n_databases=[8, 16], tokens=[10**9, 2 * 10**9])
    first, second = (figures.render(figures.loss_heatmap(table)) for _ in range(2))
    assert first == second
    png, svg = first
    assert png.startswith(b"\x89PNG")
    assert b"<svg" in svg[:600]
