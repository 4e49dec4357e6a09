"""Causal models: which nodes live, and in which order they come."""

import numpy as np
import pytest

from relscale.generation.config import GeneratorConfig, MechanismPrior
from relscale.generation.schema import ColumnSpec
from relscale.generation.structure import CausalModel, sample_model

COLUMNS = [ColumnSpec(name=f"feature_{i}", n_categories=k) for i, k in enumerate([0, 3, 0, 7, 2])]


def draw(seed: int, **mechanisms) -> CausalModel:
    config = GeneratorConfig(mechanisms=MechanismPrior(**mechanisms))
    return sample_model(COLUMNS, config=config, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_nodes_are_columns_and_their_ancestors_in_topological_order(seed: int) -> None:
    model = draw(seed)
    nodes, tails = model.nodes, model.nodes.edges.tail
    read = set(tails.tolist())
    assert len(tails) == nodes.first[-1] == len(nodes.edges.weight)
    for v in range(model.n_nodes):
        into = tails[nodes.first[v] : nodes.first[v + 1]]
        assert (into < v).all()
        assert len(set(into.tolist())) == len(into)
        assert (v in model.sources()) == (len(into) == 0)
        assert v in model.column_nodes or v in read
    assert len(set(model.column_nodes.tolist())) == len(COLUMNS)
    assert sorted(model.order.tolist()) == list(range(len(COLUMNS)))


def test_eager_nodes_carry_their_types_and_lazy_ones_numbers() -> None:
    eager = draw(0, propagation_modes=("type_eager",))
    nodes = eager.nodes
    assert nodes.n_categories[eager.column_nodes].tolist() == [0, 3, 0, 7, 2]
    np.testing.assert_array_equal(nodes.edges.n_categories, nodes.n_categories[nodes.edges.tail])
    starts = np.cumsum(nodes.n_categories) - nodes.n_categories
    np.testing.assert_array_equal(nodes.class_start, starts)
    assert not draw(0, propagation_modes=("type_lazy",)).nodes.n_categories.any()


def test_constant_encoders_are_those_that_see_nothing() -> None:
    """A sparse first matrix of a single input is zero; other laws have no zero line."""
    sparse = draw(1, propagation_modes=("type_lazy",), initialisers=("sparse",))
    assert sparse.nodes.edges.constant.all()
    normal = draw(1, propagation_modes=("type_lazy",), initialisers=("xavier_normal",))
    assert not normal.nodes.edges.constant.any()
    eager = draw(0, propagation_modes=("type_eager",), initialisers=("sparse",)).nodes.edges
    np.testing.assert_array_equal(eager.constant, eager.n_categories == 0)


def test_hidden_nodes_outnumber_columns_by_the_ratio() -> None:
    """Every node of a reversed tree leads to the root; with ratio 0.5 there are 5 + 10 + 3 nodes in all."""
    full = [draw(s, column_ratio=(0.5, 0.5), layouts=("ReverseRandomTree",)) for s in range(40)]
    with_root = [m for m in full if m.n_nodes == 18]
    assert with_root  # where the root is a column, all nodes live
    assert max(m.n_nodes for m in full) == 18


def test_noise_comes_from_the_range_or_from_the_pairs() -> None:
    ranged = np.concatenate([draw(s).nodes.noises for s in range(10)])
    assert 0.5 <= ranged.min() < 0.7
    assert 4.8 < ranged.max() < 5
    pairs = ((0.5, 0.5), (4.0, 1.0))
    drawn = np.concatenate([draw(s, noise_pairs=pairs).nodes.noises for s in range(10)])
    assert {tuple(pair) for pair in drawn.tolist()} == set(pairs)
