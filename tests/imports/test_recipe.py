"""Recipes: aggregates of a real database, and databases of its shape that hold none of its rows."""

import json
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from relbench.manifest import DatasetManifest, TableSpec
from scipy.stats import spearmanr

from relscale.generation.admission import admit
from relscale.generation.events.config import WHOLE, EventsConfig
from relscale.generation.events.database import generate_events
from relscale.generation.events.recipe import correlated, parse_recipe
from relscale.generation.priors import PRIORS
from relscale.imports.recipe import LEAST_ROWS, recipe_of, with_recipe
from relscale.platform.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def recipe(rel_f1):
    return recipe_of(rel_f1)


@pytest.fixture(scope="module")
def made(rel_f1):
    config = with_recipe(WHOLE, rel_f1)
    return [generate_events(seed, config) for seed in range(4)]


def test_a_recipe_holds_aggregates_alone(recipe, rel_f1):
    text = recipe.model_dump_json()
    drivers = pq.read_table(rel_f1 / "db" / "drivers.parquet")
    names = [*drivers["forename"].to_pylist(), *drivers["surname"].to_pylist()]
    assert not [name for name in names if f'"{name}"' in text], "no text"
    for table in recipe.tables:
        data = pq.read_table(rel_f1 / "db" / f"{table.name}.parquet")
        for column in table.columns:
            for label in column.labels if column.kind == "label" else ():
                assert pc.sum(pc.equal(data[column.name], label)).as_py() >= LEAST_ROWS
            assert len(column.quantiles) in (0, 33)


def test_nothing_is_told_of_later_rows(rel_f1, tmp_path):
    folder = tmp_path / "rel-f1"
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text((rel_f1 / "manifest.yaml").read_text())
    before = recipe_of(rel_f1)
    from relbench.manifest import DatasetManifest

    manifest = DatasetManifest.load(rel_f1 / "manifest.yaml")
    cut = pa.scalar(np.datetime64(str(manifest.val_timestamp), "us"))
    for name, spec in manifest.tables.items():
        data = pq.read_table(rel_f1 / "db" / f"{name}.parquet")
        if spec.time_col:
            data = data.filter(pc.less_equal(pc.cast(data[spec.time_col], pa.timestamp("us")), cut))
        pq.write_table(data, folder / "db" / f"{name}.parquet")
    assert recipe_of(folder) == before


def test_databases_have_its_shape(recipe, made):
    for database in made:
        assert admit(database) is None
        assert {t.name for t in recipe.tables} == set(database.tables)
        for table in recipe.tables:
            shown = database.tables[table.name]
            assert set(shown.fkeys) == {key.name for key in table.keys} and shown.time_col == table.time_col
            assert 0.5 < shown.data.num_rows / table.rows < 2
            for column in table.columns:
                if column.kind == "number" and shown.data.num_rows > 500:
                    values = shown.data[column.name].drop_null().to_numpy()
                    low, high = column.quantiles[0], column.quantiles[-1]
                    assert values.min() >= low - 1 and values.max() <= high + 1
                    middle = np.quantile(values, 0.5)
                    assert column.quantiles[8] <= middle <= column.quantiles[24]


def test_databases_have_its_correlations(recipe, made):
    errors = []
    for table in recipe.tables:
        names = [column.name for column in table.columns if column.kind == "number"]
        for database in made:
            data = database.tables[table.name].data
            if len(names) < 2 or data.num_rows < 1000:
                continue
            values = np.stack(
                [pc.fill_null(pc.cast(data[n], pa.float64()), np.nan).to_numpy() for n in names]
            )
            found = spearmanr(values.T, nan_policy="omit").statistic
            found = np.array([[1, found], [found, 1]]) if np.ndim(found) == 0 else found
            errors += np.abs(np.asarray(found) - np.array(table.correlations))[
                np.triu_indices(len(names), 1)
            ].tolist()
    assert errors and np.median(errors) < 0.15


