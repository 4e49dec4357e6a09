"""What one trial occupies, and how many of them nodes hold at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relscale.sweeps.config import StudyConfig

DRIVER = "trial_driver"
"""Custom resource that the waiting driver of a trial with workers occupies (see `sweeps.launch`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one trial occupies: a place of so many CPUs and GPUs for each worker, and perhaps a driver."""

    n_workers: int
    cpus: int
    gpus: int
    has_driver: bool

    @property
    def sentence(self) -> str:
        """The same in words."""
        gpu = f" and {self.gpus} GPU" if self.gpus else ""
        each = f"{self.n_workers} x " if self.n_workers > 1 else ""
        driver = f", and one '{DRIVER}' (or a CPU) for its driver" if self.has_driver else ""
        return f"{each}{self.cpus} CPU{'s' if self.cpus > 1 else ''}{gpu}{driver}"


def needs_of(config: StudyConfig) -> Needs:
    """What one trial occupies."""
    return Needs(
        n_workers=max(1, config.trial.n_workers),
        cpus=config.training.n_threads,
        gpus=int(config.trial.use_gpu),
        has_driver=config.trial.n_workers > 0,
    )


def trials_at_once(needs: Needs, nodes: Iterable[Mapping[str, float]]) -> int:
    """Trials that nodes with these resources hold at once; 0 if not one.

    A worker's CPUs and GPU come from one node. A driver takes a CPU where no node declares `DRIVER`.
    """
    nodes = list(nodes)
    places = sum(
        min(
            int(node.get("CPU", 0)) // needs.cpus,
            int(node.get("GPU", 0)) // needs.gpus if needs.gpus else 2**31,
        )
        for node in nodes
    )
    at_once = places // needs.n_workers
    if not needs.has_driver:
        return at_once
    if drivers := int(sum(node.get(DRIVER, 0) for node in nodes)):
        return min(at_once, drivers)
    cpus = int(sum(node.get("CPU", 0) for node in nodes))
    return min(at_once, cpus // (needs.cpus * needs.n_workers + 1))
