"""The verdict of a study in one or two sentences, for the top of a page."""

from collections.abc import Mapping
from typing import Any

from relscale.analysis.verdict import NAMES


def headline(fit: Mapping[str, Any]) -> str:
    """What to remember of a fit (the content of fit.json): laws with intervals, or that none holds."""
    laws = {axis: entry for axis in NAMES if (entry := fit["axes"][axis])["status"] != "failed"}
    if not laws:
        return "These runs support no scaling law, neither in databases nor in tokens."
    parts = [f"{NAMES[axis]} ({_exponent(entry)})" for axis, entry in laws.items()]
    verb = "follows" if all(_is_known(entry) for entry in laws.values()) else "is compatible with"
    text = f"Held-out loss {verb} a power law in {' and in '.join(parts)}."
    if len(laws) == 1:
        missing = next(axis for axis in NAMES if axis not in laws)
        return f"{text} In {NAMES[missing]} no law is claimed."
    if all(entry["status"] == "ok" for entry in laws.values()):
        return f"{text} {_shape(laws)}"
    bounded = [NAMES[axis] for axis, entry in laws.items() if entry["status"] == "boundary"]
    return f"{text} Along {' and '.join(bounded)} it is a law of the grid's edge: no optimum lies inside."


def _is_known(entry: Mapping[str, Any]) -> bool:
    """Whether the data bound the exponent, and the offset that it leans on."""
    codes = {warning["code"] for warning in entry["warnings"]}
    return entry["ci95"] is not None and "offset_not_identifiable" not in codes


def _exponent(entry: Mapping[str, Any]) -> str:
    if entry["ci95"] is None:
        return f"exponent {entry['alpha']:.2f}, no interval"
    low, high = entry["ci95"]["alpha"]
    return f"exponent {entry['alpha']:.2f}, 95 % {low:.2f} to {high:.2f}"


def _shape(laws: Mapping[str, Mapping[str, Any]]) -> str:
    if all(entry["u_shape"] == "u_shape" for entry in laws.values()):
        return "More of either alone turns harmful: databases and tokens must grow together."
    return "Both hold along the best value of the other, found inside the grid."
