"""`kokiris job …`: the verbs, flags and exit codes of `nomad job`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import click

from kokiris.cli.client import Client
from kokiris.cli.flags import Command, flag, json_output, switch, value, values
from kokiris.cli.jobactions import (
    deployments_command,
    eval_command,
    promote_command,
    restart_command,
    scale_command,
    start_command,
)
from kokiris.cli.jobfile import JobFile, read_job_file
from kokiris.cli.jobinit import init_command
from kokiris.cli.jobtext import allocation_table, diff_text, job_detail, job_list, plan_failures
from kokiris.cli.jobversions import history_command, revert_command
from kokiris.cli.monitor import Monitor
from kokiris.cli.output import as_json, say, tell
from kokiris.cli.session import ApiGroup, find_job, job_path, namespace_option, open_client
from kokiris.cli.suggestions import files, jobs
from kokiris.kernel.errors import BadInput, KokirisError

PLAN_ERROR = 255


class JobGroup(ApiGroup):
    """Nomad's verbs; those that belong to refused parts of the job language are named with the reason."""

    absent: ClassVar[Mapping[str, str]] = {
        "dispatch": "it has no parameterized jobs.",
        "periodic": "it has no periodic jobs.",
        "action": "the block action of tasks is not acted on.",
        "tag": "name a version by its number.",
        "scaling-events": "`kokiris job history` shows what changed.",
    }


@click.group("job", cls=JobGroup)
def job_group() -> None:
    """Submit, look at, and stop jobs."""


def file_options(command: Any) -> Any:
    """What every command that reads a job file takes."""
    command = values("var", "A variable: -var name=value.", metavar="NAME=VALUE")(command)
    command = values("var-file", "A file of variables.", metavar="FILE")(command)
    command = flag("json", "The file is JSON.")(command)
    return click.argument("file", metavar="FILE", shell_complete=files)(command)


@click.command(
    "validate", cls=Command, examples="kokiris job validate shop.nomad.hcl\nkokiris job validate - < shop.nomad.hcl"
)
@namespace_option
@file_options
def validate_command(namespace: str, **given: Any) -> None:
    """Checks a job file without submitting it."""
    job = _read(given, namespace)
    answer = open_client(namespace).put("/v1/validate/job", {"Job": job.raw}).data
    if answer.get("Warnings"):
        say(f"Job Warnings:\n{answer['Warnings']}\n")
    if answer.get("Error") or answer.get("ValidationErrors"):
        with job.placed():
            raise BadInput(f"Job validation errors:\n{answer.get('Error') or answer['ValidationErrors']}")
    say("Job validation successful")


@click.command(
    "plan", cls=Command, examples="kokiris job plan shop.nomad.hcl\nkokiris job plan -var image=shop:2 shop.nomad.hcl"
)
@namespace_option
@file_options
@flag("verbose", "Show unchanged fields too.")
@switch("diff", "Show the difference to the registered job.")
def plan_command(namespace: str, verbose: bool, diff: bool, **given: Any) -> None:
    """Shows what submitting the file would change. Exit code 0: nothing, 1: something, 255: an error."""
    try:
        job = _read(given, namespace)
        with job.placed():
            plan = open_client(namespace).put(job_path(job.job_id, "/plan"), {"Job": job.raw, "Diff": diff}).data
    except Exception as error:
        _report_and_exit(error, PLAN_ERROR)
        raise
    if diff and plan.get("Diff"):
        say(diff_text(plan["Diff"], verbose=verbose) + "\n")
    if plan.get("Warnings"):
        say(f"Job Warnings:\n{plan['Warnings']}\n")
    say("Scheduler dry-run:")
    say(plan_failures(plan) or "- All tasks successfully allocated.")
    say(f"\nJob Modify Index: {plan['JobModifyIndex']}")
    say("To submit the job with version verification run:\n")
    say(f"kokiris job run -check-index {plan['JobModifyIndex']} {file_arguments(given)}\n")
    sys.exit(1 if changes_allocations(plan) else 0)


