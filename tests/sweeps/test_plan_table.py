import io

from rich.console import Console

from relscale.sweeps.budget import Part, Sample, grid_of, plan_study, stated_pace
from relscale.sweeps.config import GridConfig, StudyConfig
from relscale.sweeps.plan_table import plan_page, sentence

SAMPLE = Sample(
    cells=(1000, 3000),
    items=(600, 1400),
    contexts=50.0,
    row_width=12,
    corpus_bytes=1e6,
    store_bytes=2e6,
    generate_seconds=0.5,
    tokenize_seconds=0.1,
    peak_mb=400.0,
)


def plan(**training):
    config = StudyConfig(
        name="small",
        grid=GridConfig(n_databases=(1, 2), tokens=(1_280_000, 5_120_000), seeds=(0, 1)),
        training=StudyConfig().training.replace(batch_size=10, **training),
        sampler=StudyConfig().sampler.replace(context_length=128),
    )
    part = Part(name="", config=config, trials=grid_of(config), sample=SAMPLE, pace=stated_pace(1280.0))
    return plan_study(config, [part], here=2)


def shown(priced, cost=None) -> str:
    page = io.StringIO()
    Console(file=page, width=100).print(plan_page(priced, cost))
    return " ".join(page.getvalue().split())


def test_the_page_has_every_kind_of_trial_and_where_the_hours_go():
    text = shown(plan())
    assert "small: 2 N x 2 S x 2 seeds" in text
    assert "tokens (S) 1.28 M 5.12 M" in text and "steps 1,000 4,000" in text
    assert "epochs, N=1 17 67" in text  # 10,000 and 40,000 contexts over 600 items
    assert "views, N=2 320 1,280" in text
    assert "train 25.6 M tokens 5.6 h" in text
    assert "as stated: 1,280 tokens/s in training, 3,840 in scoring" in text
    assert "Cells of 2 databases are counted" in text and "within 100%" in text


def test_the_totals_in_a_sentence():
    assert sentence(plan()).startswith("8 trials (2 seeds) train on 25.6 M tokens in 5.9 h one at a time, ")
    assert "with 2 at once, as here, and leave" in sentence(plan())
    branches = sentence(plan(schedule="wsd-branch", warmup_steps=10))
    assert "train on 21.5 M tokens (16% fewer than without shared trunks)" in branches


def test_dollars_are_told_where_prices_are_known():
    cost = {"generate": 0.5, "tokenize": 0.25, "train": 1234.5, "score": 2.0}
    text = shown(plan(), cost)
    assert "train 25.6 M tokens 5.6 h" in text and "$1,234.50" in text
    assert "Machines at work cost $1,237.25; the head, idle machines and storage come on top." in text
    assert "$" not in shown(plan())
