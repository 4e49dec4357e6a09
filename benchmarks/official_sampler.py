"""Our contexts against the official engine's: equal where nothing is random, equal in law where order is.

    python benchmarks/official_sampler.py --database REL_F1 --peer-python PEER/bin/python

The peer is relational-transformer 1.10.0 in an environment of its own (see official_preprocess.py). Only its
cells around the target are compared (the engine fills what is left with random rows). No child row is
subsampled on either side (width 1,000,000): the engine counts label rows in the width and draws them by
rejection, ours are never subsampled, so that laws differ there by design.

1. Items whose whole reachable component fits: the same set of (row, column) and the same values, to the
   bfloat16 precision in which the engine delivers. Columns that only one side has (the engine drops columns
   with one value and adds "identifier") are left out and named.
2. Items whose context is full: over many seeds, the share of contexts that hold a row (Fisher's exact test, a
   test per row), and rows, cells and own labels of a context (Kolmogorov-Smirnov). Holm's correction over all
   tests at level --alpha.

Exit code 1 on a difference.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from record import print_table
from scipy import stats
from worker import Worker

from relscale.model.config import SamplerConfig, TextConfig
from relscale.model.context import SemType
from relscale.model.items import Items, task_items
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders

WIDTH = 1_000_000
Cell = tuple[str, str, int, str]
"""Table, kind, row, column."""


def main() -> None:
    """Both comparisons."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="official-") as folder:
        store = tokenize_folders([args.database], Path(folder) / "store", TextConfig())
        with Worker(args.peer_python, "peer_contexts.py") as peer:
            compare = Comparison(args, store, peer, Path(folder))
            same = compare.whole_components()
            fits = compare.laws()
    if not (same and fits):
        sys.exit("the samplers differ")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", type=Path, required=True, metavar="DIR", help="RelBench 3 folder")
    parser.add_argument("--peer-python", type=Path, required=True, metavar="PATH", help="Python of the peer")
    parser.add_argument("--task", default="driver-dnf", metavar="NAME")
    parser.add_argument("--items", type=int, default=300, metavar="N", help="whole components compared")
    parser.add_argument("--seeds", type=int, default=300, metavar="N", help="contexts of an item, for laws")
    parser.add_argument("--alpha", type=float, default=0.01)
    return parser.parse_args()


