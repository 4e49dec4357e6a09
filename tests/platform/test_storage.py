import contextlib
import errno
from pathlib import Path

import pytest

from relscale.platform.errors import DataError, ResourceError
from relscale.platform.storage import (
    DRAFT,
    alone_in,
    digest_files,
    drafts_of,
    new_folder,
    read_json,
    sweep_drafts,
    unless_current,
    write_json,
    write_text,
    writing,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_replaces_in_one_move(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "old")
    write_text(tmp_path / "deep" / "a.txt", "new")
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"
    assert names(tmp_path / "deep") == ["a.txt"]


def test_equal_content_is_not_written_again(tmp_path):
    write_text(tmp_path / "a.txt", "same")
    before = (tmp_path / "a.txt").stat().st_mtime_ns
    write_text(tmp_path / "a.txt", "same")
    assert (tmp_path / "a.txt").stat().st_mtime_ns == before


def test_nan_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert names(tmp_path) == []


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(ResourceError, match="cannot write"), new_folder(tmp_path / "file" / "folder"):
        pass


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), new_folder(tmp_path / "a") as draft:
        (draft / "half").write_text("x")
        assert not (tmp_path / "a").exists()
        raise RuntimeError("stop")
    assert names(tmp_path) == []
    with new_folder(tmp_path / "a") as draft:
        (draft / "whole").write_text("x")
    assert names(tmp_path / "a") == ["whole"]


def test_drafts_may_lie_elsewhere_and_are_counted(tmp_path):
    drafts = tmp_path / "drafts"
    assert drafts_of(tmp_path / "a", drafts) == 0
    with new_folder(tmp_path / "a", drafts), new_folder(tmp_path / "ab", drafts):
        assert names(tmp_path) == ["drafts"]
        assert drafts_of(tmp_path / "a", drafts) == 1
    assert names(tmp_path) == ["a", "ab", "drafts"]
    assert drafts_of(tmp_path / "a", drafts) == 0


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "cannot write 'a': No space left on device; free some space and run again"),
        (errno.EROFS, "cannot write 'a': Read-only file system; choose another folder."),
    ],
)
def test_what_the_system_refuses_is_said(number, message):
    with pytest.raises(ResourceError) as error, writing(Path("a")):
        raise OSError(number, "in other words")
    assert str(error.value).startswith(message)


def test_a_file_that_does_not_fit_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match=r"a\.txt': No space left on device"):
        write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == []


def test_the_first_of_two_attempts_wins(tmp_path):
    with new_folder(tmp_path / "a") as slow:
        (slow / "f").write_text("slow")
        with new_folder(tmp_path / "a") as fast:
            (fast / "f").write_text("fast")
    assert (tmp_path / "a" / "f").read_text() == "fast"
    assert names(tmp_path) == ["a"]


def test_drafts_of_killed_processes_are_swept(tmp_path):
    with contextlib.suppress(RuntimeError), new_folder(tmp_path / "a") as folder:
        (tmp_path / "killed").mkdir()
        (tmp_path / "killed").rename(f"{folder}-of-a-killed-process")
        raise RuntimeError
    (tmp_path / f"{DRAFT}b.json.x2").write_text("")
    (tmp_path / "kept").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".env").write_text("a person's own hidden file")
    assert sweep_drafts(tmp_path) == 2
    assert names(tmp_path) == [".env", ".git", "kept"]
    assert sweep_drafts(tmp_path / "absent") == 0


def test_the_digest_sees_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = digest_files(tmp_path)
    assert digest_files(tmp_path, exclude=frozenset({"b"})) != first
    (tmp_path / "a").rename(tmp_path / "c")
    renamed = digest_files(tmp_path)
    assert renamed != first
    (tmp_path / "c").write_text("3")
    assert digest_files(tmp_path) != renamed


def test_a_missing_or_broken_json_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json' does not exist"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"bad\.json' is not valid JSON"):
        read_json(tmp_path / "bad.json")


def test_work_is_done_again_only_for_other_inputs_or_lost_outputs(tmp_path):
    stamp, output = tmp_path / "stamp.json", tmp_path / "out.txt"

    def work(inputs, *, fail=False) -> bool:
        with unless_current(stamp, inputs, [output]) as must_run:
            if must_run:
                output.write_text("made")
                if fail:
                    raise RuntimeError("killed")
        return must_run

    assert work({"a": 1}) and not work({"a": 1})
    assert work({"a": 2}) and not work({"a": 2})
    output.unlink()
    assert work({"a": 2})
    with pytest.raises(RuntimeError, match="killed"):
        work({"a": 3}, fail=True)
    assert work({"a": 2}), "the failed attempt has overwritten the output"


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    with (
        alone_in(tmp_path),
        pytest.raises(ResourceError, match="another relscale process"),
        alone_in(tmp_path),
    ):
        pass
    with alone_in(tmp_path):
        pass
