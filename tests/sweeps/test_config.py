from pathlib import Path

import pytest

from relscale.platform.config import load_config
from relscale.platform.errors import ConfigError
from relscale.sweeps.config import StudyConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.n_databases=[]", "an axis needs at least one value"),
        ("grid.n_databases=[0, 2]", "values start at 1"),
        ("grid.tokens=[5, 5]", "a value stands twice"),
        ("corpus.preset=nonsense", "unknown preset 'nonsense'"),
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
