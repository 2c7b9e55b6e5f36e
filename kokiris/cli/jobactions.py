"""`kokiris job scale|promote|deployments|eval|restart|start`: acting on a job that is registered."""

from __future__ import annotations

import sys
from typing import Any

import click

from kokiris.cli.client import Client
from kokiris.cli.flags import Command, flag, json_output, value, values
from kokiris.cli.monitor import Monitor
from kokiris.cli.output import as_json, say, short, table
from kokiris.cli.session import find_job, job_path, namespace_option, open_client
from kokiris.cli.suggestions import jobs
from kokiris.kernel.errors import BadInput, NotFound


@click.command("scale", cls=Command, examples="kokiris job scale shop 3\nkokiris job scale shop web 3")
@namespace_option
@click.argument("job", shell_complete=jobs)
@click.argument("group_and_count", metavar="[GROUP] COUNT", nargs=-1)
@value("check-index", "Only if the job is at this modify index.", default=-1, kind=int, metavar="INDEX")
@flag("detach", "Do not wait for the deployment.")
@flag("verbose", "Show whole ids.")
def scale_command(namespace: str, job: str, group_and_count: tuple[str, ...], **given: Any) -> None:
    """Changes the count of a group; the group may be left out when the job has one."""
    *group, count = given_count(group_and_count)
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    where = {"namespace": in_namespace}
    name = group[0] if group else only_group(client.get(job_path(job_id), where).data)
    body: dict[str, Any] = {
        "Count": int(count),
        "Target": {"Job": job_id, "Group": name},
        "Message": "kokiris job scale",
    }
    if given["check_index"] >= 0:
        body |= {"EnforceIndex": True, "JobModifyIndex": given["check_index"]}
    _follow(client, client.put(job_path(job_id, "/scale"), body, where).data, given)


