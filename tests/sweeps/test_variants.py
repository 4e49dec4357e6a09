import pytest

from relscale.platform.config import parse_config
from relscale.platform.errors import ConfigError
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.variants import variants


def study(axes, **sections) -> StudyConfig:
    return parse_config(StudyConfig, {**sections, "grid": {"axes": axes}}, source="the test")


def test_without_axes_the_study_is_its_only_variant():
    (only,) = variants(StudyConfig())
    assert (only.name, only.settings, only.config) == ("", {}, StudyConfig())


def test_every_combination_is_a_study_without_axes():
    config = study({"corpus.prior": ["plurel", "independent"], "model.d_model": [32, 64]})
    found = variants(config)
    assert [one.name for one in found] == [
        "prior=plurel d_model=32",
        "prior=plurel d_model=64",
        "prior=independent d_model=32",
        "prior=independent d_model=64",
    ]
    for one in found:
        assert one.config.grid.axes == {}
        assert one.config.corpus.prior == one.settings["corpus.prior"]
        assert one.config.model.d_model == one.settings["model.d_model"]
        assert one.config.training == config.training


def test_another_preset_keeps_the_settings_that_the_user_gave():
    config = study({"corpus.preset": ["plurel-1.1", "paper"]}, corpus={"generator": {"num_tables": [3, 4]}})
    first, paper = (one.config.corpus.generator for one in variants(config))
    assert first.num_tables == paper.num_tables == (3, 4)
    assert first == config.corpus.generator
    plain = parse_config(StudyConfig, {"corpus": {"preset": "paper"}}, source="the test").corpus.generator
    assert paper == plain.replace(num_tables=(3, 4))
    assert paper != first


def test_a_prior_without_the_preset_begins_at_its_own_first():
    config = study(
        {"corpus.prior": ["plurel", "independent", "relational-events"]},
        corpus={"preset": "paper", "generator": {"num_tables": [3, 4]}},
    )
    found = [one.config.corpus for one in variants(config)]
    assert [one.preset for one in found] == ["paper", "paper", "events-2"]
    assert [one.generator.num_tables for one in found] == [(3, 4)] * 3
    with pytest.raises(ConfigError, match="prior 'relational-events' has no preset 'paper'"):
        variants(study({"corpus.prior": ["relational-events"], "corpus.preset": ["paper"]}))


@pytest.mark.parametrize(
    "setting", ["grid.seeds", "evaluation.seed", "corpus.held_out_databases", "model", "x"]
)
def test_what_is_common_to_all_cannot_vary(setting):
    with pytest.raises(ConfigError, match=f"grid.axes holds '{setting}'; an axis is a setting of corpus"):
        variants(study({setting: [1, 2]}))


def test_a_value_that_does_not_suit_is_named():
    with pytest.raises(ConfigError, match=r"grid\.axes \(model\.d_modl=3\): unknown setting 'model\.d_modl'"):
        variants(study({"model.d_modl": [3]}))
    with pytest.raises(ConfigError, match="different values, at least one"):
        study({"model.d_model": [64, 64]})
    with pytest.raises(ConfigError, match="'d_model' is no group of settings"):
        variants(study({"model.d_model.x": [1]}))
