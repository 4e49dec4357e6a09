"""Tests of what is whole on a store: here a folder, reached as file://, seen from nodes with own mirrors."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from relscale.platform import image, objects, remote, storage
from relscale.platform.errors import DataError, ResourceError

Node = Callable[[str], Path]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """`node(name)`: the path of the unit on the node of that name, which is where we are from then on."""

    def enter(name: str) -> Path:
        monkeypatch.setenv(image.ENVIRONMENT, str(tmp_path / name))
        return remote.place((tmp_path / "store" / "unit").as_uri())

    return enter


def fill(folder: Path, **files: str) -> None:
    for name, text in files.items():
        storage.write_text(folder / name.replace("__", "/"), text)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_what_one_node_has_sent_another_finds_whole(node: Node, tmp_path: Path) -> None:
    here = node("a")
    fill(here, one="1", db__two="2", left__out="3")
    assert not remote.committed(here)
    remote.publish(here, about={"name": "unit"}, leave_out=["left"])
    there = node("b")
    assert there != here and remote.committed(there)
    assert remote.about(there) == {"name": "unit"}
    assert remote.names(there.parent) == ["unit"]
    assert not there.exists(), "nothing but the record was read"
    assert remote.stage(there)
    assert content(there) == {"one": "1", "db/two": "2"}
    assert remote.digests(there) == remote.digests(here)
    remote.drop(there)
    assert not there.exists() and remote.committed(there)
    remote.remove(there)
    assert not remote.committed(here) and content(tmp_path / "store") == {}


def test_a_writer_that_dies_leaves_nothing_and_the_next_one_ends_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = node("a")
    fill(here, one="1", two="2")
    write = objects.write
    with monkeypatch.context() as killed:

        def die_at_two(path: Path, pieces: object) -> None:
            if path.name == "two":
                raise KeyboardInterrupt
            write(path, pieces)  # type: ignore[arg-type]

        killed.setattr(objects, "write", die_at_two)
        with pytest.raises(KeyboardInterrupt):
            remote.publish(here)
    there = node("b")
    assert not remote.committed(there) and not remote.stage(there) and remote.about(there) is None
    remote.publish(here)
    assert remote.stage(there) and content(there) == content(here)


def test_a_copy_that_is_older_than_the_store_is_replaced(node: Node) -> None:
    here, there = node("a"), node("b")
    fill(here, one="1", two="2")
    remote.publish(here)
    remote.stage(there)
    (here / "two").unlink()
    fill(here, one="changed", three="3")
    remote.publish(here)
    remote.stage(there)
    assert content(there) == {"one": "changed", "three": "3"}


def test_only_what_is_needed_is_read_and_what_is_known_is_not_asked_for(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = node("a"), node("b")
    fill(here, one="1", two="2")
    remote.publish(here)
    known = remote.digests(here)
    remote.stage(there, only=["one"], known={"one": known["one"]})
    assert content(there) == {"one": "1"}
    monkeypatch.setattr(objects, "chunks", lambda path: pytest.fail(f"{path} was read"))
    remote.stage(there, only=["one"], known={"one": known["one"]})
    monkeypatch.undo()
    remote.stage(node("b"))
    assert content(there) == {"one": "1", "two": "2"}
    with pytest.raises(DataError, match="is not what it was when it was listed"):
        remote.stage(there, known={"one": "0" * 64})


def test_the_processes_of_a_node_bring_a_folder_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = node("a"), node("b")
    fill(here, **{f"file{number}": "x" * number for number in range(20)})
    remote.publish(here)
    fetched: list[str] = []
    chunks = objects.chunks

    def count(path: Path):
        fetched.append(path.name)
        yield from chunks(path)

    monkeypatch.setattr(objects, "chunks", count)
    threads = [threading.Thread(target=remote.stage, args=[there]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(there) == content(here)
    assert sorted(name for name in fetched if name != remote.RECORD) == sorted(content(here))


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_an_object_that_differs_from_its_record_is_refused(node: Node, tmp_path: Path, damage: str) -> None:
    here, there = node("a"), node("b")
    fill(here, one="12345")
    remote.publish(here)
    stored = tmp_path / "store" / "unit" / "one"
    stored.write_text("123") if damage == "cut" else stored.unlink()
    with pytest.raises(DataError) as refused:
        remote.stage(there)
    message = image.reworded(str(refused.value))
    assert f"file://{stored}' is missing or differs from its record (5 bytes" in message
    assert not there.exists() and list(there.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..", ""])
def test_a_record_cannot_name_a_file_elsewhere(node: Node, tmp_path: Path, name: str) -> None:
    here, there = node("a"), node("b")
    fill(here, one="1")
    remote.publish(here)
    file = tmp_path / "store" / "unit" / remote.RECORD
    record = json.loads(file.read_text())
    record["files"][name] = record["files"]["one"]
    file.write_text(json.dumps(record))
    with pytest.raises(DataError, match="is no record that relscale writes"):
        remote.stage(there)


def test_a_record_that_is_cut_off_is_none(node: Node, tmp_path: Path) -> None:
    here = node("a")
    fill(here, one="1")
    remote.publish(here)
    file = tmp_path / "store" / "unit" / remote.RECORD
    file.write_text(file.read_text()[:20])
    with pytest.raises(DataError, match="delete the folder"):
        remote.about(here)


def test_single_objects_are_taken_as_they_are_now(node: Node) -> None:
    here, there = node("a") / "index.json", node("b") / "index.json"
    assert not remote.stage_file(there)
    for text in ("1", "22"):
        storage.write_text(here, text)
        remote.publish(here)
        assert remote.stage_file(there) and there.read_text() == text
    objects.delete(here)
    assert not remote.stage_file(there) and not there.exists(), "the store is the truth"


def test_results_are_made_beside_the_mirror_and_sent_at_the_end(node: Node) -> None:
    out = node("a")
    with remote.working_folder(out, ["scratch"]) as folder:
        assert remote.origin(folder) is None
        fill(folder, report="r", scratch__x="y")
        assert not remote.committed(out)
    there = node("b")
    assert remote.stage(there) and content(there) == {"report": "r"}


def test_a_plain_path_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    fill(folder, one="1")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    remote.publish(folder)
    remote.drop(folder)
    remote.check(folder)
    assert remote.stage(folder) and remote.stage_file(folder / "one") and remote.committed(folder)
    assert not remote.stage(tmp_path / "none") and remote.about(folder) is None
    assert remote.names(folder) == os.listdir(folder)
    with remote.working_folder(folder) as same:
        assert same == folder
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert remote.for_ray(folder) == {"storage_path": str(folder)}


def test_a_store_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(image.ENVIRONMENT, str(tmp_path))
    with pytest.raises(ResourceError, match="'file:///proc/store/_relscale-probe': the store fails"):
        remote.check(remote.place("file:///proc/store"))
