"""Propagation against a plain transcription of its definition, with the same mechanisms and noise."""

import dataclasses

import numpy as np
import pytest

from relscale.generation.config import Aggregation, GeneratorConfig, MechanismPrior
from relscale.generation.features import (
    Feature,
    ParentRows,
    _sample_collation,
    foreign_terms,
    generate_features,
    join,
    propagate,
)
from relscale.generation.mechanisms import Encoder, Mlp
from relscale.generation.schema import ColumnSpec, TableSpec
from relscale.generation.sources import sample_source
from relscale.generation.structure import CausalModel, Node, sample_model

COLUMNS = [ColumnSpec(name=f"feature_{i}", n_categories=k) for i, k in enumerate([0, 4, 0, 3, 0, 0])]
CONTINUOUS = ("relu", "tanh", "silu", "softplus", "bent_identity", "signed_log", "hardtanh", "abs")
N_ROWS = 1100  # more than one tile


class Recorder:
    """A decoder that keeps the embeddings it is given."""

    def __init__(self, decoder) -> None:
        self.decoder, self.seen = decoder, []

    def __call__(self, embedding: np.ndarray) -> np.ndarray:
        self.seen.append(embedding.copy())
        return self.decoder(embedding)


# The definition, node by node, in float64, with no shortcut.


def plain_mlp(mlp: Mlp, x: np.ndarray) -> np.ndarray:
    for weight, activation, gain in zip(mlp.weights, mlp.activations, mlp.gains, strict=False):
        x = np.clip(gain * activation(x @ weight.astype(np.float64)), -1e6, 1e6)
    return x @ mlp.weights[-1].astype(np.float64)


def plain_encoder(encoder: Encoder, values: np.ndarray) -> np.ndarray:
    if encoder.classes is None:
        return plain_mlp(encoder.mlp, values.astype(np.float64)[:, None])
    return plain_mlp(encoder.mlp, encoder.classes.astype(np.float64)[values])


def plain_embedding(node: Node, values, parents, collation, noise) -> tuple[np.ndarray, np.ndarray]:
    """The embedding that is decoded, and the sum of absolute terms that scales its rounding error."""
    terms = [
        weight * plain_encoder(encoder, values[u])
        for u, weight, encoder in zip(node.parents, node.weights, node.encoders, strict=True)
    ]
    for parent, encoders in zip(parents, collation, strict=True):
        omega = 1 / len(parent.features) if node.aggregation == "sum" else 1
        for feature, encoder in zip(parent.features, encoders, strict=True):
            terms.append(omega * plain_encoder(encoder, feature.values[parent.rows]))
    stacked = np.clip(np.stack(terms), -1e4, 1e4)
    if node.aggregation == "sum":
        joined = stacked.sum(axis=0)
    elif node.aggregation == "max":
        joined = stacked.max(axis=0)
    elif node.aggregation == "product":
        joined = stacked.prod(axis=0)
    else:
        joined = np.log(np.exp(stacked - stacked.max(axis=0)).sum(axis=0)) + stacked.max(axis=0)
    scale = np.abs(joined) if node.aggregation == "product" else np.abs(stacked).sum(axis=0)
    return joined + noise / 32, scale


def sample_parents(rng: np.random.Generator) -> list[ParentRows]:
    """An eager parent with a number and classes, and a lazy one whose classes are read as numbers."""
    eager = [
        Feature(name="a", values=rng.normal(size=40).astype(np.float32), n_categories=0, embedded=False),
        Feature(name="b", values=rng.integers(3, size=40), n_categories=3, embedded=True),
    ]
    lazy = [
        Feature(name="c", values=rng.integers(5, size=30), n_categories=5, embedded=False),
        Feature(name="d", values=rng.normal(size=30).astype(np.float32), n_categories=0, embedded=False),
        Feature(name="e", values=np.ones(30, np.float32), n_categories=0, embedded=False),
    ]
    return [
        ParentRows(features=eager, rows=rng.integers(40, size=N_ROWS)),
        ParentRows(features=lazy, rows=rng.integers(30, size=N_ROWS)),
    ]


def recorded(model: CausalModel) -> CausalModel:
    nodes = {
        v: dataclasses.replace(node, decoder=Recorder(node.decoder)) if node.parents else node
        for v, node in model.nodes.items()
    }
    return dataclasses.replace(model, nodes=nodes)


