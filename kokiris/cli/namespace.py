"""`kokiris namespace …`: the verbs and flags of `nomad namespace`."""

from __future__ import annotations

import click

from kokiris.cli.client import segment
from kokiris.cli.flags import Command, json_output, value
from kokiris.cli.output import as_json, say, table
from kokiris.cli.session import ApiGroup, open_client


@click.group("namespace", cls=ApiGroup)
def namespace_group() -> None:
    """Rooms for jobs and variables: names in one do not meet those in another."""


@click.command("list", cls=Command, examples="kokiris namespace list")
@json_output
def list_command(json: bool) -> None:
    """Lists the namespaces."""
    found = open_client().get("/v1/namespaces").data
    if json:
        as_json(found)
        return
    say(table([("Name", "Description"), *((one["Name"], one["Description"]) for one in found)]))


@click.command("apply", cls=Command, examples='kokiris namespace apply -description "quality assurance" qa')
@value("description", "What it is for.", metavar="TEXT")
@click.argument("name")
def apply_command(name: str, description: str) -> None:
    """Makes a namespace, or changes its description."""
    open_client().put(f"/v1/namespace/{segment(name)}", {"Name": name, "Description": description})
    say(f'Successfully applied namespace "{name}"!')


@click.command("delete", cls=Command, examples="kokiris namespace delete qa")
@click.argument("name")
def delete_command(name: str) -> None:
    """Deletes a namespace; refused while it holds jobs or variables."""
    open_client().request("DELETE", f"/v1/namespace/{segment(name)}")
    say(f'Successfully deleted namespace "{name}"!')


for one in (list_command, apply_command, delete_command):
    namespace_group.add_command(one)
