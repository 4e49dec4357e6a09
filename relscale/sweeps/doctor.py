"""Whether a study can run here: every check of it, and those that need the cluster.

Findings come as they are made, in the order of the work, each with a sentence that says what to mend.
"""

import contextlib
import platform
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import relscale
from relscale.platform import remote
from relscale.platform.cluster import configured_address, connect, node_resources, on_each_node
from relscale.platform.errors import RelscaleError
from relscale.platform.placement import Cluster
from relscale.sweeps import local_checks
from relscale.sweeps.budget import Plan, plan_study
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.local_checks import Status, Verdict
from relscale.sweeps.measure import measure_parts
from relscale.sweeps.needs import DRIVER, needs_of, total, trials_at_once, usable_nodes, why_none

SAMPLE_SECONDS = 0.3
"""For which databases are made: enough to see how wide rows are and how large the study is."""
CPU_FEATURES = ("avx2", "avx512f")
"""What compiled code is fast with; it also decides the last digits of a database's features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check has found."""

    check: str
    status: Status
    sentence: str


def examine(config: StudyConfig, out: Path) -> Iterator[Finding]:
    """Check a study that would be run into `out`."""
    yield _finding("settings", local_checks.settings, config)
    yield _finding("seeds", local_checks.seeds, config.corpus, max(config.grid.n_databases))
    yield _finding("versions", local_checks.versions)
    yield _finding("text encoder", local_checks.text_encoder, config.text, config.model.d_text)
    plan = yield from _databases(config)
    on_store = remote.origin(out) is not None
    with contextlib.ExitStack() as stack:
        probe = None
        try:
            remote.check(out)
            probe = stack.enter_context(local_checks.probe_folder(out))
        except RelscaleError as error:
            yield Finding(check="folder", status="fail", sentence=str(error))
        else:
            here = "" if on_store else ", locked and renamed in"
            sentence = f"'{remote.shown(out)}' can be written{here}."
            yield Finding(check="folder", status="ok", sentence=sentence)
        if probe is not None and plan is not None and not on_store:
            yield _finding("space", local_checks.space, probe, plan)
        yield _finding("tracking", local_checks.tracking, config.tracking, probe)
        yield _finding("package", local_checks.package, Path.cwd())
        yield from _cluster(config, None if on_store else probe)


def _finding(check: str, look: Callable[..., Verdict], *arguments: Any) -> Finding:
    try:
        status, sentence = look(*arguments)
    except RelscaleError as error:
        status, sentence = "fail", str(error)
    return Finding(check=check, status=status, sentence=sentence)


def _databases(config: StudyConfig) -> Generator[Finding, None, Plan | None]:
    """Make some; what the study will need, if that went well."""
    try:
        with tempfile.TemporaryDirectory(prefix="relscale-doctor-") as scratch:
            parts = measure_parts(config, Path(scratch), seconds=SAMPLE_SECONDS, tokens_per_second=1.0)
    except RelscaleError as error:
        yield Finding(check="databases", status="fail", sentence=str(error))
        return None
    for part in parts:
        yield _finding("row width", local_checks.row_width, part)
    return plan_study(config, parts)


def _cluster(config: StudyConfig, probe: Path | None) -> Iterator[Finding]:
    """All that needs Ray."""
    from relscale.platform.autoscaling import read_cluster

    address = configured_address(config.cluster.address)
    try:
        with connect(config.cluster.address, config.cluster.num_cpus):
            nodes = node_resources()
            where = f"a cluster at '{address}'" if address else "a Ray on this machine, started for the study"
            n_nodes = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
            yield Finding(check="cluster", status="ok", sentence=f"{where}, {n_nodes}.")
            yield _finding("placement", _placement, config, read_cluster())
            probed = probe / "whole" / "probe" if probe else None
            answers, failures = on_each_node(_look, probed)
    except RelscaleError as error:
        yield Finding(check="cluster", status="fail", sentence=str(error))
        return
    for node, reason in failures.items():
        yield Finding(
            check="nodes",
            status="fail",
            sentence=f"a task on node {node[:8]} failed ({reason}); relscale must be installed there.",
        )
    if answers:
        yield _finding("nodes", _nodes, answers)
        yield _finding("CPU", _cpu, answers)
    if answers and probe is not None:
        yield _finding("shared folder", _shared, answers, probe)


def _placement(config: StudyConfig, cluster: Cluster) -> Verdict:
    needs = needs_of(config)
    at_once = trials_at_once(needs, usable_nodes(needs, cluster))
    if not at_once:
        return "fail", why_none(needs, cluster)
    runs = f"{at_once} trial{'s' if at_once > 1 else ''} at once, each with {needs.sentence}; there are "
    now = trials_at_once(needs, [node.resources for node in cluster.nodes])
    runs += cluster.sentence + (f" ({now} at once before more nodes are up)" if now < at_once else "")
    if needs.has_driver and not total(DRIVER, cluster.possible_nodes):
        remedy = f"start the head with --resources '{{\"{DRIVER}\": 64}}' to spare drivers a CPU"
        return "warn", f"{runs}; {remedy}."
    return "ok", f"{runs}."


def _look(probe: Path | None) -> dict[str, Any]:
    """What a node says of itself."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.is_file() else set()
    return {
        "python": platform.python_version(),
        "relscale": relscale.__version__,
        "features": [feature for feature in CPU_FEATURES if feature in words],
        "machine": platform.machine(),
        "sees": probe is not None and probe.is_file(),
    }


def _nodes(answers: dict[str, dict[str, Any]]) -> Verdict:
    found = {f"Python {answer['python']}, relscale {answer['relscale']}" for answer in answers.values()}
    here = f"Python {platform.python_version()}, relscale {relscale.__version__}"
    if found != {here}:
        return "fail", f"nodes have {'; '.join(sorted(found))}, here is {here}; install the same everywhere."
    return "ok", f"every node ran a task, with {here}."


def _cpu(answers: dict[str, dict[str, Any]]) -> Verdict:
    kinds = {(answer["machine"], *answer["features"]) for answer in answers.values()}
    names = "; ".join(sorted(" ".join(kind) for kind in kinds))
    if len(kinds) > 1:
        return "warn", (
            f"nodes differ ({names}): the last digits of a database's numbers depend on where it is made; "
            "use one type of CPU nodes where digests must repeat."
        )
    if next(iter(kinds)) == ("x86_64",):
        return "warn", "the CPUs have no AVX2, on which generation and training on CPUs rely for their speed."
    return "ok", f"{names}."


def _shared(answers: dict[str, dict[str, Any]], probe: Path) -> Verdict:
    blind = [node[:8] for node, answer in answers.items() if not answer["sees"]]
    if blind:
        return "fail", (
            f"a file in '{probe.parent}' is not seen by {len(blind)} nodes ({', '.join(blind)}); "
            "choose an --out on storage that all nodes mount at the same path."
        )
    if len(answers) == 1:
        return "ok", "one machine, one disk."
    return "ok", f"all {len(answers)} nodes read a file there."
