"""The tables of a report: minima of the slices, forms, surfaces, zero-shot scores, and every run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.results import COLUMNS
from relscale.analysis.verdict import NAMES
from relscale.platform.progress import human_count

_SCORE_COLUMNS = ("dataset", "task", "split", "metric", "value", "ci95", "rows", "visibility", "baselines")
_SURFACE_COLUMNS = (
    "model",
    "status",
    "delta_aicc",
    "rmse",
    "loso_rmse",
    "condition",
    "identifiable",
    "parameters",
)
_HEADINGS = {
    "ci95": "95 % interval", "delta_aicc": "ΔAICc", "loso_rmse": "rmse, slice left out", "rss": "squares",
    "aicc": "AICc", "k": "parameters",
}  # fmt: skip
_SHAPES = {
    "u_shape": "U-shape", "decreasing": "decreasing", "increasing": "increasing", "flat": "flat",
    "inconclusive": "not settled",
}  # fmt: skip
_WINDOWS = {
    "quadratic_3": "parabola through 3", "cubic_5": "cubic through 5", "quartic_7": "quartic through 7",
}  # fmt: skip
_FORMS = {
    "power_law_offset": "E + A x^-alpha", "power_law": "A x^-alpha", "exponential": "E + A e^(-x/c)",
    "logarithm": "E - A ln x",
}  # fmt: skip


def report_tables(
    results: pd.DataFrame, fit: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """{"title", "note", "columns", "rows" of words} of every table that has rows, the longest last."""
    tables = [
        _slices(fit),
        _windows(fit),
        _forms(fit),
        _surfaces(fit["surface"]),
        _scores(scores),
        _runs(results),
    ]
    return [table for table in tables if table["rows"]]


def cell(name: str, value: Any) -> str:
    """A value of the column `name` in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(name, part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(f"{end:.4g}" for end in value)
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "none" if name != "reason" else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "tokens":
        return human_count(float(value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _table(
    title: str, note: str | None, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "title": title,
        "note": note,
        "columns": [_HEADINGS.get(name, name) for name in columns],
        "rows": [[cell(name, row.get(name)) for name in columns] for row in rows],
    }


def _slices(fit: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for axis, name in NAMES.items():
        other = NAMES["tokens" if axis == "n_databases" else "n_databases"]
        for record in fit["axes"][axis]["slices"]:
            interval = record.get("ci95") or {}
            rows.append(
                {
                    "slice": f"{human_count(record['at'])} {name}",
                    "minimum": record["status"],
                    "shape": _SHAPES.get(record.get("kind")),
                    "best": f"{human_count(record['x_opt'])} {other}" if record["x_opt"] else None,
                    "best, 95 %": _range(interval.get("x_opt")),
                    "loss": record["loss_opt"],
                    "loss, 95 %": interval.get("loss_opt"),
                    "dropped in draws": record.get("drop_share"),
                }
            )
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    note = "Where the lowest loss of every slice lies. Only interior minima carry a frontier law."
    return _table("Minimum of every slice", note, columns, rows)


def _range(interval: Sequence[float] | None) -> str | None:
    return " to ".join(map(human_count, interval)) if interval else None


def _windows(fit: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {"axis": NAMES[axis], "window": _WINDOWS.get(name, name), **law}
        for axis in NAMES
        for name, law in (fit["axes"][axis].get("sensitivity") or {}).items()
        if law
    ]
    note = "The law when the minimum of a slice is read from another curve through more of its points."
    return _table("Other ways to find a minimum", note, ("axis", "window", "E", "A", "alpha"), rows)


def _forms(fit: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {**form, "axis": NAMES[axis], "form": _FORMS[form["form"]]}
        for axis in NAMES
        for form in fit["axes"][axis].get("forms") or []
    ]
    note = "A ΔAICc below 2 is a tie, above 10 decisive; with few points the offset is dear."
    return _table("Other forms of the law", note, ("axis", "form", "k", "rss", "aicc", "delta_aicc"), rows)


def _surfaces(surface: Mapping[str, Any]) -> dict[str, Any]:
    note = "Models of all grid points at once. Parameters that the data do not tell apart are none."
    return _table("Whole surfaces", note, _SURFACE_COLUMNS, surface.get("models", []))


def _scores(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    extra = sorted(
        {
            name
            for score in scores
            for name, value in score.items()
            if name not in (*_SCORE_COLUMNS, "checkpoint") and isinstance(value, str | int | float)
        }
    )
    note = (
        "Visibility says which labels a prediction may see. Temporal: those of every row that is strictly "
        "earlier, of all splits. Baselines see the same."
    )
    return _table("Zero-shot on real databases", note, [*_SCORE_COLUMNS, *extra], scores)


def _runs(results: pd.DataFrame) -> dict[str, Any]:
    columns = [name for name in (*COLUMNS, "status", "reason") if name in results.columns]
    return _table(f"All {len(results)} runs", None, columns, results[columns].to_dict("records"))
