"""The sentences a reader meets first."""

from relscale.analysis.fit import fit_results
from relscale.analysis.verdict import verdict_sentences


def test_a_law_is_stated_with_its_interval(bowl, make_table) -> None:
    fit = fit_results(make_table(bowl, sigma=3e-4, seeds=3))
    entry = fit["axes"]["n_databases"]
    low, high = entry["ci95"]["alpha"]
    rows, databases, tokens, ridge, *_ = verdict_sentences(fit)
    assert rows == "All 240 runs of the table were used."
    assert databases == (
        f"Loss against databases: L = {entry['E']:.4g} + {entry['A']:.3g} N^-{entry['alpha']:.2f}, 95 % "
        f"interval of the exponent {low:.2f} to {high:.2f}, at the best number of tokens, found "
        f"inside the grid in 8 of 8 slices; the slices are U-shaped beyond seed noise."
    )
    assert "(S in billions), without an interval of the exponent" in tokens
    assert ridge.startswith("The best number of tokens grows with the databases as N^0.")


def test_no_law_is_claimed_where_there_is_none(bowl_at, make_table) -> None:
    table = make_table(bowl_at(1e4), sigma=1e-4, seeds=3)
    table["status"] = "ok"
    table.loc[3, "status"] = "failed"
    sentences = verdict_sentences(fit_results(table))
    assert sentences[0] == "239 of 240 runs were used, 1 dropped (1 x failed)."
    assert sentences[1] == (
        "Loss against databases: no law is claimed: minimum at the high end in all 8 slices; extend tokens "
        "above 67.1 B; no frontier law was fitted."
    )
    assert not any("grows with" in sentence for sentence in sentences)


def test_a_boundary_law_is_called_one(monotone, make_table) -> None:
    sentences = verdict_sentences(fit_results(make_table(monotone, sigma=3e-4, seeds=3)))
    assert "no optimum over tokens inside the grid, so this is a law of the grid's boundary" in sentences[1]
    assert sentences[1].endswith("more tokens may lower the loss further.")
    assert sentences[-1].startswith("The additive surface over all 80 grid points")
