"""Variants: settings that a study varies beside N, S and seed; each combination has a grid of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from relscale.generation.priors import find_prior
from relscale.platform.config import parse_config
from relscale.platform.errors import ConfigError
from relscale.sweeps.config import StudyConfig

VARIABLE = ("corpus", "sampler", "model", "training")
"""Groups of settings that an axis may be in; held-out databases and scores are common to all variants."""
_COMMON = ("corpus.held_out_databases", "corpus.held_out_seed_offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One combination of the extra axes.

    settings  {dotted setting: value}; empty where there are no such axes
    config    the study with these settings, and without axes
    """

    settings: Mapping[str, Any]
    config: StudyConfig

    @property
    def name(self) -> str:
        """For people and folders, such as "prior=independent"; empty for the only variant."""
        return " ".join(f"{setting.split('.')[-1]}={value}" for setting, value in self.settings.items())


def variants(config: StudyConfig) -> list[Variant]:
    """Every combination of `grid.axes`, in the order of the file; one without settings where there are none.

    Raises
    ------
    ConfigError : an axis is no setting that may vary, or a value does not suit it.
    """
    axes = config.grid.axes
    for setting in axes:
        if setting.split(".")[0] not in VARIABLE or "." not in setting or setting in _COMMON:
            raise ConfigError(
                f"grid.axes holds '{setting}'; an axis is a setting of {', '.join(VARIABLE)}, such as "
                f"corpus.prior or model.d_model, and not of the held-out databases."
            )
    plain = config.model_dump(mode="json")
    plain["grid"]["axes"] = {}
    return [
        _variant(config, plain, dict(zip(axes, values, strict=True))) for values in product(*axes.values())
    ]


def corpus_folder(config: StudyConfig, variant: Variant, out: Path) -> Path:
    """Where a variant's databases lie: with the study's, unless it varies what makes them."""
    own = variant.config.corpus
    return out / ("corpus" if own == config.corpus else f"corpus-{own.fingerprint()[:8]}")


def _variant(config: StudyConfig, plain: Mapping[str, Any], settings: Mapping[str, Any]) -> Variant:
    changed = {**plain, "corpus": {**plain["corpus"], "generator": _own_generator(config)}}
    for setting, value in settings.items():
        *groups, leaf = setting.split(".")
        place = changed
        for group in groups:
            if not isinstance(place.get(group), dict):
                raise ConfigError(f"grid.axes holds '{setting}', but '{group}' is no group of settings.")
            place[group] = dict(place[group])
            place = place[group]
        place[leaf] = value
    if "corpus.prior" in settings and "corpus.preset" not in settings:
        _first_preset_where_unknown(changed["corpus"])
    name = ", ".join(f"{setting}={value}" for setting, value in settings.items())
    return Variant(settings=settings, config=parse_config(StudyConfig, changed, source=f"grid.axes ({name})"))


def _first_preset_where_unknown(corpus: dict[str, Any]) -> None:
    """Priors of one family share the names of presets; another family's begins at its own first."""
    if corpus["preset"] not in find_prior(corpus["prior"]).presets:
        del corpus["preset"]


def _own_generator(config: StudyConfig) -> dict[str, Any]:
    """Settings of the generator that are not its preset's: those that stay where prior or preset vary."""
    corpus = config.corpus
    preset = find_prior(corpus.prior).preset(corpus.preset).model_dump(mode="json")
    given = corpus.generator.model_dump(mode="json")
    return {name: value for name, value in given.items() if value != preset.get(name)}
