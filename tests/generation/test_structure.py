"""Causal models: which nodes live, and in which order they come."""

import numpy as np
import pytest

from relscale.generation.config import GeneratorConfig, MechanismPrior
from relscale.generation.mechanisms import WIDTH
from relscale.generation.schema import ColumnSpec
from relscale.generation.structure import CausalModel, sample_model

COLUMNS = [ColumnSpec(name=f"feature_{i}", n_categories=k) for i, k in enumerate([0, 3, 0, 7, 2])]


def draw(seed: int, **mechanisms) -> CausalModel:
    config = GeneratorConfig(mechanisms=MechanismPrior(**mechanisms))
    return sample_model(COLUMNS, config=config, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_nodes_are_columns_and_their_ancestors_in_topological_order(seed: int) -> None:
    model = draw(seed)
    seen: set[int] = set()
    read = {parent for node in model.nodes.values() for parent in node.parents}
    for number, node in model.nodes.items():
        assert set(node.parents) <= seen
        assert number in model.column_nodes or number in read
        assert len(node.parents) == len(node.weights) == len(node.encoders)
        assert (node.decoder is None) == (not node.parents)
        seen.add(number)
    assert len(set(model.column_nodes)) == len(COLUMNS)
    assert set(model.column_nodes) <= seen


def test_eager_nodes_carry_their_types_and_lazy_ones_numbers() -> None:
    eager = draw(0, propagation_modes=("type_eager",))
    assert [eager.nodes[v].n_categories for v in eager.column_nodes] == [0, 3, 0, 7, 2]
    for node in eager.nodes.values():
        for parent, encoder in zip(node.parents, node.encoders, strict=True):
            k = eager.nodes[parent].n_categories
            assert (None if encoder.classes is None else encoder.classes.shape) == ((k, WIDTH) if k else None)
    lazy = draw(0, propagation_modes=("type_lazy",))
    assert {node.n_categories for node in lazy.nodes.values()} == {0}


def test_hidden_nodes_outnumber_columns_by_the_ratio() -> None:
    """Every node of a reversed tree has descendants; with ratio 0.5 there are 5 + 10 + 3 nodes in all."""
    numbers = [v for seed in range(60) for v in draw(seed, column_ratio=(0.5, 0.5)).nodes]
    assert max(numbers) == 17
    assert min(numbers) == 0
