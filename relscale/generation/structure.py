"""The causal model of a table: its random graph, and the mechanism of every node."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from relscale.generation.config import Aggregation, GeneratorConfig, Mode
from relscale.generation.graphs import Dag, sample_dag, sample_edge_weights
from relscale.generation.mechanisms import Decoder, Encoder, sample_decoders, sample_encoders
from relscale.generation.draws import draw_option, draw_options
from relscale.generation.schema import ColumnSpec, sample_types


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the graph; a source has no parents and no mechanism.

    parents, weights, encoders : aligned, one for each edge into the node.
    n_categories : classes of its values while they propagate; 0 for numbers.
    noise : both parameters of its beta noise.
    """

    n_categories: int
    parents: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    encoders: tuple[Encoder, ...] = ()
    aggregation: Aggregation = "sum"
    noise: tuple[float, float] = (1.0, 1.0)
    decoder: Decoder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalModel:
    """What computes the features of a table.

    nodes : the columns and their ancestors, parents before children.
    column_nodes : the node that feature i shows.
    """

    mode: Mode
    nodes: dict[int, Node]
    column_nodes: tuple[int, ...]

    def aggregations(self) -> list[Aggregation]:
        """Those that some node uses, in alphabetical order."""
        return sorted({node.aggregation for node in self.nodes.values() if node.parents})


def sample_model(
    columns: Sequence[ColumnSpec], *, config: GeneratorConfig, rng: np.random.Generator
) -> CausalModel:
    """Draw the causal model of a table with these feature columns.

    Nodes that no column descends from are left out: nothing would read them.

    Source: PluRel (arXiv:2602.04029), structural causal models of tables.
    """
    prior = config.mechanisms
    mode = draw_option(prior.propagation_modes, rng=rng)
    ratio = rng.uniform(*prior.column_ratio)
    n_nodes = len(columns) + math.ceil(len(columns) / ratio) + 3
    dag = sample_dag(draw_option(prior.layouts, rng=rng), n_nodes, prior=config.graphs, rng=rng)
    law = draw_option(prior.edge_weights, rng=rng)
    weights = sample_edge_weights(len(dag.tails), law, rng=rng)
    column_nodes = rng.choice(n_nodes, len(columns), replace=False).tolist()
    n_categories = [0] * n_nodes
    if mode == "type_eager":
        n_categories = sample_types(n_nodes, config, rng=rng)
        for node, column in zip(column_nodes, columns, strict=True):
            n_categories[node] = column.n_categories
    nodes = _sample_nodes(dag, weights, n_categories, column_nodes, config, rng)
    return CausalModel(mode=mode, nodes=nodes, column_nodes=tuple(column_nodes))


def _sample_nodes(
    dag: Dag,
    weights: np.ndarray,
    n_categories: Sequence[int],
    column_nodes: Iterable[int],
    config: GeneratorConfig,
    rng: np.random.Generator,
) -> dict[int, Node]:
    prior = config.mechanisms
    starts = np.searchsorted(dag.heads, np.arange(dag.n_nodes + 1))  # edges are sorted by head
    parents = [tuple(dag.tails[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    live = _with_ancestors(dag.order(), parents, set(column_nodes))
    inner = [node for node in live if parents[node]]
    tails = [tail for node in inner for tail in parents[node]]
    encoders = iter(sample_encoders([n_categories[t] for t in tails], prior=prior, rng=rng))
    decoders = iter(sample_decoders([n_categories[v] for v in inner], prior=prior, rng=rng))
    aggregations = iter(draw_options(prior.aggregations, len(inner), rng=rng))
    noises = iter(rng.uniform(*prior.noise_beta, (len(inner), 2)).tolist())
    nodes = {}
    for v in live:
        if not parents[v]:
            nodes[v] = Node(n_categories=n_categories[v])
            continue
        nodes[v] = Node(
            n_categories=n_categories[v],
            parents=parents[v],
            weights=tuple(weights[starts[v] : starts[v + 1]].tolist()),
            encoders=tuple(next(encoders) for _ in parents[v]),
            aggregation=next(aggregations),
            noise=tuple(next(noises)),
            decoder=next(decoders),
        )
    return nodes


def _with_ancestors(order: Sequence[int], parents: Sequence[tuple[int, ...]], nodes: set[int]) -> list[int]:
    """`nodes` and everything above them, in the given topological order."""
    wanted = set(nodes)
    for node in reversed(order):
        if node in wanted:
            wanted.update(parents[node])
    return [node for node in order if node in wanted]
