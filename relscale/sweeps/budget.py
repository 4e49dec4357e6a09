"""What a study will run and cost: steps, epochs, hours, storage.

Arithmetic on the grid and on two measurements, of the study's databases (`Sample`) and of its model's pace
(`Pace`). Starts nothing and writes nothing.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from relscale.model.config import ModelConfig
from relscale.model.schedule import trunk_steps
from relscale.platform.progress import human_count
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.grid import Trial, chains, plan_trials
from relscale.sweeps.needs import Needs, needs_of

BYTES_PER_WEIGHT = 4
"""Weights and both moments of the optimizer are float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first databases of a study's corpus; what is not by database is a mean over those that were made.

    cells, items              of each database: cells that contexts can show, and those that training asks for
    contexts                  held-out contexts that one database gives
    row_width                 most cells of a row that training may start from
    corpus_bytes, store_bytes on disk
    generate_seconds          to make, check and write one, with the refused seeds' share; one CPU
    tokenize_seconds          to read one and write its arrays; one CPU
    peak_mb                   largest memory of the process that made them
    """

    cells: tuple[int, ...]
    items: tuple[int, ...]
    contexts: float
    row_width: int
    corpus_bytes: float
    store_bytes: float
    generate_seconds: float
    tokenize_seconds: float
    peak_mb: float

    @property
    def relative_error(self) -> float:
        """Standard error of the mean number of cells, as a share of it; 0 for one database."""
        if len(self.cells) < 2:
            return 0.0
        return stdev(self.cells) / sqrt(len(self.cells)) / fmean(self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Tokens per second of one trial, padding counted: in training steps, and in forward passes alone."""

    training: float
    scoring: float
    source: str


def stated_pace(tokens_per_second: float) -> Pace:
    """The pace of a stated training rate; a backward pass costs two forward passes, so scoring is three
    times as fast."""
    return Pace(training=tokens_per_second, scoring=3 * tokens_per_second, source="as stated")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """A trial and what it takes.

    variant        name of the part of the study that it belongs to
    steps          optimizer steps of its schedule
    new_steps      those that it computes itself; the others are a shorter trial's trunk ("wsd-branch")
    epochs         how often each cell to predict is asked for in the mean: contexts / items of its databases
    views          how often each cell is seen in a context in the mean: tokens / cells of its databases
    train_seconds  of the new steps
    """

    variant: str
    n_databases: int
    tokens: int
    seed: int
    steps: int
    new_steps: int
    new_tokens: int
    epochs: float
    views: float
    train_seconds: float
    score_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the work: hours of one CPU, or of one trial's devices."""

    name: str
    work: str
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A grid of trials with equal settings: the whole study, or a variant of it."""

    name: str
    config: StudyConfig
    trials: Sequence[Trial]
    sample: Sample
    pace: Pace

    @property
    def tokens_per_step(self) -> int:
        """Padding counted."""
        return self.config.training.batch_size * self.config.sampler.context_length


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A study priced.

    storage    bytes: corpus, store, checkpoints, and the running trials' state, of each of them
    here       trials that this machine holds at once; None where a cluster will run them
    at_once    (trials at once, hours of the whole grid): for `here`, and powers of two up to all
    """

    name: str
    trials: tuple[PlannedTrial, ...]
    stages: tuple[Stage, ...]
    storage: Mapping[str, int]
    needs: Needs
    generation_mb: float
    here: int | None
    at_once: tuple[tuple[int, float], ...]
    samples: Mapping[str, Sample]
    paces: Mapping[str, Pace]

    @property
    def hours(self) -> float:
        """Of all stages, one thing at a time."""
        return sum(stage.hours for stage in self.stages)

    @property
    def new_tokens(self) -> int:
        """Tokens that are computed."""
        return sum(trial.new_tokens for trial in self.trials)


def grid_of(config: StudyConfig) -> list[Trial]:
    """The trials of a study whose databases need not exist yet; their keys mean nothing to others."""
    databases = [str(place) for place in range(max(config.grid.n_databases))]
    return plan_trials(config, databases=databases, held_out=(), encoder="", code="")


def plan_study(config: StudyConfig, parts: Sequence[Part], *, here: int | None = None) -> Plan:
    """Price a study.

    Parameters
    ----------
    config : the study; its own databases are held out, whatever its parts train on.
    parts : the grids, the first with the study's own corpus where there are several.
    here : see `Plan`.
    """
    planned = [_planned(config, part) for part in parts]
    trials = tuple(trial for of_part in planned for trial in of_part)
    jobs = sorted(
        (job for part, of_part in zip(parts, planned, strict=True) for job in _jobs(part, of_part)),
        reverse=True,
    )
    return Plan(
        name=config.name,
        trials=trials,
        stages=_stages(config, parts, trials),
        storage=_storage(config, parts),
        needs=needs_of(config),
        generation_mb=max(part.sample.peak_mb for part in parts),
        here=here,
        at_once=_by_number_at_once(jobs, here),
        samples={part.name: part.sample for part in parts},
        paces={part.name: part.pace for part in parts},
    )


def first(counts: Sequence[int], n: int) -> float:
    """Sum over the first n databases; those beyond `counts` are taken to be like the mean."""
    return sum(counts[:n]) + max(0, n - len(counts)) * fmean(counts)


