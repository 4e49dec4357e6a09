"""Pictures of databases: what they show, read back from their parts."""

import numpy as np
import pandas as pd
import pytest

from relscale.analysis import inspect_figures, statistics
from relscale.analysis.database import read_database
from relscale.analysis.statistics import Dependence
from relscale.analysis.summaries import Difference


@pytest.fixture(scope="module")
def database(shop):
    return read_database(shop.folder)


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def words(axes) -> str:
    return " ".join(text.get_text() for text in axes.texts)


def test_fan_out_draws_the_shares_beside_the_poisson_law(database):
    panels = shown(inspect_figures.fan_out(database.links))
    assert len(panels) == len(database.links)
    for axes, link in zip(panels, database.links, strict=True):
        counts = statistics.fan_out(link)
        poisson, measured = axes.lines
        values, shares = statistics.ccdf(counts)
        np.testing.assert_array_equal(measured.get_xdata(), values)
        np.testing.assert_array_equal(measured.get_ydata(), shares)
        assert poisson.get_linestyle() == "--"
        assert f"largest {counts.max()}" in words(axes)


def test_locality_has_a_dot_for_each_child_with_a_parent(database):
    for axes, link in zip(shown(inspect_figures.locality(database.links)), database.links, strict=True):
        (dots,) = axes.lines
        assert len(dots.get_xdata()) == (link.parents >= 0).sum()
        np.testing.assert_array_equal(link.parents[dots.get_xdata()], dots.get_ydata())


def test_kinds_and_missing_values_have_a_cell_for_each_column(database):
    kinds, missing, _ = inspect_figures.kinds_and_missing(database).axes
    names = [label.get_text() for label in kinds.get_yticklabels()]
    assert names == ["customers", "staff", "orders", "notes"]
    cells = missing.collections[0].get_array()
    assert sorted(cells[2].compressed()) == [0] * 6 + [0.05, 1.0]
    assert [int(row.count()) for row in cells] == [2, 1, 8, 1]
    assert {text.get_text() for text in kinds.get_legend().texts} == {
        "number", "boolean", "category", "text", "time", "other",
    }  # fmt: skip


def test_every_kind_of_column_has_its_picture(database):
    orders = database.tables["orders"]
    figure = inspect_figures.columns(orders, orders.columns)
    panels = {axes.get_title(loc="left").split("  ")[0]: axes for axes in shown(figure)}
    assert figure.texts[0].get_text() == "orders: 600 rows, all columns"
    assert "(5 % missing)" in panels["price"].get_title(loc="left")
    assert panels["noise"].patches[0].get_data().values.sum() == 600
    assert "post  50 %" in words(panels["way"])
    assert "True  9" in words(panels["paid"]) or "True  8" in words(panels["paid"])
    assert "595 others" in words(panels["note"])
    assert words(panels["empty"]) == "all missing" and words(panels["list"]) == "not drawn"
    assert [tick.get_text() for tick in panels["sent"].get_xticklabels()] == ["2020-01", "2020-11"]


def test_a_constant_is_said_to_be_one(database):
    staff = database.tables["staff"]
    (axes,) = shown(inspect_figures.columns(staff, staff.columns))
    assert words(axes) == "always 1"


def test_whole_numbers_are_counted_one_by_one(database):
    edges = inspect_figures._edges(np.array([0.0, 3.0, 3.0, 7.0]), 30)
    np.testing.assert_array_equal(edges[:9], np.arange(9) - 0.5)
    assert len(inspect_figures._edges(np.arange(1000.0), 30)) <= 33


def test_over_time_marks_the_splits(database):
    orders = database.tables["orders"]
    figure = inspect_figures.over_time(database, {"orders": [orders.columns[1]]})
    rows, mean = shown(figure)
    assert rows.get_title(loc="left") == "orders: rows"
    assert rows.patches[0].get_data().values.sum() == 600
    for axes in (rows, mean):
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_color() == inspect_figures.ORANGE]
        assert marks == [np.datetime64("2020-08-01", "s"), np.datetime64("2020-10-01", "s")]
    assert words(rows).split() == ["val", "test"]


def test_dependence_crosses_what_permutations_reach():
    found = {"a.k → b": [Dependence("x", 0.9, 0.1), Dependence("y", 0.05, 0.1)]}
    axes = inspect_figures.dependence(found).axes[0]
    np.testing.assert_allclose(axes.collections[0].get_array(), [[0.9, 0.05]])
    (crosses,) = axes.lines
    assert list(crosses.get_xdata()) == [1.5]


def test_distributions_name_the_test_of_two_corpora():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"depth": rng.integers(1, 9, 50), "jump": rng.normal(size=50), "gap": np.nan})
    other = pd.DataFrame({"depth": rng.integers(1, 9, 30), "jump": rng.normal(size=30)})
    tests = [Difference("jump", 0.25, 0.004)]
    labels = {"depth": "depth of it", "jump": "jump of it", "gap": "gap of it"}
    depth, jump, gap = shown(inspect_figures.distributions(rows, labels, other, tests))
    assert depth.get_title(loc="left") == "depth of it"
    assert [patch.get_data().values.sum() for patch in jump.patches] == pytest.approx([1, 1])
    assert words(jump) == "D 0.25\np 0.004" and words(depth) == ""
    assert words(gap) == "nothing to measure"
