"""Settings: strict YAML in, frozen checked models out."""

import difflib
import hashlib
import json
import textwrap
import types
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from relscale.platform.errors import ConfigError
from relscale.platform.image import place
from relscale.platform.masking import masked

ConfigT = TypeVar("ConfigT", bound="Config")
Place = Annotated[Path, BeforeValidator(place)]
"""A path, or the image of a storage URI, in a settings file."""


class Config(BaseModel):
    """Base of every settings model: frozen, unknown keys refused, defaults checked."""

    # The line below a field is its description, for `describe` as for the reader of the code.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields changed and everything checked again."""
        return type(self).model_validate({**self.model_dump(), **changes})

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any setting, and with nothing else."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        """The resolved settings, defaults included, as YAML that `load_config` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def describe(config: Config, indent: str = "") -> str:
    """The settings as YAML with their meanings as comments; `load_config` reads it back."""
    lines = []
    plain = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            summary = (type(value).__doc__ or "").splitlines()[0]
            lines += ["", f"{indent}{name}:  # {summary}", describe(value, indent + "  ").rstrip()]
        else:
            meaning = " ".join((field.description or "").split())
            lines += textwrap.wrap(
                meaning, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
            )
            lines.append(f"{indent}{name}: {json.dumps(plain[name])}")
    return "\n".join(lines).lstrip("\n") + "\n"


def load_config(
    model: type[ConfigT], path: Path | str | None = None, overrides: list[str] | None = None
) -> ConfigT:
    """Read settings from a YAML file, apply `a.b=value` overrides, check everything.

    Parameters
    ----------
    model : the settings class to build.
    path : YAML file, or None for the defaults.
    overrides : strings such as "model.n_blocks=4"; the value is read as YAML.

    Raises
    ------
    ConfigError : file missing or not YAML, unknown key (the nearest valid one is offered), bad value.
    """
    settings = read_yaml(path) if path is not None else {}
    for override in overrides or []:
        _apply_override(settings, override)
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        source = _culprit(error, overrides or []) or (str(path) if path else "the settings")
        raise ConfigError(masked(_sentence(model, error, source))) from error


def parse_config(model: type[ConfigT], settings: dict[str, Any], *, source: str) -> ConfigT:
    """Build `model` from plain values; `source` names them in the error (ConfigError)."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(masked(_sentence(model, error, source))) from error


def merge_settings(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, group by group; neither is altered."""
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        both_groups = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = merge_settings(old, value) if both_groups else value  # type: ignore[arg-type]
    return merged


def read_yaml(path: Path | str) -> dict[str, Any]:
    """A YAML mapping from a file, by the safe loader; ConfigError if there is none."""
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"'{file}' is not a file; give the path of a YAML file, such as configs/demo.yaml.")
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"'{file}' is not valid YAML ({reason}); mend that place.") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"'{file}' holds a {type(settings).__name__}, expected keys and values.")
    return settings


def _apply_override(settings: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override '{override}' is not of the form key.subkey=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of override '{override}' is not valid YAML; quote it.") from error
    *parents, leaf = key.split(".")
    place = settings
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"override '{override}': '{parent}' is a value, not a group of settings.")
    place[leaf] = value


def _culprit(error: ValidationError, overrides: list[str]) -> str | None:
    """The override that set what is wrong, if one did."""
    wrong = [str(part) for part in error.errors()[0]["loc"]]
    for override in overrides:
        key = override.partition("=")[0].split(".")
        shared = min(len(key), len(wrong))
        if shared and key[:shared] == wrong[:shared]:
            return f"--set {override}"
    return None


def _sentence(model: type[Config], error: ValidationError, source: str) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    name = ".".join(location)
    if first["type"] == "extra_forbidden":
        valid = _fields_at(model, location[:-1])
        near = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.5)
        remedy = f"did you mean '{near[0]}'?" if near else f"valid are: {', '.join(valid)}."
        return f"{source}: unknown setting '{name}'; {remedy}"
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{source}: the setting '{name}' is missing; add it."
    if not name:
        return f"{source}: {reason}."
    if isinstance(first["input"], dict):  # a group, whose values would drown the reason
        return f"{source}: setting '{name}': {reason}."
    return f"{source}: setting '{name}' is {first['input']!r}: {reason}."


def _fields_at(model: type[Config], location: list[str]) -> list[str]:
    """Names of the settings in the group that `location` points to."""
    for part in location:
        field = model.model_fields.get(part)
        inner = _config_class(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)


def _config_class(annotation: Any) -> type[Config] | None:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(filter(None, map(_config_class, get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Config) else None
