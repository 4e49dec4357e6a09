"""The official network and ours with the same weights on real contexts: largest difference.

    python benchmarks/official_model.py --database REL_F1 --peer-python PEER/bin/python

The peer is relational-transformer 1.10.0 in an environment of its own (see official_preprocess.py), its
network `rt.model.legacy.PluRelTransformer` in float32 with FlexAttention. It draws random weights and saves
its state dict; `relscale.model.checkpoint.load_model` reads that file. Contexts are those of our sampler on
the tasks of REL_F1, a RelBench 3 folder such as rel-f1, once with the target alone masked and once with up to
half of the cells. Each backend of ours is compared, over all masked cells. Exit code 1 above --tolerance.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from record import print_table, write_record

from relscale.model.checkpoint import load_model
from relscale.model.config import ModelConfig, SamplerConfig, TextConfig
from relscale.model.context import ContextBatch
from relscale.model.encode import to_tensors
from relscale.model.items import task_items
from relscale.model.relations import Backend
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform.dataflow import map_keys_here

HERE = Path(__file__).parent
SIZES = {
    "tiny": ModelConfig(n_blocks=2, d_model=64, n_heads=4, d_ff=256),
    "PluRel": ModelConfig(),
}
BACKENDS: tuple[Backend, ...] = ("groups", "dense")
CASES = ((256, 0.0), (256, 0.5), (1024, 0.0))
"""Context length and mask_prob."""


def main() -> None:
    """Compare every size and case, print, judge."""
    args = parse_arguments()
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory(prefix="official-") as name:
        folder = Path(name)
        store = tokenize_folders([args.database], folder / "store", TextConfig(), run=map_keys_here)
        for size, config in SIZES.items():
            for length, mask_prob in CASES:
                contexts = real_contexts(store, length, mask_prob, args.contexts)
                found = differences(config, contexts, np.asarray(store.embeddings), args.peer_python, folder)
                worst = max(worst, *found.values())
                cells = f"{contexts.masked.sum():,}"
                rows.append(
                    [size, f"{length:,}", str(mask_prob), cells, *(f"{x:.1e}" for x in found.values())]
                )
    headings = ["network", "cells", "mask_prob", "predictions", *BACKENDS]
    print_table(headings, rows)
    write_record(args.out, measurements=[dict(zip(headings, row, strict=True)) for row in rows])
    print(f"largest difference {worst:.1e}, tolerance {args.tolerance:.0e}")
    sys.exit(worst > args.tolerance)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", type=Path, required=True, metavar="DIR", help="RelBench 3 folder")
    parser.add_argument("--peer-python", type=Path, required=True, metavar="PATH", help="Python of the peer")
    parser.add_argument("--contexts", type=int, default=4, metavar="N", help="per task")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/official_model.json"))
    return parser.parse_args()


def real_contexts(store: TokenStore, length: int, mask_prob: float, n: int) -> ContextBatch:
    """Contexts of the last test rows of every task."""
    database = store.database(store.names[0])
    sampler = SamplerConfig(context_length=length, mask_prob=mask_prob)
    parts = []
    for task in database.tasks:
        items = task_items(database, task.name, "test")
        if len(items):
            last = items.slice(max(0, len(items) - n), len(items))
            parts.append(sample_contexts(store, [database.name], last, sampler, seed=0))
    return ContextBatch(
        **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ContextBatch)}
    )


def differences(
    config: ModelConfig, contexts: ContextBatch, embeddings: np.ndarray, python: Path, folder: Path
) -> dict[str, float]:
    """Backend -> the largest absolute difference of a prediction."""
    arrays = {f.name: getattr(contexts, f.name) for f in fields(ContextBatch)}
    np.savez(folder / "contexts.npz", embeddings=embeddings, **arrays)
    sizes = {name: getattr(config, name) for name in ("d_model", "d_text", "d_ff")}
    sizes |= {"num_blocks": config.n_blocks, "num_heads": config.n_heads}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    command = [python, HERE / "peer_network.py", folder / "contexts.npz", folder / "sizes.json", folder]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the official network failed: {done.stderr[-1500:]}")
    expected = np.load(folder / "predictions.npy")
    network, _ = load_model(folder / "weights.pt")
    assert network.config == config
    found = {}
    for backend in BACKENDS:
        with torch.inference_mode():
            prediction = network(to_tensors(contexts, embeddings, backend=backend))
        found[backend] = float(np.abs(prediction.numpy() - expected).max())
    return found


if __name__ == "__main__":
    main()
