"""The report: one self-contained page, escaped, with every number's source."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.fit import fit_results
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


@pytest.fixture(scope="module")
def study(tmp_path_factory, bowl, make_table) -> tuple[Path, dict, pd.DataFrame]:
    out = tmp_path_factory.mktemp("study")
    table = make_table(bowl, sigma=3e-4, seeds=3, tokens=[131_072_000 * 4**i for i in range(5)])
    table["status"], table["reason"] = "ok", None
    table.loc[5, ["status", "reason", "loss"]] = ["failed", "<b>disk</b> & memory", np.nan]
    rows = [(f"t{n}", n, 10**9, 0, t * 10**8, 1 / t) for n in (8, 16) for t in range(1, 11)]
    history = pd.DataFrame(rows, columns=["trial", "n_databases", "tokens_total", "seed", "tokens", "loss"])
    fit = fit_results(table, n_boot=100)
    path = write_report(
        out,
        title="A <script>alert(1)</script> study",
        results=table,
        fit=fit,
        history=history,
        scores=SCORES,
        facts={"configuration": "0123456789abcdef", "note": "<i>fast & small</i>"},
    )
    assert path == out / "report.html"
    return out, fit, table


def test_the_page_is_whole_and_loads_nothing(study) -> None:
    text = (study[0] / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.tags.count("img") == 6
    assert page.loaded
    assert all(address.startswith("data:image/") for address in page.loaded)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "script" not in page.tags


def test_words_are_escaped(study) -> None:
    text = (study[0] / "report.html").read_text()
    assert "<title>A &lt;script&gt;alert(1)&lt;/script&gt; study</title>" in text
    assert "&lt;b&gt;disk&lt;/b&gt; &amp; memory" in text
    assert "&lt;i&gt;fast &amp; small&lt;/i&gt;" in text
    assert "<b>disk" not in text


def test_verdict_figures_numbers_and_facts_come_in_this_order(study) -> None:
    out, fit, table = study
    text = html.unescape((out / "report.html").read_text())
    places = [text.index(sentence) for sentence in verdict_sentences(fit)]
    places += [
        text.index(heading) for heading in ("<h2>Figures", "<h2>All 120 runs", "<h2>Zero-shot", "<h2>How")
    ]
    assert places == sorted(places)
    assert text.count("<td>failed: ") == 0
    assert f"<td>{table['loss'][0]:.5g}</td>" in text
    assert (
        "<td>0.7123</td><td>0.69 to 0.733</td><td>702</td><td>temporal</td><td>entity mean 0.68</td>" in text
    )
    assert "<td>none</td><td>none</td><td>726</td><td>strict</td><td>entity mean none</td>" in text
    assert "<td>configuration</td><td>0123456789abcdef</td>" in text


def test_every_warning_is_on_the_page(study) -> None:
    out, fit, _ = study
    text = html.unescape((out / "report.html").read_text())
    warnings = [
        warning["message"].split(": ", 1)[-1]
        for entry in fit["axes"].values()
        for warning in entry["warnings"]
    ]
    assert warnings
    assert all(message in text for message in warnings)


def test_files_beside_the_page(study) -> None:
    out, fit, _ = study
    assert json.loads((out / "fit.json").read_text()) == fit
    names = {"loss_curves", "loss_heatmap", "law_n_databases", "law_tokens", "zero_shot", "learning_curves"}
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    assert all(path.stat().st_size > 5000 for path in (out / "figures").iterdir())


def test_fitting_a_file_writes_everything_twice_alike(tmp_path: Path, monotone, make_table) -> None:
    table = make_table(monotone, sigma=1e-3, seeds=2, n_databases=[8, 16, 32], tokens=[10**9, 2 * 10**9])
    table.to_csv(tmp_path / "results.csv", index=False)
    fit = write_fit(tmp_path / "a", tmp_path / "results.csv", n_boot=20)
    write_fit(tmp_path / "b", tmp_path / "results.csv", n_boot=20)
    assert fit == json.loads((tmp_path / "a" / "fit.json").read_text())
    text = (tmp_path / "a" / "report.html").read_text()
    assert "<h1>Scaling laws of results.csv</h1>" in text
    assert "no law is claimed" in text
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 10
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
