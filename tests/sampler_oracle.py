"""The context sampler as plain loops over lists, drawing the same random numbers as the compiled one.

Written from the published procedure (PluRel's breadth-first collection, RT-J's further seeds) and the list
of departures in `relscale.model.sampler`.
"""

from dataclasses import dataclass, field

from relscale.model.config import SamplerConfig
from relscale.model.context import SemType
from relscale.model.store import NO_TIME, DatabaseStore

BITS = 2**64


class Splitmix:
    """splitmix64 in Python integers."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % BITS
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % BITS
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % BITS
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        return ((self.next() >> 32) * n) >> 32

    def unit(self) -> float:
        return (self.next() >> 11) * 2.0**-53


@dataclass
class Segment:
    """What one row brings into a pool: `size` of its `rows`, which is all of them or a random choice."""

    rows: list[int]
    size: int
    chosen: dict[int, int] = field(default_factory=dict)

    def row(self, place: int, rng: Splitmix) -> int:
        if len(self.rows) == self.size:
            return self.rows[place]
        while place not in self.chosen:
            position = rng.below(len(self.rows))
            if position not in self.chosen.values():
                self.chosen[place] = position
        return self.rows[self.chosen[place]]


class Pool:
    """The rows that wait at one depth."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = [segment for segment in segments if segment.size]
        self.places = [(s, place) for s in self.segments for place in range(s.size)]
        self.misses = 0
        self.listed: list[int] | None = None

    def take(self, in_vain, rng: Splitmix) -> int | None:
        while self.listed is None and self.places:
            if self.misses * 4 >= len(self.places):
                rows = [segment.row(place, rng) for segment, place in self.places]
                self.listed = [row for row in rows if not in_vain(row)][::-1]
                break
            segment, place = self.places[rng.below(len(self.places))]
            row = segment.row(place, rng)
            if not in_vain(row):
                return row
            self.misses += 1
        if not self.listed:
            return None
        rank = rng.below(len(self.listed))
        self.listed[rank], self.listed[-1] = self.listed[-1], self.listed[rank]
        return self.listed.pop()


class LatestPool:
    """The same where the latest rows go first."""

    def __init__(self, segments: list[Segment], time: list[int]) -> None:
        self.queues = [s.rows[len(s.rows) - s.size :] for s in segments]
        self.time = time

    def take(self, in_vain, rng: Splitmix) -> int | None:
        while any(self.queues):
            queue = max((q for q in self.queues if q), key=lambda q: self.time[q[-1]])  # first of equals
            row = queue.pop()
            if not in_vain(row):
                return row
        return None


class Oracle:
    """The rows and cells of any item of one database."""

    def __init__(self, database: DatabaseStore) -> None:
        self.database = database
        arrays = database.arrays
        self.time = arrays.node_time.tolist()
        self.parents = [[p for p in row if p >= 0] for row in arrays.parents.tolist()]
        self.cells = [
            arrays.cell_column[first:end].tolist()
            for first, end in zip(arrays.cell_ptr[:-1], arrays.cell_ptr[1:], strict=True)
        ]
        self.kind_of_row: dict[int, tuple[str, str]] = {}
        self.children: dict[int, list[int]] = {}
        self.labels: dict[tuple[str, int], list[int]] = {}
        for table in database.tables:
            for node in range(table.offset, table.offset + table.n_rows):
                self.kind_of_row[node] = table.name, table.kind
                for parent in self.parents[node]:
                    if table.kind == "db":
                        self.children.setdefault(parent, []).append(node)
                    else:
                        self.labels.setdefault((table.name, parent), []).append(node)
        for rows in [*self.children.values(), *self.labels.values()]:
            rows.sort(key=lambda node: (self.time[node], node))

    def context(
        self, seed: int, column: int, config: SamplerConfig, rng: Splitmix
    ) -> list[tuple[int, int, bool]]:
        """(row, column, whether masked) of every token, in order."""
        return _Context(self, seed, column, config, rng).tokens()


