"""Tests of S3 access against a server on loopback that fails, delays, refuses and cuts off."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import BUCKET, Store, serving

from relscale.platform import image, objects, remote
from relscale.platform.errors import ResourceError

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    with serving() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key-id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
        monkeypatch.setenv(image.ENVIRONMENT, str(tmp_path))
        objects._reached.cache_clear()
        yield server
    objects._reached.cache_clear()


@pytest.fixture
def unit(store: Store) -> Path:
    folder = remote.place(f"s3://{BUCKET}/a/unit")
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "small").write_bytes(b"x" * 1000)
    (folder / "big").write_bytes(bytes(range(256)) * 2**16 + b"the end")  # 16 MB, sent in parts
    return folder


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fault", ["500", "503", "cut", "slow"])
def test_faults_on_the_way_change_nothing(store: Store, unit: Path, fault: str) -> None:
    before, content = sizes(unit), (unit / "big").read_bytes()
    store.fault = lambda number, method, path: fault if number % 3 == 2 else None
    remote.publish(unit)
    shutil.rmtree(unit)
    assert remote.stage(unit)
    assert sizes(unit) == before and (unit / "big").read_bytes() == content
    assert store.faults[fault] >= 3


@pytest.mark.parametrize("fault", ["500", "503", "cut"])
def test_an_object_smaller_than_the_text_of_an_error_is_read_again(store: Store, fault: str) -> None:
    path = remote.place(f"s3://{BUCKET}/tiny")
    objects.write(path, iter([b"{}"]))
    first = len(store.requests)
    store.fault = lambda number, method, path: fault if method == "GET" and number < first + 5 else None
    assert objects.read(path) == b"{}"
    assert store.faults[fault] >= 2


def test_a_small_file_is_one_request_to_send_and_two_to_read(store: Store, unit: Path) -> None:
    (unit / "big").unlink()
    remote.publish(unit)
    assert store.counts() == {"HEAD": 2, "PUT": 2}, "the bucket, the record that is not there; file, record"
    store.requests.clear()
    remote.drop(unit)
    remote.stage(unit)
    assert store.counts() == {"HEAD": 2, "GET": 2}
    store.requests.clear()
    remote.publish(unit)
    assert store.counts() == {"HEAD": 1, "GET": 1}, "what is there is not sent again"


def told(path: Path) -> str:
    """The one sentence that a user reads of a store that refuses, within 10 seconds."""
    started = time.monotonic()
    with pytest.raises(ResourceError) as refused:
        remote.check(path)
    assert time.monotonic() - started < 10
    message = image.reworded(str(refused.value))
    assert "\n" not in message and "secret" not in message and "the-key-id" not in message
    return message


def test_a_store_without_permission(store: Store) -> None:
    store.fault = lambda number, method, path: "403"
    assert f"'s3://{BUCKET}': the store refuses access" in told(remote.place(f"s3://{BUCKET}/x"))


def test_a_store_that_can_only_be_read(store: Store, unit: Path) -> None:
    remote.publish(unit)
    store.fault = lambda number, method, path: "403" if method != "GET" and method != "HEAD" else None
    assert f"'s3://{BUCKET}/a/unit/_relscale-probe': the store refuses access" in told(unit)
    remote.drop(unit)
    assert remote.stage(unit)


def test_a_bucket_that_is_not_there(store: Store) -> None:
    assert "'s3://other-bucket': there is no such bucket" in told(remote.place("s3://other-bucket/x"))


def test_an_address_without_a_store(store: Store) -> None:
    path = remote.place(f"s3://{BUCKET}/x?endpoint_override=http://127.0.0.1:9")
    assert f"'s3://{BUCKET}': the store does not answer" in told(path)


def test_a_store_that_is_silent(store: Store) -> None:
    store.fault = lambda number, method, path: "silent"
    assert "the store does not answer" in told(remote.place(f"s3://{BUCKET}/x"))


def test_a_writer_that_is_killed_leaves_nothing_that_counts(
    store: Store, unit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The record takes its time, so that the kill falls between the files and the record.
    store.fault = lambda number, method, path: time.sleep(3) if path.endswith(remote.RECORD) else None
    code = "import sys; from relscale.platform import remote; remote.publish(remote.place(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, f"s3://{BUCKET}/a/unit"])
    while not store.objects("a/unit"):
        assert process.poll() is None, "it ended with nothing sent"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 1 <= len(store.objects("a/unit")) < 3
    before = sizes(unit)
    assert not remote.committed(unit)
    monkeypatch.setenv(image.ENVIRONMENT, str(tmp_path / "other"))
    other = remote.place(f"s3://{BUCKET}/a/unit")
    assert not remote.stage(other) and not other.exists()
    store.fault = lambda number, method, path: None
    remote.publish(unit)
    assert remote.stage(other) and sizes(other) == before


def test_names_are_listed_page_by_page(store: Store) -> None:
    folder = remote.place(f"s3://{BUCKET}/many")
    for number in range(1100):
        objects.write(folder / f"db-{number}" / "file", iter([b""]))
    store.requests.clear()
    assert sorted(remote.names(folder)) == sorted(f"db-{number}" for number in range(1100))
    assert store.counts() == {"LIST": 2}
