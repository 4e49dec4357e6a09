"""Tokenizing: resumable, independent of how the work is spread, careful with earlier stores."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relscale.model import tokenize
from relscale.model.config import TextConfig
from relscale.model.store import TokenStore
from relscale.platform import storage
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import DataError, ResumeError


@pytest.fixture
def folders(tmp_path: Path, make_shop) -> list[Path]:
    return [make_shop(tmp_path / "sources" / name, name) for name in ("b", "a")]


class _Counted:
    """A `run` that remembers its keys."""

    def __init__(self) -> None:
        self.keys: list[int] = []

    def __call__(self, function, keys, **options):
        self.keys += keys
        return map_keys_here(function, keys, **options)


def test_databases_keep_the_given_order_and_their_own_text_rows(
    folders, tmp_path, tokenize_fake, fake_encoder
):
    second = folders[1] / "db" / "regions.parquet"
    pq.write_table(pq.read_table(second).set_column(1, "name", pa.array(["east", "north"])), second)
    seen: list[tuple[str, int, int]] = []
    store = tokenize_fake(folders, tmp_path / "s", run=map_keys_here, progress=lambda *at: seen.append(at))
    assert store.names == ("b", "a")
    for name, regions in (("b", ["north", "south"]), ("a", ["east", "north"])):
        database = store.database(name)
        cells = slice(*database.arrays.cell_ptr[[18, 20]])
        assert [
            store.strings[database.text_rows[bits]] for bits in database.arrays.cell_bits[cells]
        ] == regions
    assert len(store.strings) == len(set(store.strings)) == len(store.embeddings), "once per corpus"
    titles = [[column.text_row for column in store.database(name).columns] for name in store.names]
    assert titles[0] == titles[1], "equal names of two databases are one row"
    expected = fake_encoder(TextConfig()).encode(store.strings)
    assert np.array_equal(store.embeddings, expected)
    assert seen[:2] == [("databases", 1, 2), ("databases", 2, 2)]
    assert seen[-1] == ("strings", len(store.strings), len(store.strings))


def test_a_second_call_does_no_work(folders, tmp_path, tokenize_fake, fake_encoder, monkeypatch):
    first = tokenize_fake(folders, tmp_path / "s", run=map_keys_here)
    stamp = (tmp_path / "s" / "store.json").stat().st_mtime_ns
    monkeypatch.setattr(fake_encoder, "encode", None)
    run = _Counted()
    second = tokenize_fake(folders, tmp_path / "s", run=run)
    assert run.keys == []
    assert second.fingerprint == first.fingerprint
    assert (tmp_path / "s" / "store.json").stat().st_mtime_ns == stamp


def test_an_interrupted_call_goes_on_to_the_same_store(
    folders, tmp_path, tokenize_fake, fake_encoder, monkeypatch
):
    monkeypatch.setattr(tokenize, "STRINGS_PER_PART", 7)
    whole = tokenize_fake(folders, tmp_path / "whole", run=map_keys_here)

    def killed_in_database(function, keys, **options):
        function(keys[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize_fake(folders, tmp_path / "s", run=killed_in_database)
    encode, n_calls = fake_encoder.encode, 0

    def killed_in_text(self, strings, **options):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise KeyboardInterrupt
        return encode(self, strings, **options)

    run = _Counted()
    with monkeypatch.context() as patch:
        patch.setattr(fake_encoder, "encode", killed_in_text)
        with pytest.raises(KeyboardInterrupt):
            tokenize_fake(folders, tmp_path / "s", run=run)
    assert run.keys == [1]
    with pytest.raises(DataError, match="not a finished token store"):
        TokenStore.open(tmp_path / "s")
    n_kept = len(list((tmp_path / "s" / "parts").iterdir()))
    assert n_kept == 2
    resumed = tokenize_fake(folders, tmp_path / "s", run=map_keys_here)
    assert resumed.fingerprint == whole.fingerprint
    assert storage.digest_files(tmp_path / "s") == storage.digest_files(tmp_path / "whole")


def test_a_store_may_grow(folders, tmp_path, tokenize_fake):
    small = tokenize_fake(folders[:1], tmp_path / "s")
    run = _Counted()
    grown = tokenize_fake(folders, tmp_path / "s", run=run)
    assert run.keys == [1]
    assert grown.names == ("b", "a")
    assert grown.fingerprint != small.fingerprint
    assert grown.digests[0] == small.digests[0]
    fresh = tokenize_fake(folders, tmp_path / "fresh", run=map_keys_here)
    assert storage.digest_files(fresh.path) == storage.digest_files(grown.path)


def test_other_content_encoder_or_databases_are_refused(folders, tmp_path, tokenize_fake):
    out = tmp_path / "s"
    tokenize_fake(folders, out, run=map_keys_here)
    before = storage.digest_files(out)
    with pytest.raises(ResumeError, match=r"text encoder 'packaged-minilm'.*now it is 'other'.*new folder"):
        tokenize_fake(folders, out, text=TextConfig(encoder="other"), run=map_keys_here)
    with pytest.raises(ResumeError, match="holds database 'a', which the sources lack"):
        tokenize_fake(folders[:1], out)
    regions = folders[0] / "db" / "regions.parquet"
    pq.write_table(pq.read_table(regions).set_column(1, "name", pa.array(["x", "y"])), regions)
    with pytest.raises(ResumeError, match="databases/b' was made from other content"):
        tokenize_fake(folders, out, run=map_keys_here)
    assert storage.digest_files(out) == before


def test_another_format_is_refused(folders, tmp_path, tokenize_fake, monkeypatch):
    tokenize_fake(folders[:1], tmp_path / "s")
    monkeypatch.setattr("relscale.model.store.FORMAT", 4)
    with pytest.raises(ResumeError, match="format 3, this version of relscale reads 4"):
        tokenize_fake(folders[:1], tmp_path / "s")


def test_a_bad_database_leaves_nothing_of_itself(folders, tmp_path, tokenize_fake):
    orders = folders[1] / "db" / "orders.parquet"
    data = pq.read_table(orders)
    pq.write_table(data.set_column(1, "customer", pa.array([9] * 12)), orders)
    with pytest.raises(DataError, match=r"'customer' is 9 in row 0, but 'customers' has rows 0\.\.2"):
        tokenize_fake(folders, tmp_path / "s", run=map_keys_here)
    assert [path.name for path in (tmp_path / "s" / "databases").iterdir()] == ["b"]
    assert not (tmp_path / "s" / "store.json").exists()


def test_folders_must_exist_and_differ_in_name(folders, tmp_path, tokenize_fake, make_shop):
    twin = make_shop(tmp_path / "sources" / "twin", "a")
    with pytest.raises(DataError, match="both named 'a'; rename one"):
        tokenize_fake([*folders, twin], tmp_path / "s")
    with pytest.raises(DataError, match="nowhere' is not a RelBench 3 folder"):
        tokenize_fake([tmp_path / "nowhere"], tmp_path / "s")
    with pytest.raises(DataError, match="no database to tokenize"):
        tokenize_fake([], tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.ray
def test_ray_and_one_process_give_equal_stores(folders, tmp_path, tokenize_fake, ray_session):
    spread = tokenize_fake(folders, tmp_path / "ray")
    alone = tokenize_fake(folders, tmp_path / "alone", run=map_keys_here)
    assert storage.digest_files(spread.path) == storage.digest_files(alone.path)
