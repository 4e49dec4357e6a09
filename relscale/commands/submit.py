"""Commands that send other commands to a cluster as Ray jobs, and look after those."""

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relscale.platform.errors import ConfigError

if TYPE_CHECKING:
    from relscale.platform.jobs import Job, JobServer
    from relscale.platform.package import Package

HERE_ONLY = ("submit", "jobs", "status")
"""Commands that have nothing to do on a cluster."""
NO_FOLDER = ("plan", "doctor", "settings")
"""Commands whose answer is what they print."""

Address = Annotated[
    str | None,
    typer.Option(metavar="URL", envvar="RAY_API_SERVER_ADDRESS", help="Dashboard, as http://127.0.0.1:8265."),
]


def submit(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="Any command, such as sweep.")],
    address: Address = None,
    include: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="File or small folder to send along; repeatable."),
    ] = None,
    with_code: Annotated[
        bool, typer.Option("--with-code", help="Run this relscale, not the one that the nodes have.")
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Environment variable of the job; repeatable. Not secret."),
    ] = None,
    entrypoint_num_cpus: Annotated[
        float, typer.Option(min=0, help="CPUs that the command itself occupies, on any node.")
    ] = 0,
    entrypoint_resources: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AMOUNT", help="Other resources that it occupies; repeatable."),
    ] = None,
    submission_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of the job [default: the command and the time].")
    ] = None,
    python: Annotated[str, typer.Option(metavar="PATH", help="Python of the nodes.")] = "python",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Show the job's log until it ends.")
    ] = True,
    fetch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Bring report, tables and figures here at the end.")
    ] = None,
) -> None:
    """Run any command of relscale on a Ray cluster, as a job: relscale submit --address URL -- COMMAND...

    Sends the files that the command names, and says before how much that is. The command attaches to the
    cluster, runs on its head and occupies none of its CPUs. Its --out must be a path that all nodes share,
    or a URI. Ctrl-C leaves the job running. Exit code 0 once it has succeeded, 2 if it fails.
    """
    words = command[1:] if command[0] == "relscale" and len(command) > 1 else command
    out = _checked_out(context, words)
    from relscale.platform import package
    from relscale.platform.jobs import JobServer

    chosen = package.select(words, out=out, include=include or (), with_code=with_code)
    variables = _environment(env or [])
    resources = _amounts(entrypoint_resources or [])
    text = shlex.join(chosen.words)
    about = {"command": text, "python": python, **({"out": out} if out else {})}
    with tempfile.TemporaryDirectory(prefix="relscale-submit-") as scratch:
        file = Path(scratch) / "package.zip"
        size = package.write(chosen, file)
        _say_what_is_sent(chosen, size, with_code, variables)
        server = JobServer(address)
        _say_if_open(server)
        id = _running(server, submission_id, text)
        if id is None:
            id = server.submit(
                f"{shlex.quote(python)} -m relscale {text}",
                submission_id=_new_id(server, submission_id, words[0]),
                package=str(file) if chosen.files else None,
                env=variables,
                resources=resources,
                num_cpus=entrypoint_num_cpus,
                about={**about, **({"with_code": "yes"} if with_code else {})},
            )
            print(f"job {id} is sent to {server.address}")
    if follow or fetch:
        _follow(server, id)
    if fetch:
        _fetch(server, server.job(id), fetch)


def jobs(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A job; without it all are listed.")
    ] = None,
    address: Address = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the job; what is finished is kept.")] = False,
    fetch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Bring its report, tables and figures here.")
    ] = None,
) -> None:
    """List the jobs of a cluster, or follow the log of one, stop it, or fetch its results."""
    from relscale.platform.jobs import JobServer

    if id is None and (stop or fetch):
        raise typer.BadParameter("give the id of the job", param_hint="ID")
    server = JobServer(address)
    if id is None:
        for job in server.jobs():
            print(_line(job))
    elif stop:
        ran, waiting = server.stop(id), server.job(id).state == "PENDING"
        late = "; it has not started, and ends at the latest 15 minutes after it was sent" if waiting else ""
        print(f"job {id} is being stopped{late}" if ran else f"job {id} does not run")
    elif fetch:
        _fetch(server, server.job(id), fetch)
    else:
        _follow(server, id)


