"""Peer's side of official_sampler.py: the official engine's contexts of chosen items, one file a request."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from peer_preprocess import read_name
from peer_sampler import open_sampler
from worker import serve


def contexts(request: dict[str, Any]) -> int:
    """Write the cells around every (item, seed) into request["file"]; the number of contexts."""
    opened = {
        "node": "node_idxs",
        "column": "col_name_idxs",
        "number": "number_values",
        "datetime": "datetime_values",
        "text": "class_value_idxs",
    }
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*opened, "context")}
    folder = Path(request["work"]) / read_name(Path(request["database"]))
    n = 0
    for seed in request["seeds"]:
        sampler = open_sampler({**request, "seed": seed}).sampler
        info = json.loads((folder / "table_info.json").read_text())
        first = info[f"{request['task']}:{request['split'].capitalize()}"]["node_idx_offset"]
        for row in request["rows"]:
            batch = dict(sampler.batch_for_nodes_py([first + row], 0, request["length"]))
            mine = ~batch["is_padding"] & (batch["seed_node_idxs"] == first + row)
            for name, key in opened.items():
                array = batch[key].view(np.uint16) if name in ("number", "datetime") else batch[key]
                parts[name].append(array[mine])
            parts["context"].append(np.full(mine.sum(), n))
            n += 1
    strings = json.loads((folder / "text.json").read_text())
    np.savez(
        request["file"],
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        info=json.dumps(info),
        strings=json.dumps(strings),
    )
    return n


if __name__ == "__main__":
    serve(contexts, lambda n: {"contexts": n})
