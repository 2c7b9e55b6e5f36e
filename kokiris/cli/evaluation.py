"""`kokiris eval …`."""

from __future__ import annotations

import click

from kokiris.cli.flags import Command, flag, json_output
from kokiris.cli.jobtext import failure_text
from kokiris.cli.output import as_json, pairs, say, short, table
from kokiris.cli.session import ApiGroup, find_by_id, open_client


@click.group("eval", cls=ApiGroup)
def eval_group() -> None:
    """Why the scheduler did what it did."""


@click.command("list", cls=Command, examples="kokiris eval list")
@json_output
@flag("verbose", "Show whole ids.")
def list_command(json: bool, verbose: bool) -> None:
    """Lists the evaluations, newest first."""
    evals = sorted(open_client().get("/v1/evaluations").data, key=lambda one: one["CreateIndex"], reverse=True)
    if json:
        as_json(evals)
        return
    rows: list[tuple[object, ...]] = [("ID", "Priority", "Triggered By", "Job ID", "Status", "Placement Failures")]
    for one in evals:
        failures = "true" if one["FailedTGAllocs"] else "false"
        identifier = short(one["ID"], whole=verbose)
        rows.append((identifier, one["Priority"], one["TriggeredBy"], one["JobID"], one["Status"], failures))
    say(table(rows))


@click.command("status", cls=Command, examples="kokiris eval status 1f0c")
@click.argument("evaluation")
@json_output
@flag("verbose", "Show whole ids.")
def status_command(evaluation: str, json: bool, verbose: bool) -> None:
    """Shows an evaluation, and why something was not placed."""
    client = open_client()
    found = client.get(f"/v1/evaluation/{find_by_id(client, '/v1/evaluations', evaluation, 'evaluation')['ID']}").data
    if json:
        as_json(found)
        return
    say(
        pairs(
            [
                ("ID", short(found["ID"], whole=verbose)),
                ("Status", found["Status"]),
                ("Status Description", found["StatusDescription"] or found["Status"]),
                ("Type", found["Type"]),
                ("TriggeredBy", found["TriggeredBy"]),
                ("Job ID", found["JobID"]),
                ("Priority", found["Priority"]),
                ("Placement Failures", "true" if found["FailedTGAllocs"] else "false"),
            ]
        )
    )
    if found["FailedTGAllocs"]:
        say("\nFailed Placements\n" + failure_text(found["FailedTGAllocs"]))


eval_group.add_command(list_command)
eval_group.add_command(status_command)
