"""The report: one self-contained page, escaped, with every number's source."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_fit import S, study_draws, study_fit, study_scores, study_table

from relscale.analysis import page, report
from relscale.analysis.headline import headline
from relscale.analysis.report import write_fit, write_report
from relscale.analysis.results import AnalysisError
from relscale.analysis.verdict import verdict_sentences

SCORES = [
    {
        "dataset": "rel-f1", "task": "driver-dnf", "split": "test", "metric": "roc_auc", "value": 0.7123,
        "ci95": [0.69, 0.733], "rows": 702, "visibility": "temporal", "baselines": {"entity mean": 0.68},
        "n_databases": 1024,
    },
    {
        "dataset": "rel-f1", "task": "driver-top3", "split": "test", "metric": "roc_auc", "value": None,
        "ci95": None, "rows": 726, "visibility": "strict", "baselines": {"entity mean": None},
        "n_databases": 1024,
    },
]  # fmt: skip


class Page(HTMLParser):
    """Tags opened and closed, and the addresses that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "data") and value]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


FIGURES = {
    "loss_curves", "loss_heatmap", "loss_by_type", "law_n_databases", "law_tokens", "extrapolation",
    "profiles", "bootstrap", "residuals", "zero_shot", "zero_shot_trials", "learning_curves",
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, dict, pd.DataFrame]:
    """A report with every figure, of a study with one failed run and a warning."""
    out = tmp_path_factory.mktemp("study")
    table, fit = study_table(), study_fit()
    table["status"], table["reason"] = "ok", None
    table.loc[5, ["status", "reason", "loss"]] = ["failed", "<b>disk</b> & memory", np.nan]
    fit["axes"]["tokens"]["warnings"] = [{"code": "too_few", "message": "axis tokens: 5 < 6 points"}]
    rows = [(f"t{n}", n, 10**9, 0, t * 10**8, 1 / t) for n in (8, 16) for t in range(1, 11)]
    history = pd.DataFrame(rows, columns=["trial", "n_databases", "tokens_total", "seed", "tokens", "loss"])
    path = write_report(
        out,
        title="A <script>alert(1)</script> study",
        results=table,
        fit=fit,
        history=history,
        scores=SCORES,
        trial_scores=study_scores(),
        n_boot=100,
        draws=study_draws(),
        facts={"configuration": "0123456789abcdef", "note": "<i>fast & small</i>"},
    )
    assert path == out / "report.html"
    return out, fit, table


def test_the_page_is_whole_and_loads_nothing(study) -> None:
    text = (study[0] / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.tags.count("img") == len(FIGURES)
    assert page.loaded
    assert all(address.startswith("data:image/") for address in page.loaded)
    assert not re.search(r"https?://|url\(|@import", text)
    assert page.tags.count("script") == 2  # the runs as JSON, and the page's own code


def test_the_chart_has_the_runs_and_is_hidden_without_scripts(study) -> None:
    out, _, table = study
    text = (out / "report.html").read_text()
    found = re.search(r'<script type="application/json" id="slice-data">(.*?)</script>', text, re.DOTALL)
    assert found
    runs = [run for record in json.loads(found[1])["axes"][0]["slices"] for run in record["runs"]]
    assert len(runs) == table["loss"].notna().sum()
    assert '<div class="chart" id="slice-chart" hidden></div>' in text


def test_words_are_escaped(study) -> None:
    text = (study[0] / "report.html").read_text()
    assert "<title>A &lt;script&gt;alert(1)&lt;/script&gt; study</title>" in text
    assert "&lt;b&gt;disk&lt;/b&gt; &amp; memory" in text
    assert "&lt;i&gt;fast &amp; small&lt;/i&gt;" in text
    assert "<b>disk" not in text


def test_headline_findings_figures_tables_limits_and_facts_come_in_this_order(study) -> None:
    out, fit, table = study
    text = html.unescape((out / "report.html").read_text())
    places = [text.index(f'<h1 class="headline">{headline(fit)}</h1>')]
    places += [text.index(f"<li>{sentence}</li>") for sentence in verdict_sentences(fit)]
    headings = (
        "What was measured", "The laws", "How far", "On real", "Training", "Minimum of every slice",
        "Other ways", "Other forms", "Whole surfaces", "Zero-shot", "All 50 runs", "Limits", "How this",
    )  # fmt: skip
    places += [text.index(f"<h2>{heading}") for heading in headings]
    assert places == sorted(places)
    assert f"<td>{table['loss'][0]:.5g}</td>" in text
    assert "<b>Figure 12.</b>" in text and "<b>Figure 13.</b>" not in text
    assert "Numbers: figures/residuals.csv" in text
    assert (
        "<td>0.7123</td><td>0.69 to 0.733</td><td>702</td><td>temporal</td><td>entity mean 0.68</td>" in text
    )
    assert "<td>none</td><td>none</td><td>726</td><td>strict</td><td>entity mean none</td>" in text
    assert "<td>configuration</td><td>0123456789abcdef</td>" in text


def test_every_warning_is_on_the_page(study) -> None:
    out, fit, _ = study
    text = html.unescape((out / "report.html").read_text())
    assert "axis tokens: 5 < 6 points" in text
    assert fit["surface"]["warnings"][0]["message"] in text


def test_files_beside_the_page(study) -> None:
    out, fit, _ = study
    assert json.loads((out / "fit.json").read_text()) == fit
    files = {path.name: path for path in (out / "figures").iterdir()}
    assert set(files) == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "csv")}
    assert all(path.stat().st_size > 5000 for name, path in files.items() if not name.endswith(".csv"))
    assert all(len(pd.read_csv(files[f"{name}.csv"])) > 0 for name in FIGURES)
    draws = pd.read_parquet(out / "bootstrap.parquet")
    assert list(draws) == ["axis", "draw", "E", "A", "alpha"] and len(draws) == 80


