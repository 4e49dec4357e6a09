"""Which law the slices of an axis support: along the frontier, along the grid's boundary, or none."""

import numpy as np

from relscale.analysis.frontier import EDGE, INTERIOR, UNIT, Minima, View
from relscale.analysis.points import Law, boundary_law, frontier_law
from relscale.analysis.projection import MIN_POINTS, AxisFit, too_few_points
from relscale.analysis.results import AnalysisError
from relscale.analysis.ushape import MIN_DOF, Shape, is_constant
from relscale.platform.progress import human_count

MIN_POINTS_INTERVAL = 5
COMFORTABLE_SLICES = 6
MIN_OCTAVES = 4


def choose_law(slices: View, found: Minima, shape: Shape, boundary_shape: str, systematic: np.ndarray) -> Law:
    """Frontier law, boundary law, or the AnalysisError that says why neither is claimed.

    `boundary_shape` is the shape of the loss along the largest value of the other axis; `systematic` (I,)
    are errors of the losses at the minima (see `relscale.analysis.windows`).
    """
    if len(slices.at) < MIN_POINTS:
        raise too_few_points(slices.axis, slices.at)
    n_interior = int((found.status == INTERIOR).sum())
    if shape.verdict in ("u_shape", "inconclusive") and n_interior:
        if n_interior < MIN_POINTS:
            raise _no_frontier(slices, found)
        law = frontier_law(slices, found, systematic)
        _warn_of_frontier(law, slices, shape)
    else:
        at_high_end = bool(np.all((found.status == EDGE) & (found.index == len(slices.x) - 1)))
        if not (at_high_end or shape.verdict in ("decreasing", "flat")):
            raise _no_frontier(slices, found)
        law = boundary_law(slices)
        if len(law.x) < MIN_POINTS:
            raise too_few_points(slices.axis, law.x * UNIT[slices.axis])
        # It must fall all the way to be one.
        if law.loss.argmin() != len(law.loss) - 1 and boundary_shape != "decreasing":
            raise _no_frontier(slices, found)
        _warn_of_boundary(law, slices, shape)
    _refuse_noise(law, slices)
    return law


def _warn_of_frontier(law: Law, slices: View, shape: Shape) -> None:
    n_interior, n = int(law.used.sum()), len(slices.at)
    if n_interior < COMFORTABLE_SLICES:
        few = n_interior < MIN_POINTS_INTERVAL
        reported = "no interval is reported" if few else "the interval is indicative"
        law.warn(
            "too_few_interior",
            f"axis {slices.axis}: {n_interior} of {n} slices have an interior minimum, "
            f"{COMFORTABLE_SLICES} are needed for a sound interval; {reported}",
        )
    if shape.verdict == "inconclusive" and shape.n_tested:
        law.warn(
            "not_u_shaped",
            f"axis {slices.axis}: only {shape.n_u} of {shape.n_tested} slices are U-shaped beyond seed "
            f"noise; the minima over {slices.other} may be chance",
        )


def _warn_of_boundary(law: Law, slices: View, shape: Shape) -> None:
    n = len(slices.at)
    if len(slices.x) == 1:
        only = human_count(slices.x[0])
        law.warn("not_u_shaped", f"axis {slices.axis}: the law at {slices.other}={only}, its only value")
    else:
        law.warn(
            "not_u_shaped",
            f"axis {slices.axis}: no U-shape in {n - shape.n_u} of {n} slices; reporting the slice at "
            f"{slices.other}={human_count(slices.x[-1])} as a boundary law",
        )


def _no_frontier(slices: View, found: Minima) -> AnalysisError:
    """The error for an axis whose slices have fewer than `MIN_POINTS` interior minima beyond noise."""
    n, other = len(slices.at), slices.other
    n_interior = int((found.status == INTERIOR).sum())
    if 0 < n_interior < MIN_POINTS:
        edges = ", ".join(human_count(at) for at in slices.at[found.status == EDGE])
        return AnalysisError(
            "too_few_interior",
            f"axis {slices.axis}: {n_interior} of {n} slices have an interior minimum, need {MIN_POINTS}; "
            f"edge slices at {edges or 'none'}",
        )
    low = int(((found.status == EDGE) & (found.index == 0)).sum())
    high = int(((found.status == EDGE) & (found.index > 0)).sum())
    below, above = f"below {human_count(slices.x[0])}", f"above {human_count(slices.x[-1])}"
    if high == n:
        where = f"minimum at the high end in all {n} slices; extend {other} {above}"
    elif low == n:
        where = f"minimum at the low end in all {n} slices; extend {other} {below}"
    elif low == high == 0:
        where = f"none of the {n} slices has a minimum beyond noise"
    else:
        where = (
            f"minimum at the low end in {low}, at the high end in {high}, not located in {n - low - high} of "
            f"{n} slices; extend {other} {below} or {above}"
        )
    return AnalysisError("no_interior_optimum", f"axis {slices.axis}: {where}; no frontier law was fitted")


def _refuse_noise(law: Law, slices: View) -> None:
    """Refuse a law through points that seed noise alone explains."""
    if not slices.noise_sd or slices.noise_dof < MIN_DOF:
        return
    if is_constant(law.loss[law.used], slices.noise_sd**2 / law.weights[law.used]):
        raise AnalysisError(
            "exponent_at_bound",
            f"axis {slices.axis}: its {law.used.sum()} losses differ by no more than seed noise (SD "
            f"{slices.noise_sd:.2g}); data are consistent with flat behaviour",
        )


def warn_of_limits(law: Law, fit: AxisFit) -> None:
    """Records for a law that the points allow but hardly determine."""
    used, axis = law.used, law.axis
    octaves = float(np.log2(law.x[used].max() / law.x[used].min()))
    if used.sum() < MIN_POINTS_INTERVAL and law.status == "boundary":
        law.warn(
            "too_few_points",
            f"axis {axis}: {used.sum()} points for three parameters; no interval is reported",
        )
    if octaves < MIN_OCTAVES:
        law.warn(
            "too_few_points",
            f"axis {axis}: the values span {octaves:.1f} octaves, {MIN_OCTAVES} are needed to tell "
            f"the offset from the exponent",
        )
    low, high = fit.offset_set
    observed = float(np.ptp(law.loss[used]))
    if low <= 0 or high - low > observed:
        law.warn(
            "offset_not_identifiable",
            f"axis {axis}: offset in [{low:.4g}, {high:.4g}] at 95 %, observed loss range {observed:.3g}; "
            f"exponent {fit.alpha:.3g} in [{fit.alpha_set[0]:.3g}, {fit.alpha_set[1]:.3g}] is conditional "
            f"on it",
        )
