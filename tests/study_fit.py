"""A small study whose surface is known, and its fit.json by hand: what figures and reports are drawn from."""

from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.trial_scores import score_table

N = [8, 16, 32, 64, 128]
S = [2**i * 131_072_000 for i in range(5)]
E, A, ALPHA, K, M, P, Q = 0.36, 0.07, 0.38, 0.04, 0.8, 0.5, 1.0
SIGMA = 1e-3


def bowl(n: Any, tokens: Any) -> Any:
    """The surface: its minimum over tokens is E + A n^-alpha, at K n^M billion tokens."""
    x = np.log(tokens / 1e9 / (K * n**M))
    return E + A * n**-ALPHA * (Q * np.exp(P * x) + P * np.exp(-Q * x)) / (P + Q)


def study_table() -> pd.DataFrame:
    """Two seeds at each of 25 grid points, with the columns that a study adds."""
    rng = np.random.default_rng(0)
    rows = [(n, s, seed, bowl(n, s) + SIGMA * rng.normal()) for n in N for s in S for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])
    table["loss_boolean"], table["loss_number"] = 1.5 * table["loss"], 0.7 * table["loss"]
    table["loss_mean_predictor"], table["loss_mean_predictor_boolean"] = 0.41, 0.64
    table["finished"] = 1.7e9 + 60.0 * rng.permutation(len(table))
    return table


def study_fit() -> dict[str, Any]:
    """The content of fit.json, as if the fit had found the truth; the law of tokens follows from it."""
    beta = ALPHA / M
    laws = {"n_databases": (N, A, ALPHA, 1.0), "tokens": (S, A * K**beta, beta, 1e9)}
    axes = {axis: _axis(axis, *law) for axis, law in laws.items()}
    additive = {
        "model": "additive", "status": "ok", "code": None, "message": None, "aicc": -300.0, "rmse": 0.01,
        "delta_aicc": 100.0, "loso_rmse": 0.02, "condition": 200.0, "starts": 20, "starts_at_optimum": 20,
        "identifiable": True, "chi2_dof": 1.0, "frontier": None, "warnings": [],
    }  # fmt: skip
    null = {"E": 0.3, "A": 0.1, "alpha": 0.2, "B": 0.1, "beta": 0.1}
    true = {"E": E, "A": A, "alpha": ALPHA, "k": K, "m": M, "p": P, "q": Q}
    models = [
        {**additive, "parameters": null},
        {**additive, "model": "bowl", "parameters": true, "aicc": -400.0, "delta_aicc": 0.0},
    ]
    warning = {"code": "surface_ambiguous", "message": "surface bowl: optima that differ in q fit alike"}
    return {
        "axes": axes,
        "ridge": {
            "tokens_of_n": {"exponent": M, "ci95": [0.7, 0.9]},
            "n_of_tokens": {"exponent": 1 / M, "ci95": None},
            "consistency": None,
        },
        "surface": {**additive, **null, "models": models, "best": "bowl", "warnings": [warning], "cells": 25},
        "rows": {"read": 50, "used": 50, "dropped": 0, "reasons": {}},
        "noise": {"sd": SIGMA, "dof": 25},
        "settings": {"n_boot": 100, "seed": 0, "interval": "95 % percentiles over resampled seeds"},
        "missing": [],
        "forecasts": [],
    }  # fmt: skip


def study_draws() -> dict[str, pd.DataFrame]:
    """Bootstrap draws of both axes, one of them without a law."""
    rng = np.random.default_rng(1)
    draws = {}
    for axis, entry in study_fit()["axes"].items():
        alpha = entry["alpha"] + 0.05 * rng.normal(size=40)
        table = pd.DataFrame(
            {"E": entry["E"] + 0.02 * (alpha - entry["alpha"]), "A": entry["A"], "alpha": alpha}
        )
        table.iloc[0] = np.nan
        draws[axis] = table
    return draws


