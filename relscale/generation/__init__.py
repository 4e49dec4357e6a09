"""Seed to database: random schema, foreign keys by hierarchical blocks, columns by causal models."""

from typing import Any

__all__ = ["GeneratorConfig", "generate_database"]


def __getattr__(name: str) -> Any:
    if name == "generate_database":
        from relscale.generation.database import generate_database

        return generate_database
    if name == "GeneratorConfig":
        from relscale.generation.config import GeneratorConfig

        return GeneratorConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
