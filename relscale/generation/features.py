"""Stage 3, features: values flow through a table's causal model, conditioned on the parent rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relscale.generation.activations import ACTIVATIONS
from relscale.generation.columns import quantise
from relscale.generation.config import GeneratorConfig, MechanismPrior, Mode
from relscale.generation.networks import WIDTH, Coders, sample_encoders
from relscale.generation.propagation import Foreign, Noise, compute_nodes, join_columns
from relscale.generation.schema import ColumnSpec, TableSpec
from relscale.generation.signals import empty_signals, fill_signal
from relscale.generation.sources import sample_source
from relscale.generation.structure import CausalModel, make_edges, sample_model
from relscale.generation.tiles import TILE, Rule
from relscale.generation.totals import AGGREGATIONS, SUM

NOISE_SHARE = np.float32(1 / 32)
"""Factor of the beta noise that is added to every embedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A computed column, before it is finished for output; this is what child tables read.

    values : float32 [rows], or integer classes [rows] if n_categories > 0.
    embedded : child tables embed the classes; otherwise they read them as numbers.
    """

    name: str
    values: np.ndarray
    n_categories: int
    embedded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentRows:
    """What a table sees of one parent: its features, and for each own row the parent's row number."""

    features: Sequence[Feature]
    rows: np.ndarray


def generate_features(
    table: TableSpec, parents: Sequence[ParentRows], *, config: GeneratorConfig, rng: np.random.Generator
) -> list[Feature]:
    """Draw a causal model for a table and compute its feature columns.

    Parameters
    ----------
    table : its columns, rows and kind.
    parents : one entry for each foreign key.
    config : the prior.
    rng : the only source of randomness.

    Returns
    -------
    The features, in the order of their nodes in the graph.

    Source: PluRel (arXiv:2602.04029), feature generation.
    """
    model = sample_model(table.columns, config=config, rng=rng)
    parents = [parent for parent in parents if parent.features]
    rule = sample_rule(config.mechanisms, rng=rng)
    encoders = [_sample_collation(parent, config, rng) for parent in parents]
    foreign = foreign_terms(parents, encoders, model.modes(), table.n_rows, rule)
    sources = {
        v: sample_source(
            *(table.n_rows, int(model.nodes.n_categories[v])),
            is_activity=table.is_activity,
            prior=config.sources,
            rng=rng,
        )
        for v in map(int, model.sources())
    }
    noise_key = rng.integers(2**32, size=2, dtype=np.uint32)
    values = propagate(model, sources, foreign, noise_key, rule, interpolate=config.arithmetic == "fast")
    return [
        _feature(table.columns[i], values[int(model.column_nodes[i])].copy(), model.mode, config, rng)
        for i in model.order
    ]


def _feature(
    column: ColumnSpec, values: np.ndarray, mode: Mode, config: GeneratorConfig, rng: np.random.Generator
) -> Feature:
    """A node's values as a column; where a lazy model has a categorical column, numbers become classes."""
    embedded = column.n_categories > 0 and mode == "type_eager"
    if column.n_categories and not embedded:
        values = quantise(values, column.n_categories, prior=config.columns, rng=rng)
    return Feature(name=column.name, values=values, n_categories=column.n_categories, embedded=embedded)


def sample_rule(prior: MechanismPrior, *, rng: np.random.Generator) -> Rule:
    """How the networks of a table are run."""
    by_row = prior.activation_resampling == "per_row"
    return Rule(
        term_limit=np.float32(np.inf if prior.term_limit is None else prior.term_limit),
        hidden_limit=np.float32(np.inf if prior.hidden_limit is None else prior.hidden_limit),
        activations=np.array([ACTIVATIONS.index(a) for a in prior.activations if by_row], np.int64),
        key=rng.integers(2**32, size=2, dtype=np.uint32),
        room=np.empty((4, WIDTH * TILE), np.float32),
    )


