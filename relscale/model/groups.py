"""Groups: which cells of a batch look at which, as lists for the CPU's attention.

All cells of a column look at the same keys, and so do all cells of a row, along each of the three
relations of `attention`. A group is such a set of queries with its keys. Padding takes no part.
"""

from dataclasses import dataclass

import numpy as np

from relscale.model.context import ContextBatch
from relscale.platform import compiled as compiled_module
from relscale.platform.compiled import kept

_PER_CONTEXT = 2**32
"""Distance between the numbers of two contexts: rows and columns are int32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """G groups; group g has query[query_ptr[g] : query_ptr[g+1]] and key[key_ptr[g] : key_ptr[g+1]].

    query_ptr, key_ptr  int32 [G+1]
    query               int32  places in the layer's queries; each at most once
    key                 int32  places in the layer's keys; at least one per group
    """

    query_ptr: np.ndarray
    query: np.ndarray
    key_ptr: np.ndarray
    key: np.ndarray

    @property
    def most_keys(self) -> int:
        """Of one group."""
        return int(np.diff(self.key_ptr).max(initial=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The relations of the last block, as far as the masked cells depend on them.

    Only masked cells leave the network. They need the cells of their rows' children, those the rows and
    parents of all of these, those in turn their columns; nothing else of the block is computed.

    enter            int32 [K]  cells that the block reads
    keep_col, keep_feat, keep_nbr  int32, cells that go on after each attention, as places among those before;
                                   after nbr they are the masked cells in their order
    col, feat, nbr   Groups     queries are places among the cells that go on, keys among those before
    """

    enter: np.ndarray
    keep_col: np.ndarray
    keep_feat: np.ndarray
    keep_nbr: np.ndarray
    col: Groups
    feat: Groups
    nbr: Groups


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    """Items, each a list of others: ptr int32 [n+1], item int32."""

    ptr: np.ndarray
    item: np.ndarray


class CellGraph:
    """The rows, columns and links among the T cells of a batch, in the order of its contexts."""

    def __init__(self, batch: ContextBatch) -> None:
        present = batch.node >= 0
        self.n_cells = int(present.sum())
        context = np.nonzero(present)[0]
        base, cells = context * _PER_CONTEXT, np.arange(self.n_cells)
        titles, self._column = np.unique(base + batch.column[present], return_inverse=True)
        names, first, self._row = np.unique(
            base + batch.node[present], return_index=True, return_inverse=True
        )
        self.column_cells = _lists(self._column, cells, len(titles))
        self.row_cells = _lists(self._row, cells, len(names))
        self.parents, self.children = _relatives(names, context[first], batch.parents[present][first])
        self._same = np.arange(self.n_cells, dtype=np.int32)
        self._all = np.ones(self.n_cells, bool)

    def full(self) -> dict[str, Groups]:
        """The groups of every relation, all cells looking."""
        whole = (self._all, self._same, self._same)
        return {
            "col": self._groups(self.column_cells, _singles(self.column_cells), *whole),
            "feat": self._groups(self.row_cells, self.parents, *whole),
            "nbr": self._groups(self.row_cells, self.children, *whole),
        }

    def pruned(self, asked: np.ndarray) -> Pruned:
        """What is left of the relations if only the cells `asked` (int [M], ascending) are to leave."""
        by_nbr = np.zeros(self.n_cells, bool)
        by_nbr[asked] = True
        by_feat = by_nbr | self._seen(self.children, by_nbr)
        by_col = by_feat | self._seen(self.parents, by_feat)
        columns = np.zeros(len(self.column_cells.ptr) - 1, bool)
        columns[self._column[by_col]] = True
        entering = columns[self._column]
        sets = (entering, by_col, by_feat, by_nbr)
        places = [(np.cumsum(cells) - 1).astype(np.int32) for cells in sets]
        keeps = [places[i][sets[i + 1]] for i in range(3)]
        lists = (_singles(self.column_cells), self.parents, self.children)
        owners = (self.column_cells, self.row_cells, self.row_cells)
        col, feat, nbr = (
            self._groups(owners[i], lists[i], sets[i + 1], places[i + 1], places[i]) for i in range(3)
        )
        return Pruned(
            enter=np.flatnonzero(entering).astype(np.int32),
            keep_col=keeps[0],
            keep_feat=keeps[1],
            keep_nbr=keeps[2],
            col=col,
            feat=feat,
            nbr=nbr,
        )

    def _seen(self, lists: _Lists, looking: np.ndarray) -> np.ndarray:
        """bool [T]: cells of the rows that the rows of the looking cells list."""
        rows = np.zeros(len(lists.ptr) - 1, bool)
        rows[self._row[looking]] = True
        listed = np.zeros(len(rows), bool)
        listed[lists.item[np.repeat(rows, np.diff(lists.ptr))]] = True
        return listed[self._row]

    def _groups(
        self,
        owner: _Lists,
        lists: _Lists,
        looking: np.ndarray,
        query_place: np.ndarray,
        key_place: np.ndarray,
    ) -> Groups:
        """A group for each owner (row or column) that lists another and has a looking cell."""
        has_query = np.bincount(
            np.repeat(np.arange(len(owner.ptr) - 1), np.diff(owner.ptr)),
            weights=looking[owner.item],
            minlength=len(owner.ptr) - 1,
        )
        chosen = np.flatnonzero((has_query > 0) & (np.diff(lists.ptr) > 0)).astype(np.int32)
        query_ptr, query = _expanded(chosen, _singles(owner), owner, looking, query_place)
        key_ptr, key = _expanded(chosen, lists, owner, self._all, key_place)
        return Groups(query_ptr=query_ptr, query=query, key_ptr=key_ptr, key=key)


