"""The causal model of a table: its random graph, and the mechanism of every node, in flat arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relscale.generation.config import GeneratorConfig, MechanismPrior, Mode
from relscale.generation.draws import draw_option
from relscale.generation.graphs import Dag, sample_dag, sample_edge_weights
from relscale.generation.networks import Coders, sample_decoders, sample_encoders
from relscale.generation.schema import ColumnSpec, sample_types
from relscale.generation.tiles import Edges, Nodes
from relscale.generation.totals import AGGREGATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalModel:
    """What computes the features of a table.

    nodes : V nodes with their mechanisms, parents before children.
    column_nodes : int64 [columns], the node that feature i shows.
    order : int64 [columns], the features in the order of their nodes in the graph.
    """

    mode: Mode
    nodes: Nodes
    column_nodes: np.ndarray
    order: np.ndarray

    @property
    def n_nodes(self) -> int:
        """V."""
        return len(self.nodes.n_categories)

    def sources(self) -> np.ndarray:
        """Nodes that nothing leads into."""
        return np.flatnonzero(np.diff(self.nodes.first) == 0)

    def modes(self) -> np.ndarray:
        """Aggregations of the other nodes, each once."""
        return np.unique(self.nodes.aggregations[np.diff(self.nodes.first) > 0])


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
    weights = sample_edge_weights(len(dag.tails), draw_option(prior.edge_weights, rng=rng), rng=rng)
    column_nodes = rng.choice(n_nodes, len(columns), replace=False)
    n_categories = np.zeros(n_nodes, np.int64)
    if mode == "type_eager":
        n_categories[:] = sample_types(n_nodes, config, rng=rng)
        n_categories[column_nodes] = [column.n_categories for column in columns]
    live = _with_ancestors(dag, column_nodes)
    place = np.full(n_nodes, -1)  # of a node among the live ones
    place[live] = np.arange(len(live))
    into = place[dag.heads]
    kept = np.flatnonzero(into >= 0)
    kept = kept[np.argsort(into[kept], kind="stable")]
    tails = place[dag.tails[kept]]
    names = np.array([AGGREGATIONS.index(name) for name in prior.aggregations])
    n_live = n_categories[live]
    edges = make_edges(tails, weights[kept], sample_encoders(n_live[tails], prior=prior, rng=rng))
    decoders = sample_decoders(n_live, prior=prior, rng=rng)
    nodes = Nodes(
        first=np.searchsorted(into[kept], np.arange(len(live) + 1)),
        edges=edges,
        decoders=decoders.networks,
        classes=decoders.classes,
        class_start=decoders.class_start,
        n_categories=n_live,
        aggregations=names[rng.integers(len(names), size=len(live))],
        noises=_sample_noises(len(live), prior, rng),
        is_read=np.isin(np.arange(len(live)), tails[~edges.constant]),
    )
    return CausalModel(
        mode=mode, nodes=nodes, column_nodes=place[column_nodes], order=np.argsort(column_nodes)
    )


def _sample_noises(size: int, prior: MechanismPrior, rng: np.random.Generator) -> np.ndarray:
    if prior.noise_pairs:
        return np.array(prior.noise_pairs)[rng.integers(len(prior.noise_pairs), size=size)]
    return rng.uniform(*prior.noise_beta, (size, 2))


def make_edges(tails: np.ndarray, weights: np.ndarray, encoders: Coders) -> Edges:
    """Edges from signals, with one encoder each; those that cannot see their input are marked."""
    nets = encoders.networks
    first = nets.start[nets.first[:-1]]
    reach = nets.weights[first[:, None] + np.arange(nets.n_out[0])] if len(first) else np.empty((0, 1))
    return Edges(
        tail=tails,
        weight=weights.astype(np.float32),
        networks=nets,
        classes=encoders.classes,
        class_start=encoders.class_start,
        n_categories=encoders.n_categories,
        constant=(encoders.n_categories == 0) & ~reach.any(axis=1),
    )


def _with_ancestors(dag: Dag, nodes: np.ndarray) -> np.ndarray:
    """`nodes` and everything above them, parents before children."""
    wanted = np.zeros(dag.n_nodes, bool)
    wanted[nodes] = True
    order = dag.order()
    starts = np.searchsorted(dag.heads, np.arange(dag.n_nodes + 1))  # edges are sorted by head
    for node in reversed(order):
        if wanted[node]:
            wanted[dag.tails[starts[node] : starts[node + 1]]] = True
    return np.array([node for node in order if wanted[node]], np.int64)
