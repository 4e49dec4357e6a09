"""Tests of the paths that stand for storage URIs."""

from pathlib import Path

import pytest

from relscale.platform import image
from relscale.platform.errors import ConfigError
from relscale.platform.image import Origin, origin, place, reworded, shown, workplace


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(image.ENVIRONMENT, str(tmp_path))
    return tmp_path / image.FOLDER


def test_a_uri_has_one_local_path_and_a_path_is_its_own(mirror: Path) -> None:
    assert place("s3://bucket/a/corpus/") == mirror / "s3" / "bucket" / "a" / "corpus"
    assert place("file:///mnt/store") == mirror / "file" / "mnt" / "store"
    assert place("runs/out") == Path("runs/out")
    assert place(Path("/a/b")) == Path("/a/b")
    assert not mirror.exists(), "naming a place makes nothing"


def test_the_path_itself_says_where_its_content_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    path = place("s3://bucket/a?endpoint_override=http://127.0.0.1:9000&region=eu-west-1") / "b.json"
    monkeypatch.delenv(image.ENVIRONMENT)
    found = origin(path)
    assert found is not None and (found.scheme, found.key) == ("s3", "bucket/a/b.json")
    assert found.options == {"endpoint_override": "http://127.0.0.1:9000", "region": "eu-west-1"}
    assert origin(place("file:///mnt/store/x")) == Origin(scheme="file", query="", key="/mnt/store/x")
    assert origin(Path("/mnt/store/x")) is None
    assert origin(Path("x")) is None


def test_people_read_uris_without_their_options() -> None:
    path = place("s3://bucket/a?endpoint_override=http://host:9000") / "corpus.json"
    assert shown(path) == "s3://bucket/a/corpus.json"
    assert shown(Path("runs/out")) == "runs/out"
    assert reworded(f"'{path}' is missing; see {place('file:///mnt/x')} or /tmp/y.") == (
        "'s3://bucket/a/corpus.json' is missing; see file:///mnt/x or /tmp/y."
    )
    assert reworded(f"'{workplace(path)}'") == "'s3://bucket/a/corpus.json'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://bucket/x", "'http://' is no storage that relscale knows; valid are: s3://, gs://, file://"),
        ("s3://bucket/../x", "write s3://bucket/prefix without empty parts"),
        ("s3://bucket//x", "write s3://bucket/prefix without empty parts"),
        ("s3://", "write s3://bucket/prefix"),
        ("s3://bucket/x?acl=public", "unknown option 'acl'; valid are: endpoint_override, region, scheme"),
        ("s3://key:secret@bucket/x", "must not hold credentials"),
        ("s3://bucket/x?endpoint_override=http://key:secret@host", "must not hold credentials"),
    ],
)
def test_what_is_no_storage_uri(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        place(text)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)
