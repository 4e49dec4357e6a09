"""Links between rows: parents, children by time, label rows by entity."""

from collections.abc import Sequence

import numpy as np

from relscale.model.source import SourceTable


def parent_rows(tables: Sequence[SourceTable], offsets: dict[str, int]) -> np.ndarray:
    """int32 [n_rows of all tables, W]: the rows that each row refers to, -1 for none.

    W is the largest number of foreign keys of a table, at least 1; `offsets` holds the first row of
    every db table.
    """
    width = max([1, *(len(table.fkeys) for table in tables)])
    parts = []
    for table in tables:
        part = np.full((table.n_rows, width), -1, np.int32)
        for place, (parent, rows) in enumerate(table.fkeys.values()):
            part[:, place] = np.where(rows >= 0, rows + offsets[parent], -1)
        parts.append(part)
    return np.concatenate(parts)


def child_rows(parents: np.ndarray, n_db: int, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Children among the first `n_db` rows (the db tables) of every row, by time, then row.

    Returns
    -------
    int64 [n_rows + 1] places and int32 [L] rows; a row that refers to a parent twice is there twice.
    """
    child = np.repeat(np.arange(n_db, dtype=np.int32), parents.shape[1])
    parent = parents[:n_db].reshape(-1)
    linked = parent >= 0
    return _grouped(parent[linked], child[linked], time, len(parents))


def label_rows(table: SourceTable, offset: int, n_entities: int) -> tuple[np.ndarray, np.ndarray]:
    """Label rows of every entity, by time, then row; `offset` is the first row of the label table.

    Returns
    -------
    int64 [n_entities + 1] places and int32 [L] rows.
    """
    ((_, entity),) = table.fkeys.values()
    linked = entity >= 0
    row = np.flatnonzero(linked)
    places, order = _grouped(entity[linked], row, table.time, n_entities)
    return places, (order + offset).astype(np.int32)


def _grouped(
    group: np.ndarray, row: np.ndarray, time: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((row, time[row], group))
    places = np.zeros(n_groups + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=n_groups), out=places[1:])
    return places, row[order]
