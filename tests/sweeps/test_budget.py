from importlib.resources import as_file, files

import pytest

from relscale.model.config import ModelConfig
from relscale.platform.config import load_config
from relscale.sweeps.budget import (
    Part,
    Sample,
    first,
    grid_of,
    makespan,
    n_parameters,
    new_steps,
    plan_study,
    stated_pace,
)
from relscale.sweeps.config import GridConfig, StudyConfig

SAMPLE = Sample(
    cells=(1000, 3000),
    items=(600, 1400),
    contexts=50.0,
    row_width=12,
    corpus_bytes=1e5,
    store_bytes=2e5,
    generate_seconds=0.5,
    tokenize_seconds=0.1,
    peak_mb=400.0,
)
PER_STEP = 16 * 128


def study(**training) -> StudyConfig:
    return StudyConfig(
        grid=GridConfig(n_databases=(1, 4), tokens=(100 * PER_STEP, 400 * PER_STEP), seeds=(0, 1)),
        training=StudyConfig().training.replace(batch_size=16, **training),
        sampler=StudyConfig().sampler.replace(context_length=128),
    )


def part(config: StudyConfig, name: str = "") -> Part:
    return Part(
        name=name, config=config, trials=grid_of(config), sample=SAMPLE, pace=stated_pace(PER_STEP * 2.0)
    )


def test_steps_tokens_epochs_and_views_by_their_definitions():
    config = study()
    plan = plan_study(config, [part(config)])
    trials = {(trial.n_databases, trial.tokens, trial.seed): trial for trial in plan.trials}
    assert len(trials) == 8
    one = trials[1, 400 * PER_STEP, 0]
    assert one.steps == one.new_steps == 400
    assert one.new_tokens == one.tokens
    assert one.epochs == 400 * 16 / 600  # contexts over the items of one database
    assert one.views == 400 * PER_STEP / 1000  # tokens over its cells
    four = trials[4, 400 * PER_STEP, 1]
    assert four.epochs == pytest.approx(400 * 16 / (2000 + 2 * 1000))  # two more, taken to be like the mean
    assert four.train_seconds == 200  # half a second a step
    assert four.score_seconds == pytest.approx(100 * 50 * 128 / (3 * 2 * PER_STEP))


def test_stages_and_storage_add_up():
    config = study()
    plan = plan_study(config, [part(config)])
    hours = {stage.name: stage.hours for stage in plan.stages}
    assert list(hours) == ["generate", "tokenize", "train", "score"]
    assert hours["generate"] == pytest.approx(104 * 0.5 / 3600)
    assert hours["train"] == pytest.approx(4 * (100 + 400) / 2 / 3600)
    assert plan.hours == pytest.approx(sum(hours.values()))
    assert plan.new_tokens == 4 * 500 * PER_STEP
    weights = 4 * n_parameters(config.model)
    assert plan.storage == {
        "corpus": 104 * 100_000,
        "store": 104 * 200_000,
        "checkpoints": 8 * weights,
        "running_trial": 3 * weights,
    }


def test_branches_train_their_trunk_once():
    config = study(schedule="wsd-branch", warmup_steps=10, decay_share=0.2)
    of_one = part(config)
    steps = {}
    for trial, new in zip(of_one.trials, new_steps(of_one), strict=True):
        steps.setdefault(trial.tokens // PER_STEP, set()).add(new)
    assert steps == {100: {100}, 400: {400 - 80}}
    plan = plan_study(config, [of_one])
    assert plan.new_tokens == 4 * (100 + 320) * PER_STEP
    # The branches of a trunk run one after the other, so that four jobs are all there is.
    assert [count for count, _ in plan.at_once] == [1, 2, 4]


def test_variants_share_the_corpora_that_are_equal():
    config = study()
    smaller = config.replace(model=config.model.replace(n_blocks=2).model_dump())
    plan = plan_study(config, [part(config, "deep"), part(smaller, "shallow")])
    assert len(plan.trials) == 16
    assert plan.storage["corpus"] == 104 * 100_000
    sizes = n_parameters(config.model) + n_parameters(smaller.model)
    assert plan.storage["checkpoints"] == 8 * 4 * sizes


def test_a_sample_is_extended_by_its_mean():
    assert [first((1, 3), n) for n in (1, 2, 3)] == [1, 4, 6]
    assert SAMPLE.relative_error == pytest.approx(0.5)


@pytest.mark.parametrize(("at_once", "seconds"), [(1, 10), (2, 5), (3, 4), (9, 4)])
def test_jobs_side_by_side(at_once, seconds):
    assert makespan([4, 3, 2, 1], at_once) == seconds


@pytest.mark.parametrize(
    "model", [ModelConfig(), ModelConfig(n_blocks=2, d_model=64, n_heads=4, d_ff=256, d_text=100)]
)
def test_parameters_are_those_of_the_network(model):
    from relscale.model.network import RelationalTransformer

    assert n_parameters(model) == sum(p.numel() for p in RelationalTransformer(model).parameters())


def test_the_published_study_loads_and_costs_what_was_published():
    with as_file(files("relscale") / "configs" / "paper.yaml") as file:
        config = load_config(StudyConfig, file)
    assert config.replace(name="study").grid == GridConfig()
    assert (config.model, config.sampler) == (StudyConfig().model, StudyConfig().sampler)
    assert config.corpus.preset == "paper" and config.corpus.held_out_databases == 100
    plan = plan_study(config, [part(config)])
    assert len(plan.trials) == 56
    assert sorted({trial.steps for trial in plan.trials}) == [4000 * 2**k for k in range(7)]
    assert plan.new_tokens == 8 * 127 * 4000 * 128 * 1024
    assert (plan.needs.gpus, plan.needs.n_workers, plan.needs.has_driver) == (1, 1, True)
