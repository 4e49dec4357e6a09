"""A plain transcription of the propagation's definition: node by node, in one precision, with no shortcut."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from relscale.generation.activations import ACTIVATIONS
from relscale.generation.features import ParentRows
from relscale.generation.networks import Coders, Networks
from relscale.generation.structure import CausalModel
from relscale.generation.totals import AGGREGATIONS

REFERENCE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": functional.relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "silu": functional.silu,
    "softsign": functional.softsign,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hardswish": functional.hardswish,
    "mish": functional.mish,
    "leaky_relu": functional.leaky_relu,
    "gelu": functional.gelu,
    "softplus": functional.softplus,
    "hardsigmoid": functional.hardsigmoid,
    "hardtanh": functional.hardtanh,
    "celu": functional.celu,
    "tanhshrink": functional.tanhshrink,
    "rrelu": lambda x: functional.rrelu(x, training=False),
    "logsigmoid": functional.logsigmoid,
    "softshrink": functional.softshrink,
    "hardshrink": functional.hardshrink,
    "identity": lambda x: x,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "sign": torch.sign,
    "clamp": lambda x: torch.clamp(x, -1, 1),
    "signed_log": lambda x: torch.sign(x) * torch.log1p(torch.abs(x)),
    "bent_identity": lambda x: (torch.sqrt(x * x + 1) - 1) / 2 + x,
}
"""PyTorch's functions of the activations' names; the sine mixture is below."""


def activation(name: str, x: np.ndarray, waves: np.ndarray) -> np.ndarray:
    if name == "sine_mixture":
        amplitude, frequency, phase = waves.astype(x.dtype)
        return (amplitude * np.sin(frequency * x[..., None] + phase)).sum(axis=-1)
    return REFERENCE[name](torch.from_numpy(x)).numpy()


def network(nets: Networks, i: int, x: np.ndarray) -> np.ndarray:
    """x W_1, activation, gain, clamp, ..., x W_last for the rows of x [rows, in], in the precision of x."""
    layers = range(nets.first[i], nets.first[i + 1])
    for layer in layers:
        n_in, n_out = nets.n_in[layer], nets.n_out[layer]
        start = nets.start[layer]
        x = x @ nets.weights[start : start + n_in * n_out].reshape(n_in, n_out).astype(x.dtype)
        if layer == layers[-1]:
            return x
        waves = nets.waves[nets.wave_of[layer]]
        x = activation(ACTIVATIONS[nets.activation[layer]], x, waves)
        x = np.clip(x.dtype.type(nets.gain[layer]) * x, -1e6, 1e6)
    raise AssertionError("a network has a layer")


def encode(coders: Coders, i: int, values: np.ndarray, precision: type) -> np.ndarray:
    if coders.n_categories[i]:
        return network(coders.networks, i, coders.classes[coders.class_start[i] + values].astype(precision))
    return network(coders.networks, i, values.astype(precision)[:, None])


def join(mode: str, terms: np.ndarray) -> np.ndarray:
    """Join terms [terms, rows, WIDTH] over the first axis."""
    if mode == "logexp":
        top = terms.max(axis=0)
        return np.log(np.exp(terms - top).sum(axis=0)) + top
    return {"sum": terms.sum, "max": terms.max, "product": terms.prod}[mode](axis=0)


def terms_of(
    model: CausalModel,
    encoders: Coders,
    v: int,
    values: dict[int, np.ndarray],
    parents: Sequence[ParentRows],
    collation: Sequence[Coders],
    precision: type = np.float64,
) -> np.ndarray:
    """The clamped terms of node v, [terms, rows, WIDTH]: its edges, then all columns of all parent rows."""
    nodes, edges = model.nodes, model.nodes.edges
    terms = [
        precision(edges.weight[e]) * encode(encoders, e, values[int(edges.tail[e])], precision)
        for e in range(nodes.first[v], nodes.first[v + 1])
    ]
    share = AGGREGATIONS[nodes.aggregations[v]] == "sum"
    for parent, own in zip(parents, collation, strict=True):
        for j, feature in enumerate(parent.features):
            scale = precision(1 / len(parent.features) if share else 1)
            terms.append(scale * encode(own, j, feature.values[parent.rows], precision))
    return np.clip(np.stack(terms), -1e4, 1e4)


def decode(model: CausalModel, v: int, embedding: np.ndarray) -> np.ndarray:
    """A node's values from its embeddings [rows, WIDTH]: numbers, or logits [rows, K]."""
    nodes = model.nodes
    out = network(nodes.decoders, v, embedding)
    k, start = nodes.n_categories[v], nodes.class_start[v]
    return out @ nodes.classes[start : start + k].T.astype(out.dtype) if k else out[:, 0]
