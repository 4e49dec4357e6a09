"""Peer's side of official_model.py: the official PluRel network with random weights on given contexts.

    python peer_network.py CONTEXTS.npz SIZES.json OUT

Writes OUT/weights.pt, its state dict, and OUT/predictions.npy, its float32 prediction of every masked cell
in row-major order. The network is `rt.model.legacy.PluRelTransformer` as it starts, but for norms: their
weights are random, so that one in the wrong place shows.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from rt.model.legacy import PluRelTransformer  # type: ignore[import-not-found]

NAMES = ("number", "text", "datetime", "boolean")


def main(contexts: Path, sizes: Path, out: Path) -> None:
    """Draw, save, predict."""
    generator = torch.Generator().manual_seed(0)
    network = PluRelTransformer(**json.loads(sizes.read_text())).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5, generator=generator)
    torch.save(network.state_dict(), out / "weights.pt")
    batch = official_batch(dict(np.load(contexts)))
    with torch.inference_mode():
        _, outputs = network(batch)
    masked, kind = batch["is_targets"], batch["sem_types"]
    prediction = torch.zeros(masked.shape)
    for i, name in enumerate(NAMES):
        if name != "text":
            prediction = torch.where(kind == i, outputs[name][..., 0], prediction)
    np.save(out / "predictions.npy", prediction[masked].numpy())


def official_batch(given: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The fields that the official network reads; all values in float32.

    Number, boolean and datetime values travel in two arrays: the official forward takes booleans from the
    numbers.
    """
    tensor = {name: torch.from_numpy(array) for name, array in given.items()}
    kind, value = tensor["sem_type"].long(), tensor["value"][..., None]
    is_time = (kind == NAMES.index("datetime"))[..., None]
    embeddings = tensor["embeddings"].float()
    return {
        "node_idxs": tensor["node"],
        "f2p_nbr_idxs": tensor["parents"],
        "col_name_idxs": tensor["column"],
        "table_name_idxs": torch.zeros_like(tensor["column"]),  # a column's number belongs to one table
        "is_padding": tensor["node"] < 0,
        "is_targets": tensor["masked"],
        "sem_types": kind,
        "number_values": torch.where(is_time, 0, value),
        "datetime_values": torch.where(is_time, value, 0),
        "text_values": embeddings[tensor["text"].long()],
        "col_name_values": embeddings[tensor["column"].long()],
    }


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
