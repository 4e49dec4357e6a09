"""Priors by name: each makes a database from a seed and a configuration, and all run through one corpus."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relscale.generation.ablations import SingleTableConfig, generate_independent, generate_single_table
from relscale.generation.config import PRESETS, GeneratorConfig
from relscale.generation.database import GENERATOR_VERSION, Database, generate_database
from relscale.generation.events.config import EVENTS_PRESETS, EventsConfig
from relscale.generation.events.database import EVENTS_VERSION, generate_events
from relscale.platform.config import Config
from relscale.platform.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A law over databases.

    name : names the databases too, as `<name>-<seed>`; letters, digits and hyphens.
    generate : (seed, configuration) to a Database; the same for the same arguments, in any process.
    config : class of its configuration, whose defaults are the first preset.
    presets : frozen configurations by name.
    version : raised whenever the same seed and configuration give another database.
    """

    name: str
    generate: Callable[[int, Any], Database]
    config: type[Config] = GeneratorConfig
    presets: Mapping[str, Config]
    version: int

    def preset(self, name: str | None = None) -> Config:
        """The configuration of that name, or the first; ConfigError lists the valid ones."""
        if name is None:
            return next(iter(self.presets.values()))
        if name not in self.presets:
            raise ConfigError(
                f"prior '{self.name}' has no preset '{name}'; valid are: {', '.join(self.presets)}."
            )
        return self.presets[name]


def find_prior(name: str) -> Prior:
    """A prior by its name, or by "package.module:attribute" for one that another package defines.

    Raises
    ------
    ConfigError : there is none of that name, or the attribute is not a `Prior`.
    """
    if name in PRIORS:
        return PRIORS[name]
    module, _, attribute = name.partition(":")
    if not attribute:
        raise ConfigError(
            f"unknown prior '{name}'; valid are: {', '.join(PRIORS)}, or one of your own as "
            "'package.module:attribute'."
        )
    try:
        prior = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"prior '{name}' cannot be imported ({error}); install its package.") from None
    if not isinstance(prior, Prior):
        raise ConfigError(f"'{name}' is a {type(prior).__name__}; a prior is a relscale.generation.Prior.")
    return prior


def _single_table(preset: GeneratorConfig) -> SingleTableConfig:
    return SingleTableConfig.model_validate({**preset.model_dump(), "num_tables": (1, 1)})


PRIORS: dict[str, Prior] = {
    prior.name: prior
    for prior in (
        Prior(name="plurel", generate=generate_database, presets=PRESETS, version=GENERATOR_VERSION),
        Prior(name="independent", generate=generate_independent, presets=PRESETS, version=GENERATOR_VERSION),
        Prior(
            name="single-table",
            generate=generate_single_table,
            config=SingleTableConfig,
            presets={name: _single_table(preset) for name, preset in PRESETS.items()},
            version=GENERATOR_VERSION,
        ),
        Prior(
            name="relational-events",
            generate=generate_events,
            config=EventsConfig,
            presets=EVENTS_PRESETS,
            version=EVENTS_VERSION,
        ),
    )
}
"""Priors that come with relscale; equal preset names have equal settings, up to the number of tables."""
