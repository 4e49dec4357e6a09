"""Do the intervals of `relscale fit` hold the truth, and does it refuse where there is none to be had?

    python benchmarks/fit_coverage.py [--draws 200] [--n-boot 1000]

First, tables of 3 seeds drawn from known laws: how often the 95 % intervals hold them, with the exact
binomial interval of that share, and how often the estimate lies in its own interval. Then one table of each
kind that a fit must recover or refuse, and what the fit says of it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from record import print_table, write_record
from scipy import stats
from scipy.optimize import brentq

from relscale.analysis.fit import fit_results
from relscale.analysis.results import AnalysisError
from relscale.analysis.verdict import axis_sentence

Surface = Callable[[float, float], float]

N_DATABASES = [8 * 2**i for i in range(8)]
TOKENS = [131_072_000 * 2**i for i in range(10)]
SEEDS = 3
N_HELD_OUT = 50
DATABASE_SD, INTERACTION_SD = 0.05, 0.002

E, A, ALPHA, K, M, P, Q = 0.36, 0.07, 0.38, 0.117, 0.79, 0.5, 1.0
B, BETA = 0.03, 0.48
"""The monotone surface is E + A N^-ALPHA + B S^-BETA, S in billions; the bowl has its optimum at K N^M."""


def bowl(n: float, s: float, k: float = K) -> float:
    """U-shaped along both axes; both frontiers are power laws with the offset E."""
    x = np.log(s / 1e9 / (k * n**M))
    return float(E + A * n**-ALPHA * (Q * np.exp(P * x) + P * np.exp(-Q * x)) / (P + Q))


def monotone(n: float, s: float) -> float:
    """Falls along both axes."""
    return float(E + A * n**-ALPHA + B * (s / 1e9) ** -BETA)


def bowl_tokens_coefficient() -> float:
    """A of the bowl's frontier over N: its minimum at any S, less E, times S^beta."""
    beta, slope = ALPHA / M, P * Q / (P + Q)

    def shape(x: float) -> float:
        return (Q * np.exp(P * x) + P * np.exp(-Q * x)) / (P + Q)

    x = brentq(lambda x: beta * shape(x) + slope * (np.exp(P * x) - np.exp(-Q * x)), -9, 0)
    return float(A * K**beta * np.exp(beta * x) * shape(x))


def alike(n: float, s: float) -> float:
    """Noise that is the same everywhere."""
    return 1.0


def falling(n: float, s: float) -> float:
    """Noise that is up to 81 times louder at few databases and tokens, as in the CPU study."""
    return (1 + 32 / n) * (1 + 8 * TOKENS[0] / s)


def table(
    surface: Surface,
    sigma: float,
    rng: np.random.Generator,
    n: list[int] = N_DATABASES,
    tokens: list[int] = TOKENS,
    seeds: int = SEEDS,
    loudness: Surface = alike,
) -> pd.DataFrame:
    """Results of runs with normal noise of SD sigma, times the loudness of the point."""
    rows = [
        (a, b, k, surface(a, b) + sigma * loudness(a, b) * rng.normal())
        for a in n
        for b in tokens
        for k in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])


