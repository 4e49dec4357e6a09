"""Propagation against a plain transcription of its definition, with the same mechanisms and inputs."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import propagation_oracle as oracle
import pytest

from relscale.generation.config import GeneratorConfig, MechanismPrior
from relscale.generation.features import (
    Feature,
    ParentRows,
    _sample_collation,
    foreign_terms,
    generate_features,
    propagate,
    sample_rule,
)
from relscale.generation.networks import WIDTH, Coders, Networks
from relscale.generation.propagation import Foreign, Noise, compute_nodes
from relscale.generation.schema import ColumnSpec, ForeignKey, TableSpec
from relscale.generation.signals import empty_signals, fill_signal
from relscale.generation.sources import sample_source
from relscale.generation.structure import CausalModel, sample_model
from relscale.generation.tiles import Nodes, Rule, Signals
from relscale.generation.totals import AGGREGATIONS, PRODUCT

COLUMNS = [ColumnSpec(name=f"feature_{i}", n_categories=k) for i, k in enumerate([0, 4, 0, 3, 0, 0])]
N_ROWS = 1100  # several tiles, the last of them not full
KEY = np.array([1, 2], np.uint32)
UNITS = range(0, WIDTH, 4)  # of the embeddings, those that are compared


class Case(NamedTuple):
    """A random model with everything that its values depend on."""

    model: CausalModel
    encoders: Coders
    parents: list[ParentRows]
    collation: list[Coders]
    sources: dict[int, np.ndarray]
    foreign: Foreign
    rule: Rule


def make_parents(rng: np.random.Generator) -> list[ParentRows]:
    """An eager parent with a number and classes, and a lazy one whose classes are read as numbers."""
    eager = [
        Feature(name="a", values=rng.normal(size=400).astype("f4"), n_categories=0, embedded=False),
        Feature(name="b", values=rng.integers(3, size=400), n_categories=3, embedded=True),
    ]
    lazy = [
        Feature(name="c", values=rng.integers(5, size=30), n_categories=5, embedded=False),
        Feature(name="d", values=rng.normal(size=30).astype("f4"), n_categories=0, embedded=False),
        Feature(name="e", values=np.ones(30, "f4"), n_categories=0, embedded=False),
    ]
    return [
        ParentRows(features=eager, rows=rng.integers(400, size=N_ROWS)),
        ParentRows(features=lazy, rows=rng.integers(30, size=N_ROWS)),
    ]


@functools.cache
def make_case(seed: int, n_rows: int = N_ROWS, **mechanisms) -> Case:
    rng = np.random.default_rng(seed)
    config = GeneratorConfig(mechanisms=MechanismPrior(**mechanisms))
    model = sample_model(COLUMNS, config=config, rng=rng)
    parents = make_parents(rng) if n_rows == N_ROWS else []
    collation = [_sample_collation(parent, config, rng) for parent in parents]
    rule = sample_rule(config.mechanisms, rng=rng)
    edges = model.nodes.edges
    return Case(
        model=model,
        encoders=Coders(
            networks=edges.networks,
            classes=edges.classes,
            class_start=edges.class_start,
            n_categories=edges.n_categories,
        ),
        parents=parents,
        collation=collation,
        sources={
            v: sample_source(
                n_rows, int(model.nodes.n_categories[v]), is_activity=True, prior=config.sources, rng=rng
            )
            for v in map(int, model.sources())
        },
        foreign=foreign_terms(parents, collation, np.arange(4), n_rows, rule),
        rule=rule,
    )


def joined_embeddings(case: Case, *, interpolate: bool):
    """(node, our joined terms, the oracle's in float64, its terms) for every inner node of a case.

    Every node reads the values that we computed for the nodes above it, so that errors don't add up.
    """
    model = case.model
    values = propagate(model, case.sources, case.foreign, KEY, case.rule, interpolate=interpolate)
    n_rows = case.foreign.rows.shape[1]
    signals = empty_signals(model.n_nodes, n_rows, interpolate=interpolate)
    for v in range(model.n_nodes):
        fill_signal(signals, v, values[v], is_class=bool(model.nodes.n_categories[v] > 0))
    for v in range(model.n_nodes):
        if v in case.sources:
            np.testing.assert_array_equal(values[v], case.sources[v])
            continue
        ours = np.empty((n_rows, len(UNITS)), np.float32)
        for i, unit in enumerate(UNITS):
            ours[:, i] = decoded(v, unit, signals, model.nodes, case)
        terms = oracle.terms_of(model, case.encoders, v, values, case.parents, case.collation)
        terms = terms[:, :, UNITS]
        yield v, values, ours, oracle.join(AGGREGATIONS[model.nodes.aggregations[v]], terms), terms


def decoded(v: int, unit: int, signals: Signals, nodes: Nodes, case: Case) -> np.ndarray:
    """One unit of a node's joined terms: what a decoder shows that has only the matrix of that unit."""
    n_nodes = len(nodes.n_categories)
    zeros, ones = np.zeros(n_nodes, np.int64), np.ones(n_nodes, np.int64)
    readers = Networks(
        weights=(np.arange(WIDTH) == unit).astype(np.float32),
        first=np.arange(n_nodes + 1),
        start=zeros,
        n_in=WIDTH * ones,
        n_out=ones,
        activation=-ones,
        gain=np.ones(n_nodes, np.float32),
        waves=np.zeros((1, 3, 7), np.float32),
        wave_of=zeros,
    )
    # Only node v has edges; all others count as sources.
    ends = np.where(np.arange(n_nodes + 1) <= v, nodes.first[v], nodes.first[v + 1])
    others = np.where(np.arange(n_nodes) == v, 0, nodes.n_categories)
    own = nodes._replace(first=ends, decoders=readers, n_categories=others)
    copies = signals._replace(numbers=signals.numbers.copy(), coded=signals.coded.copy())
    compute_nodes(copies, own, case.foreign, case.rule, Noise(np.float32(0), KEY))
    return copies.numbers[v].copy()


def without_noise(model: CausalModel) -> CausalModel:
    """The model with noise of all but 1/2 before its scaling."""
    nodes = model.nodes._replace(noises=np.full_like(model.nodes.noises, 1e5))
    return dataclasses.replace(model, nodes=nodes)


def relative_error(case: Case, v: int, found: np.ndarray, expected: np.ndarray, terms: np.ndarray):
    """Error over the sum of absolute terms, which is what rounding is relative to; a product has no sum."""
    is_product = case.model.nodes.aggregations[v] == PRODUCT
    scale = np.abs(expected) if is_product else np.abs(terms).sum(axis=0)
    return np.abs(found - expected) / (scale + 1e-30)  # products may be 0


@pytest.mark.parametrize("mode", ["type_eager", "type_lazy"])
@pytest.mark.parametrize("seed", range(4))
def test_exact_propagation_is_its_definition_up_to_rounding(mode: str, seed: int) -> None:
    """As near to the definition in float64 as the plain transcription in float32 is, or within 1e-5."""
    case = make_case(seed, propagation_modes=(mode,))
    n_checked = 0
    for v, values, ours, expected, terms in joined_embeddings(case, interpolate=False):
        plain = oracle.terms_of(
            case.model, case.encoders, v, values, case.parents, case.collation, np.float32
        )
        plain = plain[:, :, UNITS]
        plain = oracle.join(AGGREGATIONS[case.model.nodes.aggregations[v]], plain)
        error = relative_error(case, v, ours, expected, terms)
        rounding = relative_error(case, v, plain, expected, terms)
        for share in (0.5, 0.99, 1.0):
            bound = max(1e-5, 6 * float(np.quantile(rounding, share)))
            assert np.quantile(error, share) <= bound, f"node {v}, quantile {share}"
        n_checked += 1
    assert n_checked >= 4


@pytest.mark.parametrize("n_rows", [N_ROWS, 2500])  # without and with refinement of the ladder
@pytest.mark.parametrize("seed", range(4))
def test_interpolation_keeps_to_the_definition(n_rows: int, seed: int) -> None:
    """99 % of all embeddings within 1e-3 of the sum of absolute terms; half of them far below that."""
    case = make_case(seed, n_rows, propagation_modes=("type_lazy",), aggregations=("sum", "max", "logexp"))
    errors = [
        relative_error(case, v, ours, expected, terms).ravel()
        for v, _, ours, expected, terms in joined_embeddings(case, interpolate=True)
    ]
    assert np.quantile(np.concatenate(errors), 0.99) < 1e-3
    assert np.quantile(np.concatenate(errors), 0.5) < 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_values_are_decoded_from_the_blurred_embedding(seed: int) -> None:
    """Without noise: numbers are the decoder's output and classes its largest logit."""
    case = make_case(seed, activations=("tanh", "softsign"), aggregations=("sum",))
    quiet = without_noise(case.model)
    values = propagate(quiet, case.sources, case.foreign, KEY, case.rule, interpolate=False)
    for v in range(case.model.n_nodes):
        if v in case.sources:
            continue
        terms = oracle.terms_of(case.model, case.encoders, v, values, case.parents, case.collation)
        expected = oracle.decode(case.model, v, oracle.join("sum", terms) + 0.5 / 32)
        if case.model.nodes.n_categories[v]:
            assert np.mean(expected.argmax(axis=1) == values[v]) > 0.99
        else:
            np.testing.assert_allclose(values[v], expected, atol=2e-3 * np.abs(expected).max())


def test_paper_rows_draw_their_own_activations() -> None:
    """With one activation to draw from, drawing by row changes nothing; with several, equal rows differ."""
    one = make_case(0, activations=("tanh",), propagation_modes=("type_eager",))
    frozen = propagate(one.model, one.sources, one.foreign, KEY, one.rule, interpolate=False)
    by_row = one.rule._replace(activations=one.model.nodes.edges.networks.activation[:1])
    resampled = foreign_terms(one.parents, one.collation, np.arange(4), N_ROWS, by_row)
    values = propagate(one.model, one.sources, resampled, KEY, by_row, interpolate=False)
    for v in values:
        np.testing.assert_allclose(values[v], frozen[v], rtol=1e-3, atol=1e-3)
    several = make_case(
        0, 500, activations=("relu", "tanh", "softsign"), activation_resampling="per_row",
        propagation_modes=("type_lazy",), aggregations=("sum",),
    )  # fmt: skip
    model = without_noise(several.model)
    same = {v: np.full_like(source, source[0]) for v, source in several.sources.items()}
    inner = next(v for v in range(model.n_nodes) if v not in same)
    frozen_rule = several.rule._replace(activations=np.empty(0, np.int64))
    spread, quiet = (
        np.std(propagate(model, same, several.foreign, KEY, rule, interpolate=False)[inner])
        for rule in (several.rule, frozen_rule)
    )
    assert spread > 10 * quiet


def make_table(n_rows: int, n_numbers: int, n_parents: int) -> TableSpec:
    columns = tuple(ColumnSpec(name=f"feature_{i}", n_categories=0) for i in range(n_numbers))
    keys = tuple(ForeignKey(name=f"foreign_row_{i}", parent=i) for i in range(n_parents))
    return TableSpec(name="t", n_rows=n_rows, fkeys=keys, columns=columns, is_activity=False)


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
        above = generate_features(make_table(40, 4, 0), [], config=config, rng=rng)
        rows = rng.integers(40, size=800)
        child = generate_features(
            make_table(800, 6, 1), [ParentRows(features=above, rows=rows)], config=config, rng=rng
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
        table = TableSpec(name="t", n_rows=300, fkeys=(), columns=tuple(COLUMNS), is_activity=True)
        features = generate_features(table, [], config=config, rng=np.random.default_rng(1))
        model = sample_model(COLUMNS, config=config, rng=np.random.default_rng(1))
        assert [feature.name for feature in features] == [COLUMNS[i].name for i in model.order]
        for feature in features:
            assert feature.embedded == (mode == "type_eager" and feature.n_categories > 0)
            if feature.n_categories:
                assert 0 <= feature.values.min() <= feature.values.max() < feature.n_categories


@pytest.mark.parametrize("n_rows", [1, 7, 129, 383, 385, 4097])
@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_any_number_of_rows_works(n_rows: int, arithmetic: str) -> None:
    config = GeneratorConfig(arithmetic=arithmetic)
    features = generate_features(make_table(n_rows, 8, 0), [], config=config, rng=np.random.default_rng(3))
    for feature in features:
        assert feature.values.shape == (n_rows,)
        assert np.isfinite(feature.values).all()


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
@pytest.mark.parametrize("mode", ["type_eager", "type_lazy"])
def test_any_number_of_classes_works(mode: str, arithmetic: str) -> None:
    """More classes than an embedding has units, or a tile rows: declared schemas may have long lists."""
    mechanisms = MechanismPrior(propagation_modes=(mode,))
    config = GeneratorConfig(arithmetic=arithmetic, mechanisms=mechanisms)
    columns = tuple(ColumnSpec(name=f"c{i}", n_categories=k) for i, k in enumerate([33, 129, 400, 0, 0]))
    for seed in range(3):
        table = TableSpec(name="t", n_rows=900, fkeys=(), columns=columns, is_activity=False)
        above = generate_features(table, [], config=config, rng=np.random.default_rng(seed))
        parents = [ParentRows(features=above, rows=np.arange(900) % 700)]
        below = generate_features(table, parents, config=config, rng=np.random.default_rng(seed + 10))
        for feature in (*above, *below):
            assert np.isfinite(feature.values).all()
            assert not feature.n_categories or 0 <= feature.values.min() <= feature.values.max() < 400


def test_a_table_without_features_has_none() -> None:
    assert (
        generate_features(make_table(50, 0, 0), [], config=GeneratorConfig(), rng=np.random.default_rng(0))
        == []
    )
