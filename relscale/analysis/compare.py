"""Two studies side by side: do their exponents differ, and their losses at equal N and S?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from relscale.analysis.fit import fit_results
from relscale.analysis.frontier import AXES, Grid, View, minima, view
from relscale.analysis.intervals import percentiles
from relscale.analysis.points import Law, boundary_law, frontier_law
from relscale.analysis.studies import Study
from relscale.analysis.windows import systematic_error, window_minima
from relscale.platform.image import shown
from relscale.platform.seeds import Purpose, stream

MIN_COMMON_POINTS = 4
MAX_FAILED_DRAWS = 0.5
_SEEDS, _DATABASES, _POINTS = 20, 21, 22  # addresses below Purpose.BOOTSTRAP, apart from those of the fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A study, its grid and the fit of its own."""

    study: Study
    grid: Grid
    fit: Mapping[str, Any]
    number: int
    """Place among the compared studies."""


def fit_studies(studies: Sequence[Study], *, n_boot: int = 1000, seed: int = 0) -> list[Fitted]:
    """Fit every study as `relscale fit` does."""
    return [
        Fitted(
            study=study,
            grid=Grid.from_table(study.table),
            fit=fit_results(
                study.table,
                n_boot=n_boot,
                seed=seed,
                allow_missing=True,
                per_database=study.per_database,
                surfaces=False,
            ),
            number=number,
        )
        for number, study in enumerate(studies)
    ]


