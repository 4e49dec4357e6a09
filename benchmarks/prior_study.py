"""What is a prior worth? Networks of several priors on one another's held-out databases, and on real ones.

    relscale sweep --config configs/cpu-events-prior.yaml --out runs/prior/on-events
    relscale sweep --config configs/cpu-events-mechanisms.yaml --out runs/prior/mechanisms
    python benchmarks/prior_study.py --runs runs/prior --out runs/prior/tables
    python benchmarks/prior_study.py --runs runs/prior --out runs/prior/tables --dataset data/rel-f1
    relscale sweep --config configs/cpu-events-default.yaml --out runs/prior/default
    python benchmarks/prior_study.py --runs runs/prior --sweeps default --out runs/prior/tables --dataset DIR

Takes from the sweeps the networks of the most databases and tokens, every seed: equal in all but the prior.
Prints and writes, with intervals of 95 %: the cross table (held-out loss of each prior's networks on each
prior's databases, feature cells alone, over databases and seeds, beside the column's mean) and the scores on
the real databases (over entities and seeds, beside the best baseline), with paired differences, by a
bootstrap and, since that of three seeds is somewhat too narrow, by Welch's degrees of freedom. Run again, it
goes on.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from record import print_table

from relscale.analysis.resampling import welch_interval
from relscale.analysis.transfer import Evaluation, markdown, transfer_table
from relscale.analysis.zero_shot import evaluate_checkpoint
from relscale.model.source import source_digest
from relscale.platform import remote, storage
from relscale.platform.config import load_config
from relscale.platform.dataflow import map_keys_here
from relscale.sweeps.collect import checkpoint_folder
from relscale.sweeps.config import StudyConfig, ZeroShotConfig, dataset_name
from relscale.sweeps.databases import Databases, make_databases, real_database
from relscale.sweeps.holdout import held_out_scores
from relscale.sweeps.transfer import read_evaluation, share_store
from relscale.sweeps.variants import Variant, variants
from relscale.sweeps.zero_shot import scoring_fingerprint

WHOLE, PUBLISHED = "relational-events", "plurel"
OWNERS = (PUBLISHED, WHOLE, "less traits", "less time", "less meaning")
"""Whose held-out databases are scored; without forecast tasks the tables are those of the whole prior."""
COLUMN_MEAN = "column mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A prior with its trained networks: seed -> checkpoint."""

    name: str
    config: StudyConfig
    checkpoints: dict[int, Path]


def arms(runs: Path, sweeps: list[str]) -> list[Arm]:
    """Of every variant of the sweeps, or of the sweep itself where it has none; the published prior first."""
    found = [_arm(runs / sweep, one) for sweep in sweeps for one in _variants(runs / sweep)]
    return sorted(found, key=lambda arm: arm.name != PUBLISHED)


def given(pairs: list[str]) -> list[Arm]:
    """Networks from NAME=FOLDER; those of one name are its seeds 0, 1, ... in order."""
    folders: dict[str, list[Path]] = {}
    for pair in pairs:
        name, folder = pair.split("=", 1)
        folders.setdefault(name, []).append(Path(folder))
    return [
        Arm(name=name, config=StudyConfig(), checkpoints=dict(enumerate(found)))
        for name, found in folders.items()
    ]


def _variants(sweep: Path) -> list[Variant]:
    return variants(load_config(StudyConfig, sweep / "study.yaml", []))


def _arm(sweep: Path, variant: Variant) -> Arm:
    folder = sweep / "variants" / variant.name.replace(" ", "_") if variant.settings else sweep
    results = pd.read_parquet(folder / "results.parquet")
    last = results[
        (results["n_databases"] == results["n_databases"].max())
        & (results["tokens"] == results["tokens"].max())
        & (results["status"] == "ok")
    ]
    value = next(iter(variant.settings.values()), variant.config.corpus.prior)
    return Arm(
        name=WHOLE if value == "events-1" else str(value).replace("events-1-no-", "less "),
        config=variant.config,
        checkpoints={row.seed: checkpoint_folder(sweep, row.key) for row in last.itertuples()},
    )


