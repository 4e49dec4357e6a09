import pytest

from relscale.platform.errors import ConfigError
from relscale.sweeps.budget import Part, Sample, grid_of, plan_study, stated_pace
from relscale.sweeps.config import GridConfig, StudyConfig, TrialConfig
from relscale.sweeps.prices import Prices, dollars

SAMPLE = Sample(
    cells=(1000,),
    items=(600,),
    contexts=50.0,
    row_width=12,
    corpus_bytes=1e6,
    store_bytes=2e6,
    generate_seconds=3600.0,
    tokenize_seconds=1800.0,
    peak_mb=400.0,
)


def plan(**trial):
    config = StudyConfig(
        grid=GridConfig(n_databases=(1,), tokens=(1_280_000,), seeds=(0,)),
        corpus=StudyConfig().corpus.replace(held_out_databases=3),
        training=StudyConfig().training.replace(batch_size=10, n_threads=4),
        sampler=StudyConfig().sampler.replace(context_length=128),
        trial=TrialConfig(**trial),
    )
    pace = stated_pace(1_280_000 / 3600)
    return plan_study(
        config, [Part(name="", config=config, trials=grid_of(config), sample=SAMPLE, pace=pace)]
    )


def test_gpus_are_paid_for_trials_and_cpus_for_databases():
    cost = dollars(plan(use_gpu=True, n_workers=2), Prices(cpu=0.05, gpu=2.0))
    assert cost["generate"] == pytest.approx(4 * 0.05) and cost["tokenize"] == pytest.approx(2 * 0.05)
    assert cost["train"] == pytest.approx(1 * 2 * 2.0)
    assert cost["score"] == pytest.approx(3 * 50 * 128 / (3 * 1_280_000) * 2 * 2.0)


def test_a_trial_without_gpus_takes_its_threads():
    assert dollars(plan(use_gpu=False), Prices(cpu=0.05))["train"] == pytest.approx(4 * 0.05)


@pytest.mark.parametrize(("device", "missing"), [("gpu", "--cpu-price"), ("cpu", "--gpu-price")])
def test_a_price_that_is_missing_is_asked_for(device, missing):
    with pytest.raises(ConfigError, match=missing):
        dollars(plan(use_gpu=True, n_workers=1), Prices(**{device: 1.0}))
