"""`kokiris var …`, as nomad's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from kokiris.cli.client import ApiError, segment
from kokiris.cli.flags import Command, flag, value
from kokiris.cli.output import as_json, note, pairs, say, table, when
from kokiris.cli.session import ApiGroup, namespace_option, open_client
from kokiris.kernel.errors import BadInput, Conflict, NotFound


@click.group("var", cls=ApiGroup)
def var_group() -> None:
    """Encrypted variables: secrets and settings for jobs."""


def variable_path(path: str) -> str:
    """`/v1/var/<path>`."""
    return "/v1/var/" + "/".join(segment(part) for part in path.split("/"))


@click.command(
    "put", cls=Command,
    examples="kokiris var put nomad/jobs/shop api_key=@key.txt\nkokiris var put -check-index 0 app/mail password=-",
)  # fmt: skip
@click.argument("path")
@click.argument("items", nargs=-1)
@namespace_option
@value("check-index", "Only if its ModifyIndex is this (default: 0, only if there is none).", metavar="INDEX")
@flag("force", "Whatever its index is: replaces what is there.")
@value("in", "Format of what is read with @FILE or - as the only argument: json.", default="json", metavar="FORMAT")
@value("out", "How to show the result: none, table, json.", default="none", metavar="FORMAT")
def put_command(path: str, items: tuple[str, ...], **given: Any) -> None:
    """Creates a variable, or with -check-index or -force replaces it: NAME=TEXT …, NAME=@FILE, NAME=- (standard input),
    or - alone for JSON as `var get -out json` shows it.

    A text given as an argument is seen in the process list: for secrets use @FILE or -.
    """
    wanted, index = read_items(items)
    client = open_client(given["namespace"])
    query = {} if given["force"] else {"cas": given["check_index"] or index}
    try:
        made = client.put(variable_path(path), {"Path": path, "Items": wanted}, query).data
    except ApiError as error:
        raise _conflict(path, error) from error
    done = "Created" if made["ModifyIndex"] == made["CreateIndex"] else "Updated"
    note(f'{done} variable "{path}" with modify index {made["ModifyIndex"]}')
    if given["out"] != "none":
        _show(made, given["out"])


def read_items(arguments: tuple[str, ...]) -> tuple[dict[str, str], int]:
    """(the items, the ModifyIndex that a JSON document was read at; 0 without one). Raises BadInput."""
    if arguments == ("-",) or (len(arguments) == 1 and arguments[0].startswith("@")):
        raw = sys.stdin.read() if arguments[0] == "-" else _file(arguments[0][1:])
        try:
            found = msgspec.json.decode(raw, type=dict[str, Any])
            index = msgspec.convert(found.get("ModifyIndex", 0) if "Items" in found else 0, type=int)
            return msgspec.convert(found.get("Items", found), type=dict[str, str]), index
        except msgspec.MsgspecError as error:
            raise BadInput(f"what was read is not a JSON object of texts: {error}") from error
    if not arguments:
        raise BadInput("no items", next_step="Give NAME=TEXT, NAME=@FILE or NAME=-.")
    found = {}
    for one in arguments:
        name, equals, text = one.partition("=")
        if not equals or not name:
            raise BadInput(f'"{name}" is not NAME=TEXT')
        found[name] = sys.stdin.read() if text == "-" else _file(text[1:]) if text.startswith("@") else text
    return found, 0


def _file(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def _conflict(path: str, error: ApiError) -> Exception:
    if error.status != 409:
        return error
    present = msgspec.json.decode(error.body)
    return Conflict(
        f'variable "{path}" exists at another index, or is locked: its modify index is {present["ModifyIndex"]}',
        next_step="Read it again, then retry with -check-index, or give -force.",
    )


@click.command("get", cls=Command, examples="kokiris var get nomad/jobs/shop\nkokiris var get -item api_key app/mail")
@click.argument("path")
@namespace_option
@value("item", "Only this item's text.", metavar="NAME")
@value("out", "table or json.", default="table", metavar="FORMAT")
def get_command(path: str, **given: Any) -> None:
    """Shows a variable with its items."""
    client = open_client(given["namespace"])
    try:
        found = client.get(variable_path(path)).data
    except NotFound as error:
        raise NotFound(f'variable "{path}" not found', next_step="`kokiris var list` shows what exists.") from error
    if given["item"]:
        if given["item"] not in found["Items"]:
            raise NotFound(f'variable "{path}" has no item "{given["item"]}"')
        say(found["Items"][given["item"]])
        return
    _show(found, given["out"])


def _show(variable: dict[str, Any], form: str) -> None:
    if form == "json":
        as_json(variable)
        return
    if form != "table":
        raise BadInput(f'-out "{form}" is not one of none, table, json')
    head = pairs(
        [
            ("Namespace", variable["Namespace"]),
            ("Path", variable["Path"]),
            ("Create Time", when(variable["CreateTime"])),
            ("Modify Time", when(variable["ModifyTime"])),
            ("Check Index", variable["ModifyIndex"]),
        ]
    )
    say(f"{head}\n\nItems\n{pairs(sorted(variable['Items'].items()))}")


@click.command("list", cls=Command, examples="kokiris var list\nkokiris var list nomad/jobs")
@click.argument("prefix", required=False, default="")
@namespace_option
@flag("json", "As JSON.")
def list_command(prefix: str, namespace: str, json: bool) -> None:
    """Lists variables, without their items."""
    found = open_client(namespace).get("/v1/vars", {"prefix": prefix}).data
    if json:
        as_json(found)
    elif not found:
        note("No variables found")
    else:
        rows: list[tuple[object, ...]] = [("Namespace", "Path", "Last Updated")]
        rows += [(one["Namespace"], one["Path"], when(one["ModifyTime"])) for one in found]
        say(table(rows))


@click.command("purge", cls=Command, examples="kokiris var purge app/mail")
@click.argument("path")
@namespace_option
@value("check-index", "Only if its ModifyIndex is this.", metavar="INDEX")
def purge_command(path: str, namespace: str, check_index: str) -> None:
    """Deletes a variable for good."""
    try:
        open_client(namespace).request("DELETE", variable_path(path), {"cas": check_index} if check_index else {})
    except ApiError as error:
        if error.status != 204:
            raise _conflict(path, error) from error
    note(f'Successfully purged variable "{path}"!')


for one in (put_command, get_command, list_command, purge_command):
    var_group.add_command(one)
