"""The Relational Transformer: cells that look along columns, rows and foreign keys.

Source: Relational Transformer (arXiv:2510.06377) as PluRel trains it (arXiv:2602.04029): no `full`
attention, normalised queries and keys. Parameter names and shapes are those of the published
checkpoints, so these load. Only the masked cells leave the last block, since nothing else is read;
predictions are the same.

Letters: T tokens of a batch, d = d_model, h heads, e = d / h, M masked cells.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from relscale.model import fused
from relscale.model.attention import RELATIONS, Pattern, relational_attention
from relscale.model.config import ModelConfig
from relscale.model.context import ContextBatch, SemType
from relscale.model.encode import TensorBatch, to_tensors
from relscale.model.relations import Backend, Looks, choose_backend
from relscale.platform.seeds import Purpose, integer

_NAMES = [sem_type.name.lower() for sem_type in SemType]
_SCALARS = ["number", "datetime", "boolean"]


class RelationalTransformer(nn.Module):
    """Predicts the masked cells of contexts.

    Parameters
    ----------
    config : sizes; 12 blocks of width 256 (the default) have 19,189,635 parameters in 328 tensors.
    seed : of the initial weights, which are those of the framework's defaults: uniform within
        1/sqrt(fan_in) for weights and biases, 1 for norms, N(0, 1) for mask embeddings.
    """

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        d, d_text = config.d_model, config.d_text
        with torch.device("meta"):  # no draw from the global generator
            scalars = {name: nn.Linear(1, d) for name in _SCALARS}
            self.enc_dict = nn.ModuleDict(
                {**scalars, "text": nn.Linear(d_text, d), "col_name": nn.Linear(d_text, d)}
            )
            self.norm_dict = nn.ModuleDict({name: Norm(d) for name in [*_NAMES, "col_name"]})
            self.mask_embs = nn.ParameterDict({name: nn.Parameter(torch.empty(d)) for name in _NAMES})
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
            self.norm_out = Norm(d)
            heads = {name: nn.Linear(d, 1) for name in _SCALARS}
            self.dec_dict = nn.ModuleDict({**heads, "text": nn.Linear(d, d_text)})
        self.to_empty(device="cpu")
        _initialise(self, torch.Generator().manual_seed(integer(seed, Purpose.INITIALISATION)))
        # Text cells are never asked for; the head stands for the published checkpoints' sake.
        self.dec_dict["text"].requires_grad_(False)

    @property
    def backend(self) -> Backend:
        """How its attention is computed on the device where it is."""
        return choose_backend(self.norm_out.weight.device, self.config.d_model // self.config.n_heads)

    def tensors(self, batch: ContextBatch, embeddings: np.ndarray) -> TensorBatch:
        """Contexts as this network reads them, on its device; `embeddings` are the store's."""
        return to_tensors(batch, embeddings, self.norm_out.weight.device, backend=self.backend)

    def forward(self, batch: TensorBatch) -> torch.Tensor:
        """float32 [M]: the z-score of each masked cell, or the logit of "true" for a boolean."""
        looks, last = batch.relations.looks()
        x = self.embed(batch)
        for block in self.blocks[:-1]:
            x = block(x, looks)
        return self.decode(self.blocks[-1](x, last), batch.label_type)

    def embed(self, batch: TensorBatch) -> torch.Tensor:
        """float32 [T, d]: column name plus value, or plus the mask embedding; 0 for padding."""
        columns = self.norm_dict["col_name"](self.enc_dict["col_name"](batch.column_vectors).float())
        texts = self.norm_dict["text"](self.enc_dict["text"](batch.text_vectors).float())
        value = self._scalars(batch)
        is_text = (batch.sem_type == SemType.TEXT)[:, None]
        value = torch.where(is_text, functional.embedding(batch.text, texts), value)
        mask_embs = torch.stack([self.mask_embs[name] for name in _NAMES])
        value = torch.where(batch.masked[:, None], functional.embedding(batch.sem_type, mask_embs), value)
        x = functional.embedding(batch.column, columns) + value
        return x.masked_fill(batch.padding[:, None], 0)

    def decode(self, x: torch.Tensor, sem_type: torch.Tensor) -> torch.Tensor:
        """The prediction [M] of each masked cell from its own type's head; x is [M, d]."""
        x = self.norm_out(x)
        heads = torch.cat([self.dec_dict[name](x) for name in _SCALARS], dim=1)
        place = torch.tensor([0, 0, 1, 2], device=x.device)[sem_type]
        return heads.gather(1, place[:, None]).squeeze(1).float()

    def _scalars(self, batch: TensorBatch) -> torch.Tensor:
        """RMS_t(W_t v + b_t) of every token with its type's weights; [T, d], unused at text cells."""
        tables = [
            torch.stack([part[name if name != "text" else "number"].get_parameter(kind) for name in _NAMES])
            for part, kind in (
                (self.enc_dict, "weight"),
                (self.enc_dict, "bias"),
                (self.norm_dict, "weight"),
            )
        ]
        weight, bias, norm = (functional.embedding(batch.sem_type, table.flatten(1)) for table in tables)
        return functional.rms_norm(batch.value[..., None] * weight + bias, weight.shape[-1:]) * norm