def foreign_terms(
    parents: Sequence[ParentRows],
    encoders: Sequence[Coders],
    modes: np.ndarray,
    n_rows: int,
    rule: Rule,
) -> Foreign:
    """Join the encoded columns of every parent row, for each aggregation in `modes`.

    A term depends on the parent row alone, so it is computed once for each of these, and child rows read the
    joined terms along the foreign key. Where rows draw their own activations, it depends on the child row.
    Sums are divided by the number of the parent's columns.
    """
    place = np.full(len(AGGREGATIONS), -1)
    place[modes] = np.arange(len(modes))
    if not parents or not len(modes):
        terms, keys = np.empty((len(modes), 0, WIDTH), np.float32), np.empty((0, n_rows), np.int32)
        return Foreign(terms=terms, place=place, rows=keys)
    columns, rows, start = [], [], 0
    for parent in parents:
        values, own = [feature.values for feature in parent.features], parent.rows
        if len(rule.activations):
            values, own = [v[own] for v in values], np.arange(n_rows)
        columns.append(values)
        rows.append((own + start).astype(np.int32))
        start += len(values[0])
    joined = [
        _collate(parent.features, values, own, modes, rule, number)
        for number, (parent, values, own) in enumerate(zip(parents, columns, encoders, strict=True))
    ]
    terms = np.concatenate(joined, axis=1) if len(joined) > 1 else joined[0]
    return Foreign(terms=terms, place=place, rows=np.stack(rows))


def _collate(
    features: Sequence[Feature],
    values: Sequence[np.ndarray],
    encoders: Coders,
    modes: np.ndarray,
    rule: Rule,
    number: int,
) -> np.ndarray:
    """Joined terms of the columns of one foreign key's rows; float32 [modes, rows, WIDTH]."""
    signals = empty_signals(len(features), len(values[0]))
    for i, feature in enumerate(features):
        fill_signal(signals, i, values[i], is_class=feature.embedded, by_row=len(rule.activations) > 0)
    edges = make_edges(np.arange(len(features)), np.ones(len(features)), encoders)
    shares = np.where(modes == SUM, 1 / len(features), 1).astype(np.float32)
    own = rule._replace(key=rule.key ^ np.uint32(number + 1))
    return join_columns(signals, edges, modes, shares, own)


def propagate(
    model: CausalModel,
    sources: Mapping[int, np.ndarray],
    foreign: Foreign,
    noise_key: np.ndarray,
    rule: Rule,
    *,
    interpolate: bool,
) -> dict[int, np.ndarray]:
    """Compute the values of every node, parents before children.

    For a node with messages t (its parents' encoded values times the edge weights, and the foreign terms):
    value = decode(join(clamp(t)) + noise / 32).

    Parameters
    ----------
    model : graph and mechanisms.
    sources : values of the nodes without parents.
    foreign : joined foreign terms.
    noise_key : uint32 [2], of the random bits behind the noise.
    rule : how networks are run.
    interpolate : encoders of numbers may be interpolated between the ranks of their inputs.

    Returns
    -------
    Values by node: float32 [rows], or int32 classes.
    """
    by_row, n_categories = len(rule.activations) > 0, model.nodes.n_categories
    signals = empty_signals(model.n_nodes, foreign.rows.shape[1], interpolate=interpolate and not by_row)
    for v, source in sources.items():
        fill_signal(signals, v, source, is_class=n_categories[v] > 0, by_row=by_row)
    compute_nodes(signals, model.nodes, foreign, rule, Noise(NOISE_SHARE, noise_key))
    inner = (v for v in range(model.n_nodes) if v not in sources)
    return {**sources} | {v: signals.codes[v] if n_categories[v] else signals.numbers[v] for v in inner}


def _sample_collation(parent: ParentRows, config: GeneratorConfig, rng: np.random.Generator) -> Coders:
    n_categories = [feature.n_categories if feature.embedded else 0 for feature in parent.features]
    return sample_encoders(n_categories, prior=config.mechanisms, rng=rng)
