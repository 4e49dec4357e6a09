"""Whole databases: pinned, pure, in order of time, read before they are finished."""

import hashlib
import json
import subprocess
import sys
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import relscale.generation
from relscale.generation.config import PRESETS, ColumnPrior, GeneratorConfig
from relscale.generation.connectivity import sample_parents
from relscale.generation.database import Database, equally_spaced, generate_database, sample_period
from relscale.platform.seeds import Purpose, stream

SMALL = GeneratorConfig(num_tables=(4, 5), rows_entity=(30, 40), rows_activity=(60, 90), num_columns=(3, 6))


def key_digest(database: Database) -> str:
    """SHA-256 over the schema, keys and times: all that no rounding touches."""
    total = hashlib.sha256()
    for table in database.tables.values():
        names = [c for c in (table.pkey, *table.fkeys, table.time_col) if c]
        shape = [table.name, names, table.fkeys, table.data.num_rows, table.features()]
        total.update(json.dumps(shape).encode())
        for name in names:
            total.update(table.data[name].to_numpy().astype(np.int64).tobytes())
    total.update(f"{database.val_timestamp} {database.test_timestamp}".encode())
    return total.hexdigest()


def sketch(database: Database) -> float:
    """A number that every value of every feature moves, and that float32 rounding does not."""
    return sum(
        float(np.nanmean(np.abs(np.arctan(table.data[column].to_numpy().astype(float)))))
        for table in database.tables.values()
        for column in table.features()
    )


@pytest.mark.parametrize(
    ("preset", "keys", "values"),
    [("plurel-1.1", "a7abf4780a6d0db2", 27.5859), ("paper", "4f9e09bcc1c72aae", 30.227)],
)
def test_presets_are_pinned(preset: str, keys: str, values: float) -> None:
    """Pinned with numpy 2.4.6 and networkx 3.6.1, whose random streams belong to the generator version.

    float32 rounding depends on the CPU, so that keys, times and names are pinned by digest, values to 1e-3.
    """
    config = PRESETS[preset].replace(num_tables=(4, 5), rows_entity=(30, 400), rows_activity=(600, 900))
    database = generate_database(3, config)
    assert key_digest(database)[:16] == keys
    assert sketch(database) == pytest.approx(values, rel=1e-3)


def test_a_database_depends_on_its_seed_and_config_alone() -> None:
    first = generate_database(7, SMALL)
    generate_database(8, SMALL)
    again = generate_database(7, SMALL)
    assert {n: t.data for n, t in first.tables.items()} == {n: t.data for n, t in again.tables.items()}
    assert key_digest(first) != key_digest(generate_database(8, SMALL))
    assert key_digest(first) != key_digest(generate_database(7, SMALL.replace(rows_entity=(30, 41))))


@pytest.mark.parametrize("seed", range(6))
def test_tables_keep_the_rules_of_their_kind(seed: int) -> None:
    database = generate_database(seed, SMALL)
    parents = {parent for table in database.tables.values() for parent in table.fkeys.values()}
    for table in database.tables.values():
        assert table.data["row_idx"].to_pylist() == list(range(table.data.num_rows))
        assert (table.time_col is None) == (table.name in parents)
        for column, parent in table.fkeys.items():
            rows = table.data[column].to_numpy()
            assert rows.min() >= 0
            assert rows.max() < database.tables[parent].data.num_rows
        for column in table.features():
            kind = table.data[column].type
            assert kind in (pa.bool_(), pa.float64())
            if kind == pa.bool_():
                assert set(table.data[column].to_pylist()) == {False, True}
            else:
                assert table.data[column].null_count <= 0.1 * table.data.num_rows
                assert np.isfinite(table.data[column].drop_null().to_numpy()).all()
    assert database.n_rows == sum(len(table.data) for table in database.tables.values())


def test_each_foreign_key_has_a_stream_of_its_own() -> None:
    """Its address is its place in the table, whichever table it refers to."""
    n_several = 0
    for seed in range(8):
        tables = list(generate_database(seed, SMALL).tables.values())
        sizes = {table.name: table.data.num_rows for table in tables}
        for t, table in enumerate(tables):
            n_several += len(table.fkeys) > 1
            for j, (column, parent) in enumerate(table.fkeys.items()):
                rng = stream(seed, Purpose.CONNECTIVITY, t, j)
                rows = sample_parents(sizes[parent], sizes[table.name], prior=SMALL.connectivity, rng=rng)
                assert table.data[column].to_pylist() == rows.tolist()
    assert n_several > 3


def test_missing_cells_have_one_rate_per_table() -> None:
    rates = []
    for seed in range(5):
        for table in generate_database(seed, SMALL).tables.values():
            counts = {
                table.data[c].null_count for c in table.features() if table.data[c].type == pa.float64()
            }
            assert len(counts) <= 1
            rates += [count / table.data.num_rows for count in counts]
    assert 0.0 <= min(rates) < 0.03 < max(rates) <= 0.1


def test_children_read_their_parents_before_these_are_finished() -> None:
    """Standardising all columns at the end equals standardising finished columns, in child tables too."""

    def frames(transform: str) -> dict[str, pa.Table]:
        prior = ColumnPrior(transforms=(transform,), missing_share=(0.0, 0.0))
        database = generate_database(4, SMALL.replace(columns=prior))
        assert any(table.fkeys for table in database.tables.values())
        return {name: table.data for name, table in database.tables.items()}

    raw, standardised = frames("identity"), frames("standardize")
    for name, data in raw.items():
        assert data.column_names == standardised[name].column_names
        for column in data.column_names:
            x, y = data[column].to_numpy(), standardised[name][column].to_numpy()
            if data[column].type == pa.float64():
                x = (x - x.mean()) / max(x.std(), 1e-8)
            np.testing.assert_array_equal(x, y)


def test_split_times_lie_on_the_grid_of_days() -> None:
    config = GeneratorConfig()
    lengths = []
    for seed in range(2000):
        period = sample_period(config, rng=np.random.default_rng(seed))
        grid = pd.date_range(period.first, period.last, freq="D")
        assert period.val_timestamp == grid[int(0.8 * len(grid))]
        assert period.test_timestamp == grid[int(0.9 * len(grid))]
        assert datetime(1990, 1, 1) <= period.first < period.last < datetime(2025, 1, 1)
        lengths.append((period.last - period.first).days)
    assert abs(np.mean(lengths) - 12_784 / 3) < 250


def test_a_window_of_two_days_is_used_whole() -> None:
    config = GeneratorConfig(time_window=(date(2020, 2, 28), date(2020, 3, 1)))
    period = sample_period(config, rng=np.random.default_rng(0))
    assert (period.first, period.last) == (datetime(2020, 2, 28), datetime(2020, 2, 29))


def test_times_are_equally_spaced_and_reach_both_ends() -> None:
    first, last = datetime(2001, 3, 1), datetime(2019, 7, 5)
    times = equally_spaced(first, last, 4001)
    assert (times[0], times[-1]) == (np.datetime64(first), np.datetime64(last))
    gaps = np.diff(times)
    assert gaps.max() - gaps.min() <= np.timedelta64(1, "us")
    assert equally_spaced(first, last, 1).tolist() == [first]
    assert equally_spaced(first, first + timedelta(days=1), 3)[1] == np.datetime64("2001-03-01T12:00")


def test_the_package_exports_lazily() -> None:
    assert relscale.generation.generate_database is generate_database
    assert relscale.generation.GeneratorConfig is GeneratorConfig
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        relscale.generation.nothing  # noqa: B018
    code = "import relscale.generation, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
