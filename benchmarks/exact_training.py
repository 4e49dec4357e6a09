"""Exactness of training: two workers against one, and a killed run against an unbroken one.

    python benchmarks/exact_training.py [--steps 50] [--kills 3] [--folder DIR]

1. Trains the same run with one worker and with two, each of which computes half of every batch and
   exchanges gradients by gloo. Prints the largest difference of any weight; the bar is 1e-5.
2. Starts `relscale pretrain`, kills it with SIGKILL at random moments, runs the same command again to its
   end, and compares the bytes of final/model.safetensors with those of a run in peace. Prints "identical".

Ends with exit code 1 if a bar is missed. Only processes that this script started are killed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command import start_pretrain
from safetensors.torch import load_file
from small_store import make_store
from torch import distributed, multiprocessing

from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.job import PretrainJob
from relscale.model.pretrain import pretrain
from relscale.model.workers import Workers

BAR = 1e-5
MODEL = ModelConfig(n_blocks=2, d_model=64, n_heads=4, d_ff=256)
SAMPLER = SamplerConfig(context_length=256, bfs_width=16, mask_prob=0.4)


def main() -> None:
    """Both comparisons."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="exact-") as name:
        folder = Path(name)
        store = make_store(folder, args.databases)
        missed = [not workers_agree(store, folder, args), not killed_run_agrees(store, folder, args)]
    if any(missed):
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=50, metavar="N")
    parser.add_argument("--batch-size", type=int, default=24, metavar="N")
    parser.add_argument("--databases", type=int, default=4, metavar="N")
    parser.add_argument("--kills", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: another each time)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the runs stand for a while")
    return parser.parse_args()


def workers_agree(store: Path, folder: Path, args: argparse.Namespace) -> bool:
    """Whether two workers and one end with the same weights but for rounding."""
    training = TrainingConfig(batch_size=args.batch_size)
    tokens = args.steps * args.batch_size * SAMPLER.context_length
    weights = []
    for n_workers in (1, 2):
        out = folder / f"workers-{n_workers}"
        job = PretrainJob(
            store=store, out=out, model=MODEL, sampler=SAMPLER, training=training, tokens=tokens
        )
        multiprocessing.spawn(work, (n_workers, folder, job), nprocs=n_workers)
        weights.append(load_file(out / "final" / "model.safetensors"))
    difference = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    print(f"one worker and two, {args.steps} steps: largest difference of a weight {difference:.2g}")
    return difference <= BAR


def work(rank: int, n_workers: int, folder: Path, job: PretrainJob) -> None:
    """One worker's process."""
    rendezvous = f"file://{folder}/rendezvous-{n_workers}"
    distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=n_workers)
    pretrain(job, report=ignore, workers=Workers(rank=rank, size=n_workers))
    distributed.destroy_process_group()


def ignore(line: dict[str, Any]) -> None:
    """Nobody listens."""


def killed_run_agrees(store: Path, folder: Path, args: argparse.Namespace) -> bool:
    """Whether a run that was killed ends with the bytes of one that was not."""
    peace, disturbed = folder / "peace", folder / "disturbed"
    started = time.monotonic()
    if code := start(store, peace, args).wait():
        sys.exit(f"`relscale pretrain` ended with exit code {code}.")
    seconds = time.monotonic() - started
    rng = np.random.default_rng(args.seed)
    hits = 0
    for _ in range(args.kills):
        process = start(store, disturbed, args)
        try:
            process.wait(timeout=rng.uniform(0.3, 0.6) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            hits += 1
            print(f"killed; {progress(disturbed)}", flush=True)
    if code := start(store, disturbed, args).wait():
        sys.exit(f"the disturbed `relscale pretrain` ended with exit code {code}.")
    files = [out / "final" / "model.safetensors" for out in (peace, disturbed)]
    same = files[0].read_bytes() == files[1].read_bytes()
    print(f"a run killed {hits} times and one in peace: {'identical' if same else 'they differ'}")
    return same


def start(store: Path, out: Path, args: argparse.Namespace) -> "subprocess.Popen[str]":
    """The command, long enough to be hit."""
    settings = [
        f"{group}.{name}={value}"
        for group, config in (("model", MODEL), ("sampler", SAMPLER))
        for name, value in config.model_dump(exclude_defaults=True).items()
    ]
    settings += [f"training.batch_size={args.batch_size}", "training.checkpoint_every_steps=7"]
    settings += ["training.log_every_steps=5"]
    tokens = 4 * args.steps * args.batch_size * SAMPLER.context_length
    return start_pretrain(store, out, tokens, settings, output=subprocess.DEVNULL)


def progress(out: Path) -> str:
    """How far a killed run was."""
    states = sorted(path.name for path in (out / "checkpoints").glob("step-*"))
    if (out / "final").is_dir():
        return "it was finished"
    return f"its latest state is {states[-1]}" if states else "it had saved nothing"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