def _checked_out(context: typer.Context, words: Sequence[str]) -> str | None:
    """The word that says where the command writes; refuses what the command itself would refuse."""
    group = context.find_root().command
    known = [name for name in group.commands if name not in HERE_ONLY]  # type: ignore[attr-defined]
    if words[0] not in known:
        raise ConfigError(f"'{words[0]}' is no command that can be submitted; valid are: {', '.join(known)}.")
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    inner = command.make_context(words[0], list(words[1:]), parent=context.find_root())
    out = command.make_parser(inner).parse_args(list(words[1:]))[0].get("out")
    if words[0] in NO_FOLDER:
        return None
    if out is None or not ("://" in out or Path(out).is_absolute()):
        found = "has no --out" if out is None else f"has --out '{out}'"
        raise ConfigError(
            f"the command {found}, which would lie in the job's own folder and be gone with it; give "
            "--out an absolute path that all nodes share, or a URI such as s3://bucket/study."
        )
    return out


def _environment(given: Sequence[str]) -> dict[str, str]:
    """{NAME: value}; a name alone has the value of this process."""
    variables = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals and name not in os.environ:
            raise ConfigError(f"--env {name}: there is no such variable here; set it, or give {name}=VALUE.")
        variables[name] = value if equals else os.environ[name]
    return variables


def _amounts(given: Sequence[str]) -> dict[str, float]:
    try:
        return {name: float(amount) for name, _, amount in (text.partition("=") for text in given)}
    except ValueError as error:
        raise ConfigError("--entrypoint-resources takes NAME=AMOUNT, such as trial_driver=1.") from error


def _say_what_is_sent(package: "Package", size: int, with_code: bool, variables: Mapping[str, str]) -> None:
    from relscale import __version__
    from relscale.platform.progress import human_bytes

    names = [name for name in package.files if not (with_code and name.startswith("relscale/"))]
    listed = [*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])]
    if with_code:
        listed.append(f"{len(package.files) - len(names)} of relscale {__version__}")
    if listed:
        n_files = f"{len(package.files)} file{'s' if len(package.files) > 1 else ''}"
        print(f"package   {human_bytes(size)}, {n_files}: {', '.join(listed)}")
    else:
        print("package   none: the command names no file of this machine")
    if not with_code:
        print(f"code      the nodes' relscale, which must be {__version__}; --with-code sends this one")
    for path in package.skipped:
        print(f"not sent  {path}, which holds a secret by its name or content")
    if variables:
        print(f"env       {', '.join(variables)}; Ray's dashboard shows their values to all its users")


def _say_if_open(server: "JobServer") -> None:
    from relscale.platform.jobs import is_open

    if is_open(server.address):
        print(f"note      {server.address} is not encrypted; reach it by a tunnel (`ray dashboard`, ssh -L)")


def _running(server: "JobServer", wanted: str | None, command: str) -> str | None:
    """The id of a job of that name that does this already, so that sending it twice does no harm."""
    for job in server.jobs() if wanted else ():
        if job.over or not f"{job.id}.".startswith(f"{wanted}."):
            continue
        if job.command != command:
            raise ConfigError(
                f"job '{job.id}' is running another command ({job.command}); choose another --submission-id."
            )
        print(f"job {job.id} is running this already")
        return job.id
    return None


def _new_id(server: "JobServer", wanted: str | None, command: str) -> str:
    from relscale.platform.jobs import next_id

    if wanted is None:
        return f"{command}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next_id(wanted, [job.id for job in server.jobs()])


def _follow(server: "JobServer", id: str) -> None:
    """Show a job's log to its end; raises unless it has succeeded."""
    from relscale.platform.following import follow, outcome
    from relscale.platform.progress import human_seconds

    again = f"relscale jobs {id} --address {server.address}"
    try:
        job = follow(server, id, _show)
    except KeyboardInterrupt:
        print(f"\njob {id} goes on; follow it: {again}\nstop it: {again} --stop", file=sys.stderr)
        raise typer.Exit(130) from None
    outcome(job, server.log(id))
    seconds = (job.ended or 0.0) - (job.started or 0.0)
    print(f"job {id} succeeded in {human_seconds(seconds)}")
    if job.out:
        print(f"results in {job.out}; bring them here: {again} --fetch DIR")


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _fetch(server: "JobServer", job: "Job", to: Path) -> None:
    from relscale.platform.fetch import fetch
    from relscale.platform.progress import human_bytes

    written, left_out = fetch(server, job, to)
    size = human_bytes(sum(path.stat().st_size for path in written))
    print(f"fetched {len(written)} files, {size}, to {to}")
    if left_out:
        print(f"too large to fetch: {', '.join(left_out)}")
    for path in sorted(written):
        if path.suffix == ".html":
            print(f"report    {path}")


def _line(job: "Job") -> str:
    from relscale.platform.progress import human_seconds

    seconds = (job.ended or time.time()) - (job.started or time.time())
    return f"{job.id:<32} {job.state:<10} {human_seconds(seconds):>8}  {job.command}"
