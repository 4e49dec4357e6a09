"""Results as one zip: what is in it, and what is refused when it is opened."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from relscale.platform import bundle
from relscale.platform.errors import DataError


@pytest.fixture
def study(tmp_path) -> Path:
    out = tmp_path / "study"
    for name in (
        "report.html", "results.csv", "fit.json", "figures/law.png", "variants/a_b/report.html",
        "variants/a_b/figures/law.svg", "mlflow.db", "relscale.lock", "corpus/index.parquet",
        "trials/x/result.json", "final/model.safetensors",
    ):  # fmt: skip
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(name)
    return out


READ = {
    "report.html", "results.csv", "fit.json", "figures/law.png", "variants/a_b/report.html",
    "variants/a_b/figures/law.svg",
}  # fmt: skip


def test_reports_tables_and_figures_come_back_as_they_were(study, tmp_path):
    data, left_out = bundle.pack(bundle.results(study))
    log = f"Running entrypoint for job x\n{bundle.as_text(data)}more\n"
    written = bundle.unpack(bundle.from_text(log), tmp_path / "here")
    assert {path.relative_to(tmp_path / "here").as_posix() for path in written} == READ and not left_out
    assert all(path.read_text() == path.relative_to(tmp_path / "here").as_posix() for path in written)


def test_the_largest_files_stay_behind_by_name(study, monkeypatch):
    monkeypatch.setattr(bundle, "LIMIT", 200)
    (study / "wide.csv").write_text("x" * 201)
    data, left_out = bundle.pack(bundle.results(study))
    assert left_out == ["wide.csv"]
    assert set(zipfile.ZipFile(io.BytesIO(data)).namelist()) == READ


def test_a_folder_without_results_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        bundle.results(tmp_path / "nothing")
    with pytest.raises(DataError, match="holds no report"):
        bundle.results(tmp_path)


def archive_of(name: str, mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("fine.csv", "1")
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"),
    [("../evil.csv", 0o644), ("a/../../evil.csv", 0o644), ("/tmp/evil.csv", 0o644), ("link", 0o120777)],
)
def test_names_that_lead_out_are_refused_and_nothing_is_written(tmp_path, name, mode):
    with pytest.raises(DataError, match="leads out of"):
        bundle.unpack(archive_of(name, mode), tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_link_that_lies_here_is_not_followed_out(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "sub").symlink_to(tmp_path)
    with pytest.raises(DataError, match="link out of"):
        bundle.unpack(archive_of("sub/evil.csv"), tmp_path / "here")
    assert not (tmp_path / "evil.csv").exists()


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.csv", b"0" * (bundle.LIMIT + 1))
    with pytest.raises(DataError, match="larger than"):
        bundle.unpack(buffer.getvalue(), tmp_path)


def test_a_log_that_is_cut_off_is_said(study):
    text = bundle.as_text(bundle.pack(bundle.results(study))[0])
    with pytest.raises(DataError, match="did not come back whole"):
        bundle.from_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="is no zip"):
        bundle.unpack(b"no zip", study)


def test_the_command_of_the_nodes_prints_it(study):
    done = subprocess.run(
        [sys.executable, "-m", "relscale.platform.bundle", str(study)],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    assert set(zipfile.ZipFile(io.BytesIO(bundle.from_text(done.stdout))).namelist()) == READ
