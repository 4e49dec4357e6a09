"""Which law the slices of an axis support: along the frontier, along the grid's boundary, or none."""

from dataclasses import dataclass, field

import numpy as np

from relscale.analysis.frontier import EDGE, INTERIOR, UNIT, Minima, View
from relscale.analysis.projection import MIN_POINTS, AxisFit, too_few_points
from relscale.analysis.results import AnalysisError
from relscale.analysis.ushape import MIN_DOF, Shape, is_constant
from relscale.platform.progress import human_count

MIN_POINTS_INTERVAL = 5
COMFORTABLE_SLICES = 6
MIN_OCTAVES = 4


@dataclass(slots=True, kw_only=True)
class Law:
    """The points of one axis' law, taken from the frontier or along the boundary of the grid."""

    status: str
    x: np.ndarray
    """(n,) values of the axis in its `UNIT`."""
    loss: np.ndarray
    weights: np.ndarray
    """(n,) inverse variances up to a factor; 0 leaves a slice out."""
    noise_dof: int
    """Degrees of freedom of the seeds behind the points: sum of runs - 1."""
    warnings: list[dict[str, str]] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        self.warnings.append({"code": code, "message": message})


def choose_law(slices: View, found: Minima, shape: Shape, boundary_shape: str) -> Law:
    """Frontier law, boundary law, or the AnalysisError that says why neither is claimed.

    `boundary_shape` is the shape of the loss along the largest value of the other axis.
    """
    if len(slices.at) < MIN_POINTS:
        raise too_few_points(slices.axis, slices.at)
    n_interior = int((found.status == INTERIOR).sum())
    if shape.verdict in ("u_shape", "inconclusive") and n_interior:
        law = _frontier_law(slices, found, shape)
    else:
        at_high_end = bool(np.all((found.status == EDGE) & (found.index == len(slices.x) - 1)))
        if not (at_high_end or shape.verdict in ("decreasing", "flat")):
            raise _no_frontier(slices, found)
        law = _boundary_law(slices, found, shape, boundary_shape)
    _refuse_noise(law, slices)
    return law


def _frontier_law(slices: View, found: Minima, shape: Shape) -> Law:
    loss = np.where(found.status == INTERIOR, found.loss_opt, 0.0)
    n_interior, n = int((found.status == INTERIOR).sum()), len(slices.at)
    if n_interior < MIN_POINTS:
        raise _no_frontier(slices, found)
    lowest = slices.counts[np.arange(len(slices.at)), found.index]
    law = Law(
        status="ok",
        x=slices.at / UNIT[slices.axis],
        loss=loss,
        weights=found.loss_weight,
        noise_dof=int((lowest - 1)[found.status == INTERIOR].sum()),
    )
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
    return law


def _boundary_law(slices: View, found: Minima, shape: Shape, boundary_shape: str) -> Law:
    """The law along the largest value of the other axis; it must fall all the way to be one."""
    there = slices.counts[:, -1] > 0
    x, loss, counts = slices.at[there] / UNIT[slices.axis], slices.means[there, -1], slices.counts[there, -1]
    if len(x) < MIN_POINTS:
        raise too_few_points(slices.axis, slices.at[there])
    if loss.argmin() != len(loss) - 1 and boundary_shape != "decreasing":
        raise _no_frontier(slices, found)
    dof = int((counts - 1).sum())
    law = Law(status="boundary", x=x, loss=loss, weights=counts.astype(np.float64), noise_dof=dof)
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
    return law


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
    used = law.weights > 0
    if is_constant(law.loss[used], slices.noise_sd**2 / law.weights[used]):
        raise AnalysisError(
            "exponent_at_bound",
            f"axis {slices.axis}: its {used.sum()} losses differ by no more than seed noise (SD "
            f"{slices.noise_sd:.2g}); data are consistent with flat behaviour",
        )


def warn_of_limits(law: Law, fit: AxisFit, axis: str) -> None:
    """Records for a law that the points allow but hardly determine."""
    used = law.weights > 0
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