@click.command(
    "run",
    cls=Command,
    examples="kokiris job run shop.nomad.hcl\nkokiris job run -var image=shop:2 -detach shop.nomad.hcl",
)
@namespace_option
@file_options
@value("check-index", "Submit only if the job is at this modify index (0: not registered).", default=-1, kind=int)
@value("eval-priority", "Priority of the evaluation.", default=0, kind=int)
@flag("preserve-counts", "Keep the present counts of groups.")
@flag("detach", "Do not wait for the deployment.")
@flag("output", "Print the job as JSON instead of submitting it.")
@flag("verbose", "Show whole ids.")
@flag("if-changed", "Submit only what differs from the registered job; say so otherwise.")
def run_command(namespace: str, check_index: int, eval_priority: int, **given: Any) -> None:
    """Submits a job and follows its deployment. Exit code 0: done, 2: something could not be placed, 1: failed."""
    job = _read(given, namespace)
    if given["output"]:
        as_json({"Job": job.raw})
        return
    client = open_client(namespace)
    if given["if_changed"]:
        with job.placed():
            plan = client.put(job_path(job.job_id, "/plan"), {"Job": job.raw, "Diff": True}).data
        if (plan.get("Diff") or {}).get("Type") == "None" and not changes_allocations(plan):
            say(f'job "{job.job_id}" is as submitted before; nothing to change')
            return
    body: dict[str, Any] = {"Job": job.raw, "Submission": job.submission(), "EvalPriority": eval_priority}
    if given["preserve_counts"]:
        body["PreserveCounts"] = True
    if check_index >= 0:
        body |= {"EnforceIndex": True, "JobModifyIndex": check_index}
    with job.placed():
        answer = client.put("/v1/jobs", body).data
    if answer.get("Warnings"):
        say(f"Job Warnings:\n{answer['Warnings']}\n")
    if not answer["EvalID"]:
        say("Job registration successful")
        return
    if given["detach"]:
        say(f"Job registration successful\nEvaluation ID: {answer['EvalID']}")
        return
    sys.exit(Monitor(client, given["verbose"]).follow(answer["EvalID"]))


@click.command("status", cls=Command, examples="kokiris job status\nkokiris job status shop")
@namespace_option
@click.argument("job", required=False, default="", shell_complete=jobs)
@json_output
@flag("short", "Only the job itself.")
@flag("all-allocs", "Accepted; all allocations are always shown.")
@flag("verbose", "Show whole ids.")
def status_command(namespace: str, job: str, **given: Any) -> None:
    """Lists the jobs, or shows one with its groups, deployment and allocations."""
    client = open_client(namespace)
    if not job:
        stubs = client.get("/v1/jobs").data
        if given["json"]:
            as_json(stubs)
        else:
            say(job_list(stubs) or "No running jobs")
        return
    in_namespace, job_id = find_job(client, job)
    where = {"namespace": in_namespace}
    parts = {
        name: client.get(job_path(job_id, path), where).data
        for name, path in (
            ("job", ""), ("summary", "/summary"), ("allocations", "/allocations"),
            ("evaluations", "/evaluations"), ("deployment", "/deployment"),
        )
    }  # fmt: skip
    if given["json"]:
        as_json(parts["job"])
    else:
        say(job_detail(parts, verbose=given["verbose"], brief=given["short"]))


@click.command("stop", cls=Command, examples="kokiris job stop shop\nkokiris job stop -purge shop mail")
@namespace_option
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=jobs)
@flag("purge", "Forget the job altogether.")
@flag("detach", "Do not wait for the evaluation.")
@flag("yes", "Accepted for scripts; no question is asked.")
@flag("no-shutdown-delay", "Skip the groups' shutdown_delay.")
@flag("verbose", "Show whole ids.")
def stop_command(namespace: str, jobs: tuple[str, ...], **given: Any) -> None:
    """Stops jobs: their instances leave the routing first, then they are ended."""
    client = open_client(namespace)
    sys.exit(max([_stop(client, *found, given) for found in [find_job(client, job) for job in jobs]]))


