"""Pictures of schema graphs: one drawn large, or many as thumbnails."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from relscale.analysis.database import Database, Link, Table
from relscale.analysis.figures import BLUE, ORANGE, new_figure
from relscale.analysis.inspect_figures import SMALL, WIDTH, panel_grid, short
from relscale.analysis.schema_layout import Layout
from relscale.platform.progress import human_count

_INKS = ("#4C72B0", "#8172B3", "#64875A", "#937860", "#3D8C9E", "#B0647E", "#7A7A7A")
_GAP, _BOX_HEIGHT, _PITCH = 0.66, 0.5, 0.72  # inches
_TOP = 0.55

Point = tuple[float, float]


def schema(database: Database, layout: Layout) -> Figure:
    """The schema graph: a box for each table, an arrow from each foreign key to the table it refers to."""
    box = float(np.clip((WIDTH - 0.2) / layout.width - _GAP, 0.86, 1.66))  # narrower if that spares scrolling
    width = max(5.5, layout.width * (box + _GAP) - _GAP + 0.2)
    figure = new_figure(width, layout.height * _PITCH + _TOP, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(layout.height * _PITCH + _TOP, 0))
    axes.set_axis_off()

    def centre(x: float, y: float) -> Point:
        return 0.1 + x * (box + _GAP) + box / 2, _TOP + (y + 0.5) * _PITCH

    centres = {name: centre(*place) for name, place in layout.places.items()}
    inks = {name: _INKS[place % len(_INKS)] for place, name in enumerate(layout.places)}
    ports = _ports(database.links, centres, box)
    for number, link in enumerate(database.links):
        if link.child == link.parent:
            _draw_loop(axes, centres[link.child], box, inks[link.parent])
        else:
            bends = [centre(*bend) for bend in layout.routes[link.child, link.parent]]
            _draw_reference(axes, *ports[number], bends, box, inks[link.parent])
    for name, place in centres.items():
        _draw_table(axes, database.tables[name], place, box)
    for x, colour, text in ((0.1, BLUE, "entity: no time column"), (2.2, ORANGE, "activity: a time column")):
        axes.add_patch(_frame((x, 0.12), (0.24, 0.16), colour))
        axes.text(x + 0.32, 0.2, text, va="center", fontsize=9, color="#333333")
    return figure


def _ports(links: Sequence[Link], centres: Mapping[str, Point], box: float) -> dict[int, tuple[Point, Point]]:
    """Where each reference leaves its child and meets its parent: spread along the sides of the boxes."""
    ends: dict[tuple[str, int], list[tuple[float, int, int]]] = {}
    for number, link in enumerate(links):
        if link.child != link.parent:
            child, parent = centres[link.child], centres[link.parent]
            side = 1 if child[0] < parent[0] else -1
            ends.setdefault((link.child, side), []).append((parent[1], number, 0))
            ends.setdefault((link.parent, -side), []).append((child[1], number, 1))
    found: dict[tuple[int, int], Point] = {}
    for (name, side), here in ends.items():
        x, y = centres[name]
        step = min(0.12, 0.8 * _BOX_HEIGHT / len(here))
        for place, (_, number, end) in enumerate(sorted(here)):
            found[number, end] = (x + side * box / 2, y + (place - (len(here) - 1) / 2) * step)
    return {number: (found[number, 0], found[number, 1]) for number, end in found if end == 0}


def _draw_reference(
    axes: Axes, child: Point, parent: Point, bends: list[Point], box: float, ink: str
) -> None:
    """A smooth line from left to right through the bends, with an arrow head at the parent."""
    first, last = sorted((child, parent))
    stops = [first, *((x + dx, y) for x, y in bends for dx in (-box / 2, box / 2)), last]
    vertices, codes = [stops[0]], [Path.MOVETO]
    for place, (start, stop) in enumerate(itertools.pairwise(stops)):
        if place % 2:  # straight past the boxes of a layer
            vertices.append(stop)
            codes.append(Path.LINETO)
        else:
            reach = (stop[0] - start[0]) / 2
            vertices += [(start[0] + reach, start[1]), (stop[0] - reach, stop[1]), stop]
            codes += [Path.CURVE4] * 3
    line = PathPatch(Path(vertices, codes), facecolor="none", edgecolor=ink, linewidth=1.2, alpha=0.85)
    axes.add_patch(line)
    (x, y), back = parent, 0.09 if parent == first else -0.09
    axes.fill([x, x + back, x + back], [y, y - 0.045, y + 0.045], color=ink, zorder=2, linewidth=0)


def _draw_loop(axes: Axes, centre: Point, box: float, ink: str) -> None:
    x, y = centre[0] + box / 4, centre[1] - _BOX_HEIGHT / 2
    path = Path([(x - 0.14, y), (x - 0.2, y - 0.2), (x + 0.2, y - 0.2), (x + 0.14, y)], [1, 4, 4, 4])
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=ink, linewidth=1.2))
    axes.fill([x + 0.14, x + 0.11, x + 0.2], [y, y - 0.09, y - 0.075], color=ink, zorder=2, linewidth=0)


def _draw_table(axes: Axes, table: Table, centre: Point, box: float) -> None:
    x, y = centre
    colour = ORANGE if table.time_col else BLUE
    axes.add_patch(_frame((x - box / 2, y - _BOX_HEIGHT / 2), (box, _BOX_HEIGHT), colour))
    room = (box - 0.14) / 0.0089  # points that the name may fill; 0.0089 inch a letter and point
    name = short(table.name, int(room / 6.2))
    size = min(9.5, room / len(name))
    words = (" rows · ", " columns") if box > 1.4 else (" × ", "")
    counts = f"{human_count(table.n_rows)}{words[0]}{table.n_columns}{words[1]}"
    style: Any = {"ha": "center", "va": "center", "zorder": 4}
    axes.text(x, y - 0.09, name, fontsize=size, weight="bold", **style)
    axes.text(x, y + 0.11, counts, fontsize=7.5, color="#444444", **style)


def _frame(corner: Point, size: Point, colour: str) -> FancyBboxPatch:
    red, green, blue = matplotlib.colors.to_rgb(colour)
    pale = tuple(0.86 + 0.14 * part for part in (red, green, blue))
    style = f"round,pad=0,rounding_size={min(0.07, size[1] / 3)}"
    return FancyBboxPatch(
        corner, *size, boxstyle=style, facecolor=pale, edgecolor=colour, linewidth=1.3, zorder=3
    )


def thumbnails(databases: Mapping[str, tuple[Layout, Mapping[str, bool]]]) -> Figure:
    """Small schema graphs: a dot for each table (orange with a time column), a line for each reference.

    Parameters
    ----------
    databases : name -> its layout, and for each table whether it has a time column.
    """
    figure, panels = panel_grid(len(databases), columns=6, height=1.5, foot=0.1)
    with matplotlib.rc_context(SMALL):
        for axes, (name, (layout, timed)) in zip(panels, databases.items(), strict=True):
            for (child, parent), bends in layout.routes.items():
                first, last = sorted((layout.places[child], layout.places[parent]))
                axes.plot(*zip(first, *bends, last, strict=True), color="#999999", linewidth=0.7, zorder=1)
            x, y = np.array(list(layout.places.values())).T
            colours = [ORANGE if timed[table] else BLUE for table in layout.places]
            axes.scatter(x, y, s=16, c=colours, zorder=2, linewidths=0)
            axes.set(xlim=(-0.5, layout.width - 0.5), ylim=(y.max() + 1, y.min() - 1))
            axes.set_title(f"{short(name, 18)}: {len(timed)} tables", fontsize=8)
            axes.set_axis_off()
    return figure
