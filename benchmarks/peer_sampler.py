"""Peer's side of sampler.py: batches of the official engine on request.

Its contexts are not filled up by random walks (num_walks 0); random vectors stand for text embeddings.
"""

from pathlib import Path
from typing import Any

from peer_preprocess import add_embeddings, read_name
from rt.data import RustlerDataset, get_tasks  # type: ignore[import-not-found]
from rt.rustler import preprocess  # type: ignore[import-not-found]
from worker import serve

BATCH_SIZE = 32
_opened: dict[tuple[str, int], Any] = {}


def sample(request: dict[str, Any]) -> int:
    """Sample the asked batches; the number of tokens."""
    key = request["work"], request["length"]
    if key not in _opened:  # in the first round, which is not counted
        _opened[key] = open_sampler(request)
    sampler, n_batches = _opened[key].sampler, request["batches"]
    n_whole = _opened[key].num_items // BATCH_SIZE
    for batch in range(request["round"] * n_batches, (request["round"] + 1) * n_batches):
        sampler.batch_py(batch % n_whole, BATCH_SIZE, request["length"])
    return n_batches * BATCH_SIZE * request["length"]


def open_sampler(request: dict[str, Any]) -> Any:
    """The official dataset of a task's split, preprocessed where that has not been done."""
    source, work = Path(request["database"]), Path(request["work"])
    name = read_name(source)
    if not (work / name).is_dir():
        work.mkdir(parents=True, exist_ok=True)
        preprocess(str(source), str(work), source=str(source), skip_tasks=False)
        add_embeddings(work / name)
    return RustlerDataset(
        tasks=get_tasks(str(work), [(name, request["task"])], [request.get("split", "train")]),
        pre_dir=str(work),
        global_rank=0,
        local_rank=0,
        world_size=1,
        local_ctx_size_list=[request["length"]],
        bfs_width_list=[request["width"]],
        num_walks=0,
        walk_length=20,
        prefer_latest_list=[False],
        mask_prob_max=0.0,
        embedder="random",
        d_text=384,
        shuffle_seed=0,
        context_seed=request.get("seed", 0),
        items_per_task=-1,
        quiet=True,
        ignore_data_errors=False,
        mmap_populate=False,
        legacy_boolean=False,
        timeout_per_item=60.0,
        vector_db_path=None,
        db_cutoff=None,
    )


if __name__ == "__main__":
    serve(sample, lambda tokens: {"tokens": tokens})