def cross_losses(networks: list[Arm], runs: Path, workers: int) -> pd.DataFrame:
    """Columns held_out (whose databases), trained (whose networks), seed, database, loss."""
    tables = []
    for owner in networks:
        if owner.name not in OWNERS:
            continue
        folder = runs / "cross" / owner.name.replace(" ", "-")
        held_out = make_databases(owner.config, folder / "held-out", map_keys_here, held_out=True)
        jobs = [(arm, seed, folder, held_out) for arm in networks for seed in arm.checkpoints]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for (arm, seed, *_), scores in zip(jobs, pool.map(_cross_one, jobs), strict=True):
                loss = pd.Series(scores["per_database"], name="loss").rename_axis("database").reset_index()
                about = {"held_out": owner.name, "trained": arm.name, "seed": seed}
                tables.append(loss.assign(**about, column_mean=scores["loss_mean_predictor"]))
                print(f"{owner.name}: {arm.name}, seed {seed}: {scores['loss']:.4f}", flush=True)
    return pd.concat(tables, ignore_index=True)


def _cross_one(job: tuple[Arm, int, Path, Databases]) -> dict[str, Any]:
    arm, seed, folder, held_out = job
    checkpoint, file = arm.checkpoints[seed], folder / f"{arm.name}-{seed}.json".replace(" ", "-")
    inputs = {
        "network": remote.digests(checkpoint)["model.safetensors"],
        "on": held_out.fingerprint,
        "sampler": arm.config.sampler.fingerprint(),
        "evaluation": arm.config.evaluation.fingerprint(),
    }
    with storage.unless_current(file.with_suffix(".inputs.json"), inputs, [file]) as must_run:
        if must_run:
            config = arm.config
            scores = held_out_scores(
                checkpoint, held_out.path, held_out.names, config.sampler, config.evaluation
            )
            storage.write_json(file, scores)
    return dict(storage.read_json(file))


def cross_table(losses: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row per held_out and trained: loss, and its difference to the networks of the reference.

    Intervals hold the draw of the held-out databases, the same for both, and of the seeds, with Welch's
    degrees of freedom: a bootstrap of three seeds would be too narrow.
    """
    rows = []
    for held_out, group in losses.groupby("held_out", sort=False):
        cubes = {
            name: part.pivot_table(index="seed", columns="database", values="loss").to_numpy()
            for name, part in group.groupby("trained", sort=False)
        }
        for name, cube in cubes.items():
            low, high = (0.0, 0.0) if name == reference else _interval(cube, cubes[reference])
            rows.append(
                {
                    "held_out": held_out,
                    "trained": name,
                    "loss": cube.mean(),
                    "difference": cube.mean() - cubes[reference].mean(),
                    "low": low,
                    "high": high,
                    COLUMN_MEAN: group["column_mean"].iloc[0],
                }
            )
    return pd.DataFrame(rows)


def _interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean difference of two losses [seeds, databases]."""
    apart = first.mean(axis=0) - second.mean(axis=0)
    parts = [(apart.var(ddof=1) / len(apart), len(apart) - 1)]
    parts += [(cube.mean(axis=1).var(ddof=1) / len(cube), len(cube) - 1) for cube in (first, second)]
    low, high = welch_interval(apart.mean(), parts) or (np.nan, np.nan)
    return low, high


def evaluate(networks: list[Arm], args: argparse.Namespace) -> list[Evaluation]:
    """Every network on every task of the real databases."""
    found = []
    for dataset in args.dataset:
        name = dataset_name(dataset)
        source = real_database(dataset, args.runs / "real")
        folder = args.runs / "scores" / f"{name}-{args.split}-{args.visibility}-{cells_of(args)}"
        jobs = [
            (checkpoint, source, folder / f"{arm.name}-{seed}".replace(" ", "-"), args)
            for arm in networks
            for seed, checkpoint in arm.checkpoints.items()
        ]
        _evaluate_one(jobs[0])  # makes the tokens that the others share
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_evaluate_one, jobs))
        owners = [(arm.name, seed) for arm in networks for seed in arm.checkpoints]
        found += [
            read_evaluation(job[2], name, owner, seed)
            for (owner, seed), job in zip(owners, jobs, strict=True)
        ]
    return found


