"""What a trial's address knows of the code, and what its row says of its work."""

import pytest

from relscale.sweeps.trial import _exposure, _train_seconds, code_of


def test_comments_and_docstrings_are_no_code():
    plain = "def f(x):\n    return x + 1\n"
    said = '"""Module."""\n# why\ndef f( x ):\n    """Twice\n\n    as long."""\n    return x + 1  # so\n'
    assert code_of(plain) == code_of(said)
    assert code_of(plain) != code_of(plain.replace("+ 1", "+ 2"))
    assert code_of('x = "a"') != code_of('x = "b"')


def test_a_field_s_description_is_no_code():
    assert code_of('class A:\n    x: int = 1\n    """Meaning."""\n') == code_of("class A:\n    x: int = 1\n")


def test_seconds_of_a_branch_are_those_of_its_own_steps():
    lines = [{"tokens": 100 * n, "tokens_per_second": 10.0} for n in (1, 2, 3)]
    assert _train_seconds(lines, 0) == pytest.approx(30)
    assert _train_seconds(lines, 150) == pytest.approx(15)


def test_exposure_is_over_the_databases():
    seen = [{"cells": 10, "epochs": 1.0}, {"cells": 30, "epochs": 4.0}, {"cells": 20, "epochs": 3.0}]
    expected = {"tokens_per_database": 20, "epochs_min": 1.0, "epochs_median": 3.0, "epochs_max": 4.0}
    assert _exposure(seen) == expected
