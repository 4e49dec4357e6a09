"""Which points of the N x S grid have no usable run."""

import numpy as np
import pandas as pd

from relscale.analysis.results import AnalysisError
from relscale.platform.progress import human_count

N_NAMED = 12
AXES = ["n_databases", "tokens"]


def missing_points(results: pd.DataFrame, used: pd.DataFrame) -> list[dict[str, float]]:
    """The points {"n_databases", "tokens"} without a used run, ordered.

    Parameters
    ----------
    results : the whole table; failed rows also span the grid.
    used : the rows that `check_results` keeps of it.
    """
    have = set(_places(used))
    return [{"n_databases": n, "tokens": s} for n, s in _grid(results) if (n, s) not in have]


def refuse_incomplete(results: pd.DataFrame, missing: list[dict[str, float]]) -> None:
    """AnalysisError incomplete_grid for points that no finished run reached.

    A point whose runs ended without a usable loss is not refused: whoever dropped those has said so.
    """
    finished = results[results["status"] == "ok"] if "status" in results.columns else results
    reached = set(_places(finished))
    absent = [point for point in missing if (point["n_databases"], point["tokens"]) not in reached]
    if absent:
        n_points = len(_grid(results))
        raise AnalysisError(
            "incomplete_grid",
            f"{len(absent)} of {n_points} grid points have no usable run: {named(absent)}; run them, or fit "
            f"without them by --allow-missing.",
        )


def named(points: list[dict[str, float]]) -> str:
    """The first points in words."""
    shown = [
        f"(n_databases={human_count(point['n_databases'])}, tokens={human_count(point['tokens'])})"
        for point in points[:N_NAMED]
    ]
    rest = [f"and {len(points) - N_NAMED} more"] if len(points) > N_NAMED else []
    return ", ".join(shown + rest)


def _grid(results: pd.DataFrame) -> list[tuple[float, float]]:
    """Every N with every S of the table; rows without a place are left out."""
    n, s = (np.unique(values) for values in zip(*_places(results), strict=True))
    return [(float(a), float(b)) for a in n for b in s]


def _places(table: pd.DataFrame) -> list[tuple[float, float]]:
    values = table[AXES].apply(pd.to_numeric, errors="coerce").dropna().to_numpy(np.float64)
    return list(map(tuple, values.tolist()))
