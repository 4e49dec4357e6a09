"""The job server without a cluster: addresses, ids, versions, refusals."""

import pytest

import relscale
from relscale.platform import jobs
from relscale.platform.errors import ConfigError, ResourceError


@pytest.mark.parametrize("given", ["http://127.0.0.1:8265", "http://127.0.0.1:8265/", "127.0.0.1:8265"])
def test_addresses_are_completed(given):
    assert jobs.checked_address(given) == "http://127.0.0.1:8265"


@pytest.mark.parametrize("given", ["ray://127.0.0.1:10001", "http://", "http://host:port", "http://h:1/path"])
def test_other_addresses_are_refused(given):
    with pytest.raises(ConfigError, match="is no dashboard's address such as"):
        jobs.checked_address(given)


def test_no_address_and_one_with_a_password_are_refused():
    with pytest.raises(ConfigError, match="give --address"):
        jobs.checked_address(None)
    with pytest.raises(ConfigError) as refused:
        jobs.checked_address("http://ann:s3cret@127.0.0.1:8265")
    assert "s3cret" not in str(refused.value)


def test_only_addresses_of_other_machines_are_open():
    assert jobs.is_open("http://10.0.0.1:8265")
    assert not jobs.is_open("http://127.0.0.1:8265") and not jobs.is_open("https://ray.lab.org")


def test_an_id_is_used_once():
    assert jobs.next_id("paper", []) == "paper"
    assert jobs.next_id("paper", ["paper", "paper.3"]) == "paper.2"
    assert jobs.next_id("paper", ["paper", "paper.2"]) == "paper.3"


def test_another_version_of_ray_or_relscale_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"runs Ray 2\.1\.0, this machine"):
        jobs.check_ray_version("2.1.0", "http://127.0.0.1:8265")
    monkeypatch.setenv(jobs.VERSION, "0.0.9")
    with pytest.raises(ConfigError, match=r"was submitted with 0\.0\.9; install the same"):
        jobs.check_submitted_version()


class Client:
    """Ray's client, refusing so many times."""

    def __init__(self, n_refusals: int, text: str) -> None:
        self.n_refusals, self.text = n_refusals, text

    def submit_job(self, **options: object) -> str:
        self.n_refusals -= 1
        if self.n_refusals >= 0:
            raise RuntimeError(f"Request failed with status code 500: {self.text}.")
        assert options["runtime_env"]["env_vars"][jobs.VERSION] == relscale.__version__
        return str(options["submission_id"])


def server_with(client: Client) -> jobs.JobServer:
    server = jobs.JobServer.__new__(jobs.JobServer)
    server.address, server._client = "http://127.0.0.1:8265", client
    return server


def test_a_head_without_an_agent_is_asked_again(monkeypatch):
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
    refusal = "No available agent to submit job, please try again later."
    assert server_with(Client(3, refusal)).submit("true", submission_id="x") == "x"
    monkeypatch.setattr(jobs, "AGENT_SECONDS", 0)
    with pytest.raises(ResourceError, match=r"has no agent to run jobs .* another --dashboard-agent-listen-"):
        server_with(Client(3, refusal)).submit("true")


def test_an_id_that_is_taken_is_said():
    with pytest.raises(ConfigError, match="choose another --submission-id"):
        server_with(Client(1, "Job with submission_id x already exists")).submit("true")
