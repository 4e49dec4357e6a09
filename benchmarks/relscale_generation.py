"""Worker of generation.py and row_scaling.py on our side: a database of a given prior, in memory."""

from worker import Request, serve

from relscale.generation import generate_database
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database


def generate(request: Request) -> Database:
    """The database of a seed and a prior."""
    return generate_database(request["seed"], GeneratorConfig.model_validate(request["config"]))


def size_of(database: Database) -> dict[str, int]:
    """Tables, rows and cells, keys and times included."""
    return {"tables": len(database.tables), "rows": database.n_rows, "cells": database.n_cells}


if __name__ == "__main__":
    serve(generate, size_of)
