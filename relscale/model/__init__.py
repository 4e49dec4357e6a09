"""RelBench 3 folder to a trained Relational Transformer; knows nothing of generation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relscale.model.network import RelationalTransformer
    from relscale.model.store import TokenStore

__all__ = ["RelationalTransformer", "TokenStore"]


def __getattr__(name: str) -> Any:
    # torch is imported only by those who ask for the network (PEP 562).
    if name == "RelationalTransformer":
        from relscale.model.network import RelationalTransformer

        return RelationalTransformer
    if name == "TokenStore":
        from relscale.model.store import TokenStore

        return TokenStore
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
