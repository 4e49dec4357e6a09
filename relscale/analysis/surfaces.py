"""Whole-surface models of the loss over the N x S grid: which form the data prefer, what they know of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.frontier import UNIT, Grid
from relscale.analysis.surface_forms import Form, Points, Scale, forms, points_at, scale_of
from relscale.analysis.surface_frontier import bowl_laws, frontier, ridge
from relscale.analysis.surface_search import (
    Data,
    Optimum,
    at_limits,
    identify,
    predict,
    refine,
    search,
    solve,
)

MIN_LEVELS = 4
UNIQUE = "tokens_per_database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A grid with everything that its fits share."""

    grid: Grid
    unique: np.ndarray | None
    """(I,) tokens per database at each N, all known; None otherwise."""
    scale: Scale
    data: Data
    row: np.ndarray
    """(n,) place of each point among the N of the grid; `column` among its S."""
    column: np.ndarray

    def points(self, n: np.ndarray, tokens: np.ndarray) -> Points:
        """Places at N databases and S tokens; u between the sampled N by a straight line in logarithms."""
        unique = self.unique
        if unique is not None:
            unique = np.exp(np.interp(np.log(n), np.log(self.grid.n_databases), np.log(unique)))
            unique = unique / UNIT["tokens"]
        return points_at(n, tokens / UNIT["tokens"], unique, self.scale)


def fit_surfaces(grid: Grid, unique: np.ndarray | None = None) -> dict[str, Any]:
    """Fit every form of `surface_forms.forms` to the means of the grid, weighted by their runs.

    Parameters
    ----------
    grid : the runs.
    unique : (I,) tokens per database at each N, NaN where unknown (see `unique_tokens`); the model of
        saturating repetition needs it.

    Returns
    -------
    {"models": [MODEL], "best", "warnings", "cells"}, with "model", "status", "code", "message", "E", "A",
    "alpha", "B", "beta", "rmse", "aicc" of the additive form, the null model. `best` has the smallest AICc
    of the models with status "ok"; None if there is none. A MODEL has
      parameters : values of the formula, S in billions; None where the data do not identify them.
      standard_errors : of E and the shape, linearised.
      rmse, aicc, delta_aicc, loso_rmse : error at the points, information criterion, its distance from the
        best, error at slices left out one by one. Also given for a model that is "failed" because a term
        vanishes or sits at a search limit.
      chi2_dof : squared residuals over seed noise, for each degree of freedom; None without repeats.
      frontier, ridge : minima over each axis within the sampled range, and the slope of their places.
      laws : the bowl's frontiers in closed form.
    """
    problem = _problem(grid, unique)
    models = []
    for form in forms(len(problem.row)):
        refused = _refusal(form, problem, unique)
        models.append(_failed(form.name, *refused) if refused else _model(form, problem))
    fitted = [model["aicc"] for model in models if model["status"] == "ok"]
    for model in models:
        if fitted and model["aicc"] is not None:
            model["delta_aicc"] = model["aicc"] - min(fitted)
    best = next((model["model"] for model in models if model["delta_aicc"] == 0.0), None)
    warnings = [warning for model in models for warning in model["warnings"]]
    additive = _additive_numbers(models[0])
    return {"models": models, "best": best, "warnings": warnings, "cells": len(problem.row)} | additive


def unique_tokens(table: pd.DataFrame, grid: Grid) -> np.ndarray | None:
    """The tokens per database at each N of the grid, mean over its runs; None without the column.

    Returns
    -------
    (I,), NaN where a run has none or a value that is not positive.
    """
    if UNIQUE not in table.columns:
        return None
    values = pd.to_numeric(table[UNIQUE], errors="coerce")
    values = values.where(values > 0)
    means = values.groupby(table["n_databases"]).agg(lambda runs: runs.mean(skipna=False))
    return means.reindex(grid.n_databases).to_numpy(dtype=np.float64)