def given_count(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """(count) or (group, count) as typed. Raises BadInput for anything else. Pure."""
    if len(arguments) not in {1, 2} or not arguments[-1].isdigit():
        raise BadInput(
            f'"{" ".join(arguments)}" does not end with a count', next_step="Write: kokiris job scale JOB [GROUP] COUNT"
        )
    return arguments


def only_group(job: dict[str, Any]) -> str:
    """The job's group when it has one. Raises BadInput listing them otherwise. Pure."""
    names = [group["Name"] for group in job["TaskGroups"] or []]
    if len(names) != 1:
        raise BadInput(
            f'job "{job["ID"]}" has {len(names)} groups: {", ".join(names)}',
            next_step=f"Say which: kokiris job scale {job['ID']} GROUP COUNT",
        )
    return str(names[0])


@click.command("promote", cls=Command, examples="kokiris job promote shop\nkokiris job promote -group web shop")
@namespace_option
@click.argument("job", shell_complete=jobs)
@values("group", "Only this group.", metavar="GROUP")
@flag("detach", "Do not wait.")
@flag("verbose", "Show whole ids.")
def promote_command(namespace: str, job: str, group: tuple[str, ...], **given: Any) -> None:
    """Promotes the canaries of a job's latest deployment."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    deployment = client.get(job_path(job_id, "/deployment"), {"namespace": in_namespace}).data
    if not deployment:
        raise NotFound(f'job "{job_id}" has no deployment to promote', next_step=f"See `kokiris job status {job_id}`.")
    body = {"DeploymentID": deployment["ID"], **({"Groups": list(group)} if group else {"All": True})}
    _follow(client, client.put(f"/v1/deployment/promote/{deployment['ID']}", body).data, given)


@click.command(
    "deployments", cls=Command, examples="kokiris job deployments shop\nkokiris job deployments -latest shop"
)
@namespace_option
@click.argument("job", shell_complete=jobs)
@flag("latest", "Only the latest.")
@json_output
@flag("verbose", "Show whole ids.")
def deployments_command(namespace: str, job: str, latest: bool, json: bool, verbose: bool) -> None:
    """Lists the deployments of a job, newest first."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    found = client.get(job_path(job_id, "/deployments"), {"namespace": in_namespace}).data or []
    found = sorted(found, key=lambda one: int(one["CreateIndex"]), reverse=True)[: 1 if latest else None]
    if json:
        as_json(found)
        return
    say(deployment_list(found, verbose=verbose) if found else "No deployments found")


def deployment_list(deployments: list[dict[str, Any]], *, verbose: bool) -> str:
    """A row a deployment. Pure."""
    rows: list[tuple[object, ...]] = [("ID", "Job ID", "Job Version", "Status", "Description")]
    for one in deployments:
        identifier = short(one["ID"], whole=verbose)
        rows.append((identifier, one["JobID"], one["JobVersion"], one["Status"], one["StatusDescription"]))
    return table(rows)


@click.command("eval", cls=Command, examples="kokiris job eval shop\nkokiris job eval -force-reschedule shop")
@namespace_option
@click.argument("job", shell_complete=jobs)
@flag("force-reschedule", "Place failed allocations anew at once.")
@flag("detach", "Do not wait.")
@flag("verbose", "Show whole ids.")
def eval_command(namespace: str, job: str, force_reschedule: bool, **given: Any) -> None:
    """Has the scheduler look at a job again."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    body = {"JobID": job_id, "EvalOptions": {"ForceReschedule": force_reschedule}}
    _follow(client, client.put(job_path(job_id, "/evaluate"), body, {"namespace": in_namespace}).data, given)


@click.command("start", cls=Command, examples="kokiris job start shop")
@namespace_option
@click.argument("job", shell_complete=jobs)
@flag("detach", "Do not wait for the deployment.")
@flag("verbose", "Show whole ids.")
def start_command(namespace: str, job: str, **given: Any) -> None:
    """Runs a stopped job again, as it was."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    registered = client.get(job_path(job_id), {"namespace": in_namespace}).data
    if not registered["Stop"]:
        raise BadInput(f'job "{job_id}" is not stopped', next_step=f"See `kokiris job status {job_id}`.")
    _follow(client, client.put("/v1/jobs", {"Job": {**registered, "Stop": False}}).data, given)


@click.command(
    "restart", cls=Command, examples="kokiris job restart shop\nkokiris job restart -reschedule shop\n"
    "kokiris job restart -task httpd shop",
)  # fmt: skip
@namespace_option
@click.argument("job", shell_complete=jobs)
@values("group", "Only allocations of this group.", metavar="GROUP")
@value("task", "Only this task.", metavar="TASK")
@flag("all-tasks", "Tasks that have ended too.")
@flag("reschedule", "Replace the allocations instead of restarting their tasks in place.")
@flag("yes", "Accepted for scripts; no question is asked.")
@flag("verbose", "Show whole ids.")
def restart_command(namespace: str, job: str, **given: Any) -> None:
    """Restarts the running allocations of a job, one after the other."""
    if given["reschedule"] and given["task"]:
        raise BadInput("-reschedule replaces whole allocations; it does not go with -task")
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    stubs = client.get(job_path(job_id, "/allocations"), {"namespace": in_namespace}).data
    running = [
        one for one in stubs
        if one["ClientStatus"] == "running" and (not given["group"] or one["TaskGroup"] in given["group"])
    ]  # fmt: skip
    if not running:
        raise NotFound(f'job "{job_id}" has no running allocation to restart', next_step="See `kokiris job status`.")
    for one in sorted(running, key=lambda stub: str(stub["Name"])):
        say(f'Restarting allocation "{short(one["ID"], whole=given["verbose"])}" ({one["Name"]})')
        if given["reschedule"]:
            answer = client.put(f"/v1/allocation/{one['ID']}/stop").data
            if code := Monitor(client, given["verbose"]).follow(answer["EvalID"]):
                sys.exit(code)
            continue
        body = {"TaskName": given["task"], "AllTasks": given["all_tasks"]}
        client.put(f"/v1/client/allocation/{one['ID']}/restart", body)


def _follow(client: Client, answer: dict[str, Any], given: dict[str, Any]) -> None:
    """Shows the evaluation that a change has made; exits with its code."""
    if given["detach"] or not answer.get("EvalID"):
        say(f"Evaluation ID: {answer['EvalID']}" if answer.get("EvalID") else "Done; nothing to evaluate")
        return
    sys.exit(Monitor(client, given["verbose"]).follow(answer["EvalID"]))
