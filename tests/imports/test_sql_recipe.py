"""Recipes from SQL: the declared shape, with everything else drawn anew for each database."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from relscale.generation.admission import admit
from relscale.generation.events.config import WHOLE, EventsConfig
from relscale.generation.events.database import generate_events
from relscale.imports.recipe import with_recipe
from relscale.imports.sql_recipe import recipe_of_sql
from relscale.platform.errors import ConfigError

SCHEMA = """
CREATE TABLE clinic (
  clinic_id INT PRIMARY KEY, parent_id INT REFERENCES clinic (clinic_id), beds INT NOT NULL
);
CREATE TABLE patient (
  id INT PRIMARY KEY, born DATE, sex CHAR(1) CHECK (sex IN ('f', 'm')), weight REAL CHECK (weight > 0)
);
CREATE TABLE visit (
  patient_id INT NOT NULL REFERENCES patient (id), clinic_id INT REFERENCES clinic (clinic_id),
  happened TIMESTAMP NOT NULL, pain INT NOT NULL CHECK (pain BETWEEN 0 AND 10),
  urgent BOOLEAN, price REAL, notes TEXT
);
CREATE TABLE invoice (id INT PRIMARY KEY, patient_id INT REFERENCES patient (id), amount REAL NOT NULL);
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("sql") / "clinics.sql"
    path.write_text(SCHEMA)
    config = with_recipe(WHOLE.replace(rows_activity=(300, 600), rows_entity=(60, 200)), path)
    return [generate_events(seed, config) for seed in range(12)]


def test_databases_have_the_declared_shape(made):
    for database in made:
        assert admit(database) is None
        visit, clinic = database.tables["visit"], database.tables["clinic"]
        assert visit.fkeys == {"patient_id": "patient", "clinic_id": "clinic"}
        assert visit.time_col == "happened" and visit.pkey == "row_idx"
        assert clinic.fkeys == {"parent_id": "clinic"} and clinic.time_col is None
        assert database.tables["invoice"].time_col == "date", "added, since invoices happen"
        assert set(visit.features()) == {"pain", "urgent", "price", "notes"}


def test_declared_ranges_labels_and_kinds_hold(made):
    for database in made:
        visit, patient = database.tables["visit"].data, database.tables["patient"].data
        assert pa.types.is_integer(visit["pain"].type)
        assert pc.min(visit["pain"]).as_py() >= 0 and pc.max(visit["pain"]).as_py() <= 10
        assert pc.min(patient["weight"]).as_py() > 0
        assert set(patient["sex"].drop_null().to_pylist()) <= {"f", "m"}
        assert pa.types.is_boolean(visit["urgent"].type) and pa.types.is_timestamp(patient["born"].type)
        assert not visit["pain"].null_count and not visit["patient_id"].null_count


def test_what_is_not_declared_differs_between_databases(made):
    rows = {database.tables["visit"].data.num_rows for database in made}
    shares = {round(pc.mean(pc.cast(d.tables["visit"].data["urgent"], pa.int8())).as_py(), 2) for d in made}
    medians = {round(pc.approximate_median(d.tables["visit"].data["pain"]).as_py()) for d in made}
    spans = {d.test_timestamp - d.val_timestamp for d in made}
    empty = [d.tables["visit"].data["price"].null_count > 0 for d in made]
    assert len(rows) > 8 and len(shares) > 6 and len(medians) > 3 and len(spans) > 8
    assert any(empty) and not all(empty)


def test_names_that_the_lexicon_knows_get_its_laws(made):
    prices = [d.tables["visit"].data["price"].drop_null() for d in made]
    assert all(pc.min(price).as_py() > 0 for price in prices), "a price is lognormal"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CREATE TABLE a (id INT PRIMARY KEY, x INT);", "nothing happens"),
        ("CREATE TABLE a (id INT, b INT REFERENCES c (id));", "which is not declared"),
        (
            "CREATE TABLE a (id INT PRIMARY KEY, b INT REFERENCES b (id));"
            "CREATE TABLE b (id INT PRIMARY KEY, a INT REFERENCES a (id));",
            "cycle",
        ),
    ],
)
def test_a_schema_that_cannot_be_filled_is_refused_in_one_sentence(text, reason):
    with pytest.raises(ConfigError, match=reason):
        recipe_of_sql(text, "wrong")