class Block(nn.Module):
    """Three relational attentions and a gated feed-forward layer, each added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: Norm(config.d_model) for name in [*RELATIONS, "ffn"]})
        self.attns = nn.ModuleDict({name: Attention(config.d_model, config.n_heads) for name in RELATIONS})
        self.ffn = SwiGLU(config.d_model, config.d_ff)

    def forward(self, x: torch.Tensor, looks: Looks) -> torch.Tensor:
        """[T, d] -> [T', d]: the tokens that go on."""
        x = _take(x, looks.enter)
        for relation in RELATIONS:
            keep = looks.keep.get(relation)
            y = _for_products(self.norms[relation](x))
            attended = self.attns[relation](_take(y, keep), y, looks.pattern[relation])
            x = _take(x, keep) + attended
        x = _take(x, looks.leave)
        return x + self.ffn(_for_products(self.norms["ffn"](x)))


class Norm(nn.RMSNorm):
    """torch's RMSNorm over the last axis, in float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., w] -> float32 [..., w]."""
        if fused.can_fuse(x, x.shape[-1]):
            return fused.rms_norm(x, self.weight)
        return super().forward(x.float())


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys, no bias."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        self.q_norm, self.k_norm = (Norm(d_model // n_heads) for _ in range(2))

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, pattern: Pattern) -> torch.Tensor:
        """What each of `queries` [Q, d] gathers from `keys` [K, d]; [Q, d]."""
        q, k, v = self.wq(queries), self.wk(keys), self.wv(keys)
        q, k = (
            norm(x.unflatten(1, (self.n_heads, -1))).flatten(1)
            for norm, x in ((self.q_norm, q), (self.k_norm, k))
        )
        return self.wo(relational_attention(q, k, v, pattern, self.n_heads))


class SwiGLU(nn.Module):
    """W2(silu(W1 y) * W3 y)."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(d_model, d_ff, bias=False) for _ in range(2))
        self.w2 = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """[..., d] -> [..., d]."""
        a, b = self.w1(y), self.w3(y)
        fuse = fused.can_fuse(a, a.shape[-1])
        return self.w2(fused.gated(a, b) if fuse else functional.silu(a) * b)


def _for_products(x: torch.Tensor) -> torch.Tensor:
    """`x` in the type that autocast gives the matrix products: rounded once for all that read it."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _take(x: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
    return x if places is None else x.index_select(0, places)


@torch.no_grad()
def _initialise(network: RelationalTransformer, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            for parameter in module.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.RMSNorm):
            module.weight.fill_(1)
    for embedding in network.mask_embs.values():
        embedding.normal_(generator=generator)