def _evaluate_one(job: tuple[Path, Path, Path, argparse.Namespace]) -> None:
    checkpoint, source, folder, args = job
    inputs = {
        "network": remote.digests(checkpoint)["model.safetensors"],
        "database": source_digest(source),
        "code": scoring_fingerprint(),
        "cells": args.context_lengths,
        "seeds": args.context_seeds,
    }
    with storage.unless_current(folder / "inputs.json", inputs, [folder / "scores.json"]) as must_run:
        if must_run:
            tokens = args.runs / "real-tokens" / source.name
            storage.make_folder(tokens)
            share_store(tokens, folder)
            evaluate_checkpoint(
                checkpoint,
                source,
                folder,
                split=args.split,
                visibility=args.visibility,
                context_seeds=args.context_seeds,
                sampler=ZeroShotConfig(context_lengths=tuple(args.context_lengths)).sampler,
                progress=lambda line: print(f"{folder.name}: {line}", flush=True),
            )


def main() -> None:
    """Print both tables, and write them below --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--sweeps", nargs="+", default=["on-events", "mechanisms"], help="folders of --runs")
    parser.add_argument("--reference", default=WHOLE, help="networks that all others are compared with")
    parser.add_argument("--dataset", action="append", default=[])
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="NAME=FOLDER",
        help="in place of the sweeps'; of the same name several times: its seeds",
    )
    parser.add_argument("--split", default="val", choices=["val", "test"])
    parser.add_argument("--visibility", default="temporal", choices=["temporal", "strict"])
    parser.add_argument(
        "--context-lengths", type=int, nargs="+", default=[128], help="of several, predictions are averaged"
    )
    parser.add_argument("--context-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lacking = [name for name in args.sweeps if not (args.runs / name / "study.yaml").is_file()]
    if lacking and not args.checkpoint:
        parser.error(f"'{args.runs}' holds no sweep '{lacking[0]}'; run those named above first")
    for pair in args.checkpoint or ():
        if "=" not in pair or not (Path(pair.split("=", 1)[1]) / "model.safetensors").is_file():
            parser.error(f"--checkpoint {pair} is not NAME=FOLDER of a checkpoint")
    if args.checkpoint and not args.dataset:
        parser.error("--checkpoint needs a --dataset to be scored on")
    networks = given(args.checkpoint) if args.checkpoint else arms(args.runs, args.sweeps)
    names = [arm.name for arm in networks]
    if len(set(names)) < len(names):
        parser.error(
            f"two sweeps hold networks of the same name ({', '.join(sorted(names))}); give one of them"
        )
    if args.reference not in names:
        parser.error(f"--reference {args.reference} is none of {', '.join(names)}")
    if not args.dataset:
        losses = cross_losses(networks, args.runs, args.workers)
        table = cross_table(losses, args.reference)
        storage.write_text(args.out / "cross.csv", table.to_csv(index=False, float_format="%.6g"))
        print_cross(table, args.reference)
        return
    table = transfer_table(evaluate(networks, args), n_boot=2000)
    table["differences"] = [
        row for row in table["differences"] if args.reference in (row["first"], row["second"])
    ]
    asked = [*map(dataset_name, args.dataset), args.split, args.visibility, cells_of(args)]
    name = "-".join(["given" if args.checkpoint else "-".join(args.sweeps), *asked])
    note = (
        f"Split {args.split}, visibility {args.visibility}, read at {cells_of(args)} cells. "
        "Intervals: 95 %, over entities and seeds."
    )
    page = markdown(table, "Priors on real databases", note)
    storage.write_text(args.out / f"{name}.md", page)
    print(page)


def cells_of(args: argparse.Namespace) -> str:
    """The lengths of contexts, such as "8-16-32"."""
    return "-".join(map(str, args.context_lengths))


def print_cross(table: pd.DataFrame, reference: str) -> None:
    """A line for each prior's networks, a column for each prior's held-out databases."""
    held_out = list(dict.fromkeys(table["held_out"]))
    rows = []
    for trained, group in table.groupby("trained", sort=False):
        by = group.set_index("held_out")
        rows.append([str(trained), *(_cell(by.loc[name], reference) for name in held_out)])
    means = table.drop_duplicates("held_out").set_index("held_out")[COLUMN_MEAN]
    rows.append([COLUMN_MEAN, *(f"{means[h]:.4f}" for h in held_out)])
    print_table(["trained on", *held_out], rows)


def _cell(row: pd.Series, reference: str) -> str:
    apart = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    return f"{row['loss']:.4f}" if row["trained"] == reference else f"{row['loss']:.4f} ({apart})"


if __name__ == "__main__":
    main()
