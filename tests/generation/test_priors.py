"""Priors by name: those that come with relscale, and one of one's own."""

import sys
from types import ModuleType

import pytest

import relscale.generation
from relscale.generation.config import PRESETS, GeneratorConfig
from relscale.generation.database import GENERATOR_VERSION, Database, generate_database
from relscale.generation.priors import PRIORS, Prior, find_prior
from relscale.platform.config import Config
from relscale.platform.errors import ConfigError

SMALL = {"rows_entity": (20, 30), "rows_activity": (40, 60), "num_columns": (3, 4)}


class OwnConfig(Config):
    """Settings of a prior of one's own."""

    n_tables: int = 2
    """Tables of a database."""


def generate_own(seed: int, config: OwnConfig) -> Database:
    """PluRel's, with a fixed number of tables."""
    return generate_database(seed, GeneratorConfig(num_tables=(config.n_tables, config.n_tables), **SMALL))


OWN = Prior(name="own", generate=generate_own, config=OwnConfig, presets={"two": OwnConfig()}, version=3)


@pytest.fixture
def own_module(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("somebodys_priors")
    module.OWN, module.NUMBER = OWN, 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "somebodys_priors", module)
    return "somebodys_priors"


@pytest.mark.parametrize("name", ["plurel", "independent", "single-table"])
def test_priors_that_come_with_relscale(name: str) -> None:
    prior = find_prior(name)
    assert (prior.name, prior.version) == (name, GENERATOR_VERSION)
    assert list(prior.presets) == list(PRESETS)
    assert type(prior.preset()) is prior.config
    config = prior.preset().replace(**SMALL)
    database = prior.generate(4, config)
    assert database.name == f"{name}-4"
    again = prior.generate(4, config)
    assert [t.data for t in database.tables.values()] == [t.data for t in again.tables.values()]
    assert (len(database.tables) == 1) == (name == "single-table")


def test_presets_of_one_name_differ_in_the_number_of_tables_alone() -> None:
    for name, preset in PRESETS.items():
        lone = PRIORS["single-table"].preset(name).model_dump()
        assert lone == {**preset.model_dump(), "num_tables": (1, 1)}
        assert PRIORS["independent"].preset(name) == preset


def test_a_prior_of_ones_own(own_module: str) -> None:
    prior = find_prior(f"{own_module}:OWN")
    assert prior is OWN
    assert len(prior.generate(0, prior.preset()).tables) == 2
    assert len(prior.generate(0, OwnConfig(n_tables=5)).tables) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "plural",
            "unknown prior 'plural'; valid are: plurel, independent, single-table, relational-events, or",
        ),
        (
            "no_such_package:PRIOR",
            "cannot be imported .*'no_such_package'.*; install its package",
        ),
        ("somebodys_priors:MISSING", "cannot be imported .*MISSING"),
        ("somebodys_priors:NUMBER", "is a int; a prior is a relscale.generation.Prior"),
    ],
)
def test_priors_that_are_none(own_module: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_prior(name)


def test_unknown_presets() -> None:
    with pytest.raises(ConfigError, match="prior 'own' has no preset 'three'; valid are: two"):
        OWN.preset("three")


def test_the_package_exports_them() -> None:
    assert relscale.generation.find_prior is find_prior
    assert relscale.generation.Prior is Prior
