"""Where the tables of a schema graph stand: layers from referred to referring, few crossings, short edges."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
from scipy.optimize import isotonic_regression

_BEND_HEIGHT = 0.45  # of a table's height, for an edge that passes a layer
_ORDER_SWEEPS, _HEIGHT_SWEEPS = 16, 80

Node = str | tuple[int, int]  # a table, or the bend of edge i in layer j


@dataclass(frozen=True, slots=True)
class Layout:
    """Places in units of one table: x is the layer, y grows downward.

    places : table -> (x, y).
    routes : for every edge the points (x, y) between its two tables, from the left one to the right one.
    """

    places: dict[str, tuple[float, float]]
    routes: dict[tuple[str, str], list[tuple[float, float]]]
    width: int
    height: float


def arrange(tables: Sequence[str], references: Iterable[tuple[str, str]]) -> Layout:
    """Layered drawing of a schema graph; the same input gives the same drawing.

    Parameters
    ----------
    tables : all tables, in their order.
    references : (child, parent) pairs; repeats and self-references have no influence.

    Parents stand left of their children. An edge that closes a cycle runs the other way, and its route is
    kept under its own pair all the same. Tables without any reference stand in rows below the rest.

    Source: Sugiyama et al. 1981 (layers, barycentres); heights by isotonic regression.
    """
    pairs = sorted({(child, parent) for child, parent in references if child != parent})
    graph = _acyclic(tables, pairs)
    linked = [name for name in tables if graph.degree(name)]
    layers = _layers(graph.subgraph(linked), linked)
    chains = _chains(graph, layers)
    rows = _rows(linked, layers, chains)
    neighbours = _neighbours(chains)
    _uncross(rows, neighbours)
    heights = _heights(rows, neighbours)
    places = {name: (float(layers[name]), heights[name]) for name in linked}
    routes = {
        edge: [(float(layers[edge[0]] + 1 + step), heights[bend]) for step, bend in enumerate(chain[1:-1])]
        for edge, chain in chains.items()
    }
    lowest = max((y for _, y in places.values()), default=-1.0)
    loose = [name for name in tables if name not in layers]
    width = max(len(rows), min(len(loose), max(4, round(len(loose) ** 0.5))))
    for place, name in enumerate(loose):
        places[name] = (float(place % width), lowest + 1.0 + place // width)
    height = 1 + max((y for _, y in places.values()), default=0.0)
    deepest = max((y + 0.75 for route in routes.values() for _, y in route), default=0.0)
    by_reference = {
        (child, parent): routes[parent, child] if (parent, child) in routes else routes[child, parent]
        for child, parent in pairs
    }
    return Layout(places, by_reference, width, max(height, deepest))


def _acyclic(tables: Sequence[str], pairs: list[tuple[str, str]]) -> nx.DiGraph:
    """Edges from parent to child, those that close a cycle turned round."""
    graph = nx.DiGraph()
    graph.add_nodes_from(tables)
    for child, parent in pairs:
        backward = nx.has_path(graph, child, parent)
        graph.add_edge(*((child, parent) if backward else (parent, child)))
    return graph


def _layers(graph: nx.DiGraph, linked: list[str]) -> dict[str, int]:
    """Longest path from the left; tables with more children than parents move right to shorten edges."""
    layers: dict[str, int] = {}
    for layer, names in enumerate(nx.topological_generations(graph)):
        layers |= dict.fromkeys(names, layer)
    for name in sorted(linked, key=lambda name: -layers[name]):
        if graph.out_degree(name) > graph.in_degree(name):
            layers[name] = min(layers[child] for child in graph.successors(name)) - 1
    return layers


def _chains(graph: nx.DiGraph, layers: dict[str, int]) -> dict[tuple[str, str], list[Node]]:
    """Every edge as its left table, a bend in each layer it passes, and its right table."""
    chains: dict[tuple[str, str], list[Node]] = {}
    for number, (left, right) in enumerate(sorted(graph.edges)):
        bends: list[Node] = [(number, layer) for layer in range(layers[left] + 1, layers[right])]
        chains[left, right] = [left, *bends, right]
    return chains


def _rows(
    linked: list[str], layers: dict[str, int], chains: dict[tuple[str, str], list[Node]]
) -> list[list[Node]]:
    rows: list[list[Node]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name in linked:
        rows[layers[name]].append(name)
    for (left, _), chain in chains.items():
        for step, bend in enumerate(chain[1:-1], 1):
            rows[layers[left] + step].append(bend)
    return rows


def _neighbours(
    chains: dict[tuple[str, str], list[Node]],
) -> tuple[dict[Node, list[Node]], dict[Node, list[Node]]]:
    """Of every node, its neighbours in the layer to the left and in that to the right."""
    left: dict[Node, list[Node]] = {}
    right: dict[Node, list[Node]] = {}
    for chain in chains.values():
        for first, second in pairwise(chain):
            right.setdefault(first, []).append(second)
            left.setdefault(second, []).append(first)
    return left, right


def _uncross(rows: list[list[Node]], neighbours: tuple[dict[Node, list[Node]], ...]) -> None:
    """Order each layer by the mean place of its neighbours, to and fro; keep the best order."""
    left, right = neighbours
    best, fewest = [list(row) for row in rows], _crossings(rows, right)
    for sweep in range(_ORDER_SWEEPS):
        forward = sweep % 2 == 0
        sides, order = (left, range(1, len(rows))) if forward else (right, range(len(rows) - 2, -1, -1))
        for layer in order:
            beside = {node: place for place, node in enumerate(rows[layer + (-1 if forward else 1)])}
            here = {node: float(place) for place, node in enumerate(rows[layer])}
            for node in rows[layer]:
                if places := [beside[other] for other in sides.get(node, [])]:
                    here[node] = float(np.mean(places))
            rows[layer].sort(key=lambda node, here=here: here[node])  # type: ignore[misc]
        if (crossings := _crossings(rows, right)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: list[list[Node]], right: dict[Node, list[Node]]) -> int:
    total = 0
    for row, beside in pairwise(rows):
        places = {node: place for place, node in enumerate(beside)}
        ends = [(here, places[other]) for here, node in enumerate(row) for other in right.get(node, [])]
        first, second = np.array(ends).reshape(-1, 2).T
        total += int(((first[:, None] < first) & (second[:, None] > second)).sum())
    return total


def _heights(rows: list[list[Node]], neighbours: tuple[dict[Node, list[Node]], ...]) -> dict[Node, float]:
    """y of every node: near its neighbours' mean, in the given order, far enough apart."""
    left, right = neighbours
    sizes = [np.array([1.0 if isinstance(node, str) else _BEND_HEIGHT for node in row]) for row in rows]
    offsets = [np.cumsum(size) - size / 2 for size in sizes]
    heights: dict[Node, float] = {}
    for row, offset in zip(rows, offsets, strict=True):
        heights |= zip(row, (offset - offset.mean()).tolist(), strict=True)
    for sweep in range(_HEIGHT_SWEEPS):
        order = range(len(rows)) if sweep % 2 else range(len(rows) - 1, -1, -1)
        for layer in order:
            row, offset = rows[layer], offsets[layer]
            wanted = np.array(
                [np.mean([heights[n] for n in left.get(node, []) + right.get(node, [])]) for node in row]
            )
            weights = [1.0 if isinstance(node, str) else 4.0 for node in row]  # straight edges
            fitted = isotonic_regression(wanted - offset, weights=weights).x + offset
            heights |= zip(row, fitted.tolist(), strict=True)
    top = min(heights.values(), default=0.0)
    return {node: height - top for node, height in heights.items()}