def aicc(rss: float, n: int, k: int) -> float:
    """Corrected information criterion of a least-squares fit; k counts the variance, n > k + 1.

    Source: Hurvich and Tsai 1989.
    """
    return float(n * np.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def leave_slices_out(form: Form, problem: Problem, shape: np.ndarray) -> float:
    """Error at the points of every slice, in both directions, by a fit to the others.

    Parameters
    ----------
    shape : (q,) the optimum of all points; each refit starts from there alone, which costs a thirtieth of
        a search and, where the form is right, ends at the same place.

    Returns
    -------
    Weighted root mean square; every point counts twice. The outermost slices are extrapolated to.
    """
    errors = []
    for place in (problem.row, problem.column):
        for level in np.unique(place):
            out = place == level
            rest, left = problem.data.without(out), problem.data.without(~out)
            log_shape, _ = refine(form, rest, np.log(shape))
            predicted = predict(form, left.points, np.exp(log_shape), solve(form, rest, log_shape))
            errors.append(((predicted - left.loss) * left.root_weight) ** 2)
    return float(np.sqrt(np.concatenate(errors).mean()))


def _problem(grid: Grid, unique: np.ndarray | None) -> Problem:
    row, column = np.nonzero(grid.counts)
    precision = grid.precision[row, column]
    known = unique if unique is not None and np.isfinite(unique).all() else None
    scale = scale_of(grid, known)
    u = None if known is None else known[row] / UNIT["tokens"]
    points = points_at(grid.n_databases[row], grid.tokens[column] / UNIT["tokens"], u, scale)
    data = Data(
        points=points, loss=grid.means[row, column], root_weight=np.sqrt(precision / precision.mean())
    )
    return Problem(grid=grid, unique=known, scale=scale, data=data, row=row, column=column)


def _refusal(form: Form, problem: Problem, unique: np.ndarray | None) -> tuple[str, str] | None:
    """The code and message of a form that this grid cannot support."""
    grid, n = problem.grid, len(problem.row)
    levels = (len(grid.n_databases), len(grid.tokens))
    if n < form.min_cells or min(levels) < MIN_LEVELS:
        return (
            "too_few_points",
            f"surface {form.name}: {n} grid points on {levels[0]} x {levels[1]} levels, need at least "
            f"{form.min_cells} points and {MIN_LEVELS} levels on both axes",
        )
    if form.name == "repetition" and unique is None:
        message = f"surface repetition: the table has no column {UNIQUE}, the unique tokens of a database"
        return "missing_column", message
    if form.name == "repetition" and problem.unique is None:
        n_bad = grid.n_databases[~np.isfinite(unique)][0]  # type: ignore[arg-type]
        message = f"surface repetition: {UNIQUE} is missing or not positive at n_databases={n_bad:g}"
        return "invalid_axis", message
    return None


def _model(form: Form, problem: Problem) -> dict[str, Any]:
    data = problem.data
    optimum = search(form, data)
    n, k = len(data.loss), len(form.names)
    numbers = {
        "rmse": float(np.sqrt(optimum.rss / n)),
        "aicc": aicc(max(optimum.rss, data.floor), n, k + 1),
        "loso_rmse": leave_slices_out(form, problem, optimum.shape),
        "chi2_dof": _chi2_dof(optimum, problem, n - k),
        "starts": optimum.starts,
        "starts_at_optimum": optimum.starts_at_optimum,
    }
    stuck = at_limits(form, data, optimum)
    if stuck:
        message = f"surface {form.name}: {_listed(stuck)} at a search limit or zero, so the form reduces"
        return _failed(form.name, "exponent_at_bound", f"{message} to a simpler one") | numbers
    return _failed(form.name, None, None) | {"status": "ok"} | numbers | _findings(form, problem, optimum)


def _findings(form: Form, problem: Problem, optimum: Optimum) -> dict[str, Any]:
    """Parameters as far as they are identified, and the frontiers, which are."""
    condition, weak, errors = identify(form, problem.data, optimum)
    split = _ambiguous(form, optimum)
    values = dict(zip(form.names, map(float, [*optimum.linear, *optimum.shape]), strict=True))
    found = form.report(values, problem.scale)
    unknown = {"h" if name == "Ah" else name for name in (*weak, *split)}
    minima = frontier(
        lambda n, tokens: predict(form, problem.points(n, tokens), optimum.shape, optimum.linear),
        problem.grid,
    )
    if form.name == "ratio" and {"C", "D", "c", "d"} & unknown:
        unknown.add("best_ratio")  # the floor at that ratio stays known
    return {
        "parameters": {name: None if name in unknown else value for name, value in found.items()},
        "standard_errors": {
            name: float(error)
            for name, error in zip(form.names, errors, strict=True)
            if name not in unknown and (name == "E" or (name in form.shape and name != "k"))
        },
        "condition": condition,
        "identifiable": not unknown,
        "frontier": minima,
        "ridge": {"tokens_of_n": ridge(minima["n_databases"]), "n_of_tokens": ridge(minima["tokens"])},
        "laws": bowl_laws(found) if form.name == "bowl" else None,
        "warnings": _warnings(form.name, optimum, condition, weak, split),
    }


def _ambiguous(form: Form, optimum: Optimum) -> list[str]:
    """The shape parameters in which equally good optima differ by more than 5 %."""
    if not len(optimum.rivals):
        return []
    apart = np.abs(np.log(optimum.rivals / optimum.shape)).max(0) > 0.05
    return [name for name, differs in zip(form.shape, apart, strict=True) if differs]


def _warnings(
    name: str, optimum: Optimum, condition: float, weak: list[str], split: list[str]
) -> list[dict[str, str]]:
    found = []
    if weak:
        message = f"parameters {_listed(weak)} are not separately identifiable (condition {condition:.2g})"
        found.append(("surface_ill_conditioned", f"{message}; frontier values remain valid"))
    if split:
        message = f"optima that differ in {_listed(split)} fit the points equally well"
        found.append(("surface_ambiguous", f"{message}; frontier values are those of the best"))
    if optimum.starts_at_optimum < 3:
        message = f"{optimum.starts_at_optimum} of {optimum.starts} starts reached the best objective"
        found.append(("optimiser_disagreement", message))
    return [{"code": code, "message": f"surface {name}: {text}"} for code, text in found]


def _chi2_dof(optimum: Optimum, problem: Problem, dof: int) -> float | None:
    """Lack of fit: about 1 where seed noise explains the residuals; None where there is no noise to see."""
    noise = problem.grid.noise_sd
    if noise is None or noise**2 * len(problem.row) < problem.data.floor:
        return None
    runs = problem.grid.precision[problem.row, problem.column].mean()
    return float(optimum.rss * runs / noise**2 / dof)


def _failed(name: str, code: str | None, message: str | None) -> dict[str, Any]:
    """A model without findings; the numbers are None."""
    empty = (
        "parameters",
        "standard_errors",
        "aicc",
        "delta_aicc",
        "rmse",
        "loso_rmse",
        "chi2_dof",
        "condition",
    )
    later = ("starts", "starts_at_optimum", "frontier", "ridge", "laws")
    start = {"model": name, "status": "failed", "code": code, "message": message}
    return start | dict.fromkeys((*empty, *later)) | {"identifiable": False, "warnings": []}


def _additive_numbers(model: dict[str, Any]) -> dict[str, Any]:
    """The null model's numbers, beside the list of models."""
    parameters = model["parameters"] or dict.fromkeys(("E", "A", "alpha", "B", "beta"))
    kept = {name: model[name] for name in ("model", "status", "code", "message", "rmse", "aicc")}
    return kept | {name: parameters[name] for name in ("E", "A", "alpha", "B", "beta")}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