def test_an_incomplete_grid_is_stamped_on_the_page_and_every_figure(tmp_path: Path, monkeypatch) -> None:
    stamped = []
    monkeypatch.setattr(report, "stamp", lambda figure, note: stamped.append((figure, note)))
    table, fit = study_table(), study_fit()
    table = table[(table["n_databases"] != 8) | (table["tokens"] != S[0])].reset_index(drop=True)
    fit["missing"] = [{"n_databases": 8.0, "tokens": float(S[0])}]
    monkeypatch.setattr(report, "save_figure", lambda figure, *_: page.Picture("data:,", "", None))
    write_report(tmp_path, title="Gap", results=table, fit=fit, facts={})
    note = "incomplete grid: 1 of 25 points missing"
    assert len(stamped) == 8 and {words for _, words in stamped} == {note}
    text = (tmp_path / "report.html").read_text()
    assert text.index("Incomplete grid: 1 of 25 points missing") < text.index('<h1 class="headline">')


def test_fitting_a_file_writes_everything_twice_alike(tmp_path: Path, monotone, make_table) -> None:
    table = make_table(monotone, sigma=1e-3, seeds=2, n_databases=[8, 16, 32], tokens=[10**9, 2 * 10**9])
    table.to_csv(tmp_path / "results.csv", index=False)
    fit = write_fit(tmp_path / "a", tmp_path / "results.csv", n_boot=20)
    write_fit(tmp_path / "b", tmp_path / "results.csv", n_boot=20)
    assert fit == json.loads((tmp_path / "a" / "fit.json").read_text())
    text = (tmp_path / "a" / "report.html").read_text()
    assert '<p class="title">Scaling laws of results.csv</p>' in text
    assert "These runs support no scaling law" in text
    assert "no law is claimed" in text
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 14
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_dropping_is_explicit(tmp_path: Path, monotone, make_table) -> None:
    table = make_table(monotone, n_databases=[8, 16], tokens=[10**9, 2 * 10**9])
    table.loc[2, "loss"] = np.nan
    table.to_parquet(tmp_path / "results.parquet")
    with pytest.raises(AnalysisError, match=r"--drop-nonfinite"):
        write_fit(tmp_path / "out", tmp_path / "results.parquet")
    assert not (tmp_path / "out").exists()
    fit = write_fit(tmp_path / "out", tmp_path / "results.parquet", drop_nonfinite=True)
    assert fit["rows"]["dropped"] == 1
    text = (tmp_path / "out" / "report.html").read_text()
    assert "3 of 4 runs were used, 1 dropped (1 x non-finite loss)." in text
