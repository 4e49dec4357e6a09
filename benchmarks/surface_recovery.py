"""Does `relscale fit` tell which whole surface made a table, and does it get its exponents back?

    python benchmarks/surface_recovery.py [--draws 20] [--seeds 3] [--sigma 3e-4 1e-3]

Tables on the published grid (8 x 7 points) are drawn from four surfaces: additive, saturating repetition,
the scale-homogeneous bowl, and one with an over-fitting term. For each: how often the smallest AICc and the
smallest error of slices left out name the surface that made it, and which others they name; of the exponents
of the true form the median error, and how often it is within twice its standard error; CPU seconds a fit.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from record import print_table, spread, write_record

from relscale.analysis.frontier import Grid
from relscale.analysis.surfaces import UNIQUE, fit_surfaces, unique_tokens

Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]

N_DATABASES = [8 * 2**i for i in range(8)]
TOKENS = [524_288_000 * 2**i for i in range(7)]
U = 0.02
"""Billions of unique tokens a database: 0.4 to 200 repeats over the grid."""


def additive(n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Falls along both axes."""
    return 0.36 + 0.1 * n**-0.38 + 0.03 * s**-0.48


def repetition(n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Further passes over the same databases are worth less and less."""
    repeats = np.maximum(0.0, s / (U * n) - 1)
    effective = np.minimum(s, U * n) + U * n * 15.4 * (1 - np.exp(-repeats / 15.4))
    return 0.36 + 0.1 * n**-0.38 + 0.03 * effective**-0.48


def bowl(n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """U-shaped along both axes; both frontiers are power laws with the same offset."""
    x = np.log(s / (0.117 * n**0.79))
    return 0.36 + 0.07 * n**-0.38 * (np.exp(0.5 * x) + 0.5 * np.exp(-x)) / 1.5


def overfit(n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Further passes do harm."""
    return 0.36 + 0.07 * n**-0.4 + 0.02 * s**-0.5 + 8e-4 * (s / (U * n)) ** 0.6 * n**-0.1


TRUTHS: dict[str, tuple[Surface, dict[str, float]]] = {
    "additive": (additive, {"alpha": 0.38, "beta": 0.48}),
    "repetition": (repetition, {"alpha": 0.38, "beta": 0.48, "repeats": 15.4}),
    "bowl": (bowl, {"alpha": 0.38, "m": 0.79}),
    "overfit": (overfit, {"alpha": 0.4, "beta": 0.5, "c": 0.6}),
}


def table(surface: Surface, sigma: float, seeds: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a run, with normal noise of SD sigma."""
    index = pd.MultiIndex.from_product(
        [N_DATABASES, TOKENS, range(seeds)], names=["n_databases", "tokens", "seed"]
    )
    runs = index.to_frame(index=False)
    loss = surface(runs["n_databases"].to_numpy(float), runs["tokens"].to_numpy(float) / 1e9)
    return runs.assign(loss=loss + sigma * rng.normal(size=len(runs)), **{UNIQUE: U * 1e9})


def measure(name: str, sigma: float, seeds: int, draws: int) -> dict[str, Any]:
    """What is chosen and found over so many tables of one surface."""
    surface, truth = TRUTHS[name]
    rng = np.random.default_rng([list(TRUTHS).index(name), round(1e6 * sigma), seeds])
    chosen: dict[str, list[str]] = {"aicc": [], "slices_out": []}
    errors: dict[str, list[float]] = {parameter: [] for parameter in truth}
    covered: dict[str, list[bool]] = {parameter: [] for parameter in truth}
    seconds = []
    for _ in range(draws):
        runs = table(surface, sigma, seeds, rng)
        grid = Grid.from_table(runs)
        started = time.process_time()
        found = fit_surfaces(grid, unique_tokens(runs, grid))
        seconds.append(time.process_time() - started)
        good = [model for model in found["models"] if model["status"] == "ok"]
        chosen["aicc"].append(found["best"] or "none")
        chosen["slices_out"].append(min(good, key=lambda m: m["loso_rmse"])["model"] if good else "none")
        for model in (model for model in good if model["model"] == name):
            for parameter, value in truth.items():
                if model["parameters"][parameter] is not None:
                    error = model["parameters"][parameter] - value
                    errors[parameter].append(error)
                    covered[parameter].append(abs(error) <= 2 * model["standard_errors"][parameter])
    return {
        "surface": name,
        "sigma": sigma,
        "seeds": seeds,
        "chosen": chosen,
        "truth": truth,
        "errors": errors,
        "covered": covered,
        "seconds": seconds,
    }


def row(measured: dict[str, Any]) -> list[str]:
    """A line of the printed table."""
    errors = [
        f"{parameter} {np.median(np.abs(values)):.2g} ({np.mean(measured['covered'][parameter]):.0%})"
        for parameter, values in measured["errors"].items()
        if values
    ]
    return [
        measured["surface"],
        f"{measured['sigma']:g}",
        share(measured["chosen"]["aicc"], measured["surface"]),
        share(measured["chosen"]["slices_out"], measured["surface"]),
        ", ".join(errors) or "-",
        spread(measured["seconds"]),
    ]


def share(names: Sequence[str], truth: str) -> str:
    """How often the truth is named, and what else."""
    others = [f"{name} {count}" for name, count in Counter(names).most_common() if name != truth]
    return f"{names.count(truth)}/{len(names)}" + (f" ({', '.join(others)})" if others else "")


def main() -> None:
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="tables of each surface")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs at each point")
    parser.add_argument("--sigma", type=float, nargs="+", default=[3e-4, 1e-3], help="noise SD of a run")
    out = Path("runs/benchmarks/surface_recovery.json")
    parser.add_argument("--out", type=Path, default=out, metavar="FILE", help="record")
    args = parser.parse_args()
    measurements = []
    for name in TRUTHS:
        for sigma in args.sigma:
            measurements.append(measure(name, sigma, args.seeds, args.draws))
            write_record(args.out, measurements=measurements)
    headings = ("surface", "noise SD", "AICc", "slices out", "median error (within 2 SE)", "CPU seconds")
    print_table(headings, [row(measured) for measured in measurements])
    print(f"every measurement: {args.out}")


if __name__ == "__main__":
    main()
