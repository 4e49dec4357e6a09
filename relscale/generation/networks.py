"""Random networks, the structural equations of a causal model: their weights and shapes in flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np

from relscale.generation import activations, arithmetic
from relscale.generation.activations import ACTIVATIONS, sample_waves
from relscale.generation.arithmetic import normal_quantile, random_bits, uniform
from relscale.generation.config import Initialiser, MechanismPrior
from relscale.generation.draws import draw_counts
from relscale.platform.compiled import inlined, kept

WIDTH = 32
"""Length of every embedding."""

INITIALISERS: tuple[Initialiser, ...] = get_args(Initialiser)
"""Laws of weights by code."""
KAIMING_NORMAL, KAIMING_UNIFORM, XAVIER_NORMAL, XAVIER_UNIFORM, TRUNC_NORMAL, SPARSE = range(6)

SPARSE_SD = np.float32(0.01)
TWO_SIGMA = np.float32(0.954499736)  # mass of the standard normal within two deviations


class Networks(NamedTuple):
    """Networks without biases; network i has the layers first[i] to first[i + 1].

    A layer multiplies by a matrix; all but a network's last then apply an activation, a gain and a clamp.

    weights     float32           matrices [in, out] in row-major order, one after the other
    first       int64 [networks + 1]
    start       int64 [layers]    of the layer's matrix in `weights`
    n_in, n_out int64 [layers]
    activation  int64 [layers]    position in ACTIVATIONS, -1 in a last layer
    gain        float32 [layers]
    waves       float32 [1 + mixtures, 3, MAX_WAVES], the first for all who need none
    wave_of     int64 [layers]    row of `waves`, where the activation is a sine mixture
    """

    weights: np.ndarray
    first: np.ndarray
    start: np.ndarray
    n_in: np.ndarray
    n_out: np.ndarray
    activation: np.ndarray
    gain: np.ndarray
    waves: np.ndarray
    wave_of: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Coders:
    """Encoders of values to embeddings, or decoders of embeddings to values, one for each edge or node.

    networks : one each; an encoder of numbers has 1 input, a decoder to numbers 1 output.
    classes : float32 [sum of n_categories, WIDTH], embeddings of the classes.
    class_start : int64 [coders], first row of a coder's classes.
    n_categories : int64 [coders], 0 for numbers.
    """

    networks: Networks
    classes: np.ndarray
    class_start: np.ndarray
    n_categories: np.ndarray


def sample_encoders(
    n_categories: Sequence[int], *, prior: MechanismPrior, rng: np.random.Generator
) -> Coders:
    """One random encoder for each entry: of that many categories, or of numbers where it is 0."""
    return _sample_coders(n_categories, prior, rng, narrow_input=True)


def sample_decoders(
    n_categories: Sequence[int], *, prior: MechanismPrior, rng: np.random.Generator
) -> Coders:
    """One random decoder for each entry: to that many categories, or to numbers where it is 0.

    A class is decoded by comparing the network's output with the class embeddings by inner product.
    """
    return _sample_coders(n_categories, prior, rng, narrow_input=False)


def _sample_coders(
    n_categories: Sequence[int], prior: MechanismPrior, rng: np.random.Generator, *, narrow_input: bool
) -> Coders:
    counts = np.asarray(n_categories, np.int64)
    narrow, wide = np.where(counts > 0, WIDTH, 1), np.full(len(counts), WIDTH)
    shape = (narrow, wide) if narrow_input else (wide, narrow)
    start = np.cumsum(counts) - counts
    classes = np.empty(int(counts.sum()) * WIDTH, np.float32)
    initialise(classes, start * WIDTH, counts, np.full(len(counts), WIDTH), prior=prior, rng=rng)
    return Coders(
        networks=sample_networks(*shape, prior=prior, rng=rng),
        classes=classes.reshape(-1, WIDTH),
        class_start=start,
        n_categories=counts,
    )


def sample_networks(
    n_in: np.ndarray, n_out: np.ndarray, *, prior: MechanismPrior, rng: np.random.Generator
) -> Networks:
    """One random network for each pair of an input and an output width, int64 [networks] each.

    Source: PluRel (arXiv:2602.04029), reference implementation 1.1, with mechanisms frozen over rows.
    """
    depth = draw_counts(prior.mlp_layers, len(n_in), rng=rng)
    first = np.concatenate([[0], np.cumsum(depth)])
    n_layers = int(first[-1])
    layer_in, layer_out = np.full(n_layers, WIDTH), np.full(n_layers, WIDTH)
    layer_in[first[:-1]] = n_in
    layer_out[first[1:] - 1] = n_out
    start = np.concatenate([[0], np.cumsum(layer_in * layer_out)])
    weights = np.empty(int(start[-1]), np.float32)
    density = rng.uniform(*prior.weight_density, n_layers)
    initialise(weights, start[:-1], layer_in, layer_out, density=density, prior=prior, rng=rng)
    names = np.array([ACTIVATIONS.index(name) for name in prior.activations])
    activation = names[rng.integers(len(names), size=n_layers)]
    activation[first[1:] - 1] = -1
    is_mixture = activation == activations.SINE_MIXTURE
    return Networks(
        weights=weights,
        first=first,
        start=start[:-1],
        n_in=layer_in,
        n_out=layer_out,
        activation=activation,
        gain=np.exp(rng.uniform(*prior.activation_log_gain, n_layers)).astype(np.float32),
        waves=sample_waves(1 + int(is_mixture.sum()), rng=rng),
        wave_of=np.where(is_mixture, np.cumsum(is_mixture), 0),
    )


def initialise(
    weights: np.ndarray,
    start: np.ndarray,
    n_in: np.ndarray,
    n_out: np.ndarray,
    *,
    density: np.ndarray | None = None,
    prior: MechanismPrior,
    rng: np.random.Generator,
) -> None:
    """Fill matrices [n_in, n_out] from `start` on in the flat float32 `weights`, each by a random law.

    With `density`, that expected share of a matrix is kept and rescaled, the rest is zero. The fan of the
    Kaiming laws is n_out: the reference stores matrices as [in, out] where PyTorch's initialisers expect
    [out, in], and we keep its distribution.
    """
    names = np.array([INITIALISERS.index(name) for name in prior.initialisers])
    laws = names[rng.integers(len(names), size=len(start))]
    kept_share = np.ones(len(start)) if density is None else density
    key = rng.integers(2**32, size=2, dtype=np.uint32)
    chance, missing = np.empty(int((n_in * n_out).max(initial=0)), np.float32), np.empty(WIDTH, np.float32)
    _fill(weights, start, n_in, n_out, laws, kept_share.astype(np.float32), key, chance, missing)


@kept(__file__, arithmetic.__file__)
def _fill(
    weights: np.ndarray,
    start: np.ndarray,
    n_in: np.ndarray,
    n_out: np.ndarray,
    laws: np.ndarray,
    density: np.ndarray,
    key: np.ndarray,
    chance: np.ndarray,
    missing: np.ndarray,
) -> None:
    """Draw every matrix; element e of matrix m depends on (key, m, e) alone."""
    keys = (key[0], key[1])
    for m in range(len(start)):
        size = n_in[m] * n_out[m]
        matrix = weights[start[m] : start[m] + size]
        law = laws[m]
        _draw_uniforms(matrix, m, np.uint32(0), keys)
        fan = n_out[m] if law <= KAIMING_UNIFORM else n_in[m] + n_out[m]
        sd = np.float32(np.sqrt(2.0 / fan))
        if law in (KAIMING_UNIFORM, XAVIER_UNIFORM):
            sd *= np.float32(np.sqrt(12.0))
            for i in range(size):
                matrix[i] = sd * (matrix[i] - np.float32(0.5))
        else:
            share = TWO_SIGMA if law == TRUNC_NORMAL else np.float32(1)
            sd = np.float32(1) if law == TRUNC_NORMAL else (SPARSE_SD if law == SPARSE else sd)
            for i in range(size):
                matrix[i] = sd * normal_quantile(np.float32(0.5) + share * (matrix[i] - np.float32(0.5)))
        if law == SPARSE:
            _zero_half(matrix, n_in[m], n_out[m], m, keys, chance[:size], missing)
        if density[m] < 1:
            _thin(matrix, density[m], m, keys)


@inlined
def _draw_uniforms(values: np.ndarray, m: int, use: int, keys: tuple[int, int]) -> None:
    quarter = len(values) // 4  # one side of every matrix is WIDTH
    for i in range(quarter):
        bits = random_bits(np.uint32(i), np.uint32(m), use, keys)
        values[i] = uniform(bits[0])
        values[quarter + i] = uniform(bits[1])
        values[2 * quarter + i] = uniform(bits[2])
        values[3 * quarter + i] = uniform(bits[3])


@inlined
def _zero_half(
    matrix: np.ndarray,
    n_in: int,
    n_out: int,
    m: int,
    keys: tuple[int, int],
    chance: np.ndarray,
    missing: np.ndarray,
) -> None:
    """Set ceil(n_in / 2) uniformly chosen entries of every output's column to zero."""
    _draw_uniforms(chance, m, np.uint32(1), keys)
    for column in range(n_out):  # still to be zeroed among the rows that follow
        missing[column] = np.float32((n_in + 1) // 2)
    for row in range(n_in):
        left = np.float32(n_in - row)
        for column in range(n_out):
            at = row * n_out + column
            zeroed = chance[at] * left < missing[column]
            matrix[at] = np.float32(0) if zeroed else matrix[at]
            missing[column] -= np.float32(1) if zeroed else np.float32(0)


@inlined
def _thin(matrix: np.ndarray, density: float, m: int, keys: tuple[int, int]) -> None:
    """Keep each entry with probability `density`, to 16 bits, and divide it by that; else zero."""
    eighth = len(matrix) // 8
    below = np.uint32(np.rint(density * np.float32(65536)))
    scale = np.float32(1) / density
    for i in range(eighth):
        bits = random_bits(np.uint32(i), np.uint32(m), np.uint32(2), keys)
        for part in range(4):
            low, high = (2 * part) * eighth + i, (2 * part + 1) * eighth + i
            matrix[low] *= scale if (bits[part] & np.uint32(0xFFFF)) < below else np.float32(0)
            matrix[high] *= scale if (bits[part] >> np.uint32(16)) < below else np.float32(0)
