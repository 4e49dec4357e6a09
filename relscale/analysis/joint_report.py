"""What `relscale fit --law joint` leaves behind: fit.json, one figure, one page."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relscale.analysis.joint import fit_joint, joint_runs
from relscale.analysis.joint_figures import joint_law
from relscale.analysis.page import render_page, save_figure
from relscale.analysis.results import read_table
from relscale.platform import storage

CAPTION = "Observed loss against the law (the line: agreement), and the residuals along both variables."


def write_joint(
    out: Path,
    file: Path,
    *,
    x: str,
    y: str,
    loss: str = "loss",
    drop_nonfinite: bool = False,
    n_boot: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit the law of two variables to a table; write fit.json, figures and report.html into `out`.

    Returns
    -------
    {"joint": as from `fit_joint`}, the content of fit.json.

    Raises
    ------
    AnalysisError : the file or a column is unusable, or the data give no such law.
    """
    table = read_table(file)
    joint = fit_joint(table, x=x, y=y, loss=loss, n_boot=n_boot, seed=seed, drop_nonfinite=drop_nonfinite)
    runs = joint_runs(table, x=x, y=y, loss=loss, drop_nonfinite=drop_nonfinite)
    picture = save_figure(joint_law(joint, runs), out, "joint_law", CAPTION)
    storage.write_json(out / "fit.json", {"joint": joint})
    page = render_page(
        "joint.html.j2",
        title=f"Joint law of {file.name}",
        sentences=joint_sentences(joint),
        warnings=joint["warnings"],
        figure=picture,
        facts={
            "table": f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}",
            "objective": f"Huber loss on log losses, delta {joint['delta']:g}; {joint['starts']} starts",
            "bootstrap": f"{n_boot} draws of the rows, seed {seed}",
            "versions": ", ".join(f"{name} {version(name)}" for name in ("relscale", "numpy", "scipy")),
        },
    )
    storage.write_text(out / "report.html", page)
    return {"joint": joint}


def joint_sentences(joint: Mapping[str, Any]) -> list[str]:
    """The law, its intervals, and how the search ended; one sentence each."""
    x, y = joint["columns"]["x"], joint["columns"]["y"]
    law = (
        f"L = {joint['E']:.4g} + {joint['A']:.4g} {x}^-{joint['alpha']:.4f} "
        f"+ {joint['B']:.4g} {y}^-{joint['beta']:.4f}, from {joint['rows']} runs"
    )
    left_out = f" ({joint['dropped']} without a loss left out)" if joint["dropped"] else ""
    sentences = [f"{law}{left_out}."]
    if joint["ci95"]:
        parts = [f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in joint["ci95"].items()]
        sentences.append(f"95 % intervals: {', '.join(parts)}.")
    else:
        sentences.append("No interval is reported.")
    agreed = f"{joint['starts_at_optimum']} of {joint['starts']} starts ended at the best objective"
    return [*sentences, f"{agreed}; the residuals are {100 * joint['rmse_log']:.2g} % of the loss."]
