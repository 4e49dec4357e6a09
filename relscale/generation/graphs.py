"""Families of random directed acyclic graphs, for schemas and for causal models."""

import graphlib
from collections.abc import Callable
from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from relscale.generation.config import EdgeWeights, Family, GraphPrior
from relscale.generation.draws import draw_count, draw_option


@dataclass(frozen=True, slots=True, kw_only=True)
class Dag:
    """A weakly connected directed acyclic graph; edge e leads from tails[e] to heads[e].

    tails, heads : int64 arrays of one length, sorted by (head, tail).
    """

    n_nodes: int
    tails: np.ndarray
    heads: np.ndarray

    def order(self) -> list[int]:
        """The nodes, parents before children; graphlib.CycleError if that is impossible."""
        if (self.tails < self.heads).all():
            return list(range(self.n_nodes))
        parents: dict[int, list[int]] = {node: [] for node in range(self.n_nodes)}
        for tail, head in zip(self.tails.tolist(), self.heads.tolist(), strict=True):
            parents[head].append(tail)
        return list(graphlib.TopologicalSorter(parents).static_order())


def sample_dag(family: Family, n_nodes: int, *, prior: GraphPrior, rng: np.random.Generator) -> Dag:
    """Draw a weakly connected DAG of a family.

    Parameters
    ----------
    family : name of the family.
    n_nodes : number of nodes, at least 1; a single node has no edges.
    prior : parameters of the families.
    rng : the only source of randomness.

    Source: PluRel (arXiv:2602.04029), the families of its reference implementation 1.1.
    """
    if n_nodes == 1:
        return _dag(np.zeros((1, 1), bool))
    return _dag(_FAMILIES[family](n_nodes, prior, rng))


def sample_edge_weights(n_edges: int, law: EdgeWeights, *, rng: np.random.Generator) -> np.ndarray:
    """Independent edge weights of one law as float32 [n_edges]."""
    if law == "gaussian":
        weights = rng.standard_normal(n_edges)
    elif law == "lognormal":
        weights = rng.lognormal(size=n_edges)
    elif law == "cauchy":
        weights = rng.standard_cauchy(n_edges)
    else:
        weights = rng.uniform(-2, 2, n_edges)
    return weights.astype(np.float32)


# Below, a graph is a boolean matrix: links[tail, head].


def _dag(links: np.ndarray) -> Dag:
    heads, tails = np.nonzero(links.T)
    return Dag(n_nodes=len(links), tails=tails, heads=heads)


def _erdos_renyi(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    if prior.er_arcs == "forward":
        while True:
            links = np.triu(rng.random((n, n)) < rng.uniform(*prior.er_edge_prob), 1)
            if connected_components(csr_array(links), directed=False, return_labels=False) == 1:
                return links
    arcs = rng.random((n, n)) < rng.uniform(*prior.er_edge_prob)
    return _orient(_connect(np.triu(arcs | arcs.T, 1), rng))


def _barabasi_albert(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    edges = np.array(nx.barabasi_albert_graph(n, min(2, n - 1), seed=rng).edges)
    label = rng.permutation(n)
    links = np.zeros((n, n), bool)
    links[label[edges.min(axis=1)], label[edges.max(axis=1)]] = True
    sinks = ~links.any(axis=1)
    for sink in np.flatnonzero(sinks & (links.sum(axis=0) > 1)):
        if rng.random() < prior.ba_sink_edge_dropout:
            links[rng.choice(np.flatnonzero(links[:, sink])), sink] = False
    return links


def _random_tree(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    tree = nx.from_prufer_sequence(rng.integers(n, size=n - 2).tolist())
    edges = np.array(list(nx.bfs_edges(tree, int(rng.integers(n)))))
    links = np.zeros((n, n), bool)
    links[edges[:, 0], edges[:, 1]] = True
    return links


def _reverse_random_tree(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    return _random_tree(n, prior, rng).T


def _watts_strogatz(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    rewire_prob = rng.uniform(*prior.ws_rewire_prob)
    neighbours = max(2, min(draw_option(prior.ws_neighbours, rng=rng), n - n % 2))
    ring = nx.watts_strogatz_graph(n, neighbours, rewire_prob, seed=rng)
    return _orient(_connect(nx.to_numpy_array(ring, nodelist=range(n)) > 0, rng))


def _layered(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    while True:  # a draw may fall apart, in practice never
        links = _layers(n, prior, rng)
        if connected_components(csr_array(links), directed=False, return_labels=False) == 1:
            return links


def _layers(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    depth = min(draw_count(prior.layered_depth, rng=rng), n)
    layer = np.sort(np.concatenate([np.arange(depth), rng.integers(depth, size=n - depth)]))
    links = layer[:, None] + 1 == layer[None, :]
    links &= rng.random((n, n)) >= prior.layered_edge_dropout
    for orphan in np.flatnonzero(~links.any(axis=0) & (layer > 0)):
        links[rng.choice(np.flatnonzero(layer == layer[orphan] - 1)), orphan] = True
    for leaf in np.flatnonzero(~links.any(axis=1) & (layer < depth - 1)):
        links[leaf, rng.choice(np.flatnonzero(layer == layer[leaf] + 1))] = True
    return links


def _random_cauchy(n: int, prior: GraphPrior, rng: np.random.Generator) -> np.ndarray:
    logits = rng.standard_cauchy() + rng.standard_cauchy((n, 1)) + rng.standard_cauchy((1, n))
    edge_prob = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return _orient(_connect(np.triu(rng.random((n, n)) < edge_prob, 1), rng))


def _connect(links: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Link uniformly chosen members of consecutive components."""
    n_components, component = connected_components(csr_array(links), directed=False)
    links = links.copy()
    for left in range(n_components - 1):
        one = rng.choice(np.flatnonzero(component == left))
        other = rng.choice(np.flatnonzero(component == left + 1))
        links[one, other] = True
    return links


def _orient(links: np.ndarray) -> np.ndarray:
    """Direct every edge from the lower to the higher node."""
    return np.triu(links | links.T, 1)


_FAMILIES: dict[Family, Callable[[int, GraphPrior, np.random.Generator], np.ndarray]] = {
    "ErdosRenyi": _erdos_renyi,
    "BarabasiAlbert": _barabasi_albert,
    "RandomTree": _random_tree,
    "ReverseRandomTree": _reverse_random_tree,
    "WattsStrogatz": _watts_strogatz,
    "Layered": _layered,
    "RandomCauchy": _random_cauchy,
}
