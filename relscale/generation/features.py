"""Stage 3, features: values flow through a table's causal model, conditioned on the parent rows."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relscale.generation.columns import quantise
from relscale.generation.config import Aggregation, GeneratorConfig, Mode
from relscale.generation.mechanisms import WIDTH, Encoder, sample_encoders
from relscale.generation.noise import sample_noise
from relscale.generation.schema import ColumnSpec, TableSpec
from relscale.generation.sources import sample_source
from relscale.generation.structure import CausalModel, Node, sample_model

TERM_LIMIT = 1e4
"""Messages are clamped to plus and minus this before they are joined."""
NOISE_SHARE = 1 / 32
"""Factor of the beta noise that is added to every embedding."""
ROWS_PER_TILE = 1024
"""Rows that pass a node at once: their embeddings (128 KB) stay in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A computed column, before it is finished for output; this is what child tables read.

    values : float32 [rows], or int64 classes [rows] if n_categories > 0.
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


@np.errstate(over="ignore", invalid="ignore")  # long products leave float32; admission looks at the outcome
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
    encoders = [_sample_collation(parent, config, rng) for parent in parents]
    foreign = foreign_terms(parents, encoders, model.aggregations())
    sources = {
        v: sample_source(
            table.n_rows, node.n_categories, is_activity=table.is_activity, prior=config.sources, rng=rng
        )
        for v, node in model.nodes.items()
        if not node.parents
    }

    def noise(node: Node) -> np.ndarray:
        return sample_noise((table.n_rows, WIDTH), *node.noise, rng=rng)

    values = propagate(model, sources, foreign, noise)
    shown = sorted(zip(model.column_nodes, table.columns, strict=True), key=lambda pair: pair[0])
    return [_feature(column, values[v], model.mode, config, rng) for v, column in shown]


def _feature(
    column: ColumnSpec, values: np.ndarray, mode: Mode, config: GeneratorConfig, rng: np.random.Generator
) -> Feature:
    """A node's values as a column; where a lazy model has a categorical column, numbers become classes."""
    embedded = column.n_categories > 0 and mode == "type_eager"
    if column.n_categories and not embedded:
        values = quantise(values, column.n_categories, prior=config.columns, rng=rng)
    return Feature(name=column.name, values=values, n_categories=column.n_categories, embedded=embedded)


def foreign_terms(
    parents: Sequence[ParentRows],
    encoders: Sequence[Sequence[Encoder]],
    aggregations: Iterable[Aggregation],
) -> dict[Aggregation, np.ndarray]:
    """Join the embedded parent columns of every row, for each aggregation; float32 [rows, WIDTH].

    A term depends on the parent row alone, so it is computed once for each of these, and the joined terms
    are gathered along the foreign key. Sums are divided by the number of the parent's columns. Without
    parents there are none.
    """
    if not parents:
        return {}
    return {
        mode: join(
            mode,
            (
                join(mode, _collate(parent.features, own, mode))[parent.rows]
                for parent, own in zip(parents, encoders, strict=True)
            ),
        )
        for mode in aggregations
    }


def propagate(
    model: CausalModel,
    sources: Mapping[int, np.ndarray],
    foreign: Mapping[Aggregation, np.ndarray],
    noise: Callable[[Node], np.ndarray],
) -> dict[int, np.ndarray]:
    """Compute the values of every node, parents before children.

    For a node with messages t (its parents' encoded values times the edge weights, and the foreign terms):
    value = decode(join(clamp(t)) + noise / 32).

    Parameters
    ----------
    model : graph and mechanisms.
    sources : values of the nodes without parents.
    foreign : joined foreign terms by aggregation; empty for a table without foreign keys.
    noise : noise of a node, float32 [rows, WIDTH] in [0, 1]; called once per node in the model's order.

    Returns
    -------
    Values by node: float32 [rows], or int64 classes.
    """
    values: dict[int, np.ndarray] = {}
    signals: dict[int, Signal] = {}
    for v, node in model.nodes.items():
        values[v] = _compute(node, signals, foreign, noise(node)) if node.parents else sources[v]
        signals[v] = Signal.of(values[v], node.n_categories)
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A node's values as `levels[index]`, where few levels make that worth while; else index is None."""

    levels: np.ndarray
    index: np.ndarray | None

    @classmethod
    def of(cls, values: np.ndarray, n_categories: int) -> "Signal":
        """Split values into levels and index if there are fewer than a quarter as many levels as rows."""
        if n_categories:
            return cls(levels=np.arange(n_categories), index=values)
        levels, index = np.unique(values, return_inverse=True)
        if len(levels) * 4 < len(values):
            return cls(levels=levels, index=index)
        return cls(levels=values, index=None)


