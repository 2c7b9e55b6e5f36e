"""`kokiris alloc …`: the verbs, flags and exit codes of `nomad alloc`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from kokiris.cli.alloctext import alloc_detail, check_table
from kokiris.cli.client import Client
from kokiris.cli.flags import Command, flag, json_output, value
from kokiris.cli.jobtext import allocation_table
from kokiris.cli.monitor import Monitor
from kokiris.cli.output import as_json, say
from kokiris.cli.session import ApiGroup, find_by_id, find_job, job_path, namespace_option, open_client
from kokiris.cli.suggestions import allocations
from kokiris.kernel.errors import BadInput, KokirisError, NotFound

DEFAULT_TAIL_LINES = 10
TAIL_READ_BYTES = 60_000
"""What is read from the end to find the last lines: one chunk of the answer."""


@click.group("alloc", cls=ApiGroup)
def alloc_group() -> None:
    """Look at, enter, and stop allocations."""


@click.command("status", cls=Command, examples="kokiris alloc status\nkokiris alloc status -json 4c1d")
@namespace_option
@click.argument("alloc", required=False, default="", shell_complete=allocations)
@json_output
@flag("verbose", "Show whole ids.")
def status_command(namespace: str, alloc: str, json: bool, verbose: bool) -> None:
    """Lists the allocations, or shows one: its tasks, ports, checks, and what happened to it."""
    client = open_client(namespace)
    if not alloc:
        stubs = client.get("/v1/allocations").data
        if json:
            as_json(stubs)
        else:
            say(allocation_table(stubs, verbose=verbose, with_job=True))
        return
    allocation = read_alloc(client, alloc)
    if json:
        as_json(allocation)
        return
    say(alloc_detail(allocation, _checks(client, allocation["ID"]), time.time_ns(), verbose=verbose))


def _checks(client: Client, alloc_id: str) -> dict[str, Any]:
    """Empty when the worker does not answer: the status is shown all the same."""
    try:
        found: dict[str, Any] = client.get(f"/v1/client/allocation/{alloc_id}/checks").data or {}
    except KokirisError:
        return {}
    return found


@click.command("checks", cls=Command, examples="kokiris alloc checks 4c1d")
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@json_output
@flag("verbose", "Accepted; ids do not appear.")
def checks_command(namespace: str, alloc: str, json: bool, verbose: bool) -> None:
    """Shows how the health checks of an allocation stand."""
    del verbose
    client = open_client(namespace)
    found = _checks(client, read_alloc(client, alloc)["ID"])
    if json:
        as_json(found)
    else:
        say(check_table(found) if found else "No checks found")


@click.command(
    "logs", cls=Command,
    examples="kokiris alloc logs 4c1d\nkokiris alloc logs -f -stderr 4c1d httpd\nkokiris alloc logs -job shop",
)  # fmt: skip
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@click.argument("task_name", metavar="[TASK]", required=False, default="")
@flag("stderr", "Standard error instead of standard output.")
@flag("stdout", "Standard output (the default).")
@flag("f", "Go on with what is written from now on.")
@flag("tail", "The end of the log only.")
@value("n", "With -tail: so many lines.", default=-1, kind=int, metavar="LINES")
@value("c", "With -tail: so many bytes.", default=-1, kind=int, metavar="BYTES")
@flag("job", "The first argument is a job: take its newest allocation that runs, or has run.")
@value("task", "The task.", metavar="TASK")
@flag("verbose", "Accepted; ids do not appear.")
def logs_command(namespace: str, alloc: str, **given: Any) -> None:
    """Prints what a task wrote."""
    client = open_client(namespace)
    given["task"] = given["task"] or given["task_name"]
    allocation = read_alloc(client, running_alloc_of(client, alloc, or_ended=True) if given["job"] else alloc)
    parameters = log_parameters(allocation, given)
    path = f"/v1/client/fs/logs/{allocation['ID']}"
    lines = (given["n"] if given["n"] >= 0 else DEFAULT_TAIL_LINES) if given["tail"] and given["c"] < 0 else None
    for number, chunk in enumerate(client.stream(path, parameters)):
        sys.stdout.buffer.write(last_lines(chunk, lines) if number == 0 and lines is not None else chunk)
        sys.stdout.buffer.flush()


def last_lines(text: bytes, count: int) -> bytes:
    """The last `count` lines. Pure."""
    return b"".join(text.splitlines(keepends=True)[-count:]) if count else b""


def log_parameters(allocation: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The query of the logs endpoint. Raises BadInput when the task is not clear. Pure."""
    task = given["task"] or only_task(allocation)
    parameters = {
        "task": task,
        "type": "stderr" if given["stderr"] else "stdout",
        "follow": str(bool(given["f"])).lower(),
        "plain": "true",
        "origin": "start",
        "offset": 0,
    }
    if given["tail"]:
        wanted_bytes = given["c"] if given["c"] >= 0 else TAIL_READ_BYTES
        parameters |= {"origin": "end", "offset": wanted_bytes}
    return parameters