def by_database(results: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same runs on databases drawn at random, some easy and some hard; results and long table."""
    effect = rng.normal(0, DATABASE_SD, N_HELD_OUT)
    own = rng.normal(0, INTERACTION_SD, (len(results), N_HELD_OUT))
    losses = results["loss"].to_numpy()[:, None] + effect + own
    long = results.loc[results.index.repeat(N_HELD_OUT)].assign(
        database=np.tile(np.arange(N_HELD_OUT), len(results)), loss=losses.ravel()
    )
    return results.assign(loss=losses.mean(1)), long


def coverage(
    name: str,
    surface: Surface,
    sigma: float,
    args: argparse.Namespace,
    *,
    databases: bool = False,
    loudness: Surface = alike,
) -> dict[str, Any]:
    """Fit `args.draws` tables; for each axis, how often the intervals hold the law."""
    rng = np.random.default_rng([args.seed, round(sigma * 1e6), databases])
    truth = {
        "n_databases": {"E": E, "A": A, "alpha": ALPHA},
        "tokens": {"E": E, "A": bowl_tokens_coefficient(), "alpha": ALPHA / M},
    }
    if surface is monotone:
        truth["n_databases"]["E"] = monotone(np.inf, TOKENS[-1])
        truth["tokens"] = {"E": monotone(N_WIDE[-1], np.inf), "A": B, "alpha": BETA}
    counts: dict[str, dict[str, int]] = {
        axis: dict.fromkeys(("fits", "intervals", "E", "A", "alpha", "own"), 0) for axis in truth
    }
    errors: dict[str, list[float]] = {axis: [] for axis in truth}
    for draw in range(args.draws):
        results, long = table(surface, sigma, rng, n=N_WIDE, loudness=loudness), None
        if databases:
            results, long = by_database(results, rng)
        fit = fit_results(results, n_boot=args.n_boot, seed=draw, per_database=long, surfaces=False)
        for axis, entry in fit["axes"].items():
            count = counts[axis]
            count["fits"] += entry["status"] != "failed"
            if entry["ci95"]:
                errors[axis].append(entry["alpha"] - truth[axis]["alpha"])
                count["intervals"] += 1
                count["own"] += inside(entry["alpha"], entry["ci95"]["alpha"])
                for key, value in truth[axis].items():
                    count[key] += inside(value, entry["ci95"][key])
    rmse = {axis: float(np.sqrt(np.mean(np.square(values)))) for axis, values in errors.items()}
    return {"name": name, "sigma": sigma, "databases": databases, "counts": counts, "rmse": rmse}


N_WIDE = [2**i for i in range(2, 13)]
"""Wide enough for 7 interior slices along both axes of the bowl."""


def inside(value: float, ends: list[float]) -> bool:
    """Whether an interval holds a value."""
    return ends[0] <= value <= ends[1]


def share(hits: int, n: int) -> str:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    if not n:
        return "-"
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return f"{100 * hits / n:.1f} % [{100 * low:.1f}..{100 * high:.1f}]"


def coverage_rows(measured: dict[str, Any]) -> list[list[str]]:
    """A line of the table for each axis."""
    rows = []
    for axis, count in measured["counts"].items():
        n = count["intervals"]
        rows.append(
            [measured["name"], f"{measured['sigma']:g}", axis, f"{count['fits']} / {n}",
             *(share(count[key], n) for key in ("alpha", "E", "A")), f"{measured['rmse'][axis]:.4f}",
             share(count["own"], n)]
        )  # fmt: skip
    return rows


def known_tables(rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """One table of each kind that must be recovered or refused."""
    failed = table(bowl, 3e-4, rng)
    failed.loc[100, "loss"] = np.nan
    return {
        "monotone": table(monotone, 3e-4, rng),
        "U-shaped": table(bowl, 3e-4, rng, n=N_WIDE),
        "no interior optimum": table(lambda n, s: bowl(n, s, 1e-6), 1e-4, rng),
        "a NaN run": failed,
        "too small": table(bowl, 3e-4, rng, n=N_DATABASES[:3], tokens=TOKENS[:3]),
        "offset not identifiable": table(monotone, 2e-3, rng, n=N_DATABASES[:5], tokens=[10**9]),
        "noise alone": table(lambda n, s: 0.4, 1e-3, rng),
    }


def verdicts(results: pd.DataFrame, n_boot: int) -> list[tuple[str, str, str]]:
    """(axis, codes, sentence) of a fit, or of the refusal."""
    try:
        fit = fit_results(results, n_boot=n_boot, surfaces=False)
    except AnalysisError as error:
        return [("table", error.code, str(error))]
    return [
        (axis, ", ".join(warning["code"] for warning in entry["warnings"]) or "-", axis_sentence(fit, axis))
        for axis, entry in fit["axes"].items()
    ]


def main() -> None:
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=200, metavar="N", help="tables of each law")
    parser.add_argument("--n-boot", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/benchmarks/fit_coverage.json"), metavar="FILE", help="record"
    )
    args = parser.parse_args()
    measurements, rows = [], []
    cases: list[tuple[str, Surface, float, dict[str, Any]]] = [
        ("monotone", monotone, 3e-4, {}),
        ("monotone", monotone, 1e-3, {}),
        ("monotone, falling noise", monotone, 2e-4, {"loudness": falling}),
        ("U-shaped", bowl, 3e-4, {}),
        ("U-shaped", bowl, 1e-3, {}),
        ("U-shaped, falling noise", bowl, 2e-4, {"loudness": falling}),
        ("U-shaped, databases", bowl, 3e-4, {"databases": True}),
    ]
    for name, surface, sigma, options in cases:
        started = time.perf_counter()
        measured = coverage(name, surface, sigma, args, **options)
        measured["seconds"] = time.perf_counter() - started
        measurements.append(measured)
        rows += coverage_rows(measured)
        write_record(args.out, measurements=measurements)
    headings = ("law", "noise SD", "axis", "fits / intervals", "alpha", "E", "A", "RMSE of alpha", "estimate")
    print_table(headings, rows)
    for name, results in known_tables(np.random.default_rng(args.seed)).items():
        print(f"\n{name}: {len(results)} runs", flush=True)
        for axis, codes, sentence in verdicts(results, args.n_boot):
            print(f"  {axis} [{codes}]\n    {sentence}", flush=True)
    print(f"every measurement: {args.out}")


if __name__ == "__main__":
    main()
