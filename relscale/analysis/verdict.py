"""What a fit says, in plain sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from relscale.analysis.completeness import named
from relscale.platform.progress import human_count

NAMES = {"n_databases": "databases", "tokens": "tokens"}
_SYMBOLS = {"n_databases": "N", "tokens": "S"}
_SHAPES = {
    "u_shape": "the slices are U-shaped beyond seed noise",
    "monotone": "the slices are monotone, with no U-shape beyond seed noise",
    "flat": "the slices are flat within seed noise",
    "inconclusive": "whether the slices are U-shaped is not settled by these data",
}

_SURFACES = {
    "additive": "additive",
    "bowl": "bowl-shaped",
    "ratio": "ratio-penalty",
    "repetition": "saturating-repetition",
    "overfit": "over-fitting",
}
_EXPONENTS = {"alpha": "databases", "beta": "tokens", "m": "best tokens with databases"}


def verdict_sentences(fit: Mapping[str, Any]) -> list[str]:
    """The findings of a fit (the content of fit.json), one sentence or two for each, for a reader."""
    sentences = [_rows(fit["rows"]), _missing(fit["missing"])]
    sentences += [axis_sentence(fit, axis) for axis in NAMES]
    sentences += [
        _ridge(fit["ridge"]["tokens_of_n"], "number of tokens", "databases", "N"),
        _ridge(fit["ridge"]["n_of_tokens"], "number of databases", "tokens", "S"),
        _consistency(fit["ridge"]["consistency"]),
        *(_extrapolation(entry["extrapolation"], axis) for axis, entry in fit["axes"].items()),
        *map(_forecast, fit["forecasts"]),
        _surface(fit["surface"]),
    ]
    return [sentence for sentence in sentences if sentence]


def axis_sentence(fit: Mapping[str, Any], axis: str) -> str:
    """The finding on one axis: its law and interval, or why no law is claimed."""
    entry = fit["axes"][axis]
    other = NAMES["tokens" if axis == "n_databases" else "n_databases"]
    start = f"Loss against {NAMES[axis]}: "
    if entry["status"] == "failed":
        return start + f"no law is claimed: {reason(entry)}"
    n_interior = sum(record["status"] == "interior" for record in entry["slices"])
    law = f"{law_text(entry, axis)}, {_interval(entry)}"
    if entry["status"] == "boundary":
        bends = [record["kind"] for record in entry["slices"]].count("u_shape")
        few = f"only {bends} of {len(entry['slices'])} slices turn upward beyond seed noise over {other}"
        why = few if bends else f"no optimum over {other} inside the grid"
        return (
            f"{start}{why}, so this is a law of the grid's boundary, along the largest number of {other}: "
            f"{law}; more {other} may lower the loss further."
        )
    return (
        f"{start}{law}, at the best number of {other}, found inside the grid in {n_interior} of "
        f"{len(entry['slices'])} slices; {_SHAPES[entry['u_shape']]}."
    )


def law_text(entry: Mapping[str, Any], axis: str) -> str:
    """The fitted law as a formula; tokens in billions."""
    unit = " (S in billions)" if axis == "tokens" else ""
    return f"L = {entry['E']:.4g} + {entry['A']:.3g} {_SYMBOLS[axis]}^-{entry['alpha']:.2f}{unit}"


def reason(entry: Mapping[str, Any]) -> str:
    """Why a failed axis has no law."""
    messages = [warning["message"] for warning in entry["warnings"] if warning["code"] == entry["code"]]
    return f"{messages[0].split(': ', 1)[-1]}."


def _interval(entry: Mapping[str, Any]) -> str:
    """The exponent's interval in words."""
    if entry["ci95"] is None:
        return "without an interval of the exponent"
    low, high = entry["ci95"]["alpha"]
    return f"95 % interval of the exponent {low:.2f} to {high:.2f}"


def _rows(rows: Mapping[str, Any]) -> str:
    if not rows["dropped"]:
        return f"All {human_count(rows['read'])} runs of the table were used."
    causes = "; ".join(f"{n} x {cause}" for cause, n in rows["reasons"].items())
    return f"{rows['used']} of {rows['read']} runs were used, {rows['dropped']} dropped ({causes})."


