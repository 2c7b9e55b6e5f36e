"""`kokiris job history|revert`: earlier versions of a job."""

from __future__ import annotations

import sys
from typing import Any

import click

from kokiris.cli.flags import Command, flag, json_output, value
from kokiris.cli.jobtext import diff_text
from kokiris.cli.monitor import Monitor
from kokiris.cli.output import as_json, pairs, say, when
from kokiris.cli.session import find_job, job_path, namespace_option, open_client
from kokiris.cli.suggestions import jobs
from kokiris.kernel.errors import BadInput


@click.command(
    "history", cls=Command, examples="kokiris job history shop\nkokiris job history -p shop\n"
    "kokiris job history -version 3 -json shop",
)  # fmt: skip
@namespace_option
@click.argument("job", shell_complete=jobs)
@flag("p", "Show what each version changed.")
@flag("full", "Show the whole job of each version, as JSON.")
@value("version", "Only this version.", metavar="N")
@json_output
def history_command(namespace: str, job: str, version: str, **given: Any) -> None:
    """Lists the versions of a job, newest first."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    parameters = {"namespace": in_namespace, "diffs": "true" if given["p"] else ""}
    found = client.get(job_path(job_id, "/versions"), parameters).data
    versions, diffs = found["Versions"] or [], found.get("Diffs") or []
    chosen = [at for at, one in enumerate(versions) if version in ("", str(one["Version"]))]
    if not chosen:
        known = ", ".join(str(one["Version"]) for one in versions)
        raise BadInput(f'job "{job_id}" has no version {version}', next_step=f"Versions kept: {known}.")
    if given["json"] or given["full"]:
        kept = [versions[at] for at in chosen]
        as_json(kept[0] if version else kept)
        return
    texts = [version_text(versions[at], diffs[at] if at < len(diffs) else None) for at in chosen]
    say("\n\n".join(texts))


def version_text(job: dict[str, Any], diff: dict[str, Any] | None) -> str:
    """One version, with what it changed when that is given."""
    head = pairs(
        [
            ("Version", job["Version"]),
            ("Stable", str(job["Stable"]).lower()),
            ("Submit Date", when(job["SubmitTime"])),
        ]
    )
    return head if diff is None else f"{head}\nDiff        =\n{diff_text(diff, verbose=False)}".rstrip()


@click.command("revert", cls=Command, examples="kokiris job revert shop 3\nkokiris job revert -detach shop 3")
@namespace_option
@click.argument("job", shell_complete=jobs)
@click.argument("version", type=int)
@flag("detach", "Do not wait for the deployment.")
@flag("verbose", "Show whole ids.")
def revert_command(namespace: str, job: str, version: int, detach: bool, verbose: bool) -> None:
    """Makes an earlier version the next one, and follows its deployment."""
    client = open_client(namespace)
    in_namespace, job_id = find_job(client, job)
    body = {"JobID": job_id, "JobVersion": version}
    answer = client.put(job_path(job_id, "/revert"), body, {"namespace": in_namespace}).data
    if detach:
        say(f"Evaluation ID: {answer['EvalID']}")
        return
    sys.exit(Monitor(client, verbose).follow(answer["EvalID"]))
