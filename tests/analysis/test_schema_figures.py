"""Schema graphs: every table with its counts, every reference with its arrow."""

import pytest
from matplotlib.patches import FancyBboxPatch, PathPatch

from relscale.analysis.database import read_database
from relscale.analysis.figures import render
from relscale.analysis.schema_figures import schema, thumbnails
from relscale.analysis.schema_layout import arrange


@pytest.fixture(scope="module")
def database(shop):
    return read_database(shop.folder)


@pytest.fixture(scope="module")
def layout(database):
    return arrange(list(database.tables), [(link.child, link.parent) for link in database.links])


def test_every_table_is_a_box_and_every_reference_a_line(database, layout):
    figure = schema(database, layout)
    (axes,) = figure.axes
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    lines = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    assert len(boxes) == 4 + 2  # and the two of the legend
    assert len(lines) == len(database.links) == 4
    words = [text.get_text() for text in axes.texts]
    assert {"customers", "orders", "600 rows · 12 columns", "0 rows · 2 columns"} <= set(words)


def test_names_stay_inside_their_boxes(database, layout):
    long = {f"{name}_with_a_name_that_goes_on": table for name, table in database.tables.items()}
    from dataclasses import replace

    tables = {name: replace(table, name=name) for name, table in long.items()}
    figure = schema(replace(database, tables=tables, links=()), arrange(list(tables), []))
    render(figure)
    (axes,) = figure.axes
    boxes = [patch.get_window_extent() for patch in axes.patches][:4]
    names = [text for text in axes.texts if text.get_fontweight() == "bold"]
    for name in names:
        extent = name.get_window_extent()
        assert any(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in boxes), name.get_text()


def test_references_do_not_end_in_one_point(database, layout):
    (axes,) = schema(database, layout).axes
    ends = [
        tuple(patch.get_path().vertices[place])
        for patch in axes.patches
        if isinstance(patch, PathPatch)
        for place in (0, -1)
    ]
    assert len(set(ends)) == len(ends)


def test_thumbnails_have_a_dot_for_each_table(layout, database):
    timed = {name: table.time_col is not None for name, table in database.tables.items()}
    figure = thumbnails({"shop-1": (layout, timed), "shop-2": (layout, timed)})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["shop-1: 4 tables", "shop-2: 4 tables"]
    assert [len(axes.collections[0].get_offsets()) for axes in shown] == [4, 4]