def _missing(points: list[dict[str, float]]) -> str:
    if not points:
        return ""
    verb = "point has" if len(points) == 1 else "points have"
    return f"The grid is incomplete: {len(points)} {verb} no usable run: {named(points)}."


def _consistency(checks: Mapping[str, Any] | None) -> str:
    return f"{checks['message'][0].upper()}{checks['message'][1:]}." if checks and checks["message"] else ""


def _extrapolation(test: Mapping[str, Any], axis: str) -> str:
    """How the law of the smaller half of an axis did on the larger."""
    if test["status"] == "failed":
        return ""
    held_out, covered = len(test["points"]), ""
    if test["coverage"] is not None:
        covered = f"; {test['coverage'] * held_out:.0f} lie in the 95 % interval"
    gain = "" if test["skill"] is None else f" (skill {test['skill']:.2f} over staying at the last loss)"
    return (
        f"Fitted up to {human_count(test['cut'])} {NAMES[axis]}, the law misses the {held_out} larger points "
        f"by {test['rmse']:.2g} (root mean square){gain}{covered}."
    )


def _forecast(record: Mapping[str, Any]) -> str:
    what = f"{human_count(record['x'])} {NAMES[record['axis']]}"
    if record["code"]:
        return f"No forecast for {what}: {record['message'].rstrip('.')}."
    within = "no interval"
    if record["low"] is not None:
        within = f"95 % interval {record['low']:.4g} to {record['high']:.4g}"
    doubt = "" if record["tested"] else "; no extrapolation test backs it"
    return f"Forecast for {what}: loss {record['loss']:.4g} ({within}{doubt})."


def _ridge(ridge: Mapping[str, Any], best: str, other: str, symbol: str) -> str:
    if ridge["exponent"] is None:
        return ""
    interval = ridge["ci95"]
    within = f" (95 % interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
    return f"The best {best} grows with the {other} as {symbol}^{ridge['exponent']:.2f}{within}."


def _surface(surface: Mapping[str, Any] | None) -> str:
    """Which surface the data prefer, its exponents and its error; or that none is supported."""
    tried = [model for model in surface["models"] if model["starts"]] if surface else []
    if not surface or not tried:
        return ""
    models = sorted((model for model in tried if model["status"] == "ok"), key=lambda model: model["aicc"])
    points = f"over all {surface['cells']} grid points"
    if not models:
        return f"No surface {points} is supported: in each form a term vanishes or sits at a search limit."
    best = models[0]
    error = f"It misses the points by {best['rmse']:.2g} (root mean square)"
    if best["chi2_dof"] is not None and best["chi2_dof"] > 2:
        error += f", more than seed noise explains (chi2 of {best['chi2_dof']:.2g} a degree of freedom)"
    start = f"The {_SURFACES[best['model']]} surface {points} is {_preference(models)}"
    return f"{start}; {_exponents(best)}. {error}."


def _preference(models: Sequence[Mapping[str, Any]]) -> str:
    """Why the first of these surfaces, in the order of AICc, is named; a difference below 2 is a tie."""
    if len(models) == 1:
        return "the only form that holds (in the others a term vanishes or sits at a search limit)"
    second, distance = _SURFACES[models[1]["model"]], models[1]["delta_aicc"]
    lead = f"a tie with the {second} one" if distance < 2 else f"by {distance:.3g} over the {second} one"
    steady = min(models, key=lambda model: model["loso_rmse"])
    which = "it" if steady is models[0] else f"the {_SURFACES[steady['model']]} one"
    return f"preferred by AICc ({lead}), and {which} predicts slices left out best"


def _exponents(model: Mapping[str, Any]) -> str:
    """The exponents of a surface as far as the data identify them."""
    values = {name: value for name, value in model["parameters"].items() if value is not None}
    known = [f"{values[name]:.2f} ({what})" for name, what in _EXPONENTS.items() if name in values]
    unknown = [name for name, value in model["parameters"].items() if value is None]
    hidden = f"{', '.join(unknown)} cannot be told apart by these data" if unknown else ""
    return "; ".join(filter(None, [f"its exponents are {' and '.join(known)}" if known else "", hidden]))