def test_types_say_how_many_digits_and_how_large(tmp_path):
    path = tmp_path / "sizes.sql"
    path.write_text(
        """CREATE TABLE shop (id INT PRIMARY KEY, floor SMALLINT NOT NULL, fee NUMERIC(6, 2) NOT NULL);
        CREATE TABLE sale (id INT PRIMARY KEY, shop_id INT REFERENCES shop (id), sold DATE,
          stars INT NOT NULL CHECK (stars IN (1, 2, 3, 4, 5)), code INT NOT NULL CHECK (code IN (3, 9)));"""
    )
    config = with_recipe(WHOLE.replace(rows_activity=(300, 400), rows_entity=(200, 300)), path)
    for seed in range(20):
        tables = generate_events(seed, config).tables
        floor, fee = (tables["shop"].data[name].to_numpy() for name in ("floor", "fee"))
        assert np.abs(floor).max() <= 32767 and np.abs(fee).max() <= 9999.99
        np.testing.assert_allclose(fee, np.round(fee, 2), atol=1e-9)
        stars = tables["sale"].data["stars"]
        assert pa.types.is_integer(stars.type) and set(stars.to_pylist()) <= {1, 2, 3, 4, 5}
        assert set(tables["sale"].data["code"].to_pylist()) <= {"3", "9"}


@pytest.mark.parametrize("config", [WHOLE, EventsConfig()])
def test_a_table_may_belong_to_two_tables_of_events(tmp_path, config):
    path = tmp_path / "two.sql"
    path.write_text(
        """CREATE TABLE customer (id INT PRIMARY KEY);
        CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT REFERENCES customer (id), at DATE);
        CREATE TABLE shipment (id INT PRIMARY KEY, customer_id INT REFERENCES customer (id), at DATE);
        CREATE TABLE line (id INT PRIMARY KEY, order_id INT REFERENCES orders (id),
          shipment_id INT REFERENCES shipment (id), pieces INT);"""
    )
    config = with_recipe(config.replace(rows_activity=(50, 80), rows_entity=(20, 40)), path)
    for seed in range(30):
        assert admit(generate_events(seed, config)) is None


@pytest.mark.parametrize("config", [WHOLE, EventsConfig()])
def test_answers_pairs_and_quoted_names(tmp_path, config):
    path = tmp_path / "forum.sql"
    path.write_text(
        '''CREATE TABLE "user" (id INT PRIMARY KEY);
        CREATE TABLE post (id INT PRIMARY KEY, user_id INT NOT NULL REFERENCES "user" (id),
          at TIMESTAMP NOT NULL,
          "size 5""" INT, "km/h" INT, stars NUMERIC(2, 1) NOT NULL CHECK (stars > 0));
        CREATE TABLE comment (id INT PRIMARY KEY, post_id INT NOT NULL REFERENCES post (id),
          parent_id INT REFERENCES comment (id), first_id INT NOT NULL REFERENCES comment (id), votes INT,
          shipped DATE NOT NULL);
        CREATE TABLE likes (user_id INT REFERENCES "user" (id), post_id INT REFERENCES post (id),
          at TIMESTAMP, PRIMARY KEY (user_id, post_id));'''
    )
    tasks, constant = 0, 0
    config = with_recipe(config.replace(rows_activity=(300, 500), rows_entity=(50, 80)), path)
    for seed in range(10):
        database = generate_events(seed, config)
        assert admit(database) is None
        comment = database.tables["comment"].data
        for name in ("parent_id", "first_id"):
            parents = comment[name].to_numpy(zero_copy_only=False)
            known = ~np.isnan(parents)
            assert (parents[known] < np.flatnonzero(known)).all()
        assert known.sum() == len(known) - 1, "where it may not be empty there is one root"
        days = comment["shipped"].to_numpy()
        assert np.mean(days == days.astype("datetime64[D]")) > 0.9
        assert database.tables["likes"].pkey == "row_idx"
        stars = database.tables["post"].data["stars"].to_numpy()
        constant += np.mean(stars == np.median(stars)) > 0.5
        tasks += len(database.tasks)
        names = " ".join(task.manifest.name + task.manifest.sql for task in database.tasks)
        assert "km/h" not in names and "size" not in names
    assert tasks and constant <= 1
