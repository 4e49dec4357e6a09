"""RelBench 3 folder to a trained Relational Transformer; knows nothing of generation."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relscale.model.checkpoint import load_model
    from relscale.model.network import RelationalTransformer
    from relscale.model.predict import predict_task
    from relscale.model.store import TokenStore

__all__ = ["RelationalTransformer", "TokenStore", "load_model", "predict_task"]

_HOMES = {
    "RelationalTransformer": "network",
    "TokenStore": "store",
    "load_model": "checkpoint",
    "predict_task": "predict",
}


def __getattr__(name: str) -> Any:
    # torch is imported only by those who ask for what needs it (PEP 562).
    if name in _HOMES:
        return getattr(importlib.import_module(f"relscale.model.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
