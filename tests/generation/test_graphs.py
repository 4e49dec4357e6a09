"""Graph families: what each promises about its graphs."""

import graphlib
from typing import get_args

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from relscale.generation.config import EdgeWeights, Family, GraphPrior
from relscale.generation.graphs import Dag, sample_dag, sample_edge_weights

FAMILIES = get_args(Family)


def draw(family: Family, n_nodes: int, seed: int) -> Dag:
    return sample_dag(family, n_nodes, prior=GraphPrior(), rng=np.random.default_rng(seed))


def in_degree(dag: Dag) -> np.ndarray:
    return np.bincount(dag.heads, minlength=dag.n_nodes)


def out_degree(dag: Dag) -> np.ndarray:
    return np.bincount(dag.tails, minlength=dag.n_nodes)


@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_are_acyclic_connected_and_without_double_edges(family: Family) -> None:
    for n_nodes in [1, 2, 3, 4, 5, 9, 42]:
        for seed in range(8):
            dag = draw(family, n_nodes, seed)
            place = np.argsort(dag.order())
            assert sorted(dag.order()) == list(range(n_nodes))
            assert (place[dag.tails] < place[dag.heads]).all()
            links = coo_array((np.ones(len(dag.tails)), (dag.tails, dag.heads)), shape=(n_nodes, n_nodes))
            assert connected_components(links, directed=False, return_labels=False) == 1
            pairs = list(zip(dag.heads.tolist(), dag.tails.tolist(), strict=True))
            assert pairs == sorted(set(pairs))


@pytest.mark.parametrize(
    ("family", "n_edges"),
    [
        ("ErdosRenyi", 684),
        ("RandomCauchy", 412),
        ("Layered", 278),
        ("BarabasiAlbert", 72),
        ("WattsStrogatz", 62),
        ("RandomTree", 41),
        ("ReverseRandomTree", 41),
    ],
)
def test_mean_edge_counts_are_those_of_the_reference(family: Family, n_edges: int) -> None:
    counts = [len(draw(family, 42, seed).tails) for seed in range(150)]
    error = np.std(counts) / np.sqrt(len(counts))
    assert abs(np.mean(counts) - n_edges) < max(4 * error, 1)  # 4 standard errors, and the figure's rounding


def test_trees_branch_away_from_or_towards_one_root() -> None:
    for seed in range(20):
        tree = draw("RandomTree", 30, seed)
        assert sorted(in_degree(tree)) == [0] + [1] * 29
        reverse = draw("ReverseRandomTree", 30, seed)
        assert sorted(out_degree(reverse)) == [0] + [1] * 29


def test_barabasi_albert_has_one_source_and_at_most_two_parents_and_thins_sinks() -> None:
    single = n_sinks = 0
    for seed in range(60):
        dag = draw("BarabasiAlbert", 42, seed)
        assert sorted(in_degree(dag))[:2] == [0, 1]
        assert in_degree(dag).max() == 2
        sinks = out_degree(dag) == 0
        n_sinks += sinks.sum()
        single += (in_degree(dag)[sinks] == 1).sum()
    assert abs(single / n_sinks - 0.4) < 0.05


def test_layered_edges_join_consecutive_layers() -> None:
    for seed in range(20):
        dag = draw("Layered", 30, seed)
        layer = np.zeros(30, int)
        for node in dag.order():
            above = layer[dag.tails[dag.heads == node]]
            assert len(set(above)) <= 1
            layer[node] = above[0] + 1 if len(above) else 0
        assert (np.diff(layer) >= 0).all()
        assert 2 <= layer.max() + 1 <= 8


def test_oriented_families_point_to_higher_numbers() -> None:
    for family in ("ErdosRenyi", "WattsStrogatz", "RandomCauchy", "Layered"):
        dag = draw(family, 30, 3)
        assert (dag.tails < dag.heads).all()


def test_a_cycle_is_reported() -> None:
    with pytest.raises(graphlib.CycleError):
        Dag(n_nodes=2, tails=np.array([0, 1]), heads=np.array([1, 0])).order()


@pytest.mark.parametrize(
    ("law", "quartiles"),
    [
        ("gaussian", (-0.6745, 0, 0.6745)),
        ("lognormal", (0.5094, 1, 1.963)),
        ("cauchy", (-1, 0, 1)),
        ("uniform", (-1, 0, 1)),
    ],
)
def test_edge_weight_laws(law: EdgeWeights, quartiles: tuple[float, ...]) -> None:
    weights = sample_edge_weights(40_000, law, rng=np.random.default_rng(0))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(np.quantile(weights, [0.25, 0.5, 0.75]), quartiles, atol=0.04)
    assert (np.abs(weights).max() <= 2) == (law == "uniform")