def new_steps(part: Part) -> list[int]:
    """Steps that each trial computes itself, in the order of the trials.

    All of its steps, but for "wsd-branch": there a trial goes on from where the next shorter branch of its
    trunk begins to fall.
    """
    new = {}
    for chain in chains(part.trials):
        shared = 0
        for trial in chain:
            steps = trial.tokens // part.tokens_per_step
            new[trial.key] = steps - shared
            shared = trunk_steps(steps, part.config.training)
    return [new[trial.key] for trial in part.trials]


def n_parameters(model: ModelConfig) -> int:
    """Weights of the network, as `relscale.model.network` builds it."""
    d, text, head = model.d_model, model.d_text, model.d_model // model.n_heads
    outside = 6 * d + 2 * (text + 1) * d + 5 * d + 4 * d + d + 3 * (d + 1) + (d + 1) * text
    block = 4 * d + 3 * (4 * d * d + 2 * head) + 3 * d * model.d_ff
    return outside + model.n_blocks * block


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """Seconds until jobs are done that are started in this order, `at_once` at a time."""
    ends = [0.0] * min(at_once, len(seconds))
    for job in seconds:
        heapq.heapreplace(ends, ends[0] + job)
    return max(ends)


def _planned(config: StudyConfig, part: Part) -> list[PlannedTrial]:
    length, pace, per_step = part.config.sampler.context_length, part.pace, part.tokens_per_step
    scored = _score_tokens(config, part)
    return [
        PlannedTrial(
            variant=part.name,
            n_databases=trial.n_databases,
            tokens=trial.tokens,
            seed=trial.seed,
            steps=trial.tokens // per_step,
            new_steps=steps,
            new_tokens=steps * per_step,
            epochs=trial.tokens / length / first(part.sample.items, trial.n_databases),
            views=trial.tokens / first(part.sample.cells, trial.n_databases),
            train_seconds=steps * per_step / pace.training,
            score_seconds=scored / pace.scoring,
        )
        for trial, steps in zip(part.trials, new_steps(part), strict=True)
    ]


def _score_tokens(config: StudyConfig, part: Part) -> float:
    """Tokens of the held-out contexts that score one trial, padding counted."""
    return config.corpus.held_out_databases * part.sample.contexts * part.config.sampler.context_length


def _jobs(part: Part, planned: Sequence[PlannedTrial]) -> list[float]:
    """Seconds of what runs side by side: trials, or all branches of a trunk one after the other."""
    seconds = {
        trial.key: one.train_seconds + one.score_seconds
        for trial, one in zip(part.trials, planned, strict=True)
    }
    return [sum(seconds[trial.key] for trial in chain) for chain in chains(part.trials)]


def _by_number_at_once(jobs: Sequence[float], here: int | None) -> tuple[tuple[int, float], ...]:
    counts = {len(jobs), *(2**k for k in range(len(jobs).bit_length()) if 2**k < len(jobs))}
    counts |= {here} if here else set()
    return tuple((count, makespan(jobs, count) / 3600) for count in sorted(counts))


def _corpora(config: StudyConfig, parts: Sequence[Part]) -> list[tuple[int, Sample]]:
    """(databases, what they are like): the held-out ones, and once each corpus that parts train on."""
    trained = {part.config.corpus.fingerprint(): part for part in parts}
    return [
        (config.corpus.held_out_databases, parts[0].sample),
        *((max(part.config.grid.n_databases), part.sample) for part in trained.values()),
    ]


def _stages(config: StudyConfig, parts: Sequence[Part], trials: Sequence[PlannedTrial]) -> tuple[Stage, ...]:
    corpora = _corpora(config, parts)
    databases = f"{sum(n for n, _ in corpora):,} databases"
    scored = sum(_score_tokens(config, part) * len(part.trials) for part in parts)
    work = {
        "generate": (databases, sum(n * sample.generate_seconds for n, sample in corpora)),
        "tokenize": (databases, sum(n * sample.tokenize_seconds for n, sample in corpora)),
        "train": (_count(sum(t.new_tokens for t in trials)), sum(t.train_seconds for t in trials)),
        "score": (_count(scored), sum(t.score_seconds for t in trials)),
    }
    return tuple(Stage(name=name, work=what, hours=s / 3600) for name, (what, s) in work.items())


def _storage(config: StudyConfig, parts: Sequence[Part]) -> dict[str, int]:
    corpora = _corpora(config, parts)
    return {
        "corpus": round(sum(n * sample.corpus_bytes for n, sample in corpora)),
        "store": round(sum(n * sample.store_bytes for n, sample in corpora)),
        "checkpoints": sum(len(part.trials) * _kept_bytes(part.config) for part in parts),
        "running_trial": max(3 * _weight_bytes(part.config) for part in parts),
    }


def _kept_bytes(config: StudyConfig) -> int:
    """Of a finished trial: its weights, and of a branch the trunk with the optimizer's two moments too."""
    return (4 if config.training.schedule == "wsd-branch" else 1) * _weight_bytes(config)


def _weight_bytes(config: StudyConfig) -> int:
    return BYTES_PER_WEIGHT * n_parameters(config.model)


def _count(tokens: float) -> str:
    return f"{human_count(round(tokens))} tokens"
