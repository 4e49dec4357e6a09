"""Links equal a plain loop over the rows."""

from pathlib import Path

import numpy as np

from relscale.model.links import child_rows, label_rows, parent_rows
from relscale.model.source import read_database


def test_links_equal_a_loop(handmade: Path):
    tables = read_database(handmade).tables
    offsets = dict(zip([t.name for t in tables], np.cumsum([0, *(t.n_rows for t in tables)]), strict=False))
    parents = parent_rows(tables, offsets)
    time = np.concatenate([table.time for table in tables])
    expected: list[list[int]] = []
    for table in tables:
        for row in range(table.n_rows):
            keys = table.fkeys.values()
            expected.append(
                [int(offsets[to]) + int(rows[row]) if rows[row] >= 0 else -1 for to, rows in keys]
            )
    assert parents.tolist() == [row + [-1] * (2 - len(row)) for row in expected]

    n_db = 20
    places, rows = child_rows(parents, n_db, time)
    for node in range(len(parents)):
        children = [child for child in range(n_db) if node in expected[child]]
        children.sort(key=lambda child: (time[child], child))
        assert rows[places[node] : places[node + 1]].tolist() == children

    churn = tables[4]
    places, rows = label_rows(churn, int(offsets["churn"]), 3)
    own = [rows[places[entity] : places[entity + 1]].tolist() for entity in range(3)]
    assert own == [[20, 22, 23, 25, 27, 29], [21, 24, 28], [26]]


def test_a_row_may_refer_to_its_own_table_and_twice_to_one_parent():
    parents = np.array([[-1, -1], [0, 0], [1, 0]], np.int32)
    places, rows = child_rows(parents, 3, np.array([5, 7, 6]))
    assert rows[places[0] : places[1]].tolist() == [2, 1, 1]
    assert rows[places[1] : places[2]].tolist() == [2]
