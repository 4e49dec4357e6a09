"""Structural equations: random networks that encode values, and decode embeddings, of a causal model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relscale.generation.activations import Activation, sample_activation
from relscale.generation.config import Initialiser, MechanismPrior
from relscale.generation.draws import draw_counts, draw_options

WIDTH = 32
"""Length of every embedding."""
HIDDEN_LIMIT = 1e6
"""Hidden units are clamped to plus and minus this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """x W_1, activation, gain, clamp, ..., x W_last; no biases, nothing behind the last matrix.

    weights : float32 matrices [in, out]; activations, gains : one fewer.
    """

    weights: tuple[np.ndarray, ...]
    activations: tuple[Activation, ...]
    gains: tuple[float, ...]

    def __call__(self, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Map float32 [rows, in] to a fresh float32 [rows, out], times `scale`."""
        factor = 1.0  # a gain moves into the next matrix, which is smaller than what it would multiply
        for weight, activation, gain in zip(self.weights, self.activations, self.gains, strict=False):
            x = activation(_product(x, weight * np.float32(factor)))
            np.clip(x, -HIDDEN_LIMIT / gain, HIDDEN_LIMIT / gain, out=x)
            factor = gain
        return _product(x, self.weights[-1] * np.float32(factor * scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A value to its embedding; `classes` [K, WIDTH] embeds categories, None stands for numbers."""

    classes: np.ndarray | None
    mlp: Mlp

    def __call__(self, values: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Map numbers (float32 [rows]) or classes (integers [rows]) to a fresh float32 [rows, WIDTH]."""
        return self.mlp(values[:, None] if self.classes is None else self.classes[values], scale)

    def is_constant(self) -> bool:
        """All numbers have one embedding, since no weight reads them: the sparse law makes one in six so."""
        return self.classes is None and not self.mlp.weights[0].any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """An embedding to a value; `classes` [K, WIDTH] are compared by inner product, None gives numbers."""

    classes: np.ndarray | None
    mlp: Mlp

    def __call__(self, embedding: np.ndarray) -> np.ndarray:
        """Map float32 [rows, WIDTH] to numbers (float32 [rows]) or classes (int64 [rows])."""
        decoded = self.mlp(embedding)
        return decoded[:, 0] if self.classes is None else (decoded @ self.classes.T).argmax(axis=1)


def sample_encoders(
    n_categories: Sequence[int], *, prior: MechanismPrior, rng: np.random.Generator
) -> list[Encoder]:
    """One random encoder for each entry: of that many categories, or of numbers where it is 0."""
    classes = _sample_classes(n_categories, prior, rng)
    mlps = sample_mlps([(WIDTH if k else 1, WIDTH) for k in n_categories], prior=prior, rng=rng)
    return [Encoder(classes=c, mlp=mlp) for c, mlp in zip(classes, mlps, strict=True)]


def sample_decoders(
    n_categories: Sequence[int], *, prior: MechanismPrior, rng: np.random.Generator
) -> list[Decoder]:
    """One random decoder for each entry: to that many categories, or to numbers where it is 0."""
    classes = _sample_classes(n_categories, prior, rng)
    mlps = sample_mlps([(WIDTH, WIDTH if k else 1) for k in n_categories], prior=prior, rng=rng)
    return [Decoder(classes=c, mlp=mlp) for c, mlp in zip(classes, mlps, strict=True)]


def sample_mlps(
    shapes: Sequence[tuple[int, int]], *, prior: MechanismPrior, rng: np.random.Generator
) -> list[Mlp]:
    """One random network for each (in, out): depth, weights, masks, activations and gains.

    Source: PluRel (arXiv:2602.04029), reference implementation 1.1, with mechanisms frozen over rows.
    """
    n_layers = draw_counts(prior.mlp_layers, len(shapes), rng=rng).tolist()
    layer_shapes = [
        (n_in if layer == 0 else WIDTH, n_out if layer == depth - 1 else WIDTH)
        for (n_in, n_out), depth in zip(shapes, n_layers, strict=True)
        for layer in range(depth)
    ]
    weights = iter(_sample_matrices(layer_shapes, prior, rng, density=prior.weight_density))
    n_hidden = len(layer_shapes) - len(shapes)
    names = iter(draw_options(prior.activations, n_hidden, rng=rng))
    gains = iter(np.exp(rng.uniform(*prior.activation_log_gain, n_hidden)).tolist())
    return [
        Mlp(
            weights=tuple(next(weights) for _ in range(depth)),
            activations=tuple(sample_activation(next(names), rng=rng) for _ in range(depth - 1)),
            gains=tuple(next(gains) for _ in range(depth - 1)),
        )
        for depth in n_layers
    ]


def initialise(
    law: Initialiser, n_matrices: int, n_in: int, n_out: int, *, rng: np.random.Generator
) -> np.ndarray:
    """Random weights as float32 [n_matrices, n_in, n_out].

    The fan of the Kaiming laws is n_out: the reference stores matrices as [in, out] where PyTorch's
    initialisers expect [out, in], and we keep its distribution.
    """
    shape = (n_matrices, n_in, n_out)
    if law == "trunc_normal":
        return _truncated_normal(shape, rng)
    if law == "sparse":
        pattern = np.broadcast_to((np.arange(n_in) >= math.ceil(n_in / 2))[:, None], shape)
        return 0.01 * rng.standard_normal(shape, dtype=np.float32) * rng.permuted(pattern, axis=1)
    sd = math.sqrt(2 / n_out) if law.startswith("kaiming") else math.sqrt(2 / (n_in + n_out))
    if law.endswith("normal"):
        return sd * rng.standard_normal(shape, dtype=np.float32)
    return math.sqrt(12) * sd * (rng.random(shape, dtype=np.float32) - np.float32(0.5))


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal conditioned on [-2, 2], by redrawing what falls outside."""
    values = rng.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()), dtype=np.float32)
    return values


def _sample_classes(
    n_categories: Sequence[int], prior: MechanismPrior, rng: np.random.Generator
) -> list[np.ndarray | None]:
    """Class embeddings [K, WIDTH] where there are categories, None elsewhere."""
    tables = iter(_sample_matrices([(k, WIDTH) for k in n_categories if k], prior, rng))
    return [next(tables) if k else None for k in n_categories]


def _sample_matrices(
    shapes: Sequence[tuple[int, int]],
    prior: MechanismPrior,
    rng: np.random.Generator,
    density: tuple[float, float] | None = None,
) -> list[np.ndarray]:
    """A matrix for each shape by a random initialiser; with `density`, randomly masked and rescaled."""
    laws = draw_options(prior.initialisers, len(shapes), rng=rng)
    groups: dict[tuple, list[int]] = {}
    for i, key in enumerate(zip(laws, shapes, strict=True)):
        groups.setdefault(key, []).append(i)
    matrices: list[np.ndarray] = [np.empty(0)] * len(shapes)
    for (law, (n_in, n_out)), members in groups.items():  # one draw for all matrices of a kind
        block = initialise(law, len(members), n_in, n_out, rng=rng)
        if density is not None:
            kept = rng.uniform(*density, (len(members), 1, 1)).astype(np.float32)
            block *= (rng.random(block.shape, dtype=np.float32) < kept) / kept
        for i, matrix in zip(members, block, strict=True):
            matrices[i] = matrix
    return matrices


def _product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    # Broadcasting beats the matrix product of BLAS for a single input.
    return x * weight if weight.shape[0] == 1 else x @ weight
