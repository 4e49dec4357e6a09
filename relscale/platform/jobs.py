"""Ray jobs: commands that run on a cluster, known by the address of its dashboard.

All that is needed here is that address and, where the cluster asks for one, its token.
"""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import relscale
from relscale.platform.cluster import check_reachable
from relscale.platform.errors import ConfigError, DataError, ResourceError
from relscale.platform.masking import masked

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ADDRESS = "RAY_API_SERVER_ADDRESS"
VERSION = "RELSCALE_SUBMITTED_WITH"
"""Environment variable in a job: the version of relscale that submitted it."""

AGENT_SECONDS = 60.0
"""A head that has just started takes no jobs yet; it is asked for so long."""
ANSWER_SECONDS = 60.0
"""Longest silence within one answer of the cluster."""


class AwayError(ResourceError):
    """The cluster does not answer at the moment; asking again may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the cluster knows it.

    state    PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED
    message  Ray's explanation of the state
    command  what runs, without the interpreter; out  where it writes, None if unknown
    python   the nodes' interpreter;  with_code  whether the job brought its own relscale
    started, ended  seconds since 1970, None before
    attached whether its driver has connected to this cluster
    """

    id: str
    state: str
    message: str = ""
    command: str = ""
    out: str | None = None
    python: str = "python"
    with_code: bool = False
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    attached: bool = False

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in ("STOPPED", "SUCCEEDED", "FAILED")


class JobServer:
    """The jobs of one cluster."""

    def __init__(self, address: str | None) -> None:
        """Connect to the dashboard at `address`, such as http://127.0.0.1:8265.

        Raises
        ------
        ConfigError : there is no address, or it is not of that form; its Ray is another version.
        ResourceError : it does not answer, or refuses the token.
        """
        self.address = checked_address(address)
        if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):  # a token that is given is meant
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        parts = urlsplit(self.address)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        try:
            check_reachable(str(parts.hostname), port, what="the dashboard")
        except ResourceError as error:
            raise AwayError(
                f"the cluster at {self.address} does not answer ({error.__cause__}); check the address, that "
                "its head is up, and the tunnel to it if there is one."
            ) from error
        os.environ[ADDRESS] = self.address  # Ray lets this variable win over the address that it is given
        with self._asking("gives no version of its job server"):
            self._client, theirs = _client(self.address)
        check_ray_version(theirs, self.address)

    def submit(
        self,
        entrypoint: str,
        *,
        submission_id: str | None = None,
        package: str | None = None,
        env: Mapping[str, str] | None = None,
        resources: Mapping[str, float] | None = None,
        num_cpus: float = 0,
        about: Mapping[str, str] | None = None,
    ) -> str:
        """Send a command to be run by the head's shell; the id of its job.

        Parameters
        ----------
        package : zip file of the folder that it runs in.
        env : environment variables of the job, which every user of the dashboard can read.
        resources, num_cpus : what the command itself occupies; with none it runs on the head.
        about : short texts that the cluster keeps with the job.

        Raises
        ------
        ConfigError : the id is taken. ResourceError : the cluster takes no jobs for `AGENT_SECONDS`.
        """
        runtime_env: dict[str, Any] = {"env_vars": {**(env or {}), VERSION: relscale.__version__}}
        if package is not None:
            runtime_env["working_dir"] = package
        deadline = time.monotonic() + AGENT_SECONDS
        while True:
            try:
                with self._asking("takes no jobs"):
                    return self._client.submit_job(
                        entrypoint=entrypoint,
                        submission_id=submission_id,
                        runtime_env=runtime_env,
                        entrypoint_num_cpus=num_cpus or None,
                        entrypoint_resources=dict(resources) if resources else None,
                        metadata=dict(about or {}),
                    )
            except AwayError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(2)

    def job(self, id: str) -> Job:
        """What is known of a job; DataError if there is none of that id."""
        with self._asking(f"says nothing of job '{id}'", id):
            return _job(self._client.get_job_info(id))

    def jobs(self) -> list[Job]:
        """All submitted jobs that the cluster knows, the oldest first."""
        with self._asking("lists no jobs"):
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.started or 0.0)

    def log(self, id: str) -> str:
        """All that a job has printed so far."""
        with self._asking(f"gives no log of job '{id}'", id):
            return self._client.get_job_logs(id)

    def stop(self, id: str) -> bool:
        """Have a job stopped; whether it ran."""
        with self._asking(f"does not stop job '{id}'", id):
            return self._client.stop_job(id)

    def ask(self, path: str) -> Any:
        """What the dashboard says at a path, as JSON values."""
        with self._asking(f"says nothing of use at {path}"):
            return self._client._do_request("GET", path).json()

    @contextlib.contextmanager
    def _asking(self, failed: str, id: str = "") -> Iterator[None]:
        """Turn what Ray's client raises into one sentence; nothing it sends is quoted but short reasons."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise ResourceError(_token_sentence(str(error), self.address)) from error
        except (ConnectionError, requests.RequestException) as error:
            raise AwayError(
                f"the cluster at {self.address} {failed} ({_reason(error)}); check the address and that the "
                "head is up."
            ) from error
        except (
            RuntimeError,
            ValueError,
            KeyError,
        ) as error:  # the latter of an answer not of Ray
            raise self._refusal(str(error), failed, id) from error

    def _refusal(self, text: str, failed: str, id: str) -> Exception:
        if "status code 404" in text and id:
            return DataError(
                f"the cluster at {self.address} knows no job '{id}'; `relscale jobs` lists all. If its "
                "head was lost, submit the command again: what is finished is kept."
            )
        if "already been used" in text or "already exists" in text:
            return ConfigError("a job of this id has run already; choose another --submission-id.")
        if "No available agent" in text:
            return AwayError(
                f"the head at {self.address} has no agent to run jobs ('No available agent'); it has just "
                "started, or another Ray of that machine holds its agent's port: wait, or restart it with "
                "another --dashboard-agent-listen-port."
            )
        kind = AwayError if "status code 50" in text else ResourceError
        return kind(f"the cluster at {self.address} {failed} ({_reason(text)}); see its dashboard.")


def check_submitted_version() -> None:
    """ConfigError in a job that another version of relscale has submitted."""
    theirs = os.environ.get(VERSION)
    if theirs not in (None, relscale.__version__):
        raise ConfigError(
            f"the cluster has relscale {relscale.__version__}, the job was submitted with {theirs}; install "
            "the same version on both, or submit with --with-code."
        )


def checked_address(address: str | None) -> str:
    """The dashboard's address with its scheme; ConfigError says what is wrong with it."""
    if not address:
        raise ConfigError(
            f"there is no cluster to submit to; give --address http://HOST:8265 or set {ADDRESS}."
        )
    full = address if "://" in address else f"http://{address}"
    parts = urlsplit(full.rstrip("/"))
    with contextlib.suppress(ValueError):  # of a port that is none
        if parts.password is not None or parts.username is not None:
            raise ConfigError(
                "the cluster's address must not hold a password; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN_PATH to the file of the cluster's token."
            )
        if parts.scheme in ("http", "https") and parts.hostname and not parts.path and parts.port != 0:
            return full.rstrip("/")
    raise ConfigError(
        f"'{masked(address)}' is no dashboard's address such as http://127.0.0.1:8265; `ray start` prints it."
    )


