"""Joining terms: totals of rows by sum, maximum, product or log-sum-exp, compiled."""

import numpy as np

from relscale.generation.arithmetic import exp, log, log1p
from relscale.generation.vectors import add_row, raise_row, scale_row
from relscale.platform.compiled import compiled, inlined

AGGREGATIONS = ("sum", "max", "product", "logexp")
"""Names by code."""
SUM, MAX, PRODUCT, LOGEXP, EXPSUM = map(np.int64, range(5))  # not literals, each of which is compiled for
"""Their codes; the last is log-sum-exp as the logarithm of a plain sum: faster, where that stays in range."""

ZERO, ONE = np.float32(0), np.float32(1)
LEAST, MOST = np.float32(1e-30), np.float32(1e30)


@compiled
def reset(mode: int, total: np.ndarray, spare: np.ndarray) -> None:
    """Totals of no terms; log-sum-exp is total + log(spare)."""
    start = ZERO if mode in (SUM, EXPSUM) else (ONE if mode == PRODUCT else np.float32(-np.inf))
    for i in range(len(total)):
        total[i] = start
    if mode == LOGEXP:
        for i in range(len(spare)):
            spare[i] = ZERO


@inlined
def add_exp(term: float, total: float, spare: float) -> tuple[float, float]:
    """A further term of log-sum-exp."""
    above = term - total
    share = exp(-abs(above))
    return (term, spare * share + ONE) if above > ZERO else (total, spare + share)


@compiled
def combine(mode: int, terms: np.ndarray, total: np.ndarray, spare: np.ndarray) -> None:
    """Join further terms to the totals, all flat."""
    if mode == SUM:
        for i in range(len(terms)):
            total[i] += terms[i]
    elif mode == MAX:
        for i in range(len(terms)):
            total[i] = terms[i] if terms[i] > total[i] else total[i]
    elif mode == PRODUCT:
        for i in range(len(terms)):
            total[i] *= terms[i]
    elif mode == EXPSUM:
        for i in range(len(terms)):
            total[i] += exp(terms[i])
    else:
        for i in range(len(terms)):
            total[i], spare[i] = add_exp(terms[i], total[i], spare[i])


@compiled
def combine_rows(
    mode: int,
    table: np.ndarray,
    base: int,
    codes: np.ndarray,
    rows: np.ndarray,
    start: int,
    end: int,
    total: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Join table[base + codes[i]] to the totals of rows[i] for i from start to end."""
    width = total.shape[1]  # of unknown length a loop becomes vector instructions, of 32 it is unrolled
    if mode == SUM:
        for i in range(start, end):
            add_row(total, rows[i], table, base + codes[i])
    elif mode == MAX:
        for i in range(start, end):
            raise_row(total, rows[i], table, base + codes[i])
    elif mode == PRODUCT:
        for i in range(start, end):
            scale_row(total, rows[i], table, base + codes[i])
    elif mode == EXPSUM:
        for i in range(start, end):
            row, code = rows[i], base + codes[i]
            for j in range(width):
                total[row, j] += exp(table[code, j])
    else:
        for i in range(start, end):
            row, code = rows[i], base + codes[i]
            for j in range(width):
                total[row, j], spare[row, j] = add_exp(table[code, j], total[row, j], spare[row, j])


@compiled
def finish(mode: int, total: np.ndarray, spare: np.ndarray) -> bool:
    """Totals of all terms; False if a sum of exponentials left its range."""
    n_out = 0
    if mode == LOGEXP:
        for i in range(len(total)):
            total[i] += log1p(spare[i] - ONE)
    elif mode == EXPSUM:
        for i in range(len(total)):
            n_out += 0 if LEAST <= total[i] <= MOST else 1
            total[i] = log(total[i])
    return n_out == 0


@compiled
def exponentiate(terms: np.ndarray, powers: np.ndarray) -> None:
    """Write the exponential of each term, both flat."""
    for i in range(len(terms)):
        powers[i] = exp(terms[i])