def compare(fitted: Sequence[Fitted], *, n_boot: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Compare every two studies, the earlier one being the reference: differences are second minus first.

    Parameters
    ----------
    fitted : at least two, in the order of the user.
    n_boot : draws behind each interval.
    seed : root seed of the bootstrap.

    Returns
    -------
    The content of compare.json: "studies" (one for each, with its laws), "pairs" (for each two: "held_out"
    is same, different or unknown; "axes" has the difference of exponents; "loss" that of losses at equal
    points, None where the losses are not on the same databases), "settings". A number that the data do not
    give is None.

    Intervals of exponents come from differences of bootstrap draws: runs are drawn anew within each point,
    independently in the two studies. Where both have their losses on the same held-out databases one by
    one, those are drawn too, the same ones for both, so that an easy draw moves both alike.
    """
    settings = {"n_boot": n_boot, "seed": seed, "interval": "95 % percentiles of differences of draws"}
    return {
        "studies": [_record(one) for one in fitted],
        "pairs": [_pair(first, second, n_boot, seed) for first, second in combinations(fitted, 2)],
        "settings": settings,
    }


def _record(one: Fitted) -> dict[str, Any]:
    laws = {
        axis: {name: law[name] for name in ("status", "code", "E", "A", "alpha", "ci95")}
        for axis, law in one.fit["axes"].items()
    }
    return {
        "name": one.study.name,
        "path": shown(one.study.path),
        "digest": one.study.digest,
        "held_out": one.study.held_out,
        "runs": len(one.study.table),
        "n_databases": one.grid.n_databases.tolist(),
        "tokens": one.grid.tokens.tolist(),
        "noise_sd": one.grid.noise_sd,
        "lowest_loss": float(np.nanmin(one.grid.means)),
        "axes": laws,
    }


def _pair(first: Fitted, second: Fitted, n_boot: int, seed: int) -> dict[str, Any]:
    marks = (first.study.held_out, second.study.held_out)
    held_out = "unknown" if None in marks else "same" if marks[0] == marks[1] else "different"
    shared = _shared_databases(first.study, second.study) if held_out == "same" else []
    draws = _draws(first, second, shared, n_boot, seed)
    return {
        "first": first.study.name,
        "second": second.study.name,
        "held_out": held_out,
        "shared_databases": len(shared),
        "axes": {axis: _exponents(first, second, axis, draws) for axis in AXES},
        "loss": None if held_out == "different" else _losses(first, second, shared, n_boot, seed),
    }


Draws = tuple[np.ndarray, np.ndarray] | None


def _shared_databases(first: Study, second: Study) -> list[str]:
    if first.per_database is None or second.per_database is None:
        return []
    return sorted(set(first.per_database["database"]) & set(second.per_database["database"]))


def _draws(first: Fitted, second: Fitted, shared: Sequence[str], n_boot: int, seed: int) -> Draws:
    """(n_boot, I, J) resampled means of each; None if a study has no two seeds anywhere."""
    if n_boot == 0 or first.grid.noise_sd is None or second.grid.noise_sd is None:
        return None
    drawn = [
        one.grid.resampled_means(n_boot, rng=stream(seed, Purpose.BOOTSTRAP, _SEEDS, one.number))
        for one in (first, second)
    ]
    n = len(shared)
    if n > 1:
        # A mean of n things drawn anew varies too little by (n - 1) / n.
        deviations = np.sqrt(n / (n - 1)) * (_databases_drawn(n_boot, n, seed) - 1 / n)
        for means, one in zip(drawn, (first, second), strict=True):
            every = pd.MultiIndex.from_product([one.grid.n_databases, one.grid.tokens])
            by_database = one.study.database_means(every, shared)
            means += (deviations @ by_database.T).reshape(means.shape)
    return drawn[0], drawn[1]


def _databases_drawn(n_draws: int, n: int, seed: int) -> np.ndarray:
    """The same draws of held-out databases wherever they are asked for: that pairs the studies."""
    return _resampled(n_draws, n, stream(seed, Purpose.BOOTSTRAP, _DATABASES))


def _resampled(n_draws: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n_draws, n) weights of n things drawn with replacement; each row sums to 1."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_draws) / n


def _exponents(first: Fitted, second: Fitted, axis: str, draws: Draws) -> dict[str, Any]:
    """The difference of the exponents along one axis, and what it says."""
    laws = [one.fit["axes"][axis] for one in (first, second)]
    record: dict[str, Any] = {"verdict": "no_law", "difference": None, "ci95": None, "failed_draws": None}
    if "failed" in (laws[0]["status"], laws[1]["status"]):
        return record
    record["difference"] = laws[1]["alpha"] - laws[0]["alpha"]
    if laws[0]["status"] != laws[1]["status"]:
        return record | {"verdict": "unlike_laws"}
    if draws is None or None in (laws[0]["ci95"], laws[1]["ci95"]):
        return record | {"verdict": "no_interval"}
    refitted = [_law(one, axis, laws[0]["status"]) for one in (first, second)]
    alphas = [
        law.refit(slices, means if axis == "n_databases" else means.swapaxes(1, 2))[2]
        for (slices, law), means in zip(refitted, draws, strict=True)
    ]
    drawn = alphas[1] - alphas[0]
    valid = np.isfinite(drawn)
    record["failed_draws"] = float(1 - valid.mean())
    if record["failed_draws"] > MAX_FAILED_DRAWS:
        return record | {"verdict": "no_interval"}
    dof = max(1, min(law.noise_dof for _, law in refitted))
    low, high = percentiles(drawn[valid], dof).tolist()
    return record | {"verdict": _verdict(low, high), "ci95": [low, high]}


def _law(one: Fitted, axis: str, status: str) -> tuple[View, Law]:
    """The slices of an axis, and the law that its fit has claimed, to be refitted to other means."""
    slices = view(one.grid, axis)
    if status == "boundary":
        return slices, boundary_law(slices)
    found = minima(slices.x, slices.means, slices.precision)
    return slices, frontier_law(slices, found, systematic_error(window_minima(slices, found)))


def _losses(
    first: Fitted, second: Fitted, shared: Sequence[str], n_boot: int, seed: int
) -> dict[str, Any] | None:
    """The difference of the losses at the points that both studies have; None if there is none."""
    at = _common_points(first, second)
    if at.empty:
        return None
    each = at["difference"].to_numpy()[:, None]
    variance = at["seed_variance"].to_numpy()
    if len(shared) > 1:
        by_database = second.study.database_means(at.index, shared) - first.study.database_means(
            at.index, shared
        )
        each = each + by_database - by_database.mean(1, keepdims=True)
        variance = variance + by_database.var(1, ddof=1) / len(shared)
    interval = _two_way(each, n_boot, seed)
    half = stats.t.ppf(0.975, _noise_dof(first, second)) * np.sqrt(variance)
    at["low"], at["high"] = at["difference"] - half, at["difference"] + half
    rows = at.drop(columns="seed_variance").reset_index()
    return {
        "points": len(at),
        "difference": float(at["difference"].mean()),
        "ci95": interval,
        "verdict": _verdict(*interval) if interval else "no_interval",
        "at": rows.astype(object).where(rows.notna(), None).to_dict("records"),
    }


def _common_points(first: Fitted, second: Fitted) -> pd.DataFrame:
    """By (n_databases, tokens): both means, their difference, its variance by the seeds (NaN if unknown)."""
    runs = [one.study.table.groupby(list(AXES))["loss"].agg(["mean"]) for one in (first, second)]
    both = pd.merge(*runs, left_index=True, right_index=True, suffixes=("_first", "_second"))
    variances = [_mean_variance(one.grid, both.index) for one in (first, second)]
    return pd.DataFrame(
        {
            "first": both["mean_first"],
            "second": both["mean_second"],
            "difference": both["mean_second"] - both["mean_first"],
            "seed_variance": variances[0] + variances[1],
        }
    )


def _mean_variance(grid: Grid, points: pd.MultiIndex) -> np.ndarray:
    """Variance by the seeds of the mean loss at grid points; NaN if unknown."""
    row = np.searchsorted(grid.n_databases, points.get_level_values("n_databases"))
    column = np.searchsorted(grid.tokens, points.get_level_values("tokens"))
    return (np.nan if grid.noise_sd is None else grid.noise_sd**2) / grid.precision[row, column]


def _noise_dof(first: Fitted, second: Fitted) -> int:
    return max(1, min(first.grid.noise_dof, second.grid.noise_dof))


def _two_way(each: np.ndarray, n_boot: int, seed: int) -> list[float] | None:
    """95 % interval of the mean of paired differences (points, databases), both drawn with replacement.

    One column where there are no losses by database: then points alone are drawn. The spread over points
    holds the seeds' noise already. None below `MIN_COMMON_POINTS`.

    Source: the pigeonhole bootstrap of crossed factors, Owen 2007 (arXiv:0712.1111).
    """
    n, d = each.shape
    if n < MIN_COMMON_POINTS or n_boot == 0:
        return None
    points = _resampled(n_boot, n, stream(seed, Purpose.BOOTSTRAP, _POINTS))
    databases = _databases_drawn(n_boot, d, seed)
    means = np.einsum("bn,nd,bd->b", points, each, databases, optimize=True)
    return [float(end) for end in percentiles(means, n - 1)]


def _verdict(low: float, high: float) -> str:
    return "differ" if low > 0 or high < 0 else "not_told_apart"