class Comparison:
    """One database and task on both sides."""

    def __init__(self, args: argparse.Namespace, store: TokenStore, peer: Worker, folder: Path) -> None:
        self.args, self.store, self.peer, self.folder = args, store, peer, folder
        self.database = store.database(store.names[0])
        self.title = {column.text_row: f"{column.name} of {column.table}" for column in self.database.columns}
        self.kinds = {column.text_row: column.sem_type for column in self.database.columns}
        self.task = self.database.task(args.task)

    def ours(self, split: str, rows: list[int], n_seeds: int, length: int) -> list[dict[Cell, float | str]]:
        """Cells with their values of every context, item by item within a seed."""
        items = task_items(self.database, self.task.name, split)
        chosen = np.tile(np.array(rows), n_seeds)
        many = Items(**{name: getattr(items, name)[chosen] for name in Items.__slots__})
        config = SamplerConfig(context_length=length, bfs_width=WIDTH)
        batch = sample_contexts(self.store, self.store.names, many, config, seed=0)
        place = self._places([(t.name, t.kind, t.offset, t.n_rows) for t in self.database.tables])
        result = []
        for i in range(len(many)):
            cells: dict[Cell, float | str] = {}
            for j in np.flatnonzero(batch.node[i] >= 0):
                column = int(batch.column[i, j])
                is_text = self.kinds[column] == SemType.TEXT
                value = self.store.strings[batch.text[i, j]] if is_text else float(batch.value[i, j])
                cells[(*place(int(batch.node[i, j])), self.title[column])] = value
            result.append(cells)
        return result

    def theirs(self, split: str, rows: list[int], n_seeds: int, length: int) -> list[dict[Cell, float | str]]:
        """The same of the engine."""
        file = self.folder / "contexts.npz"
        answer = self.peer.ask(
            {
                "database": str(self.args.database),
                "work": str(self.folder / "peer"),
                "task": self.task.name,
                "split": split,
                "rows": rows,
                "seeds": list(range(n_seeds)),
                "length": length,
                "width": WIDTH,
                "file": str(file),
            }
        )
        if "error" in answer:
            sys.exit(f"the official engine failed: {answer['error']}")
        found = np.load(file)
        info, strings = json.loads(str(found["info"])), json.loads(str(found["strings"]))
        tables = [(*key.rsplit(":", 1), of["node_idx_offset"], of["num_nodes"]) for key, of in info.items()]
        place = self._places([(name, kind.lower(), first, n) for name, kind, first, n in tables])
        number, moment = (_from_bfloat16(found[name]) for name in ("number", "datetime"))
        kind_of = {self.title[row]: kind for row, kind in self.kinds.items()}
        result: list[dict[Cell, float | str]] = [{} for _ in range(answer["contexts"])]
        column, text = found["column"], found["text"]
        for k, (context, node) in enumerate(zip(found["context"], found["node"], strict=True)):
            title = strings[column[k]]
            kind = kind_of.get(title)
            value = moment[k] if kind == SemType.DATETIME else number[k]
            cell = (*place(int(node)), title)
            result[context][cell] = strings[text[k]] if kind == SemType.TEXT else float(value)
        return result

    @staticmethod
    def _places(tables: list[tuple[str, str, int, int]]) -> Any:
        """A function from a row's number to (table, kind, row there)."""
        tables = sorted((table for table in tables if table[3]), key=lambda table: table[2])
        firsts = np.array([table[2] for table in tables])

        def place(node: int) -> tuple[str, str, int]:
            table = tables[int(np.searchsorted(firsts, node, side="right")) - 1]
            return table[0], table[1], node - table[2]

        return place

    def whole_components(self, length: int = 8192) -> bool:
        """The earliest items, whose past is small."""
        items = task_items(self.database, self.task.name, "train")
        time = self.database.arrays.node_time[items.node]
        rows = np.argsort(time, kind="stable")[: self.args.items].tolist()
        pairs = [
            (mine, their)
            for mine, their in zip(
                self.ours("train", rows, 1, length), self.theirs("train", rows, 1, length), strict=True
            )
            if max(len(mine), len(their)) < length / 4  # far from full, however often rows were met again
        ]
        columns = [{cell[3] for pair in pairs for cell in pair[side]} for side in (0, 1)]
        alone = columns[0] ^ columns[1]
        n_cells = n_values = n_sets = n_rows = 0
        wrong: Counter[str] = Counter()
        for mine, their in pairs:
            mine, their = ({c: v for c, v in side.items() if c[3] not in alone} for side in (mine, their))
            n_sets += mine.keys() != their.keys()
            n_rows += {cell[:3] for cell in mine} != {cell[:3] for cell in their}
            for cell in mine.keys() & their.keys():
                n_cells += 1
                if not _agree(mine[cell], their[cell]):
                    n_values += 1
                    wrong[cell[3]] += 1
        print(
            f"whole components: {len(pairs)} of {len(rows)} items fit, {n_cells:,} cells; items with other "
            f"rows {n_rows}, with other cells {n_sets}; values that differ {n_values} {dict(wrong)}; columns "
            f"left out: {', '.join(sorted(alone)) or 'none'}",
            flush=True,
        )
        return bool(pairs) and n_sets == n_rows == n_values == 0

    def laws(self) -> bool:
        """Late items: rows, cells and labels of contexts, and how often each row is in one."""
        rng = np.random.default_rng(0)
        n_test = len(task_items(self.database, self.task.name, "test"))
        tests: list[tuple[str, float]] = []
        table = []
        for length in (256, 1024):
            rows = rng.choice(n_test, 3, replace=False).tolist()
            mine = self.ours("test", rows, self.args.seeds, length)
            their = self.theirs("test", rows, self.args.seeds, length)
            for k, row in enumerate(rows):
                sides = mine[k :: len(rows)], their[k :: len(rows)]
                found = [self._figures(side) for side in sides]
                for name in found[0]:
                    p = float(stats.ks_2samp(found[0][name], found[1][name], method="asymp").pvalue)
                    tests.append((f"{length}/{row}/{name}", p))
                    means = [f"{np.mean(side[name]):.2f}" for side in found]
                    table.append([str(length), str(row), name, *means, f"{p:.3f}"])
                ps = _inclusion(*sides)
                tests += [(f"{length}/{row}/{place}", p) for place, p in ps.items()]
                table.append(
                    [str(length), str(row), f"{len(ps)} rows: least p", "", "", f"{min(ps.values()):.1g}"]
                )
        print_table(["context", "item", "figure", "ours", "official", "p"], table)
        # Holm: the least p of m against alpha / m decides whether any hypothesis is rejected.
        name, least = min(tests, key=lambda test: test[1])
        bound = self.args.alpha / len(tests)
        print(f"{len(tests)} tests, least p {least:.2g} ({name}), Holm's bound {bound:.2g}")
        return least > bound

    def _figures(self, contexts: list[dict[Cell, float | str]]) -> dict[str, list[int]]:
        label = f"{self.task.target_col} of {self.task.table}"
        tables = sorted(
            {cell[0] for context in contexts for cell in context} & {t.name for t in self.database.tables}
        )
        figures = {
            "rows": [len({cell[:3] for cell in context}) for context in contexts],
            "cells": [len(context) for context in contexts],
            "own labels": [sum(cell[3] == label for cell in context) - 1 for context in contexts],
        }
        for table in tables:
            figures[f"rows of {table}"] = [
                len({cell[2] for cell in context if cell[0] == table}) for context in contexts
            ]
        return figures


def _inclusion(*sides: list[dict[Cell, float | str]]) -> dict[tuple[str, str, int], float]:
    """Fisher's p per row that is in some but not all contexts."""
    counts = [Counter(row for context in side for row in {cell[:3] for cell in context}) for side in sides]
    n = len(sides[0])
    result = {}
    for row in counts[0] | counts[1]:
        of = [count[row] for count in counts]
        if 10 <= sum(of) <= 2 * n - 1:
            result[row] = float(stats.fisher_exact([[of[0], n - of[0]], [of[1], n - of[1]]]).pvalue)
    return result


def _agree(mine: float | str, their: float | str) -> bool:
    if isinstance(mine, str) or isinstance(their, str):
        return mine == their
    return abs(mine - their) <= 2.0**-8 * abs(mine) + 1e-6  # bfloat16 has 8 significant bits


def _from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


if __name__ == "__main__":
    main()
