"""Rows to claims: fits, figures, zero-shot scores, one report."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relscale.analysis.fit import fit_axis

__all__ = ["fit_axis"]


def __getattr__(name: str) -> Any:
    if name == "fit_axis":
        from relscale.analysis.fit import fit_axis

        return fit_axis
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
