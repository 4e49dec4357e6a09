"""What a comparison of studies says: sentences, figures with their data, one page, compare.json."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.analysis import compare_figures
from relscale.analysis.compare import Fitted, compare, fit_studies
from relscale.analysis.frontier import AXES
from relscale.analysis.page import Picture, render_page, save_figure
from relscale.analysis.studies import load_studies
from relscale.analysis.verdict import NAMES, law_text, reason
from relscale.platform import storage
from relscale.platform.progress import human_count

_KINDS = {"ok": "the frontier", "boundary": "the boundary of its grid"}


def write_comparison(
    out: Path, paths: Sequence[Path], *, drop_nonfinite: bool = False, n_boot: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compare studies; write figures (PNG, SVG, CSV), compare.json and compare.html, the page last.

    Parameters
    ----------
    out : folder, made if missing.
    paths, drop_nonfinite : see `load_studies`.
    n_boot, seed : see `compare`.

    Returns
    -------
    The content of compare.json: what `compare` returns, and "sentences".

    Raises
    ------
    AnalysisError : see `load_studies`; nothing is written then.
    """
    fitted = fit_studies(load_studies(paths, drop_nonfinite=drop_nonfinite), n_boot=n_boot, seed=seed)
    comparison = compare(fitted, n_boot=n_boot, seed=seed)
    fits = {one.study.name: one.fit for one in fitted}
    sentences = [sentence for pair in comparison["pairs"] for sentence in pair_sentences(pair, fits)]
    comparison["sentences"] = sentences
    pictures = _draw(out, comparison, fits)
    storage.write_json(out / "compare.json", comparison)
    facts = {
        **{study["name"]: f"{study['path']}, digest {study['digest']}" for study in comparison["studies"]},
        "bootstrap": f"{n_boot} draws, seed {seed}",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("relscale", "numpy", "scipy", "pandas")),
    }
    names = ", ".join(fits)
    page = render_page(
        "inspection.html.j2",
        title=f"Scaling laws compared: {names}",
        sentences=sentences,
        sections=_sections(comparison, fitted, pictures),
        facts=facts,
    )
    storage.write_text(out / "compare.html", page)
    return comparison


def pair_sentences(pair: Mapping[str, Any], fits: compare_figures.Fits) -> list[str]:
    """The findings on two studies: exponents along each axis, and losses at equal points."""
    between = f"'{pair['first']}' and '{pair['second']}'"
    return [*(_axis_sentence(pair, fits, axis) for axis in AXES), f"{between}: {_loss_sentence(pair)}"]


def _axis_sentence(pair: Mapping[str, Any], fits: compare_figures.Fits, axis: str) -> str:
    found = pair["axes"][axis]
    laws = {name: fits[name]["axes"][axis] for name in (pair["first"], pair["second"])}
    start = f"Loss against {NAMES[axis]}: "
    failed = [name for name, law in laws.items() if law["status"] == "failed"]
    if failed:
        have = "neither has a law" if len(failed) == 2 else f"'{failed[0]}' has no law"
        why = " ".join(f"'{name}': {reason(laws[name])}" for name in failed)
        return f"{start}{have}, so there are no two exponents to compare ({why.rstrip('.')})."
    values = " and ".join(f"{law['alpha']:.2f} in '{name}'" for name, law in laws.items())
    gap = f"difference {found['difference']:+.2f}"
    if found["verdict"] == "unlike_laws":
        where = " and ".join(f"'{name}' along {_KINDS[law['status']]}" for name, law in laws.items())
        return f"{start}the exponents are of two kinds of law, {where}, and cannot be compared ({values})."
    if found["verdict"] == "no_interval":
        return (
            f"{start}whether the exponents differ is not known ({values}; {gap}, without an interval, since "
            "a fit has none: too few seeds or points)."
        )
    low, high = found["ci95"]
    said = "the exponents differ" if found["verdict"] == "differ" else "the exponents cannot be told apart"
    return f"{start}{said}: {values}; {gap}, 95 % interval {low:+.2f} to {high:+.2f}."


def _loss_sentence(pair: Mapping[str, Any]) -> str:
    if pair["held_out"] == "different":
        return "losses are not on the same databases; only exponents are compared."
    caution = (
        "" if pair["held_out"] == "same" else "; the tables do not say that both are on the same databases"
    )
    loss = pair["loss"]
    if loss is None:
        return "the grids have no point (N, S) in common, so losses are not compared."
    points = f"{loss['points']} common point{'s' if loss['points'] > 1 else ''} (N, S)"
    gap = f"difference {loss['difference']:+.4f} (second minus first)"
    if loss["ci95"] is None:
        return f"at {points} the losses have a mean {gap}, without an interval{caution}."
    low, high = loss["ci95"]
    over = f" and {pair['shared_databases']} held-out databases" if pair["shared_databases"] > 1 else ""
    lower = pair["second"] if loss["difference"] < 0 else pair["first"]
    said = (
        f"the loss of '{lower}' is lower"
        if loss["verdict"] == "differ"
        else "the losses cannot be told apart"
    )
    return (
        f"at {points} {said}: mean {gap}, 95 % interval {low:+.4f} to {high:+.4f} over points{over}{caution}."
    )


