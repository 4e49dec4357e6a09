"""The headline: laws with their intervals, or that there is none."""

import pytest
from study_fit import study_fit

from relscale.analysis.headline import headline

LAWS = (
    "Held-out loss follows a power law in databases (exponent 0.38, 95 % 0.28 to 0.48) and in tokens "
    "(exponent 0.47, 95 % 0.38 to 0.57)."
)
GROWTH = "More of either alone turns harmful: databases and tokens must grow together."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, f"{LAWS} {GROWTH}"),
        (
            {"u_shape": "inconclusive"},
            f"{LAWS} Both hold along the best value of the other, found inside the grid.",
        ),
        (
            {"status": "boundary"},
            f"{LAWS} Along tokens it is a law of the grid's edge: no optimum lies inside.",
        ),
        (
            {"status": "failed"},
            "Held-out loss follows a power law in databases (exponent 0.38, 95 % 0.28 to 0.48). In tokens no "
            "law is claimed.",
        ),
    ],
)
def test_the_headline_says_what_holds(changes: dict, text: str) -> None:
    fit = study_fit()
    fit["axes"]["tokens"] |= changes
    assert headline(fit) == text


def test_a_law_whose_offset_the_data_do_not_bound_is_only_compatible() -> None:
    fit = study_fit()
    fit["axes"]["tokens"]["warnings"] = [{"code": "offset_not_identifiable", "message": ""}]
    assert headline(fit) == f"{LAWS} {GROWTH}".replace("follows", "is compatible with")


def test_no_law_and_no_interval_are_said() -> None:
    fit = study_fit()
    fit["axes"]["n_databases"]["status"] = "failed"
    fit["axes"]["tokens"]["ci95"] = None
    assert headline(fit) == (
        "Held-out loss is compatible with a power law in tokens (exponent 0.47, no interval). In databases "
        "no law is claimed."
    )
    fit["axes"]["tokens"]["status"] = "failed"
    assert headline(fit) == "These runs support no scaling law, neither in databases nor in tokens."