@click.command(
    "exec", cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    examples="kokiris alloc exec 4c1d sh\nkokiris alloc exec -task httpd 4c1d ls /local\n"
    "kokiris alloc exec -job shop env",
)  # fmt: skip
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@click.argument("command", nargs=-1)
@flag("i", "Pass standard input (the default).")
@click.option("-t/-T", "tty", default=None, help="A terminal, or none (default: one when standard input is one).")
@value("task", "The task.", metavar="TASK")
@flag("job", "The first argument is a job: take one of its running allocations.")
@value("e", "Key that ends the session after a line's start.", default="~", metavar="CHAR")
def exec_command(namespace: str, alloc: str, command: tuple[str, ...], **given: Any) -> None:
    """Runs a command in a task. The exit code is the command's."""
    from kokiris.cli.exec_session import run_session  # noqa: PLC0415 - websockets are only needed here

    if not command:
        raise BadInput("A command to execute is required", next_step="For a shell: kokiris alloc exec ALLOC sh")
    client = open_client(namespace)
    allocation = read_alloc(client, running_alloc_of(client, alloc) if given["job"] else alloc)
    tty = sys.stdin.isatty() and sys.stdout.isatty() if given["tty"] is None else given["tty"]
    task = given["task"] or only_task(allocation)
    sys.exit(run_session(client.endpoint, allocation["ID"], task, list(command), tty=tty, escape=given["e"]))


@click.command("stop", cls=Command, examples="kokiris alloc stop 4c1d")
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@flag("detach", "Do not wait for the evaluation.")
@flag("no-shutdown-delay", "Skip the group's shutdown_delay.")
@flag("verbose", "Show whole ids.")
def stop_command(namespace: str, alloc: str, detach: bool, no_shutdown_delay: bool, verbose: bool) -> None:
    """Stops an allocation; its job gets another in its place."""
    client = open_client(namespace)
    allocation = read_alloc(client, alloc)
    parameters = {"no_shutdown_delay": "true"} if no_shutdown_delay else {}
    answer = client.put(f"/v1/allocation/{allocation['ID']}/stop", None, parameters).data
    if detach:
        say(answer["EvalID"])
        return
    sys.exit(Monitor(client, verbose).follow(answer["EvalID"]))


@click.command("restart", cls=Command, examples="kokiris alloc restart 4c1d\nkokiris alloc restart 4c1d httpd")
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@click.argument("task", required=False, default="")
@flag("all-tasks", "Tasks that have ended too.")
def restart_command(namespace: str, alloc: str, task: str, all_tasks: bool) -> None:
    """Restarts the tasks of an allocation in place."""
    client = open_client(namespace)
    allocation = read_alloc(client, alloc)
    client.put(f"/v1/client/allocation/{allocation['ID']}/restart", {"TaskName": task, "AllTasks": all_tasks})


@click.command("signal", cls=Command, examples="kokiris alloc signal -s SIGHUP 4c1d httpd")
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@click.argument("task", required=False, default="")
@value("s", "The signal.", default="SIGKILL", metavar="SIGNAL")
def signal_command(namespace: str, alloc: str, task: str, s: str) -> None:
    """Sends a signal to the tasks of an allocation."""
    client = open_client(namespace)
    allocation = read_alloc(client, alloc)
    client.put(f"/v1/client/allocation/{allocation['ID']}/signal", {"Signal": s, "Task": task})


@click.command("fs", cls=Command, examples="kokiris alloc fs 4c1d\nkokiris alloc fs 4c1d httpd/local/config.txt")
@namespace_option
@click.argument("alloc", shell_complete=allocations)
@click.argument("path", required=False, default="/")
@flag("job", "The first argument is a job: take its newest allocation that runs, or has run.")
@json_output
def fs_command(namespace: str, alloc: str, path: str, job: bool, json: bool) -> None:
    """Lists a folder of an allocation, or prints a file."""
    from kokiris.cli.alloctext import file_list  # noqa: PLC0415 - only needed here

    client = open_client(namespace)
    alloc_id = read_alloc(client, running_alloc_of(client, alloc, or_ended=True) if job else alloc)["ID"]
    info = client.get(f"/v1/client/fs/stat/{alloc_id}", {"path": path}).data
    if not info["IsDir"]:
        for chunk in client.stream(f"/v1/client/fs/cat/{alloc_id}", {"path": path}):
            sys.stdout.buffer.write(chunk)
        return
    entries = client.get(f"/v1/client/fs/ls/{alloc_id}", {"path": path}).data
    if json:
        as_json(entries)
    else:
        say(file_list(entries))


for one in (
    status_command, checks_command, logs_command, exec_command, stop_command, restart_command, signal_command,
    fs_command,
):  # fmt: skip
    alloc_group.add_command(one)


def read_alloc(client: Client, wanted: str) -> dict[str, Any]:
    """The allocation whose id starts with `wanted`."""
    stub = find_by_id(client, "/v1/allocations", wanted, "allocation")
    found: dict[str, Any] = client.get(f"/v1/allocation/{stub['ID']}").data
    return found


def running_alloc_of(client: Client, job: str, *, or_ended: bool = False) -> str:
    """The newest running allocation of a job; `or_ended`: the newest of all when none runs."""
    namespace, job_id = find_job(client, job)
    stubs = client.get(job_path(job_id, "/allocations"), {"namespace": namespace}).data
    running = [stub for stub in stubs if stub["ClientStatus"] == "running"] or (stubs if or_ended else [])
    if not running:
        raise NotFound(f'job "{job_id}" has no running allocation', next_step=f"See `kokiris job status {job_id}`.")
    return str(max(running, key=lambda stub: int(stub["CreateIndex"]))["ID"])


def only_task(allocation: dict[str, Any]) -> str:
    """The allocation's task when it has one. Raises BadInput listing them otherwise. Pure."""
    groups = (allocation.get("Job") or {}).get("TaskGroups") or []
    tasks = [task["Name"] for group in groups if group["Name"] == allocation["TaskGroup"] for task in group["Tasks"]]
    if len(tasks) != 1:
        raise BadInput(
            f"allocation {allocation['ID'][:8]} has {len(tasks)} tasks: {', '.join(tasks)}",
            next_step="Say which: -task TASK.",
        )
    return str(tasks[0])
