"""Peer's side of official_preprocess.py: RelBench 3 folders through the official tools, as they come.

    python peer_preprocess.py OUT DATABASE...

Each database is preprocessed by `rt.rustler` into OUT; then, over all of them, the official list of training
tasks is made and the official sampler draws one batch of it. The text encoder cannot be downloaded here, so
random vectors stand for the texts' embeddings. Prints one JSON object as its last line.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rt.data import (  # type: ignore[import-not-found]
    RustlerDataset,
    get_tasks,
    make_db_task_list,
    read_meta,
)
from rt.rustler import preprocess  # type: ignore[import-not-found]

EMBEDDER, D_TEXT = "random", 384
BATCH_SIZE, CONTEXT_LENGTH = 32, 256


def main(out: Path, databases: list[Path]) -> None:
    """Preprocess, list the tasks, draw a batch."""
    for folder in databases:
        preprocess(str(folder), str(out), source=str(folder), skip_tasks=False)
        add_embeddings(out / read_name(folder))
    names = [read_name(folder) for folder in databases]
    tasks = get_tasks(str(out), make_db_task_list(str(out)), ["train"])
    batch = one_batch(out, tasks) if tasks else None
    print(json.dumps({"databases": [counts(out, name) for name in names], "batch": batch}))


def read_name(folder: Path) -> str:
    """The database's name, from the first line of its manifest."""
    return (folder / "manifest.yaml").read_text().splitlines()[0].removeprefix("name: ")


def add_embeddings(folder: Path) -> None:
    """A random vector in bfloat16 for each text, and its note in meta.json."""
    n_texts = len(json.loads((folder / "text.json").read_text()))
    vectors = np.random.default_rng(0).normal(size=(n_texts, D_TEXT)).astype(np.float32)
    (vectors.view(np.uint32) >> 16).astype(np.uint16).tofile(folder / f"text_emb_{EMBEDDER}.bin")
    meta = json.loads((folder / "meta.json").read_text())
    meta["text_embeddings"] = {EMBEDDER: {"file": f"text_emb_{EMBEDDER}.bin", "d_text": D_TEXT}}
    (folder / "meta.json").write_text(json.dumps(meta))


def counts(out: Path, name: str) -> dict[str, Any]:
    """What preprocessing found in one database."""
    meta = read_meta(str(out), name)
    return {
        "name": name,
        "tables": meta["num_db_tables"],
        "nodes": meta["num_nodes"],
        "texts": meta["num_text_strings"],
        "tasks": len(meta["tasks"]),
        "megabytes": sum(file.stat().st_size for file in (out / name).iterdir()) / 2**20,
    }


def one_batch(out: Path, tasks: list[Any]) -> dict[str, int]:
    """Contexts of the official sampler over all training tasks, and how full they are."""
    dataset = RustlerDataset(
        tasks=tasks,
        pre_dir=str(out),
        global_rank=0,
        local_rank=0,
        world_size=1,
        local_ctx_size_list=[CONTEXT_LENGTH],
        bfs_width_list=[128],
        num_walks=100,
        walk_length=20,
        prefer_latest_list=[False],
        mask_prob_max=0.0,
        embedder=EMBEDDER,
        d_text=D_TEXT,
        shuffle_seed=0,
        context_seed=0,
        items_per_task=100_000,
        quiet=True,
        ignore_data_errors=False,
        mmap_populate=False,
        legacy_boolean=False,
        timeout_per_item=60.0,
        vector_db_path=None,
        db_cutoff=None,
    )
    batch = dataset._process_batch(dataset.sampler.batch_py(0, BATCH_SIZE, CONTEXT_LENGTH))
    return {
        "tasks": len(tasks),
        "items": dataset.num_items,
        "contexts": len(batch["is_targets"]),
        "targets": int(batch["is_targets"].sum()),
        "cells": int((~batch["is_padding"]).sum()),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