class _Context:
    """One item and what has been collected for it."""

    def __init__(self, oracle: Oracle, seed: int, column: int, config: SamplerConfig, rng: Splitmix):
        self.oracle, self.seed, self.column, self.config, self.rng = oracle, seed, column, config, rng
        self.about = oracle.database.columns[column]
        self.limit = oracle.time[seed]
        self.best: dict[int, int] = {}
        self.rows: list[int] = []
        self.n_cells = 0

    # What may be seen

    def visible_children(self, row: int, limit: int) -> list[int]:
        return [c for c in self.oracle.children.get(row, []) if self.oracle.time[c] <= limit]

    def visible_parents(self, row: int, limit: int) -> list[int]:
        return [p for p in self.oracle.parents[row] if limit == NO_TIME or self.oracle.time[p] <= limit]

    def earlier_labels(self, row: int, limit: int) -> list[int]:
        """Label rows about `row`, hidden splits included."""
        if not self.about.is_task:
            return []
        labels = self.oracle.labels.get((self.about.table, row), [])
        if limit == NO_TIME:
            return [n for n in labels if self.oracle.time[n] == NO_TIME and self.split(n) == "train"]
        return [n for n in labels if self.oracle.time[n] < limit]

    def split(self, row: int) -> str:
        return self.oracle.kind_of_row[row][1]

    def hidden_label(self, row: int) -> bool:
        return self.split(row) in self.hidden_splits()

    def hidden_splits(self) -> tuple[str, ...]:
        """Splits whose labels the seed must not see."""
        if self.config.visibility == "temporal":
            return ()
        if self.config.visibility == "strict" and self.seed_split() == "test":
            return ("test",)
        return ("val", "test")

    def seed_split(self) -> str:
        return self.split(self.seed) if self.about.is_task else self.split_by_time(self.seed)

    def split_by_time(self, row: int) -> str:
        database = self.oracle.database
        if self.oracle.time[row] > database.test_timestamp:
            return "test"
        return "val" if self.oracle.time[row] > database.val_timestamp else "train"

    def may_be_seed(self, row: int) -> bool:
        time = self.oracle.time[row]
        if row == self.seed or self.oracle.kind_of_row[row][0] != self.about.table:
            return False
        if self.column not in self.oracle.cells[row] or self.hidden_label(row):
            return False
        if self.limit == NO_TIME and self.split(row) in ("val", "test"):
            return False
        if not self.about.is_task and self.split_by_time(row) in self.hidden_splits():
            return False
        return time == NO_TIME or time < self.limit

    # Which rows enter

    def size(self, row: int) -> int:
        return max(1, len(self.oracle.cells[row]))

    def walk(self, start: int) -> bool:
        """Breadth-first collection around `start`; False when the context can hold no more."""
        oracle, config = self.oracle, self.config
        limit = oracle.time[start]
        parent_limit = self.limit if limit == NO_TIME else limit
        local = config.local_context_length or config.context_length
        visits: dict[int, list[int]] = {}
        stack: list[tuple[int, int]] = []
        pool: Pool | LatestPool = Pool([])
        pool_depth, n_local = 0, 0
        depth, row = 0, start
        while True:
            if row not in self.best or self.best[row] > depth:
                known = row in self.best
                n_local += self.size(row)
                if row != self.seed or known:
                    if not known and self.n_cells + self.size(row) >= config.context_length:
                        return False
                    if n_local >= local:
                        return True
                if not known:
                    self.enter(row)
                self.best[row] = depth
                visits.setdefault(depth, []).append(row)
                for parent in self.visible_parents(row, parent_limit):
                    if self.best.get(parent, depth + 2) > depth + 1:
                        stack.append((depth + 1, parent))
                if config.own_rows_first and row == self.seed and not self.enter_own_rows():
                    return False
            if stack:
                depth, row = stack.pop()
                continue
            while True:
                taken = pool.take(lambda r, d=pool_depth: self.in_vain(r, d), self.rng)
                if taken is not None:
                    depth, row = pool_depth, taken
                    break
                if pool_depth > max(visits, default=-1):
                    return True
                segments = []
                for visited in visits.get(pool_depth, []):
                    children = self.visible_children(visited, limit)
                    segments.append(Segment(children, min(config.bfs_width, len(children))))
                    own = self.earlier_labels(visited, limit)
                    segments.append(Segment(own, len(own)))
                pool = LatestPool(segments, oracle.time) if config.prefer_latest else Pool(segments)
                pool_depth += 1

    def in_vain(self, row: int, depth: int) -> bool:
        return self.best.get(row, depth + 1) <= depth or self.hidden_label(row)

    def enter(self, row: int) -> None:
        self.rows.append(row)
        self.n_cells += self.size(row)

    def enter_own_rows(self) -> bool:
        if self.about.is_task:
            for row in self.earlier_labels(self.oracle.parents[self.seed][0], self.limit)[::-1]:
                if self.hidden_label(row):
                    continue
                if self.n_cells + self.size(row) >= self.config.context_length:
                    return False
                self.enter(row)
                self.best[row] = 2
        return True

    # Further seeds

    def further(self) -> None:
        met = self.met_on_walks()
        visits = dict(met)
        if not self.walk_around(list(visits), visits):
            return
        table = [n for n, about in self.oracle.kind_of_row.items() if about[0] == self.about.table]
        n_draws = (self.config.context_length - self.n_cells) * (4 if self.config.prefer_latest else 1)
        everyone = len(table) <= n_draws
        rows = []
        for k in range(min(n_draws, len(table))):
            row = table[k if everyone else self.rng.below(len(table))]
            if self.may_be_seed(row):
                rows.append((self.rank(row, 0), row))
        self.walk_in_order(rows)

    def walk_around(self, rows: list[int], visits: dict[int, int]) -> bool:
        return self.walk_in_order([(self.rank(row, visits[row]), row) for row in rows])

    def walk_in_order(self, ranked: list[tuple[tuple[int, int], int]]) -> bool:
        return all(self.walk(row) for _, row in sorted(ranked, reverse=True))

    def rank(self, row: int, n_visits: int) -> tuple[int, int]:
        tie = self.rng.next() >> 32
        return (self.oracle.time[row] if self.config.prefer_latest else 0), (n_visits << 32) + tie

    def met_on_walks(self) -> list[tuple[int, int]]:
        """Rows that may be further seeds, in the order of their first visit, and how often they were met."""
        met: dict[int, int] = {}
        for _ in range(self.config.n_walks):
            row = self.seed
            for _ in range(self.config.walk_length):
                neighbours = [
                    *self.visible_parents(row, self.limit),
                    *self.visible_children(row, self.limit),
                    *self.earlier_labels(row, self.limit),
                ]
                if not neighbours:
                    break
                step = neighbours[self.rng.below(len(neighbours))]
                row = row if self.hidden_label(step) else step
                if self.may_be_seed(row):
                    met[row] = met.get(row, 0) + 1
        return list(met.items())

    # Which cells of them show

    def tokens(self) -> list[tuple[int, int, bool]]:
        if self.walk(self.seed) and self.config.n_walks:
            self.further()
        share = self.config.mask_prob * self.rng.unit() if self.config.mask_prob else 0.0
        found: list[tuple[int, int]] = []
        for row in self.rows:
            for cell in self.oracle.cells[row]:
                is_target = (row, cell) == (self.seed, self.column)
                if not is_target and (self.gives_away(row, cell) or self.is_hidden_label_cell(row, cell)):
                    continue
                found.append((row, cell))
        if len(found) > self.config.context_length:  # only a seed wider than the context
            target = (self.seed, self.column)
            before = [pair for pair in found if pair != target][: self.config.context_length - 1]
            found = [pair for pair in found if pair == target or pair in before]
        return sorted(((*pair, self.masked(*pair, share)) for pair in found), key=lambda token: token[1])

    def masked(self, row: int, cell: int, share: float) -> bool:
        if (row, cell) == (self.seed, self.column):
            return True
        kind = self.oracle.database.columns[cell].sem_type
        return share > 0 and kind in (SemType.NUMBER, SemType.BOOLEAN) and self.rng.unit() < share

    def gives_away(self, row: int, cell: int) -> bool:
        """Whether a task on the target's column hides this cell."""
        database, hidden, entity = self.oracle.database, set(), -1
        for task in database.tasks:
            if database.column_index(task.table, task.target_col) == self.column:
                hidden |= set(task.remove_columns)
                entity = -1 if task.is_autocomplete else self.oracle.parents[self.seed][0]
        about = database.columns[cell]
        if (about.table, about.name) not in hidden:
            return False
        return row in (self.seed, entity) or self.oracle.time[row] == self.limit != NO_TIME

    def is_hidden_label_cell(self, row: int, cell: int) -> bool:
        if cell != self.column or self.about.is_task:
            return False
        return row != self.seed and self.split_by_time(row) in self.hidden_splits()
