"""Our side of sampler.py: batches of contexts on request."""

from pathlib import Path
from typing import Any

from worker import serve

from relscale.model.config import SamplerConfig, TextConfig
from relscale.model.items import Items, task_items
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform.seeds import Purpose, stream

BATCH_SIZE = 32
_opened: dict[str, tuple[TokenStore, Items]] = {}


def sample(request: dict[str, Any]) -> int:
    """Sample the asked batches; the number of tokens."""
    store, items = _open(request)
    config = SamplerConfig(context_length=request["length"], bfs_width=request["width"])
    n_batches, first = request["batches"], request["round"] * request["batches"]
    for batch in range(first, first + n_batches):
        place = batch * BATCH_SIZE % (len(items) - BATCH_SIZE)
        some = items.slice(place, place + BATCH_SIZE)
        sample_contexts(store, store.names, some, config, seed=0, first_index=batch * BATCH_SIZE)
    return n_batches * BATCH_SIZE * request["length"]


def _open(request: dict[str, Any]) -> tuple[TokenStore, Items]:
    if request["work"] not in _opened:  # in the first round, which is not counted
        store = tokenize_folders([Path(request["database"])], Path(request["work"]), TextConfig())
        items = task_items(store.database(store.names[0]), request["task"], "train")
        order = stream(0, Purpose.ITEMS).permutation(len(items))
        _opened[request["work"]] = (
            store,
            Items(database=items.database[order], column=items.column[order], node=items.node[order]),
        )
    return _opened[request["work"]]


if __name__ == "__main__":
    serve(sample, lambda tokens: {"tokens": tokens})
