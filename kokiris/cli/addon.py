"""`addon`: the platform's own jobs on this infra. Uses the operator token, which only the node's root can read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from kokiris.access.bootstrap import door_address
from kokiris.access.exports import parse_exports
from kokiris.addons.images import check_configured
from kokiris.addons.lifecycle import Probe, disable, enable, site_of, status_of
from kokiris.addons.model import AddOn, Site
from kokiris.addons.registered import add_on, all_add_ons
from kokiris.cli.client import Client, Endpoint
from kokiris.cli.flags import Command, Group, flag
from kokiris.cli.here import find_infra, infra_options
from kokiris.cli.output import as_json, note, pairs, say, table
from kokiris.infra.config import Config, Layout, load
from kokiris.kernel.errors import BadInput, HostError, NotFound

SHOWN_USERS = 5


@click.group("addon", cls=Group)
def addon_group() -> None:
    """Registry, databases, phpMyAdmin: the platform's own jobs."""


def operator_endpoint(layout: Layout) -> Endpoint:
    """With the operator token of this node. Raises HostError when this user may not read it."""
    return Endpoint.from_environment(_operator_environment(layout))


def _operator_environment(layout: Layout) -> Mapping[str, str]:
    try:
        return parse_exports(layout.operator_file)
    except PermissionError as error:
        raise HostError(
            f"{layout.operator_file} is not readable for this user", next_step="Add-ons are the operator's: use root."
        ) from error
    except FileNotFoundError as error:
        raise NotFound(
            f"{layout.operator_file} does not exist", next_step="Run `kokiris down` and `kokiris up` once to make it."
        ) from error


class _Here:
    """The infra on this node, and what add-ons need of it."""

    def __init__(self, client: str, infra: str, data_dir: str) -> None:
        self.layout = Layout(find_infra(client, infra, data_dir))
        self.config: Config = load(self.layout.config)
        check_configured(self.config)
        self._endpoint = operator_endpoint(self.layout)

    def site(self, one: AddOn) -> Site:
        return site_of(one, self.config, self.layout, self._api_at, note)

    def _api_at(self, host: str) -> Client:
        return Client(replace(self._endpoint, address=door_address(self.config, host)))

    def probe(self) -> Probe:
        from kokiris.agent.bringup.up import vip_get  # noqa: PLC0415 - the rest of the command line starts faster

        return lambda host, path: vip_get(self.config, self.layout, host, path)


@click.command("list", cls=Command, examples="kokiris addon list\nkokiris addon list -json")
@infra_options
@flag("json", "As JSON.")
def list_command(client: str, infra: str, data_dir: str, *, json: bool) -> None:
    """Lists the add-ons there are, and how each is."""
    here = _Here(client, infra, data_dir)
    found = [status_of(one, here.site(one)) for one in all_add_ons()]
    if json:
        as_json(msgspec.to_builtins(found))
        return
    rows = [(one.name, one.state, f"https://{one.address}/" if one.address else "-", one.title) for one in found]
    say(table([("Name", "State", "Address", "What it is"), *rows]))


@click.command("enable", cls=Command, examples="kokiris addon enable registry\nkokiris addon enable mariadb phpmyadmin")
@infra_options
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def enable_command(client: str, infra: str, data_dir: str, names: tuple[str, ...]) -> None:
    """Puts add-ons up and waits until they answer. Run again, it changes nothing and says so."""
    wanted = [add_on(name) for name in names]
    here = _Here(client, infra, data_dir)
    for one in wanted:
        changed = enable(one, here.site(one), here.probe())
        address = one.host(here.config.addresses)
        said = f"is enabled{f': https://{address}/' if address else ''}" if changed else "is up; nothing to change"
        say(f'add-on "{one.name}" {said}')


@click.command(
    "disable", cls=Command, examples="kokiris addon disable phpmyadmin\nkokiris addon disable -purge -yes registry"
)
@infra_options
@click.argument("name")
@flag("purge", "Remove its data as well; asks first.")
@flag("yes", "Do not ask.")
def disable_command(client: str, infra: str, data_dir: str, name: str, *, purge: bool, yes: bool) -> None:
    """Stops an add-on; asks first while jobs use it. Its data stay, unless -purge."""
    one = add_on(name)
    here = _Here(client, infra, data_dir)
    site = here.site(one)

    def agree(users: Sequence[str]) -> None:
        if (users or purge) and not yes:
            _confirm(one, users, site.data if purge else None)

    done = disable(one, site, all_add_ons(), purge=purge, agree=agree)
    if not done:
        say(f'add-on "{name}" is not enabled; nothing to change')
        return
    kept = "its data are removed" if purge else f"its data stay in {site.data}"
    say(f'add-on "{name}" is disabled; {kept}')


def _confirm(one: AddOn, users: Sequence[str], data: Path | None) -> None:
    """Raises BadInput where nobody can be asked."""
    shown = ", ".join(users[:SHOWN_USERS]) + (f" and {len(users) - SHOWN_USERS} more" if users[SHOWN_USERS:] else "")
    told = [f"it is used by {shown}"] if users else []
    told += [f"all its data in {data} would be removed and cannot be brought back"] if data else []
    if not sys.stdin.isatty():
        raise BadInput(
            f'add-on "{one.name}" is left as it is: {"; ".join(told)}', next_step="Say -yes to do it all the same."
        )
    click.confirm(f'Disable add-on "{one.name}"? Mind that {"; ".join(told)}.', abort=True, err=True)


@click.command("status", cls=Command, examples="kokiris addon status registry")
@infra_options
@click.argument("name")
@flag("json", "As JSON.")
def status_command(client: str, infra: str, data_dir: str, name: str, *, json: bool) -> None:
    """How one add-on is. Exit code 1 when it is enabled and does not run."""
    one = add_on(name)
    here = _Here(client, infra, data_dir)
    found = status_of(one, here.site(one))
    if json:
        as_json(msgspec.to_builtins(found))
    else:
        images = ", ".join(image or f"{recipe} (not built)" for recipe, image in found.images.items())
        address = f"https://{found.address}/" if found.address else "-"
        rows = [("Name", found.name), ("Title", found.title), ("State", found.state), ("Address", address)]
        say(pairs([*rows, ("Images", images), ("Data", here.site(one).data), ("Detail", found.detail or "-")]))
    if found.state == "failing":
        sys.exit(1)


for command in (list_command, enable_command, disable_command, status_command):
    addon_group.add_command(command)
