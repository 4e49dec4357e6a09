"""Jobs on a real head that asks for a token: sent, followed, stopped, fetched, refused."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from ray_head import Head, ray_head

import relscale

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[1]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp") as folder, ray_head(Path(folder)) as running:
        yield running


@pytest.fixture
def laptop(tmp_path) -> Path:
    """A folder with a study of seconds, as a user has it; no part of it is on the cluster."""
    (tmp_path / "laptop").mkdir()
    study = {**TINY, "grid": {"n_databases": [1, 2], "tokens": [256, 512]}, "cluster": {"num_cpus": 1}}
    (tmp_path / "laptop" / "study.yaml").write_text(yaml.safe_dump(study))
    return tmp_path / "laptop"


@pytest.fixture
def run(head, laptop) -> Command:
    """`run(word, ...)`: the relscale command in that folder; both of its streams as one text."""

    def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**head.environment, "COLUMNS": "200", **environment}
        done = subprocess.run(
            [sys.executable, "-m", "relscale", *words],
            env=given, cwd=laptop, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        )  # fmt: skip
        assert head.token not in done.stdout
        return done

    return command


def test_the_demo_is_sent_runs_on_the_cluster_and_comes_back(head, run, laptop, tmp_path):
    small = {**{f"{part}.{name}": TINY[part][name] for part in ("model", "sampler") for name in TINY[part]}}
    small |= {"corpus.held_out_databases": 2, "corpus.generator.rows_activity": [80, 120]}
    small |= {"grid.n_databases": [1, 2], "grid.tokens": [512, 1024]}
    small |= {"zero_shot.datasets": [], "analysis.n_boot": 100, "training.batch_size": 4}
    settings = [word for name, value in small.items() for word in ("--set", f"{name}={value}")]
    out = tmp_path / "shared" / "demo"
    sent = ["--submission-id", "demo", "--fetch", "back", "--", "demo", "--out", str(out), *settings]
    done = run("submit", *sent)
    assert done.returncode == 0, done.stdout
    assert "package   none" in done.stdout and "train grid" in done.stdout
    assert "job demo succeeded" in done.stdout
    back = laptop / "back"
    assert {"report.html", "results.csv", "fit.json", "figures"} <= set(os.listdir(back))
    assert (back / "report.html").read_bytes() == (out / "report.html").read_bytes()
    texts = [
        path.read_text(errors="replace") for path in (*back.rglob("*"), *out.rglob("*")) if path.is_file()
    ]
    assert not any(head.token in text for text in texts)

    # It attached, so it has a driver on this cluster, which a Ray of its own would not give it.
    assert attached(head, "demo")

    # The same line again goes on where it was: nothing is left to do.
    again = run("submit", *sent)
    assert again.returncode == 0 and "job demo.2 succeeded" in again.stdout
    assert "train grid" not in again.stdout


def attached(head: Head, id: str) -> bool:
    code = "from relscale.platform.jobs import JobServer; import sys; "
    code += "print(JobServer(sys.argv[1]).job(sys.argv[2]).attached)"
    command = [sys.executable, "-c", code, head.address, id]
    done = subprocess.run(command, env=head.environment, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_the_guide_runs_as_written(head, laptop, tmp_path):
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "submit.md").read_text(), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 8 and commands[-1].startswith("ray job submit ")
    environment = {**head.environment, "SHARED": str(tmp_path / "shared")}
    said = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], env=environment, cwd=laptop,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert head.token not in done.stdout
        said.append(done.stdout)
    first, listed, followed, fetched, *_, plain = said
    package = re.search(r"package   ([\d.]+) B, 1 file: study\.yaml", first)
    assert package and float(package[1]) < 1000
    assert re.search(r"^paper +SUCCEEDED", listed, re.MULTILINE)
    assert "train grid" in followed and "report    paper/report.html" in fetched
    assert "Job 'plain' succeeded" in plain and "train grid" not in plain
    assert (laptop / "paper" / "report.html").is_file()
    assert attached(head, "paper")  # although its study file gives a number of CPUs, of a local Ray


def test_a_changed_copy_of_relscale_runs_with_code_alone(run, tmp_path):
    source = Path(relscale.__file__).parent
    copy = tmp_path / "copy"
    shutil.copytree(source, copy / "relscale", ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "relscale" / "platform" / "cluster.py"
    file.write_text(file.read_text().replace("CPUs of the local Ray;", "CPUs of a changed copy;"))
    own = {"PYTHONPATH": str(copy)}
    changed = run("submit", "--with-code", "--", "settings", **own)
    assert changed.returncode == 0 and "CPUs of a changed copy" in changed.stdout
    size = re.search(r"package   (\d+) KB, \d+ files: \d+ of relscale", changed.stdout)
    assert size and int(size[1]) < 2000
    installed = run("submit", "--", "settings", **own)
    assert installed.returncode == 0 and "CPUs of a changed copy" not in installed.stdout


def test_a_failed_command_ends_with_its_own_sentence(run, laptop, tmp_path):
    (laptop / "table.csv").write_text("a,b\n1,2\n")
    done = run("submit", "--", "fit", "table.csv", "--out", str(tmp_path / "laws"))
    assert done.returncode == 2
    assert re.search(r"^relscale: job 'fit-\d+-\d+' failed with exit code 2: relscale: ", done.stdout, re.M)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RAY_AUTH_TOKEN_PATH": "wrong"}, "refuses the token"),
        ({"RAY_AUTH_TOKEN_PATH": "nothing"}, "'nothing' of RAY_AUTH_TOKEN_PATH cannot be read"),
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token and none was sent"),
        (
            {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"},
            "does not answer ([Errno 111] Conn",
        ),
    ],
)
def test_no_way_in_is_one_sentence(run, laptop, environment, said):
    (laptop / "wrong").write_text("0" * 64)
    done = run("submit", "--", "settings", **environment)
    lines = done.stdout.splitlines()
    assert done.returncode == 2 and lines[-1].startswith("relscale: ") and said in lines[-1]
    assert "Traceback" not in done.stdout


def test_the_address_of_the_option_wins(run, head):
    done = run("jobs", "--address", head.address, RAY_API_SERVER_ADDRESS="http://127.0.0.1:1")
    assert done.returncode == 0
    assert run("jobs", "--address", "http://127.0.0.1:1").returncode == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("sweep", "--config", "study.yaml", "--out", "runs/x"),
            "has --out 'runs/x', which would lie in",
        ),
        (("demo",), "has no --out"),
        (("submit", "--", "demo"), "'submit' is no command that can be submitted; valid are: demo, generate"),
        (("sweep", "--config", "study.yaml", "--nonsense"), "No such option: --nonsense"),
    ],
)
def test_what_could_not_run_is_refused_before_it_is_sent(run, words, said):
    done = run("submit", *words, RAY_API_SERVER_ADDRESS="http://127.0.0.1:1")
    assert done.returncode == 2 and said in done.stdout
