"""Seed to database: random schema, foreign keys by hierarchical blocks, columns by causal models."""

from importlib import import_module
from typing import Any

_HOMES = {
    "GeneratorConfig": "config",
    "Prior": "priors",
    "find_prior": "priors",
    "generate_database": "database",
}

__all__ = ["GeneratorConfig", "Prior", "find_prior", "generate_database"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
