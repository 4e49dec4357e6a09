"""The prior: defaults, checks and their messages."""

import pytest

from relscale.generation.activations import ACTIVATIONS
from relscale.generation.config import PRESETS, GeneratorConfig
from relscale.platform.config import load_config, parse_config
from relscale.platform.errors import ConfigError


def test_every_activation_is_a_default_choice() -> None:
    assert set(GeneratorConfig().mechanisms.activations) == {*ACTIVATIONS, "sine_mixture"}
    assert len(GeneratorConfig().mechanisms.activations) == 29


def test_ranges_are_read_from_yaml_and_change_the_fingerprint(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("num_tables: [3, 6]\nconnectivity: {levels: [1, 2]}\n")
    config = load_config(
        GeneratorConfig, path, ["rows_entity=[100, 300]", "time_window=[2000-01-01, 2001-01-01]"]
    )
    assert config.num_tables == (3, 6)
    assert config.rows_entity == (100, 300)
    assert config.connectivity.levels == (1, 2)
    assert config.time_window[1].year == 2001
    assert config.fingerprint() != GeneratorConfig().fingerprint()
    assert load_config(GeneratorConfig, None) == PRESETS["plurel-1.1"]


def test_a_config_survives_its_own_yaml(tmp_path) -> None:
    config = GeneratorConfig(num_tables=(4, 4))
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load_config(GeneratorConfig, tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_tables": [6, 3]}, "low end 6 is above the high end 3"),
        ({"rows_entity": [0, 3]}, "greater than or equal to 1"),
        ({"num_table": [3, 6]}, "did you mean 'num_tables'"),
        ({"num_categories": [1, 3]}, "greater than or equal to 2"),
        ({"mechanisms": {"activations": []}}, "at least 1 item"),
        ({"mechanisms": {"activations": ["relu", "relu"]}}, "listed twice"),
        ({"table_layouts": ["Star"]}, "Input should be 'ErdosRenyi'"),
        ({"val_split": 0.9, "test_split": 0.8}, "not below test_split"),
        ({"time_window": ["2000-01-01", "2000-01-02"]}, "shorter than two days"),
        ({"connectivity": {"levels": [1, 20]}}, "more than 4096"),
    ],
)
def test_bad_settings_are_explained(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(GeneratorConfig, settings, source="test")


def test_presets_are_frozen() -> None:
    """A preset is a promise: another configuration needs another name."""
    assert {name: preset.fingerprint() for name, preset in PRESETS.items()} == {
        "plurel-1.1": "23d39fd1efb0b0fa",
        "paper": "e2e4a577a0906af6",
    }


def test_the_paper_preset_differs_as_the_release_did() -> None:
    paper = PRESETS["paper"]
    assert paper.mechanisms.activation_resampling == "per_row"
    assert (paper.mechanisms.term_limit, paper.mechanisms.hidden_limit) == (None, None)
    assert paper.graphs.er_arcs == "forward"
    assert len(paper.mechanisms.noise_pairs) == 5
    with pytest.raises(ConfigError, match="cannot draw sine_mixture"):
        parse_config(GeneratorConfig, {"mechanisms": {"activation_resampling": "per_row"}}, source="test")