@pytest.mark.parametrize("mode", ["type_eager", "type_lazy"])
@pytest.mark.parametrize("aggregation", ["sum", "max", "product", "logexp"])
@pytest.mark.parametrize("layout", ["ErdosRenyi", "BarabasiAlbert"])
def test_propagation_is_its_definition(mode: str, aggregation: Aggregation, layout: str) -> None:
    prior = MechanismPrior(
        layouts=(layout,),
        propagation_modes=(mode,),
        aggregations=(aggregation,),
        activations=CONTINUOUS,
        edge_weights=("uniform",),
    )
    config = GeneratorConfig(mechanisms=prior)
    rng = np.random.default_rng(5)
    model = recorded(sample_model(COLUMNS, config=config, rng=rng))
    parents = sample_parents(rng)
    collation = [_sample_collation(parent, config, rng) for parent in parents]
    sources = {
        v: sample_source(N_ROWS, node.n_categories, is_activity=True, prior=config.sources, rng=rng)
        for v, node in model.nodes.items()
        if not node.parents
    }
    noises = {v: rng.random((N_ROWS, 32), dtype=np.float32) for v in model.nodes}
    numbers = {id(node): v for v, node in model.nodes.items()}
    foreign = foreign_terms(parents, collation, model.aggregations())
    values = propagate(model, sources, foreign, lambda node: noises[numbers[id(node)]])
    for v, node in model.nodes.items():
        if not node.parents:
            np.testing.assert_array_equal(values[v], sources[v])
            continue
        recorder = node.decoder
        assert isinstance(recorder, Recorder)
        embedding = np.concatenate(recorder.seen)
        expected, scale = plain_embedding(node, values, parents, collation, noises[v])
        error = np.abs(embedding - expected) / (scale + 1e-2)
        assert error.max() < (1e-4 if aggregation == "product" else 2e-5), f"node {v}: {error.max()}"
        np.testing.assert_allclose(values[v], recorder.decoder(embedding), rtol=1e-4, atol=1e-4)


def test_join_leaves_its_terms_alone() -> None:
    terms = [np.full((2, 3), value, np.float32) for value in (1, 2, 4)]
    for mode, expected in (
        ("sum", 7),
        ("max", 4),
        ("product", 8),
        ("logexp", np.log(np.exp([1, 2, 4]).sum())),
    ):
        np.testing.assert_allclose(join(mode, terms), expected, rtol=1e-6)  # type: ignore[arg-type]
    assert [term[0, 0] for term in terms] == [1, 2, 4]


def make_table(n_rows: int, n_numbers: int, parents: tuple[int, ...]) -> TableSpec:
    columns = tuple(ColumnSpec(name=f"feature_{i}", n_categories=0) for i in range(n_numbers))
    return TableSpec(name="t", n_rows=n_rows, parents=parents, columns=columns, is_activity=False)


def eta_squared(values: np.ndarray, groups: np.ndarray, n_groups: int) -> float:
    """Share of the variance of `values` that lies between groups."""
    counts = np.maximum(np.bincount(groups, minlength=n_groups), 1)
    means = np.bincount(groups, values, n_groups) / counts
    return float(
        ((means[groups] - values.mean()) ** 2).sum() / max(((values - values.mean()) ** 2).sum(), 1e-30)
    )


def test_children_depend_on_the_parent_row_they_refer_to() -> None:
    config = GeneratorConfig(mechanisms=MechanismPrior(propagation_modes=("type_lazy",)))
    real, shuffled = 0.0, np.zeros(30)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        above = generate_features(make_table(40, 4, ()), [], config=config, rng=rng)
        rows = rng.integers(40, size=800)
        child = generate_features(
            make_table(800, 6, (0,)), [ParentRows(features=above, rows=rows)], config=config, rng=rng
        )
        permutations = [rng.permutation(rows) for _ in range(30)]
        for feature in child:
            numbers = np.argsort(np.argsort(feature.values)).astype(float)
            real += eta_squared(numbers, rows, 40)
            shuffled += [eta_squared(numbers, permuted, 40) for permuted in permutations]
    assert real > 1.5 * shuffled.max()


def test_features_come_in_the_order_of_their_nodes_with_labels_in_range() -> None:
    for mode in ("type_eager", "type_lazy"):
        config = GeneratorConfig(mechanisms=MechanismPrior(propagation_modes=(mode,)))
        table = TableSpec(name="t", n_rows=300, parents=(), columns=tuple(COLUMNS), is_activity=True)
        features = generate_features(table, [], config=config, rng=np.random.default_rng(1))
        model = sample_model(COLUMNS, config=config, rng=np.random.default_rng(1))
        order = np.argsort(model.column_nodes)
        assert [feature.name for feature in features] == [COLUMNS[i].name for i in order]
        for feature in features:
            assert feature.embedded == (mode == "type_eager" and feature.n_categories > 0)
            if feature.n_categories:
                assert 0 <= feature.values.min() <= feature.values.max() < feature.n_categories
