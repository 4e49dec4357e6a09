"""What one trial occupies, how many of them nodes hold at once, and what Ray Tune reserves for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from relscale.model.config import TrainingConfig
from relscale.platform.placement import Bundle, Cluster, fits, sparing_gpus
from relscale.sweeps.config import TrialConfig

DRIVER = "trial_driver"
"""Custom resource that the waiting driver of a trial with workers occupies (see `sweeps.launch`),
so that it takes no CPU from them. A cluster's head declares it; without it each driver takes a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one trial occupies: a place of so many CPUs and GPUs for each worker, and perhaps a driver."""

    n_workers: int
    cpus: int
    gpus: int
    has_driver: bool

    @property
    def worker(self) -> Bundle:
        """What each worker finds on one node."""
        return {"CPU": self.cpus, "GPU": self.gpus}

    @property
    def sentence(self) -> str:
        """The same in words."""
        gpu = f" and {self.gpus} GPU" if self.gpus else ""
        each = f"{self.n_workers} x " if self.n_workers > 1 else ""
        driver = f", and one '{DRIVER}' (or a CPU) for its driver" if self.has_driver else ""
        return f"{each}{self.cpus} CPU{'s' if self.cpus > 1 else ''}{gpu}{driver}"


class Sized(Protocol):
    """What says how large a trial is: a study, or one of its trials."""

    @property
    def trial(self) -> TrialConfig: ...
    @property
    def training(self) -> TrainingConfig: ...


def needs_of(sized: Sized) -> Needs:
    """What one trial occupies."""
    return Needs(
        n_workers=max(1, sized.trial.n_workers),
        cpus=sized.training.n_threads,
        gpus=int(sized.trial.use_gpu),
        has_driver=sized.trial.n_workers > 0,
    )


def trials_at_once(needs: Needs, nodes: Iterable[Bundle]) -> int:
    """Trials that nodes with these resources hold at once; 0 if not one.

    A worker's CPUs and GPU come from one node. A driver takes a CPU where no node declares `DRIVER`.
    """
    nodes = list(nodes)
    at_once = sum(fits(needs.worker, node) for node in nodes) // needs.n_workers
    if not needs.has_driver:
        return at_once
    if drivers := total(DRIVER, nodes):
        return min(at_once, drivers)
    return min(at_once, total("CPU", nodes) // (needs.cpus * needs.n_workers + 1))


def usable_nodes(needs: Needs, cluster: Cluster) -> list[Bundle]:
    """All nodes that a cluster may have at once for trials; those with GPUs for others only if need be."""
    spared = sparing_gpus(cluster).possible_nodes
    return spared if not needs.gpus and trials_at_once(needs, spared) else cluster.possible_nodes


def reserved(needs: Needs, nodes: Iterable[Bundle]) -> dict[str, float]:
    """What Ray Tune reserves for a trial: its own process, or the driver of its workers."""
    if not needs.has_driver:
        return {"cpu": needs.cpus}
    return {"cpu": 0, DRIVER: 1} if total(DRIVER, nodes) else {"cpu": 1}


def why_none(needs: Needs, cluster: Cluster) -> str:
    """Why a cluster can never hold a trial, and what to do."""
    remedy = "lower training.n_threads or trial.n_workers, or add nodes"
    if needs.gpus and not total("GPU", cluster.possible_nodes):
        remedy = "set trial.use_gpu=false, or add GPU nodes"
    elif needs.has_driver and not total(DRIVER, cluster.possible_nodes):
        remedy += f"; --resources '{{\"{DRIVER}\": 64}}' of the head spares drivers a CPU"
    return f"a trial needs {needs.sentence}, the cluster has {cluster.sentence}; {remedy}."


def total(name: str, nodes: Iterable[Bundle]) -> int:
    """How much of a resource nodes have together."""
    return int(sum(node.get(name, 0) for node in nodes))
