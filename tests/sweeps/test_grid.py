import pytest

from relscale.platform.errors import ConfigError
from relscale.sweeps.config import GridConfig, StudyConfig
from relscale.sweeps.grid import chains, check_grid, plan_trials, whole_steps

SMALL = StudyConfig(
    grid=GridConfig(n_databases=(2, 4), tokens=(100_000, 1_000_000), seeds=(0, 1)),
    training=StudyConfig().training.replace(batch_size=16),
    sampler=StudyConfig().sampler.replace(context_length=128),
)
DIGESTS = ["a", "b", "c", "d"]


def plan(config=SMALL, *, databases=DIGESTS, held_out=("h",), encoder="e", code="c"):
    return plan_trials(config, databases=databases, held_out=held_out, encoder=encoder, code=code)


def keys(*args, **kwargs):
    return {(t.n_databases, t.tokens, t.seed): t.key for t in plan(*args, **kwargs)}


def test_every_combination_once_and_the_longest_first():
    trials = plan()
    assert len({trial.key for trial in trials}) == len(trials) == 8
    assert [trial.tokens for trial in trials] == sorted((t.tokens for t in trials), reverse=True)


def test_tokens_are_whole_steps():
    assert whole_steps(1, 2048) == 1
    assert whole_steps(2048, 2048) == 1
    assert whole_steps(2049, 2048) == 2
    assert {trial.tokens for trial in plan()} == {49 * 2048, 489 * 2048}


def test_a_key_holds_all_that_decides_the_result():
    deeper = SMALL.replace(model=SMALL.model.replace(n_blocks=3).model_dump())
    before = set(keys().values())
    for other in (keys(code="x"), keys(encoder="x"), keys(held_out=("x",)), keys(deeper)):
        assert before.isdisjoint(other.values())


def test_a_key_holds_nothing_else():
    """More databases behind the first N, more points, another name or log rhythm repeat no trial."""
    before = keys()
    grown = SMALL.replace(
        name="other",
        grid={"n_databases": (2, 4, 8), "tokens": (100_000, 1_000_000, 4_000_000), "seeds": (0, 1, 2)},
        training=SMALL.training.replace(log_every_steps=7).model_dump(),
    )
    after = keys(grown, databases=[*DIGESTS, "e", "f", "g", "h"])
    assert {place: after[place] for place in before} == before


def test_a_changed_database_changes_the_trials_that_use_it():
    before, after = keys(), keys(databases=["a", "b", "c", "new"])
    for (n, tokens, seed), key in before.items():
        assert (after[n, tokens, seed] == key) == (n <= 2)


def test_trials_of_a_one_cycle_schedule_are_runs_of_their_own():
    assert chains(plan()) == [[trial] for trial in plan()]
    assert {trial.trunk for trial in plan()} == {None}


def test_branches_of_a_trunk_are_a_chain_from_short_to_long():
    training = SMALL.training.replace(schedule="wsd-branch", warmup_steps=3)
    found = chains(plan(SMALL.replace(training=training.model_dump())))
    assert len(found) == 4, "one for each N and seed"
    for chain in found:
        assert [trial.tokens for trial in chain] == [49 * 2048, 489 * 2048]
        assert len({(trial.n_databases, trial.seed, trial.trunk) for trial in chain}) == 1


def test_a_recipe_is_all_but_the_point():
    (recipe,) = {trial.recipe for trial in plan()}
    assert {trial.recipe for trial in plan(databases=["x", "y"], held_out=("z",))} == {recipe}
    wider = SMALL.replace(model=SMALL.model.replace(d_model=512).model_dump())
    assert {trial.recipe for trial in plan(wider)} != {recipe}


def test_budgets_that_are_the_same_steps_are_refused():
    with pytest.raises(ConfigError, match="same number of optimizer steps of 2048 tokens"):
        check_grid(SMALL.replace(grid={"n_databases": (2,), "tokens": (2049, 4000)}))


def test_a_batch_that_workers_cannot_share_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size 16 is not a multiple of trial\.n_workers 3"):
        check_grid(SMALL.replace(trial={"n_workers": 3}))
