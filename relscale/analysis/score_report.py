"""What one evaluation leaves to read: report.html, and its table as CSV and Markdown."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relscale.analysis.page import render_page, save_figure
from relscale.analysis.score_dots import score_dots
from relscale.analysis.score_tables import markdown, published_rows, published_words, score_rows, words
from relscale.analysis.task_scores import difference_sentence
from relscale.platform import storage

_LEAD = (
    "Every row of the split is scored. Visibility says whose labels model and baselines see, always of "
    "strictly earlier rows: of all splits (temporal), of those before the scored one (strict, as on "
    "RelBench's leaderboard), or of train alone. Scores under different ones must not be compared. Own "
    "labels: share of contexts that hold a label of the row's own entity."
)
_PUBLISHED = (
    "Figures of others for the same tasks. None was made under the protocol of the table above; what differs "
    "is stated, and no verdict is drawn from them."
)


def write_scores(out: Path, scores: Sequence[Mapping[str, Any]], *, n_boot: int) -> Path:
    """Write report.html (self-contained), figures/scores.png and .svg, scores.csv and scores.md into `out`.

    Parameters
    ----------
    scores : of one call of `evaluate_checkpoint`. n_boot : its bootstrap draws.

    Returns
    -------
    Path of report.html, written last.
    """
    table, published = score_rows(scores), published_rows(scores)
    drawing = score_dots(table, published)
    picture = save_figure(drawing.figure, out, "scores", drawing.caption)
    shown, elsewhere = words(table), published_words(published)
    storage.write_text(out / "scores.csv", table.to_csv(index=False, float_format="%.10g"))
    text = markdown(shown)
    tables = [shown]
    sections = [{"title": "Scores", "lead": _LEAD, "figures": [picture], "tables": tables}]
    if len(published):
        text += f"\n{_PUBLISHED}\n\n{markdown(elsewhere)}"
        sections.append({"title": "Published", "lead": _PUBLISHED, "figures": [], "tables": [elsewhere]})
    storage.write_text(out / "scores.md", text)
    page = render_page(
        "inspection.html.j2",
        title=f"Zero-shot scores on {scores[0]['dataset']}",
        sentences=[_sentence(score) for score in scores],
        sections=sections,
        facts=_facts(scores[0], n_boot),
    )
    storage.write_text(out / "report.html", page)
    return out / "report.html"


def _sentence(score: Mapping[str, Any]) -> str:
    return (
        f"{score['task']}, {score['visibility']}: {score['metric']} {score['value']:.3f}, "
        f"{difference_sentence(score)}."
    )


def _facts(score: Mapping[str, Any], n_boot: int) -> dict[str, str]:
    sampler = ", ".join(f"{name} {value}" for name, value in score["sampler"].items() if name != "visibility")
    return {
        "checkpoint": score["checkpoint"],
        "split": score["split"],
        "contexts": sampler,
        "context seeds": ", ".join(map(str, score["context_seeds"])),
        "intervals": f"95 %, {n_boot} bootstrap draws over entities",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("relscale", "relbench", "numpy")),
    }