def test_no_row_is_a_copy(recipe, made, rel_f1):
    """Rows made are no nearer to real ones than real ones are to each other."""
    name = "results"
    names = [c.name for t in recipe.tables if t.name == name for c in t.columns if c.kind == "number"]

    def points(data):
        columns = [pc.fill_null(pc.cast(data[n], pa.float64()), np.nan).to_numpy() for n in names]
        return np.nan_to_num(np.stack(columns, axis=1))

    real = points(pq.read_table(rel_f1 / "db" / f"{name}.parquet"))
    scale = real.std(axis=0) + 1e-9
    real = (real / scale)[:3000]
    other = (points(made[0].tables[name].data) / scale)[:500]

    def nearest(points, among, own=False):
        distances = np.sqrt(((points[:, None] - among[None]) ** 2).sum(axis=2))
        if own:
            np.fill_diagonal(distances, np.inf)
        return distances.min(axis=1)

    assert np.median(nearest(other, real)) >= np.median(nearest(real[:500], real, own=True))


def test_correlations_are_reached_and_mended():
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((3, 20_000)).astype(np.float32)
    wanted = np.array([[1, 0.6, 0], [0.6, 1, -0.3], [0, -0.3, 1]])
    found = spearmanr(correlated(numbers, wanted).T).statistic
    assert np.abs(found - wanted).max() < 0.02
    impossible = np.array([[1, 0.9, 0.9], [0.9, 1, -0.9], [0.9, -0.9, 1]])
    assert np.isfinite(correlated(numbers, impossible)).all()


def write_folder(folder, days, passed):
    """Two tables; `passed` is null in two rows."""
    (folder / "db").mkdir(parents=True)
    manifest = DatasetManifest(
        name="tests",
        tables={
            "pupils": TableSpec(pkey="id"),
            "exams": TableSpec(pkey="id", time_col="day", fkeys={"pupil": "pupils"}),
        },
        val_timestamp="2020-03-01",
        test_timestamp="2020-04-01",
    )
    manifest.save(folder / "manifest.yaml")
    pq.write_table(pa.table({"id": range(20)}), folder / "db" / "pupils.parquet")
    exams = {
        "id": range(len(days)),
        "pupil": [i % 20 for i in range(len(days))],
        "day": pa.array([datetime(2020, 1, 1) + timedelta(days=d) for d in days]),
        "passed": pa.array(passed),
    }
    pq.write_table(pa.table(exams), folder / "db" / "exams.parquet")
    return folder


def test_what_few_rows_have_is_not_told(tmp_path):
    days = [i % 50 for i in range(400)] + [70] * 100
    passed = [True] * 3 + [False] * 395 + [None] * 2 + [True] * 100
    recipe = recipe_of(write_folder(tmp_path / "tests", days, passed))
    (exams,) = (table for table in recipe.tables if table.name == "exams")
    assert exams.rows == 400, "later rows are not counted"
    (column,) = exams.columns
    assert column.labels == {"true": 0.0} and column.missing_share == 0.0
    made = generate_events(1, WHOLE.replace(recipe=recipe.model_dump_json()))
    assert set(made.tables["exams"].data["passed"].to_pylist()) == {False}


def test_what_is_no_number_is_missing(tmp_path):
    """Of three numbers among NaN nothing is told, nor of NaN alone."""
    few = [float("nan")] * 97 + [1.0, 77.7, 1e6]
    for passed in (few, [float("nan")] * 100):
        folder = write_folder(tmp_path / str(passed[-1]), [i % 40 for i in range(100)], passed)
        assert not next(t for t in recipe_of(folder).tables if t.name == "exams").columns
    half = [float("nan"), 1.0] * 100
    folder = write_folder(tmp_path / "half", [i % 40 for i in range(200)], half)
    (column,) = next(t for t in recipe_of(folder).tables if t.name == "exams").columns
    assert column.missing_share == 0.5


def test_a_table_without_its_time_is_one_sentence(tmp_path):
    folder = write_folder(tmp_path / "tests", list(range(40)), [True, False] * 20)
    exams = pq.read_table(folder / "db" / "exams.parquet")
    pq.write_table(exams.drop_columns(["day"]), folder / "db" / "exams.parquet")
    with pytest.raises(DataError, match=r"not as its manifest says \(.*day"):
        recipe_of(folder)


TWO = {
    "name": "two",
    "span_days": 100,
    "tables": [
        {"name": "a", "rows": 50},
        {"name": "b", "rows": 200, "time_col": "t", "keys": [{"name": "a_id", "parent": "a"}]},
    ],
}


