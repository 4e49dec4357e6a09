"""The page of a comparison: every finding in words, every figure with its data."""

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.compare_report import pair_sentences, write_comparison

NAMES = {"frontier_n_databases", "frontier_tokens", "exponents", "loss_difference"}


@pytest.fixture(scope="module")
def written(tmp_path_factory, bowl_at, monotone, make_table) -> tuple[Path, dict]:
    """Three studies: two bowls on the same held-out databases, and a grid too small for a law on others."""
    folder = tmp_path_factory.mktemp("studies")
    steeper = bowl_at(0.117)
    steeper.alpha = 0.5
    rng, sizes = np.random.default_rng(1), [2**i for i in range(2, 11)]
    tables = {
        "plurel": make_table(bowl_at(0.117), sigma=3e-4, seeds=3),
        "other": make_table(steeper, sigma=3e-4, seeds=3, rng=rng, n_databases=sizes),
        "few": make_table(monotone, n_databases=[8, 16], tokens=[10**9]),
    }
    for name, table in tables.items():
        (folder / name).mkdir()
        table["loss_mean_predictor"] = 0.5 if name == "few" else 0.48
        table.to_parquet(folder / name / "results.parquet", index=False)
    out = folder / "out"
    return out, write_comparison(out, [folder / name for name in tables], n_boot=100)


def test_files(written) -> None:
    out, comparison = written
    assert json.loads((out / "compare.json").read_text()) == comparison
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{name}.{kind}" for name in NAMES for kind in ("png", "svg", "csv")
    }
    frontier = pd.read_csv(out / "figures" / "frontier_n_databases.csv")
    assert set(frontier["study"]) == {"plurel", "other", "few"}
    assert set(frontier[frontier["study"] == "few"]["law"]) == {"failed"}
    differences = pd.read_csv(out / "figures" / "loss_difference.csv")
    assert len(differences) == 80
    assert np.allclose(differences["second"] - differences["first"], differences["difference"])
    exponents = pd.read_csv(out / "figures" / "exponents.csv")
    found = comparison["pairs"][0]["axes"]["tokens"]["difference"]
    chosen = exponents[(exponents["study"] == "other - plurel") & (exponents["axis"] == "tokens")]
    assert chosen["exponent"].item() == pytest.approx(found)


def test_the_page_says_everything_and_loads_nothing(written) -> None:
    out, comparison = written
    text = html.unescape((out / "compare.html").read_text())
    assert all(sentence in text for sentence in comparison["sentences"])
    assert text.count("<img") == 4 and 'src="http' not in text
    for cell in ("<td>plurel</td><td>240</td><td>8: 8 to 1,024</td>", "<td>none (too_few_points)</td>"):
        assert cell in text


def test_sentences_name_what_was_found(written) -> None:
    first = written[1]["sentences"][:3]
    assert first[0].startswith("Loss against databases: the exponents differ: 0.")
    assert "in 'plurel' and 0." in first[0] and "95 % interval +0." in first[0]
    assert first[2].startswith(
        "'plurel' and 'other': at 80 common points (N, S) the loss of 'other' is lower"
    )
    assert "tables do not say" not in first[2]
    second = written[1]["sentences"][3:6]
    assert second[0].startswith("Loss against databases: 'few' has no law, so there are no two exponents")
    assert "2 distinct values, need at least 4" in second[0]
    assert second[2] == (
        "'plurel' and 'few': losses are not on the same databases; only exponents are compared."
    )


def sentences(status: str = "ok", **axis: object) -> list[str]:
    laws = {"a": {"status": "ok", "alpha": 0.4}, "b": {"status": status, "alpha": 0.4}}
    fits = {name: {"axes": {"n_databases": law, "tokens": law}} for name, law in laws.items()}
    found = {"difference": 0.1, "ci95": None, "verdict": "no_interval", **axis}
    loss = {"points": 9, "difference": -0.01, "ci95": [-0.03, 0.01], "verdict": "not_told_apart"}
    pair = {
        "first": "a",
        "second": "b",
        "held_out": "unknown",
        "shared_databases": 7,
        "axes": {"n_databases": found, "tokens": found},
        "loss": loss,
    }
    return pair_sentences(pair, fits)


def test_what_is_not_known_is_not_said() -> None:
    axis, _, losses = sentences()
    assert "whether the exponents differ is not known (0.40 in 'a' and 0.40 in 'b'; difference +0.10" in axis
    assert "the losses cannot be told apart: mean difference -0.0100" in losses
    assert "over points and 7 held-out databases; the tables do not say that both are on the same" in losses
    axis = sentences(ci95=[-0.1, 0.3], verdict="not_told_apart")[0]
    assert "the exponents cannot be told apart" in axis and "95 % interval -0.10 to +0.30" in axis
    axis = sentences("boundary", verdict="unlike_laws")[0]
    assert "'a' along the frontier and 'b' along the boundary of its grid, and cannot be compared" in axis
