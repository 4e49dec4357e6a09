"""The Relational Transformer written down plainly, to be measured against: training_speed.py.

Every token carries its own text vectors, each block makes its masks anew from the ids and attends over all
pairs, every head reads every token, all in float32. Parameters have the published names, so it takes the
weights of `relscale.model.RelationalTransformer` and must give the same loss.

Letters: B contexts, S tokens of each, d = d_model.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from relscale.model.config import ModelConfig
from relscale.model.context import ContextBatch

NAMES = ("number", "text", "datetime", "boolean")


def plain_batch(batch: ContextBatch, embeddings: np.ndarray) -> dict[str, torch.Tensor]:
    """The arrays of a batch and the vectors [B, S, d_text] of each token's column and text."""
    names = ("node", "parents", "column", "sem_type", "value", "masked")
    arrays = {name: torch.from_numpy(getattr(batch, name)) for name in names}
    return {
        **arrays,
        "column_vectors": torch.from_numpy(embeddings[batch.column].astype(np.float32)),
        "text_vectors": torch.from_numpy(embeddings[batch.text].astype(np.float32)),
    }


class PlainTransformer(nn.Module):
    """The network of PluRel (arXiv:2602.04029); forward gives the loss."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, wide = config.d_model, config.d_text
        self.enc_dict = nn.ModuleDict(
            {name: nn.Linear(wide if name in ("text", "col_name") else 1, d) for name in (*NAMES, "col_name")}
        )
        self.dec_dict = nn.ModuleDict({name: nn.Linear(d, wide if name == "text" else 1) for name in NAMES})
        self.norm_dict = nn.ModuleDict({name: nn.RMSNorm(d) for name in (*NAMES, "col_name")})
        self.mask_embs = nn.ParameterDict({name: nn.Parameter(torch.randn(d)) for name in NAMES})
        self.blocks = nn.ModuleList(PlainBlock(config) for _ in range(config.n_blocks))
        self.norm_out = nn.RMSNorm(d)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over contexts of the mean loss over their masked cells."""
        present, masked, kind = batch["node"] >= 0, batch["masked"], batch["sem_type"]
        value = torch.where(masked, 0, batch["value"])[..., None]
        x = self.norm_dict["col_name"](self.enc_dict["col_name"](batch["column_vectors"]))
        for i, name in enumerate(NAMES):
            given = batch["text_vectors"] if name == "text" else value
            shown = self.norm_dict[name](self.enc_dict[name](given))
            x = x + shown * ((kind == i) & ~masked)[..., None]
            x = x + self.mask_embs[name] * ((kind == i) & masked)[..., None]
        x = x * present[..., None]
        for block in self.blocks:
            x = block(x, batch)
        return self.loss(self.norm_out(x), batch)

    def loss(self, x: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Every head on every token; the masked ones count."""
        masked, kind, label = batch["masked"], batch["sem_type"], batch["value"]
        total = x.new_zeros(len(x))
        for i, name in enumerate(NAMES):
            y = self.dec_dict[name](x)
            if name == "text":
                total = total + 0 * y.sum()
                continue
            y = y[..., 0]
            if name == "boolean":
                truth = (label > 0).float()
                loss = functional.binary_cross_entropy_with_logits(y, truth, reduction="none")
            else:
                loss = functional.huber_loss(y, label, reduction="none")
            total = total + (loss * ((kind == i) & masked)).sum(dim=1)
        return (total / masked.sum(dim=1)).mean()


class PlainBlock(nn.Module):
    """Three masked attentions over all pairs, then the feed-forward layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleDict(
            {name: nn.RMSNorm(config.d_model) for name in ("col", "feat", "nbr", "ffn")}
        )
        self.attns = nn.ModuleDict({name: PlainAttention(config) for name in ("col", "feat", "nbr")})
        self.ffn = PlainFeedForward(config)

    def forward(self, x: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """[B, S, d] -> [B, S, d]."""
        node, parents, column = batch["node"], batch["parents"], batch["column"]
        pair = (node >= 0)[:, :, None] & (node >= 0)[:, None, :]
        is_parent = (parents[:, :, None, :] == node[:, None, :, None]).any(dim=-1)
        masks = {
            "col": column[:, :, None] == column[:, None, :],
            "feat": (node[:, :, None] == node[:, None, :]) | is_parent,
            "nbr": is_parent.transpose(1, 2),
        }
        for name, mask in masks.items():
            x = x + self.attns[name](self.norms[name](x), (mask & pair)[:, None])
        return x + self.ffn(self.norms["ffn"](x))


class PlainAttention(nn.Module):
    """Scaled dot-product attention under a boolean mask."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, self.n_heads = config.d_model, config.n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.q_norm, self.k_norm = (nn.RMSNorm(d // self.n_heads) for _ in range(2))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, S, d] -> [B, S, d]; 0 for a query without any key."""
        q, k, v = (w(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        # A query without any key looks at itself, which is then taken out: softmax over nothing is no number.
        itself = torch.eye(mask.shape[-1], dtype=torch.bool)
        seen = functional.scaled_dot_product_attention(
            self.q_norm(q), self.k_norm(k), v, attn_mask=mask | itself & ~mask.any(dim=-1, keepdim=True)
        )
        return self.wo((seen * mask.any(dim=-1, keepdim=True)).transpose(1, 2).flatten(2))


class PlainFeedForward(nn.Module):
    """W2(silu(W1 y) * W3 y)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(config.d_model, config.d_ff, bias=False) for _ in range(2))
        self.w2 = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """[..., d] -> [..., d]."""
        return self.w2(functional.silu(self.w1(y)) * self.w3(y))
