"""Tables as RelBench has them: rows in order of time, keys as row numbers, plain names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relscale.generation.database import Table
from relscale.imports.columns import Reading
from relscale.imports.keys import Link
from relscale.imports.names import plain_names
from relscale.imports.raw import RawTable
from relscale.imports.times import RowTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTable:
    """A table of the source with its columns read and its foreign keys looked up.

    readings : by column; columns that only serve as keys have none. `pkey_value` is what the values of a
        primary key say beyond telling rows apart, or None.
    """

    raw: RawTable
    readings: dict[str, Reading]
    links: tuple[Link, ...]
    pkey_value: Reading | None

    @property
    def pkey(self) -> str | None:
        """The column that is a primary key and nothing else."""
        own = self.raw.primary_key
        linked = any(own == link.key.columns for link in self.links)
        return own[0] if len(own) == 1 and not linked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A column of the imported table: `name`, from the columns `source`, as a key, link, value or time."""

    name: str
    source: tuple[str, ...]
    role: str
    link: Link | None = None
    reading: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Rows of the source in their new order, and the new place of each old row; -1 for those left out."""

    rows: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, n_rows: int, times: RowTimes | None) -> "Order":
        """In order of time, and of the source where times are equal; rows without a time are left out."""
        rows = np.arange(n_rows)
        if times is not None:
            rows = np.argsort(times.values, kind="stable")
            rows = rows[~np.isnat(times.values[rows])]
        place = np.full(n_rows, -1)
        place[rows] = np.arange(len(rows))
        return cls(rows=rows, place=place)


def layout(table: ReadTable, times: RowTimes | None) -> list[Slot]:
    """The columns of the imported table in the order of the source.

    A table without a primary key of one column gets one named `<table>_id`, in front; a composite foreign key
    takes the place of its first column, and columns that serve such keys alone go.
    """
    slots: list[tuple[str, tuple[str, ...], str, Link | None, Reading | None]] = []
    if table.pkey is None:
        slots.append((f"{table.raw.name}_id", table.raw.primary_key, "key", None, None))
    for column in table.raw.data.column_names:
        if column == table.pkey:
            slots.append((column, (column,), "key", None, None))
            if table.pkey_value:
                slots.append((f"{column}_value", (column,), "value", None, table.pkey_value))
        for link in table.links:
            if link.key.columns[0] == column:
                slots.append(("_".join(link.key.columns), link.key.columns, "link", link, None))
        if column in table.readings and table.readings[column].data is not None:
            slots.append((column, (column,), "value", None, table.readings[column]))
    if times is not None and times.column is None:
        slots.append(("time", (), "time", None, None))
    names = plain_names(name for name, *_ in slots)
    return [
        Slot(name=name, source=source, role=role, link=link, reading=reading)
        for name, (_, source, role, link, reading) in zip(names, slots, strict=True)
    ]


def assemble(
    name: str,
    slots: Sequence[Slot],
    times: RowTimes | None,
    orders: Mapping[str, Order],
    order: Order,
    names: Mapping[str, str],
) -> Table:
    """The imported table `name`; `orders` and `names` (new ones) are those of all tables by source name."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    time_col = None
    for slot in slots:
        if slot.role == "key":
            columns[slot.name] = pa.array(np.arange(len(order.rows)))
        elif slot.link is not None:
            columns[slot.name] = new_places(slot.link, orders[slot.link.key.parent], order)
        elif slot.reading is not None and slot.reading.data is not None:
            columns[slot.name] = pc.take(slot.reading.data, pa.array(order.rows))
        elif times is not None:
            columns[slot.name] = pa.array(times.values[order.rows])
        if times is not None and slot.role in ("value", "time") and slot.source == _source(times):
            time_col = slot.name
    return Table(
        name=name,
        data=pa.table(columns),
        pkey=next(slot.name for slot in slots if slot.role == "key"),
        fkeys={slot.name: names[slot.link.key.parent] for slot in slots if slot.link is not None},
        time_col=time_col,
    )


def _source(times: RowTimes) -> tuple[str, ...]:
    return () if times.column is None else (times.column,)


def new_places(link: Link, parent: Order, order: Order) -> pa.Array:
    """The new row number of each new row's parent; null for none, and for a parent that is left out."""
    old = link.rows[order.rows]
    places = np.where(old >= 0, parent.place[old], -1)
    return pa.array(places, mask=places < 0)


def key_table(table: ReadTable, order: Order) -> pa.Table:
    """What joins predictions back: `entity`, the new row number, beside the source's primary key, or row."""
    keys = {column: table.raw.data[column] for column in table.raw.primary_key}
    if not keys:
        keys = {"source_row": pa.chunked_array([pa.array(np.arange(len(order.place)))])}
    names = plain_names(keys, reserved=["entity"])
    rows = pa.array(order.rows)
    taken = {name: pc.take(values, rows) for name, values in zip(names, keys.values(), strict=True)}
    return pa.table({"entity": pa.array(np.arange(len(rows))), **taken})