def is_open(address: str) -> bool:
    """Whether a token sent to the address crosses a network unencrypted."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1")


def check_ray_version(theirs: str, address: str) -> None:
    """ConfigError unless the cluster's Ray is this one."""
    import ray

    if theirs != ray.__version__:
        raise ConfigError(
            f"the cluster at {address} runs Ray {theirs}, this machine {ray.__version__}; install the same "
            f"here (`pip install 'ray[default]=={theirs}'`) or there."
        )


def next_id(wanted: str, taken: Sequence[str]) -> str:
    """`wanted`, or the first of wanted.2, wanted.3, ... that no job has had: Ray takes an id once."""
    candidates = (wanted if n == 1 else f"{wanted}.{n}" for n in range(1, len(taken) + 2))
    return next(name for name in candidates if name not in taken)


def _client(address: str) -> "tuple[JobSubmissionClient, str]":
    """Ray's client, and the version of the Ray that it talks to."""
    from ray.job_submission import JobSubmissionClient

    class Patient(JobSubmissionClient):
        """Gives up on a silent connection; Ray's own client waits for ever."""

        def _do_request(self, *arguments: Any, **options: Any) -> Any:
            return super()._do_request(*arguments, timeout=ANSWER_SECONDS, **options)

    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)
    client = Patient(address)
    return client, str(client._server_ray_version)


def _job(details: Any) -> Job:
    about = details.metadata or {}
    return Job(
        id=details.submission_id,
        state=details.status.value,
        message=" ".join((details.message or "").splitlines()[:1]),
        command=about.get("command", details.entrypoint),
        out=about.get("out"),
        python=about.get("python", "python"),
        with_code="with_code" in about,
        started=details.start_time / 1000 if details.start_time else None,
        ended=details.end_time / 1000 if details.end_time else None,
        exit_code=details.driver_exit_code,
        attached=details.job_id is not None,
    )


def _token_sentence(text: str, address: str) -> str:
    if "Authentication failed" in text:
        return (
            f"the cluster at {address} refuses the token; RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) must hold "
            "the one that its head was started with."
        )
    if "cannot be opened" in text:
        path = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
        return f"the token file '{path}' of RAY_AUTH_TOKEN_PATH cannot be read or is empty; mend the path."
    return (
        f"the cluster at {address} asks for a token and none was sent; set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN_PATH to the file of the cluster's token."
    )


def _reason(error: object) -> str:
    """The last line of what was said: the reason, without the traceback that a server may send."""
    lines = [line for line in str(error).splitlines() if line.strip(" .")]
    return masked(lines[-1].strip() if lines else type(error).__name__)[:200]
