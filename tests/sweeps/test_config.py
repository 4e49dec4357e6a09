from pathlib import Path

import pytest
from pydantic import Field

from relscale.generation.database import generate_database
from relscale.generation.priors import PRIORS, Prior
from relscale.platform.config import Config, describe, load_config
from relscale.platform.errors import ConfigError
from relscale.sweeps.config import StudyConfig

ALL = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
CONFIGS = [path for path in ALL if not path.name.startswith("transfer")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_study_is_valid_and_reads_back(path, tmp_path):
    study = load_config(StudyConfig, path)
    (tmp_path / "again.yaml").write_text(study.to_yaml())
    assert load_config(StudyConfig, tmp_path / "again.yaml") == study


def test_the_defaults_are_the_published_grid():
    grid = StudyConfig().grid
    assert grid.n_databases == (8, 16, 32, 64, 128, 256, 512, 1024)
    assert [round(tokens / 1e9, 1) for tokens in grid.tokens] == [0.5, 1.0, 2.1, 4.2, 8.4, 16.8, 33.6]


def test_generator_settings_lie_over_the_preset():
    study = load_config(StudyConfig, None, ["corpus.generator.num_tables=[3, 4]"])
    assert study.corpus.generator.num_tables == (3, 4)
    assert study.corpus.generator.rows_entity == StudyConfig().corpus.generator.rows_entity


class MyConfig(Config):
    """Settings of a prior that another package defines."""

    n_rows: int = Field(default=3, ge=1)
    """Rows of its one table."""


MINE = Prior(
    name="mine",
    generate=generate_database,
    config=MyConfig,
    presets={"few": MyConfig(), "many": MyConfig(n_rows=9)},
    version=1,
)


def test_a_prior_of_ones_own_brings_its_settings(tmp_path):
    prior = f"corpus.prior={__name__}:MINE"
    study = load_config(StudyConfig, None, [prior])
    assert (study.corpus.preset, study.corpus.generator) == ("few", MyConfig())
    study = load_config(StudyConfig, None, [prior, "corpus.preset=many"])
    assert study.corpus.generator == MyConfig(n_rows=9)
    (tmp_path / "study.yaml").write_text(describe(study))
    assert "# Rows of its one table.\n    n_rows: 9" in describe(study)
    assert load_config(StudyConfig, tmp_path / "study.yaml") == study
    for override, message in (
        ("n_rows=0", "corpus.generator: setting 'n_rows' is 0: Input should be greater than or equal to 1"),
        ("num_tables=[3, 4]", "corpus.generator: unknown setting 'num_tables'; valid are: n_rows"),
    ):
        with pytest.raises(ConfigError) as error:
            load_config(StudyConfig, None, [prior, f"corpus.generator.{override}"])
        assert message in str(error.value)


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_has_settings_that_read_back(name, tmp_path):
    study = load_config(StudyConfig, None, [f"corpus.prior={name}"])
    assert study.corpus.generator == PRIORS[name].preset()
    (tmp_path / "study.yaml").write_text(study.to_yaml())
    assert load_config(StudyConfig, tmp_path / "study.yaml") == study


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.n_databases=[]", "an axis needs at least one value"),
        ("grid.n_databases=[0, 2]", "values start at 1"),
        ("grid.tokens=[5, 5]", "a value stands twice"),
        ("corpus.preset=nonsense", "prior 'plurel' has no preset 'nonsense'; valid are: plurel-1.1"),
        ("corpus.prior=nonsense", "unknown prior 'nonsense'"),
        ("corpus.prior=[a]", "corpus.prior"),
        ("corpus.generator.num_table=[3, 4]", "did you mean 'num_tables'"),
        ("corpus.generator.num_tables=[4, 3]", "low"),
        ("trial.use_gpu=true", "use_gpu needs n_workers"),
        ("model.n_heads=3", "not a multiple of n_heads 3"),
        ("name=a/b", "name"),
        ("corpus.generator=5", "corpus.generator"),
        ("corpus.preset=[a]", "corpus.preset"),
        ("zero_shot.datasets=[a/rel-f1, b/rel-f1]", "two datasets are named 'rel-f1'"),
        ("cluster={address: auto, num_cpus: 2}", "num_cpus is for a local Ray"),
        ("gird.tokens=[5]", "did you mean 'grid'"),
    ],
)
def test_a_bad_study_is_refused_with_a_remedy(override, message):
    with pytest.raises(ConfigError) as error:
        load_config(StudyConfig, None, [override])
    assert message in str(error.value)