def test_details_without_a_time_have_that_of_their_event():
    detail = {"name": "c", "rows": 500, "keys": [{"name": "b_id", "parent": "b"}]}
    columns = [{"name": "x", "kind": "number", "quantiles": [0, 1, 5]}]
    tables = [{**TWO["tables"][0], "columns": columns}, TWO["tables"][1], detail]
    for seed in range(3):
        database = generate_events(seed, WHOLE.replace(recipe=changed(tables=tables)))
        assert admit(database) is None
        assert database.tables["c"].time_col == "t"


def changed(**changes):
    return json.dumps({**TWO, **changes})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        (changed(span_days=0), "span_days"),
        (changed(tables=[{"name": "a", "rows": 5}]), "nothing happens"),
        (changed(tables=[*TWO["tables"], TWO["tables"][0]]), "named twice"),
        (changed(tables=[{**TWO["tables"][1], "keys": [{"name": "x", "parent": "c"}]}]), "unknown table 'c'"),
        (changed(unknown=1), "unknown"),
        (changed(tables=[{**TWO["tables"][0], "name": "../a"}, TWO["tables"][1]]), "cannot be named"),
        (changed(tables=[TWO["tables"][0], {**TWO["tables"][1], "pkey": "t"}]), "two columns named 't'"),
    ],
)
def test_a_bad_recipe_is_one_sentence(text, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_recipe(text)
    assert "\n" not in str(caught.value)


def test_what_is_stated_of_a_table_of_events_holds():
    number = {"kind": "number", "missing_share": 0}
    events = {
        **TWO["tables"][1],
        "rows": 2000,
        "whole_days": True,
        "spread": 1.0,
        "keys": [{"name": "a_id", "parent": "a"}, {"name": "before", "parent": "b", "null_share": 0.5}],
        "columns": [
            {"name": "x", **number},
            {"name": "y", **number, "quantiles": [0, 1, 2], "decimals": 1},
            {"name": "z", "kind": "label", "missing_share": 0, "labels": {"u": 0.7, "v": 0.3}},
            {"name": "w", "kind": "number", "missing_share": 1},
        ],
        "correlations": [[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]],
    }
    lines = {"name": "c", "rows": 6000, "keys": [{"name": "b_id", "parent": "b"}]}
    for config in (WHOLE, EventsConfig()):
        made = config.replace(recipe=changed(tables=[TWO["tables"][0], events, lines]))
        for seed in range(4):
            b, c = (generate_events(seed, made).tables[name].data for name in ("b", "c"))
            days = b["t"].to_numpy()
            assert (days == days.astype("datetime64[D]")).all()
            before, rows = b["before"].to_numpy(zero_copy_only=False), np.arange(b.num_rows)
            assert np.isnan(before).mean() == pytest.approx(0.5, abs=0.05)
            assert (before[~np.isnan(before)] < rows[~np.isnan(before)]).all()
            assert spearmanr(b["x"].to_numpy(), b["y"].to_numpy())[0] == pytest.approx(0.6, abs=0.1)
            np.testing.assert_array_equal(b["y"].to_numpy(), np.round(b["y"].to_numpy(), 1))
            assert pc.mean(pc.equal(b["z"], "u")).as_py() == pytest.approx(0.7, abs=0.01)
            assert b["w"].null_count == b.num_rows
            counts = np.bincount(c["b_id"].to_numpy(), minlength=b.num_rows)
            excess = counts.var() / counts.mean() ** 2 - 1 / counts.mean()
            assert np.sqrt(np.log1p(excess)) == pytest.approx(1.0, abs=0.2)


def test_a_share_of_exceptions_is_not_rounded_away(tmp_path):
    passed = [float(i) if i < 40 else float("nan") for i in range(10_000)]
    folder = write_folder(tmp_path / "tests", [i % 40 for i in range(10_000)], passed)
    (column,) = next(t for t in recipe_of(folder).tables if t.name == "exams").columns
    assert column.missing_share == 0.99


def test_what_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "r.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match="not UTF-8"):
        with_recipe(WHOLE, tmp_path / "r.json")


def test_who_takes_none_says_so(tmp_path):
    with pytest.raises(ConfigError, match="takes no recipe"):
        with_recipe(PRIORS["plurel"].preset(), tmp_path)
    with pytest.raises(DataError, match="not a RelBench 3 folder"):
        with_recipe(WHOLE, tmp_path)
