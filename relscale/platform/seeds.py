"""Random streams addressed by what they are for, never consumed in an order.

A stream is named by a root seed, a purpose and a path of integers (a database, a table, a trial).
Two different addresses give independent streams, so a result does not depend on which process drew
first, on the number of workers, or on a retry.

Source: counter-based generators of Salmon et al. 2011 (Philox), seeded through
`numpy.random.SeedSequence`.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. Append only: a changed number changes every corpus and every run."""

    SCHEMA = 1
    CONNECTIVITY = 2
    FEATURES = 3
    TIMESTAMPS = 4
    POSTPROCESS = 5
    ITEMS = 6
    CONTEXT = 7
    INITIALISATION = 8
    EVALUATION = 9
    BOOTSTRAP = 10


def _sequence(root: int, purpose: Purpose, address: tuple[int, ...]) -> np.random.SeedSequence:
    # The address length is part of the entropy: (1,) and (1, 0) are different places.
    return np.random.SeedSequence([root, int(purpose), len(address), *address])


def stream(root: int, purpose: Purpose, *address: int) -> np.random.Generator:
    """The generator that belongs to an address.

    Parameters
    ----------
    root : non-negative seed of the database, run or analysis.
    purpose : which use of randomness.
    address : non-negative integers below the purpose, for instance (table, column).

    Returns
    -------
    A fresh Philox generator; equal addresses give equal streams on every machine.
    """
    return np.random.Generator(np.random.Philox(_sequence(root, purpose, address)))


def integer(root: int, purpose: Purpose, *address: int) -> int:
    """A 63-bit seed for a library with generators of its own (torch, a numba kernel)."""
    return int(_sequence(root, purpose, address).generate_state(1, np.uint64)[0] >> np.uint64(1))
