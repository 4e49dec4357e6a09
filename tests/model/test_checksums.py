"""Checksums: any changed byte of a store is found, and the way back is the one that is named."""

import shutil
from pathlib import Path

import pytest

from relscale.model.checksums import verify_store
from relscale.model.store import TokenStore
from relscale.platform import storage
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import DataError


@pytest.fixture
def folders(tmp_path: Path, make_shop) -> list[Path]:
    return [make_shop(tmp_path / "sources" / name, name) for name in ("a", "b")]


def test_every_file_counts_and_deleting_its_folder_mends(folders, tmp_path: Path, tokenize_fake):
    path = tmp_path / "store"
    store = tokenize_fake(folders, path, run=map_keys_here)
    seen: list[tuple[str, int, int]] = []
    verify_store(store, lambda *at: seen.append(at))
    files = {file for file in path.rglob("*") if file.is_file()}
    assert {file for file, _ in store.files()} == files - {path / "store.json"}
    assert len(seen) == len(files) - 1 == 3 + 3 + 4
    whole = storage.digest_files(path)
    for file in sorted(files - {path / "store.json"}):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(DataError, match="differs from what was written") as refused:
            verify_store(TokenStore.open(path))
        assert f"'{file}'" in str(refused.value) and f"delete the folder '{file.parent}'" in str(
            refused.value
        )
        shutil.rmtree(file.parent)
        verify_store(tokenize_fake(folders, path, run=map_keys_here))
        assert storage.digest_files(path) == whole


def test_damage_is_not_taken_for_what_was_written(folders, tmp_path: Path, tokenize_fake):
    path = tmp_path / "store"
    tokenize_fake(folders[:1], path)
    file = path / "databases" / "a" / "arrays.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    grown = tokenize_fake(folders, path, run=map_keys_here)  # trusts what is finished
    with pytest.raises(DataError, match=r"a/arrays\.bin' is missing or differs"):
        verify_store(grown)