def _relatives(names: np.ndarray, context: np.ndarray, parents: np.ndarray) -> tuple[_Lists, _Lists]:
    """Rows whose cells a row sees, itself first, then its parents; and its children, itself if its own."""
    sought = context[:, None] * _PER_CONTEXT + parents
    place = np.minimum(np.searchsorted(names, sought), len(names) - 1)
    place = np.sort(np.where((parents >= 0) & (names[place] == sought), place, -1), axis=1)
    linked = place >= 0
    linked[:, 1:] &= place[:, 1:] != place[:, :-1]  # a row may refer to a parent twice
    child, parent = np.nonzero(linked)[0], place[linked]
    others = child != parent
    own = np.arange(len(names))
    seen = _lists(np.append(own, child[others]), np.append(own, parent[others]), len(names))
    return seen, _lists(parent, child, len(names))


def _lists(owner: np.ndarray, item: np.ndarray, n: int) -> _Lists:
    order = np.argsort(owner, kind="stable")
    ptr = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(owner, minlength=n), out=ptr[1:])
    return _Lists(ptr=ptr, item=item[order].astype(np.int32))


def _singles(lists: _Lists) -> _Lists:
    """Each item listing itself alone."""
    n = np.arange(len(lists.ptr), dtype=np.int32)
    return _Lists(ptr=n, item=n[:-1])


def _expanded(
    chosen: np.ndarray, lists: _Lists, cells: _Lists, keep: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the kept cells of all that the chosen ones list: int32 [len(chosen) + 1] and int32."""
    sizes = np.concatenate([[0], np.cumsum(np.diff(cells.ptr)[lists.item])])
    room = (sizes[lists.ptr[chosen + 1]] - sizes[lists.ptr[chosen]]).sum()
    ptr, out = np.zeros(len(chosen) + 1, np.int32), np.empty(int(room), np.int32)
    _expand(chosen, lists.ptr, lists.item, cells.ptr, cells.item, keep, place, ptr, out)
    return ptr, out[: ptr[-1]]


@kept(__file__, compiled_module.__file__)
def _expand(
    chosen: np.ndarray,
    list_ptr: np.ndarray,
    listed: np.ndarray,
    cell_ptr: np.ndarray,
    cell: np.ndarray,
    keep: np.ndarray,
    place: np.ndarray,
    out_ptr: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write place[c] of every kept cell c of every owner that a chosen one lists, and where each begins."""
    n = 0
    for g in range(len(chosen)):
        for i in range(list_ptr[chosen[g]], list_ptr[chosen[g] + 1]):
            for c in range(cell_ptr[listed[i]], cell_ptr[listed[i] + 1]):
                if keep[cell[c]]:
                    out[n] = place[cell[c]]
                    n += 1
        out_ptr[g + 1] = n
