"""The loss that a fitted surface gives at the runs of a table, from the parameters in fit.json."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.frontier import UNIT

Values = Mapping[str, float]
UNIQUE = "tokens_per_database"


def predicted(surface: Mapping[str, Any], results: pd.DataFrame) -> tuple[str, np.ndarray] | None:
    """The model with the smallest AICc of those whose parameters are all identified, and its (rows,) losses.

    Parameters
    ----------
    surface : "surface" of fit.json.
    results : used rows; `tokens_per_database` where a model needs the tokens of a database.

    Returns
    -------
    (name, losses), or None where no model can be evaluated.
    """
    models = [model for model in surface.get("models", []) if _is_known(model, results)]
    if not models:
        return None
    best = min(models, key=lambda model: model["aicc"])
    return best["model"], _FORMS[best["model"]](best["parameters"], _Runs(results))


class _Runs:
    """N, S in billions, and the unique tokens U of every run: u N, or N where u is unknown."""

    def __init__(self, results: pd.DataFrame) -> None:
        self.n = results["n_databases"].to_numpy(dtype=np.float64)
        self.s = results["tokens"].to_numpy(dtype=np.float64) / UNIT["tokens"]
        self.unique = self.n
        if UNIQUE in results:
            per_database = results.groupby("n_databases")[UNIQUE].transform("mean").to_numpy(dtype=np.float64)
            self.unique = per_database * self.n / UNIT["tokens"]


def _is_known(model: Mapping[str, Any], results: pd.DataFrame) -> bool:
    values = (model["parameters"] or {}).values()
    needs_unique = model["model"] == "repetition" and UNIQUE not in results
    return model["status"] == "ok" and model["aicc"] is not None and None not in values and not needs_unique


def _additive(p: Values, runs: _Runs) -> np.ndarray:
    return p["E"] + p["A"] * runs.n ** -p["alpha"] + p["B"] * runs.s ** -p["beta"]


def _bowl(p: Values, runs: _Runs) -> np.ndarray:
    x = np.log(runs.s / (p["k"] * runs.n ** p["m"]))
    bracket = (p["q"] * np.exp(p["p"] * x) + p["p"] * np.exp(-p["q"] * x)) / (p["p"] + p["q"])
    return p["E"] + p["A"] * runs.n ** -p["alpha"] * (1 + p.get("h", 1.0) * (bracket - 1))


def _ratio(p: Values, runs: _Runs) -> np.ndarray:
    ratio = runs.s / runs.n
    return _additive(p, runs) + p["C"] * ratio ** p["c"] + p["D"] * ratio ** -p["d"]


def _overfit(p: Values, runs: _Runs) -> np.ndarray:
    return _additive(p, runs) + p["P"] * (runs.s / runs.unique) ** p["c"] * runs.n ** -p["g"]


def _repetition(p: Values, runs: _Runs) -> np.ndarray:
    repeats = np.maximum(0.0, runs.s / runs.unique - 1)
    worth = runs.unique * p["repeats"] * (1 - np.exp(-repeats / p["repeats"]))
    effective = np.minimum(runs.s, runs.unique) + worth
    return p["E"] + p["A"] * runs.n ** -p["alpha"] + p["B"] * effective ** -p["beta"]


_FORMS = {
    "additive": _additive,
    "bowl": _bowl,
    "ratio": _ratio,
    "overfit": _overfit,
    "repetition": _repetition,
}
