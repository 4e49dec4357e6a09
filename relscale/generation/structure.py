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
from relscale.generation.tiles import Edges
from relscale.generation.totals import AGGREGATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalModel:
    """What computes the features of a table: V nodes, parents before children.

    n_categories : int64 [V], classes of a node's values while they propagate; 0 for numbers.
    first : int64 [V + 1]; the edges into node v are first[v] to first[v + 1], none into a source.
    edges : their tails, weights and encoders.
    decoders : one for each node.
    aggregations : int64 [V], positions in AGGREGATIONS.
    noises : float64 [V, 2], both parameters of each node's beta noise.
    column_nodes : int64 [columns], the node that feature i shows.
    order : int64 [columns], the features in the order of their nodes in the graph.
    """

    mode: Mode
    n_categories: np.ndarray
    first: np.ndarray
    edges: Edges
    decoders: Coders
    aggregations: np.ndarray
    noises: np.ndarray
    column_nodes: np.ndarray
    order: np.ndarray

    @property
    def n_nodes(self) -> int:
        """V."""
        return len(self.n_categories)

    def is_source(self, node: int) -> bool:
        """Whether nothing leads into the node."""
        return bool(self.first[node] == self.first[node + 1])


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
    return CausalModel(
        mode=mode,
        n_categories=n_live,
        first=np.searchsorted(into[kept], np.arange(len(live) + 1)),
        edges=make_edges(tails, weights[kept], sample_encoders(n_live[tails], prior=prior, rng=rng)),
        decoders=sample_decoders(n_live, prior=prior, rng=rng),
        aggregations=names[rng.integers(len(names), size=len(live))],
        noises=_sample_noises(len(live), prior, rng),
        column_nodes=place[column_nodes],
        order=np.argsort(column_nodes),
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