def _stop(client: Client, namespace: str, job_id: str, given: dict[str, Any]) -> int:
    parameters = {"namespace": namespace, "purge": str(given["purge"]).lower()}
    if given["no_shutdown_delay"]:
        parameters["no_shutdown_delay"] = "true"
    answer = client.request("DELETE", job_path(job_id), parameters).data
    if given["detach"] or not answer["EvalID"]:
        say(answer["EvalID"] or f'job "{job_id}" stopped')
        return 0
    return Monitor(client, given["verbose"]).follow(answer["EvalID"])


@click.command("inspect", cls=Command, examples="kokiris job inspect shop\nkokiris job inspect -hcl shop")
@namespace_option
@click.argument("job", shell_complete=jobs)
@value("version", "Another version.", metavar="N")
@flag("hcl", "The source it was submitted from.")
@json_output
def inspect_command(namespace: str, job: str, version: str, hcl: bool, json: bool) -> None:
    """Prints a job as it is registered."""
    del json
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    where = {"namespace": in_namespace}
    current = client.get(job_path(job_id), where).data
    if hcl:
        wanted = version or current["Version"]
        say(client.get(job_path(job_id, "/submission"), {**where, "version": wanted}).data["Source"])
        return
    if version:
        versions = client.get(job_path(job_id, "/versions"), where).data["Versions"]
        found = [one for one in versions if str(one["Version"]) == version]
        if not found:
            raise BadInput(f'job "{job_id}" has no version {version}')
        current = found[0]
    as_json({"Job": current}, seen_by_template=current)


@click.command("allocs", cls=Command, examples="kokiris job allocs shop\nkokiris job allocs -json shop")
@namespace_option
@click.argument("job", shell_complete=jobs)
@json_output
@flag("all", "Those of an earlier job of the same name too.")
@flag("verbose", "Show whole ids.")
def allocs_command(namespace: str, job: str, **given: Any) -> None:
    """Lists the allocations of a job."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    stubs = client.get(
        job_path(job_id, "/allocations"), {"namespace": in_namespace, "all": "true" if given["all"] else ""}
    ).data
    if given["json"]:
        as_json(stubs)
    else:
        say(allocation_table(stubs, verbose=given["verbose"]))


for one in (
    init_command, validate_command, plan_command, run_command, status_command, stop_command, start_command,
    restart_command, scale_command, history_command, revert_command, inspect_command, allocs_command,
    deployments_command, promote_command, eval_command,
):  # fmt: skip
    job_group.add_command(one)


def changes_allocations(plan: dict[str, Any]) -> bool:
    """Whether a plan would start, stop or update anything. Pure."""
    updates = ((plan.get("Annotations") or {}).get("DesiredTGUpdates") or {}).values()
    return any(number for update in updates for name, number in update.items() if name != "Ignore")


def _read(given: dict[str, Any], namespace: str) -> JobFile:
    return read_job_file(
        given["file"], variables=given["var"], var_files=given["var_file"], as_json=given["json"], namespace=namespace
    )


def file_arguments(given: dict[str, Any]) -> str:
    """The flags and the file of a command, as they may be pasted into a shell again. Pure."""
    import shlex  # noqa: PLC0415 - only `plan` needs it

    words = ["-json"] if given["json"] else []
    words += [f"-var-file={one}" for one in given["var_file"]] + [f"-var={one}" for one in given["var"]]
    return shlex.join([*words, given["file"]])


def _report_and_exit(error: Exception, code: int) -> None:
    if isinstance(error, KokirisError):
        tell(error)
        sys.exit(code)