def _compute(
    node: Node,
    signals: Mapping[int, Signal],
    foreign: Mapping[Aggregation, np.ndarray],
    noise: np.ndarray,
) -> np.ndarray:
    assert node.decoder is not None
    messages = [
        _message(signals[u], encoder, weight)
        for u, encoder, weight in zip(node.parents, node.encoders, node.weights, strict=True)
    ]
    decoded = []
    for start in range(0, len(noise), ROWS_PER_TILE):
        tile = slice(start, start + ROWS_PER_TILE)
        local = (message(tile) for message in messages)
        outer = (foreign[node.aggregation][tile],) if foreign else ()
        joined = join(node.aggregation, itertools.chain(local, outer))
        joined += noise[tile] * np.float32(NOISE_SHARE)
        decoded.append(node.decoder(joined))
    return np.concatenate(decoded)


def _message(signal: Signal, encoder: Encoder, weight: float) -> Callable[[slice], np.ndarray]:
    """The clamped terms of one edge, for the rows of a tile; float32 [tile, WIDTH]."""
    if signal.index is not None:
        index, table = signal.index, _clamp(encoder(signal.levels, weight))
        return lambda tile: table.take(index[tile], axis=0)
    values = signal.levels
    if encoder.is_constant():
        row = _clamp(encoder(values[:1], weight))
        return lambda tile: np.broadcast_to(row, (len(values[tile]), WIDTH))
    return lambda tile: _clamp(encoder(values[tile], weight))


def join(mode: Aggregation, terms: Iterable[np.ndarray]) -> np.ndarray:
    """Join float32 arrays of one shape elementwise by sum, max, product or log-sum-exp; a fresh array."""
    if mode == "logexp":
        return _log_sum_exp(list(terms))
    combine = {"sum": np.add, "max": np.maximum, "product": np.multiply}[mode]
    remaining = iter(terms)
    total = next(remaining).copy()
    for term in remaining:
        combine(total, term, out=total)
    return total


def _log_sum_exp(terms: list[np.ndarray]) -> np.ndarray:
    top = join("max", terms)
    total, scratch = np.zeros_like(top), np.empty_like(top)
    for term in terms:
        np.exp(np.subtract(term, top, out=scratch), out=scratch)
        total += scratch
    return top + np.log(total)


def _collate(
    features: Sequence[Feature], encoders: Sequence[Encoder], mode: Aggregation
) -> Iterator[np.ndarray]:
    """The terms of one parent table's columns for every row of it."""
    scale = 1 / len(features) if mode == "sum" else 1.0
    for feature, encoder in zip(features, encoders, strict=True):
        values = feature.values if feature.embedded else feature.values.astype(np.float32)
        signal = Signal.of(values, feature.n_categories if feature.embedded else 0)
        yield _message(signal, encoder, scale)(slice(None))


def _sample_collation(parent: ParentRows, config: GeneratorConfig, rng: np.random.Generator) -> list[Encoder]:
    n_categories = [feature.n_categories if feature.embedded else 0 for feature in parent.features]
    return sample_encoders(n_categories, prior=config.mechanisms, rng=rng)


def _clamp(terms: np.ndarray) -> np.ndarray:
    return np.clip(terms, -TERM_LIMIT, TERM_LIMIT, out=terms)