def _draw(out: Path, comparison: Mapping[str, Any], fits: compare_figures.Fits) -> list[Picture]:
    drawn = [
        (
            f"frontier_{axis}",
            compare_figures.frontiers(fits, axis),
            f"The law of every study along {NAMES[axis]} with its 95 % band; beside it the excess over its "
            "own offset, where the slope is the exponent.",
            _frontier_data(fits, axis),
        )
        for axis in AXES
    ]
    caption = "Exponents and their differences with 95 % intervals; hollow: no interval."
    drawn.append(("exponents", compare_figures.exponents(comparison), caption, _exponent_data(comparison)))
    with_losses = [pair for pair in comparison["pairs"] if pair["loss"]]
    for number, pair in enumerate(with_losses):
        name = "loss_difference" if len(with_losses) == 1 else f"loss_difference_{number + 1}"
        caption = (
            f"Loss of '{pair['second']}' minus that of '{pair['first']}' at equal N and S; bold: the 95 % "
            "interval of that point does not hold zero."
        )
        data = pd.DataFrame(pair["loss"]["at"])
        drawn.append((name, compare_figures.loss_difference(pair), caption, data))
    pictures = []
    for name, figure, caption, data in drawn:
        pictures.append(save_figure(figure, out, name, caption))
        storage.write_text(out / "figures" / f"{name}.csv", data.to_csv(index=False))
    return pictures


def _frontier_data(fits: compare_figures.Fits, axis: str) -> pd.DataFrame:
    """The slices of every study, and the E of its law, from which the excess is counted."""
    return pd.DataFrame(
        {
            "study": name,
            axis: record["at"],
            "slice": record["status"],
            "loss": record["loss_opt"],
            "law": fit["axes"][axis]["status"],
            "E": fit["axes"][axis]["E"],
        }
        for name, fit in fits.items()
        for record in fit["axes"][axis]["slices"]
    )


def _exponent_data(comparison: Mapping[str, Any]) -> pd.DataFrame:
    values = [
        (study["name"], axis, study["axes"][axis]["alpha"], (study["axes"][axis]["ci95"] or {}).get("alpha"))
        for study in comparison["studies"]
        for axis in AXES
    ]
    for pair in comparison["pairs"]:
        name = f"{pair['second']} - {pair['first']}"
        values += [(name, axis, gap["difference"], gap["ci95"]) for axis, gap in pair["axes"].items()]
    rows = [(name, axis, value, *(interval or (None, None))) for name, axis, value, interval in values]
    return pd.DataFrame(rows, columns=["study", "axis", "exponent", "low", "high"])


def _sections(
    comparison: Mapping[str, Any], fitted: Sequence[Fitted], pictures: list[Picture]
) -> list[dict[str, Any]]:
    limits = [
        [one.study.name, NAMES[axis], warning["code"], warning["message"].split(": ", 1)[-1]]
        for one in fitted
        for axis in AXES
        for warning in one.fit["axes"][axis]["warnings"]
    ]
    lead = "Each study is fitted by itself, exactly as `relscale fit` does."
    sections: list[dict[str, Any]] = [
        {"title": "The studies", "lead": lead, "figures": [], "tables": [study_table(comparison)]},
        {
            "title": "Figures",
            "lead": "The data of each figure lie beside it as CSV.",
            "figures": pictures,
            "tables": [],
        },
    ]
    if limits:
        table = {"columns": ["study", "axis", "code", "limit"], "rows": limits}
        lead = "What the data of each study do not settle."
        sections.append({"title": "Limits", "lead": lead, "figures": [], "tables": [table]})
    return sections


def study_table(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A row for each study: its grid, its lowest loss, its laws."""
    columns = ["study", "runs", "N", "S", "lowest mean loss", "law along N", "law along S"]
    rows = []
    for study in comparison["studies"]:
        n, s = study["n_databases"], study["tokens"]
        laws = [_law(study["axes"][axis], axis) for axis in AXES]
        grid = [f"{len(x)}: {human_count(x[0])} to {human_count(x[-1])}" for x in (n, s)]
        rows.append([study["name"], str(study["runs"]), *grid, f"{study['lowest_loss']:.4f}", *laws])
    return {"columns": columns, "rows": rows}


def _law(law: Mapping[str, Any], axis: str) -> str:
    if law["status"] == "failed":
        return f"none ({law['code']})"
    interval = ", exponent {:.2f} to {:.2f}".format(*law["ci95"]["alpha"]) if law["ci95"] else ""
    return f"{law_text(law, axis)}{interval}{', boundary' if law['status'] == 'boundary' else ''}"