def study_scores() -> pd.DataFrame:
    """One task, scored by networks of the study at three budgets: the lower their loss, the better."""
    runs = study_table().query(f"tokens in {S[1:4]}")
    scores = {
        str(place): [
            {
                "dataset": "rel-f1", "task": "driver-dnf", "split": "test", "metric": "roc_auc",
                "visibility": "temporal", "value": 1.0 - loss, "ci95": [0.9 - loss, 1.1 - loss],
                "ci95_entities": None, "difference": {"verdict": "level"},
                "baselines": {"global_mean": 0.5, "entity_mean": 0.6},
            }
        ]
        for place, loss in enumerate(runs["loss"])
    }  # fmt: skip
    return score_table(scores, runs.assign(key=[str(place) for place in range(len(runs))]))


def _axis(axis: str, at: list[int], scale: float, exponent: float, unit: float) -> dict[str, Any]:
    x = np.array(at, dtype=float)
    loss = E + scale * (x / unit) ** -exponent
    best = K * x**M * 1e9 if axis == "n_databases" else (x / unit / K) ** (1 / M)
    slices = [
        {
            "at": place, "status": "interior" if i else "edge", "x_opt": opt, "loss_opt": value,
            "ci95": {"x_opt": [0.8 * opt, 1.2 * opt], "loss_opt": [value - 1e-3, value + 1e-3]}
            if i else None,
            "kind": "u_shape" if i else "decreasing", "drop_share": 0.0 if i else 1.0,
        }
        for i, (place, opt, value) in enumerate(zip(x.tolist(), best.tolist(), loss.tolist(), strict=True))
    ]  # fmt: skip
    used = slice(1, None)
    points = [{"x": a, "loss": b} for a, b in zip(x[used].tolist(), loss[used].tolist(), strict=True)]
    ends = {"alpha": (exponent - 0.1, exponent + 0.1), "E": (E - 0.004, E + 0.004)}
    profile = {
        name: {"value": np.linspace(low - 0.05, high + 0.05, 21).tolist(),
               "objective": (1 + np.linspace(-2, 2, 21) ** 2).tolist(), "low": low, "high": high}
        for name, (low, high) in ends.items()
    }  # fmt: skip
    held_out = [
        {**point, "predicted": value + 1e-3, "low": value - 1e-3, "high": value + 3e-3}
        for point in points[2:]
        for value in [point["loss"]]
    ]
    return {
        "status": "ok", "code": None, "E": E, "A": scale, "alpha": exponent, "u_shape": "u_shape",
        "ci95": {"E": list(ends["E"]), "A": [0.9 * scale, 1.1 * scale], "alpha": list(ends["alpha"])},
        "slices": slices, "points": points, "warnings": [], "correlation_E_alpha": 0.95, "rmse": 1e-3,
        "band": {"x": x[used].tolist(), "low": (loss[used] - 1e-3).tolist(),
                 "high": (loss[used] + 1e-3).tolist()},
        "objective": {"name": "huber_log", "delta": 1e-3, "scale": 1e5, "starts": 21, "starts_at_optimum": 20,
                      "gradient": 1e-7},
        "profile": {**profile, "cut": 2.0},
        "forms": [{"form": "power_law_offset", "k": 4, "rss": 1e-6, "aicc": -50.0, "delta_aicc": 0.0},
                  {"form": "logarithm", "k": 3, "rss": 1e-5, "aicc": -41.5, "delta_aicc": 8.5}],
        "sensitivity": {"quadratic_3": {"E": E, "A": scale, "alpha": exponent}, "quartic_7": None},
        "extrapolation": {"status": "ok", "code": None, "message": None, "cut": points[1]["x"],
                          "points": held_out, "rmse": 1e-3, "bias": 1e-3, "max_error": 1e-3, "coverage": 1.0,
                          "skill": 0.75,
                          "rolling": [{"n_train": 2, "rmse": 1e-3, "skill": 0.75},
                                      {"n_train": 3, "rmse": None, "skill": None}]},
    }  # fmt: skip
