"""A token store of small synthetic databases, made in this process in some seconds."""

from collections.abc import Mapping
from pathlib import Path

from relscale.generation.corpus import database_folders, generate_corpus
from relscale.generation.priors import find_prior
from relscale.model.config import TextConfig
from relscale.model.tokenize import tokenize_folders
from relscale.platform.config import parse_config
from relscale.platform.dataflow import map_keys_here

PRESET = "plurel-1.1"
SIZES: Mapping[str, list[int]] = {
    "num_tables": [3, 6],
    "rows_entity": [100, 300],
    "rows_activity": [300, 800],
    "num_columns": [3, 12],
}
"""Those of the demo."""


def make_store(
    folder: Path, n_databases: int, *, seed_offset: int = 0, sizes: Mapping[str, list[int]] = SIZES
) -> Path:
    """The store of the first admitted seeds from `seed_offset` upward; what stands already is kept."""
    prior = find_prior("plurel")
    settings = {**prior.preset(PRESET).model_dump(), **sizes}
    generate_corpus(
        folder / "corpus",
        prior,
        parse_config(prior.config, settings, source="the benchmark"),
        preset=PRESET,
        num_databases=n_databases,
        seed_offset=seed_offset,
        tasks=False,
        run=map_keys_here,
    )
    tokenize_folders(database_folders(folder / "corpus"), folder / "store", TextConfig(), run=map_keys_here)
    return folder / "store"
