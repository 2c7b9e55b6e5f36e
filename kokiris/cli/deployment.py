"""`kokiris deployment …`."""

from __future__ import annotations

import sys

import click

from kokiris.cli.flags import Command, flag, json_output, values
from kokiris.cli.jobactions import deployment_list
from kokiris.cli.monitor import Monitor, deployment_table
from kokiris.cli.output import as_json, pairs, say, short
from kokiris.cli.session import ApiGroup, find_by_id, open_client


@click.group("deployment", cls=ApiGroup)
def deployment_group() -> None:
    """Follow, promote and fail deployments."""


@click.command("list", cls=Command, examples="kokiris deployment list")
@json_output
@flag("verbose", "Show whole ids.")
def list_command(json: bool, verbose: bool) -> None:
    """Lists the deployments, newest first."""
    found = sorted(open_client().get("/v1/deployments").data, key=lambda one: one["CreateIndex"], reverse=True)
    if json:
        as_json(found)
        return
    say(deployment_list(found, verbose=verbose))


@click.command("status", cls=Command, examples="kokiris deployment status 77ab")
@click.argument("deployment")
@json_output
@flag("monitor", "Follow it until it ends.")
@flag("verbose", "Show whole ids.")
def status_command(deployment: str, json: bool, monitor: bool, verbose: bool) -> None:
    """Shows a deployment."""
    client = open_client()
    deployment_id = find_by_id(client, "/v1/deployments", deployment, "deployment")["ID"]
    if monitor:
        sys.exit(Monitor(client, verbose).follow_deployment(deployment_id))
    found = client.get(f"/v1/deployment/{deployment_id}").data
    if json:
        as_json(found)
        return
    say(
        pairs(
            [
                ("ID", short(found["ID"], whole=verbose)),
                ("Job ID", found["JobID"]),
                ("Job Version", found["JobVersion"]),
                ("Status", found["Status"]),
                ("Description", found["StatusDescription"]),
            ]
        )
    )
    say("\nDeployed\n" + deployment_table(found))


def _decide(
    deployment: str, verb: str, body: dict[str, object], *, detach: bool, verbose: bool, with_deployment: bool = True
) -> None:
    client = open_client()
    deployment_id = find_by_id(client, "/v1/deployments", deployment, "deployment")["ID"]
    answer = client.put(f"/v1/deployment/{verb}/{deployment_id}", {"DeploymentID": deployment_id, **body}).data
    if detach or not answer["EvalID"]:
        say(f"Deployment {short(deployment_id, whole=verbose)}: {verb} accepted")
        return
    sys.exit(Monitor(client, verbose).follow(answer["EvalID"], with_deployment=with_deployment))


@click.command("promote", cls=Command, examples="kokiris deployment promote 77ab")
@click.argument("deployment")
@values("group", "Only this group.", metavar="GROUP")
@flag("detach", "Do not wait.")
@flag("verbose", "Show whole ids.")
def promote_command(deployment: str, group: tuple[str, ...], detach: bool, verbose: bool) -> None:
    """Promotes canaries: the rest follows."""
    body: dict[str, object] = {"Groups": list(group)} if group else {"All": True}
    _decide(deployment, "promote", body, detach=detach, verbose=verbose)


@click.command("fail", cls=Command, examples="kokiris deployment fail 77ab")
@click.argument("deployment")
@flag("detach", "Do not wait.")
@flag("verbose", "Show whole ids.")
def fail_command(deployment: str, detach: bool, verbose: bool) -> None:
    """Ends a deployment as failed; with auto_revert the last stable version returns. Exit code 0: it is done."""
    _decide(deployment, "fail", {}, detach=detach, verbose=verbose, with_deployment=False)


@click.command("pause", cls=Command, examples="kokiris deployment pause 77ab")
@click.argument("deployment")
@flag("verbose", "Show whole ids.")
def pause_command(deployment: str, verbose: bool) -> None:
    """Holds a deployment: nothing new is placed until it is resumed."""
    _decide(deployment, "pause", {"Pause": True}, detach=True, verbose=verbose)


@click.command("resume", cls=Command, examples="kokiris deployment resume 77ab")
@click.argument("deployment")
@flag("detach", "Do not wait.")
@flag("verbose", "Show whole ids.")
def resume_command(deployment: str, detach: bool, verbose: bool) -> None:
    """Lets a paused deployment go on."""
    _decide(deployment, "pause", {"Pause": False}, detach=detach, verbose=verbose)


for one in (list_command, status_command, promote_command, fail_command, pause_command, resume_command):
    deployment_group.add_command(one)
