"""What a submitted job takes with it, and what never leaves this machine."""

import zipfile
from pathlib import Path

import pytest

from relscale.platform import package
from relscale.platform.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "here"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "study.yaml").write_text("name: study\n")
    (folder / "runs").mkdir()
    (folder / "runs" / "big.parquet").write_bytes(b"0" * 10_000)
    monkeypatch.chdir(folder)
    return folder


def select(*words: str, **options):
    return package.select(words, out="s3://lab/study", **options)


def test_only_named_files_are_taken(here):
    words = (
        "sweep",
        "--config",
        "configs/study.yaml",
        "--set",
        "model.n_blocks=2",
        "--out",
        "s3://lab/study",
    )
    chosen = select(*words)
    assert dict(chosen.files) == {"configs/study.yaml": Path("configs/study.yaml")}
    assert tuple(chosen.words) == words


@pytest.mark.parametrize(
    ("word", "sent"),
    [
        ("--config=configs/study.yaml", "--config=configs/study.yaml"),
        ("-cconfigs/study.yaml", "-cconfigs/study.yaml"),
        ("./configs/../configs/study.yaml", "configs/study.yaml"),
        ("{here}/configs/study.yaml", "configs/study.yaml"),
        ("../other.yaml", "outside/0/other.yaml"),
        ("--config=../other.yaml", "--config=outside/0/other.yaml"),
    ],
)
def test_words_name_the_files_as_the_job_sees_them(here, word, sent):
    (here.parent / "other.yaml").write_text("name: other\n")
    chosen = select("sweep", word.format(here=here))
    assert chosen.words[1] == sent
    (name,) = chosen.files
    assert sent.endswith(name)


def test_the_zip_depends_on_names_and_contents_alone(here, tmp_path):
    first = select("sweep", "configs/study.yaml")
    size = package.write(first, tmp_path / "a.zip")
    (here / "configs" / "study.yaml").touch()
    assert size == package.write(select("sweep", "configs/study.yaml"), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("configs/study.yaml") == b"name: study\n"


def test_own_code_goes_along_if_asked_and_is_small(tmp_path):
    chosen = select("demo", with_code=True)
    assert {"relscale/cli.py", "relscale/__main__.py", "relscale/configs/demo.yaml"} <= set(chosen.files)
    assert not [name for name in chosen.files if "__pycache__" in name or name.endswith((".nbi", ".nbc"))]
    assert package.write(chosen, tmp_path / "code.zip") < 2 * 2**20


def test_an_included_folder_goes_along_without_what_is_no_code(here):
    real = here / "real"
    for name in ("manifest.yaml", "db/t.parquet", ".git/config", "__pycache__/x.pyc", "runs/x"):
        (real / name).parent.mkdir(parents=True, exist_ok=True)
        (real / name).write_text("x")
    (real / "link").symlink_to("/etc/hostname")
    chosen = select("evaluate", "--dataset", "real", include=[Path("real")])
    assert set(chosen.files) == {"real/manifest.yaml", "real/db/t.parquet"}


def test_folders_of_this_machine_are_refused():
    with pytest.raises(ConfigError, match="'runs' is a folder of this machine, which the job does not see"):
        select("tokenize", "--corpus", "runs")
    with pytest.raises(ConfigError, match="outside the current folder"):
        select("demo", include=[Path("..")])
    with pytest.raises(DataError, match="does not exist"):
        select("demo", include=[Path("nothing")])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", "A=1"),
        ("lab.pem", "x"),
        (".ray-token", "x"),
        ("auth_token", "x"),
        ("my-credentials.json", "x"),
        ("id_ed25519", "x"),
        (".ssh/config", "x"),
        ("study.yaml", "tracking: {uri: 'postgresql://ann:pw@host/base'}"),
        ("notes.txt", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("aws.txt", "id = AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_secrets_are_refused_by_name_and_by_content(here, name, content):
    path = here / "kept" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ConfigError, match="holds a password, key or token"):
        select("sweep", "--config", f"kept/{name}")
    with pytest.raises(ConfigError, match="holds a password, key or token"):
        select("demo", include=[path])
    chosen = select("demo", include=[here / "kept"])
    assert not chosen.files and [one.name for one in chosen.skipped] == [path.name]


def test_a_link_to_a_secret_is_one(here):
    (here / "key.pem").write_text("x")
    (here / "plain.yaml").symlink_to("key.pem")
    with pytest.raises(ConfigError, match="holds a password"):
        select("sweep", "--config", "plain.yaml")


def test_words_with_a_password_are_refused_without_showing_it():
    with pytest.raises(ConfigError) as refused:
        select("demo", "--set", "tracking.uri=postgresql://ann:s3cret@host/base")
    assert "s3cret" not in str(refused.value) and "environment of the nodes" in str(refused.value)


def test_a_package_larger_than_ray_takes_names_the_largest_files(here, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "LIMIT", 1000)
    (here / "wide.csv").write_bytes(bytes(range(256)) * 3 + Path(__file__).read_bytes())
    chosen = select("fit", "wide.csv", "configs/study.yaml")
    with pytest.raises(DataError, match=r"larger than the 1 KB that Ray takes, most of it in wide\.csv \("):
        package.write(chosen, tmp_path / "wide.zip")
