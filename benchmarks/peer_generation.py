"""Worker of generation.py on the peer's side: plurel 1.1.0 with its own defaults."""

import torch
from plurel import (  # type: ignore[import-not-found]
    Choices,
    Config,
    DatabaseParams,
    SyntheticDataset,
)
from relbench.base import Database
from worker import Request, serve


def generate(request: Request) -> Database:
    """The tables in memory of the peer's database of a seed, with the asked number of tables and layout."""
    params = DatabaseParams(
        num_tables_choices=Choices(kind="range", value=[request["tables"], request["tables"]]),
        table_layout_choices=Choices(kind="set", value=[request["layout"]]),
    )
    config = Config(database_params=params)
    return SyntheticDataset(seed=request["seed"], config=config).make_db()


def size_of(database: Database) -> dict[str, int]:
    """Tables, rows and cells, keys and times included."""
    frames = [table.df for table in database.table_dict.values()]
    return {
        "tables": len(frames),
        "rows": sum(len(frame) for frame in frames),
        "cells": sum(frame.size for frame in frames),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(generate, size_of)
