"""`up`, `down`, `status`, `urls`, `env`: the infra on this node."""

from __future__ import annotations

import ipaddress
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from kokiris import __version__
from kokiris.cli.flags import Command, flag, value, values
from kokiris.cli.here import find_infra, infra_options
from kokiris.cli.output import as_json, heading, note, pairs, say, table
from kokiris.cli.program import NAME, program
from kokiris.infra.config import (
    Config,
    DockerConfig,
    Layout,
    LogsConfig,
    Ports,
    RegistryConfig,
    StoreConfig,
    keep_operators_lines,
    load,
)
from kokiris.kernel.errors import BadInput, NotFound, RuleBroken
from kokiris.registry.sharing import Share, read_share


def parse_ports(given: tuple[str, ...]) -> Ports:
    """`http=8080` and so on. Raises BadInput naming the door or number that is wrong. Pure."""
    known = Ports.__struct_fields__
    chosen: dict[str, int] = {}
    for one in given:
        name, _, number = one.partition("=")
        name = name.replace("-", "_")
        if name not in known:
            raise BadInput(f'port "{one}": no door is called "{name}"', next_step=f"Doors are: {', '.join(known)}.")
        if not number.isdigit() or not 1 <= int(number) <= 65535:
            raise BadInput(f'port "{one}": "{number}" is not a port', next_step="Write a number from 1 to 65535.")
        chosen[name] = int(number)
    return Ports(**chosen)


def _share(file: str, client: str) -> Share | None:
    if not file:
        return None
    share = read_share(Path(file))
    if share.client != client:
        raise RuleBroken(
            f'{file} is for {share.Server}, the registry of client "{share.client}": infras share that of their client',
            next_step=f'Use the file of an infra of client "{client}".',
        )
    return share


def parse_address(flag_name: str, given: str) -> str:
    """An IP address as it is. Raises BadInput naming the flag for anything else. Pure."""
    try:
        return str(ipaddress.ip_address(given))
    except ValueError as error:
        raise BadInput(
            f'{flag_name} "{given}" is not an IP address', next_step="Write one of this node's: `ip -brief address`."
        ) from error


def check_folder(flag_name: str, path: str) -> None:
    """Raises BadInput when the folder that is to hold the file does not exist: nothing has been changed yet."""
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise BadInput(
            f'{flag_name} "{path}": there is no folder {folder}', next_step="Make the folder, or name another path."
        )


def _without_credentials(url: str) -> str:
    """The address as it may be shown: what stands before an @ may be a password."""
    return url.rpartition("@")[2]


def set_logs(logs: LogsConfig, given: Mapping[str, Any]) -> None:
    """What the options say goes before what the file says. Raises BadInput for what the log search could not use."""
    if url := given["elasticsearch_url"]:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise BadInput(
                f'-elasticsearch-url "{_without_credentials(url)}" is not usable',
                next_step="Write http(s)://host[:port]; its credentials belong into -elasticsearch-credentials-file.",
            )
        logs.elasticsearch_url = url
    for name in ("elasticsearch_ca_file", "elasticsearch_credentials_file"):
        if not given[name]:
            continue
        path = Path(given[name]).resolve()
        if not path.is_file():
            raise BadInput(f"-{name.replace('_', '-')} {path} is no file", next_step="Name a file that is there.")
        setattr(logs, name, str(path))


@click.command(
    "up",
    cls=Command,
    examples="kokiris up -client demo -infra rec1\nkokiris up -client demo -infra rec1 -store etcd\n"
    "kokiris up -client demo -infra rec2 -port http=8080 -port https=8443",
)
@value("client", "The customer this infra belongs to.", default="demo")
@value("infra", "Kind and number: rec1, ppd1, prd2.", default="rec1")
@value("domain", "Domain below which the addresses lie.", default="customer.kokiris.localhost")
@value("data-dir", "Where everything is kept (default /var/lib/kokiris/CLIENT/INFRA).", metavar="DIR")
@value("store", "Where state is kept.", default="sqlite", kind=click.Choice(["sqlite", "etcd"]))
@value("vip", "Address of the VIP on this node.", default="127.0.0.1", metavar="ADDRESS")
@value("advertise", "Address of this node's services (default: the Docker bridge).", metavar="ADDRESS")
@value("docker-socket", "A running Docker Engine, or where to run one.", default="/var/run/docker.sock", metavar="PATH")
@value("docker-bridge", "Bridge of a dockerd that kokiris runs itself.", default="docker0", metavar="NAME")
@value("docker-bridge-cidr", "Address and prefix of that bridge.", metavar="CIDR")
@value("hosts-file", 'Where the names are written; "none" for nowhere.', default="/etc/hosts", metavar="PATH")
@value("registry", "Use another infra's registry: a file made there by `kokiris registry share`.", metavar="FILE")
@value(
    "elasticsearch-url",
    "Logs go there, and are searched there: another infra's kib., or an Elasticsearch.",
    metavar="URL",
)
@value("elasticsearch-ca-file", "What its certificate is checked against, PEM.", metavar="FILE")
@value("elasticsearch-credentials-file", 'Its Authorization header: "ApiKey …", "Bearer …".', metavar="FILE")
@values("port", "Another port for a door: http=8080.", metavar="DOOR=PORT")
def up_command(**given: Any) -> None:
    """Brings an infra up on this node. Run again, it changes nothing and says so."""
    from kokiris.agent.bringup.preflight import data_dir_of  # noqa: PLC0415 - the rest of the command line starts faster
    from kokiris.agent.bringup.up import up  # noqa: PLC0415 - as above
    from kokiris.kernel.names import parse_infra  # noqa: PLC0415 - as above

    parse_infra(given["client"], given["infra"])
    if given["hosts_file"] != "none":
        check_folder("-hosts-file", given["hosts_file"])
    check_folder("-docker-socket", given["docker_socket"])
    share = _share(given["registry"], given["client"])
    data_dir = given["data_dir"] or str(data_dir_of(given["client"], given["infra"]))
    config = Config(
        client=given["client"],
        infra=given["infra"],
        domain=given["domain"],
        data_dir=str(Path(data_dir).resolve()),
        vip_address=parse_address("-vip", given["vip"]),
        advertise_address=parse_address("-advertise", given["advertise"]) if given["advertise"] else "",
        ports=parse_ports(given["port"]),
        store=StoreConfig(kind=given["store"]),
        docker=DockerConfig(
            socket=given["docker_socket"], bridge=given["docker_bridge"], bridge_cidr=given["docker_bridge_cidr"]
        ),
        hosts_file="" if given["hosts_file"] == "none" else given["hosts_file"],
    )
    if Layout(config.data_dir).config.exists():
        keep_operators_lines(config, load(Layout(config.data_dir).config))
    if share is not None:
        config.registry = RegistryConfig(server=share.Server)
    set_logs(config.logs, given)
    if config.ports.rpc != Ports().rpc:
        config.servers = [f"{config.bind_address}:{config.ports.rpc}"]
    report = up(config, note, share)
    if not report.changes:
        say(f"{config.name} is up; nothing to change")
        return
    say(f"{config.name} is up ({', '.join(report.changes)})")
    if report.secret is not None:
        say(f"management token, shown this once: {report.secret}")
        say(f"kept for this user in {report.layout.token_file}")


@click.command("down", cls=Command, examples="kokiris down\nkokiris down -client demo -infra rec1 -purge")
@infra_options
@flag("purge", "Remove the data as well: jobs, logs, tokens, certificates.")
def down_command(client: str, infra: str, data_dir: str, *, purge: bool) -> None:
    """Stops everything of the infra on this node, containers included. The data stay, unless -purge."""
    from kokiris.agent.bringup.down import down  # noqa: PLC0415 - the rest of the command line starts faster

    folder = find_infra(client, infra, data_dir, must_exist=False)
    done = down(folder, purge=purge, say=note)
    say(f"stopped: {', '.join(done)}" if done else f"nothing to stop in {folder}")


@click.command("agent", cls=Command, examples="kokiris agent -config /var/lib/kokiris/demo/rec1/config.toml")
@value("config", "The node's configuration, as `kokiris up` writes it.", metavar="FILE")
def agent_command(config: str) -> None:
    """Runs the agent of this node in the foreground, for systemd. `kokiris up` starts one by itself."""
    from kokiris.agent.main import main  # noqa: PLC0415 - as above

    if not config:
        raise BadInput("-config is required", next_step="Give the config.toml in the infra's data folder.")
    sys.exit(main(["--config", config]))


@click.command("env", cls=Command, examples='eval "$(kokiris env)"')
@infra_options
def env_command(client: str, infra: str, data_dir: str) -> None:
    """Prints the exports for nomad, consul and kokiris itself, the token among them; and the PATH, if need be."""
    layout = Layout(find_infra(client, infra, data_dir))
    try:
        click.echo(layout.token_file.read_text(), nl=False)
    except PermissionError as error:
        raise BadInput(
            f"{layout.token_file} is not readable for this user", next_step="Ask its owner, or use sudo."
        ) from error
    except FileNotFoundError as error:
        raise NotFound(
            f"{layout.token_file} does not exist: {layout.root} was never brought up to the end",
            next_step="Run `kokiris up` for this infra.",
        ) from error
    called = program()
    if called != NAME:
        click.echo(f'export PATH={shlex.quote(str(Path(called).resolve().parent))}:"$PATH"')
    if sys.stdout.isatty():
        note(f'(to use it: eval "$({called} env)")')


@click.command("urls", cls=Command, examples="kokiris urls\nkokiris urls -wait https://www.site.localhost/")
@infra_options
@value("wait", "Wait until this address answers 200 through the VIP.", metavar="URL")
@flag("next", "Also print the next commands to try.")
@flag("json", "As JSON.")
def urls_command(client: str, infra: str, data_dir: str, *, wait: str, next: bool, json: bool) -> None:  # noqa: A002 - flag names
    """Prints the infra's addresses."""
    from kokiris.cli.site import next_commands, platform_addresses, wait_for  # noqa: PLC0415 - as above

    layout = Layout(find_infra(client, infra, data_dir))
    config = load(layout.config)
    if wait:
        wait_for(config, layout, wait, note)
    rows = platform_addresses(config)
    if json:
        as_json([{"Address": address, "Purpose": purpose} for address, purpose in rows])
        return
    say(table([("Address", "What answers"), *rows, *([(wait, "the sample site")] if wait else [])]))
    if next:
        heading("Token")
        say(f'{layout.token_file} (readable by its owner only; eval "$({program()} env)" sets it)')
        heading("Try next")
        for line in next_commands(config, layout, wait, program()):
            say(f"  {line}")


@click.command("status", cls=Command, examples="kokiris status\nkokiris status -json")
@infra_options
@flag("json", "As JSON.")
def status_command(client: str, infra: str, data_dir: str, *, json: bool) -> None:
    """What runs on this node, what answers, and how the jobs are. Exit code 1 when something is not well."""
    from kokiris.cli.health import collect  # noqa: PLC0415 - as above

    layout = Layout(find_infra(client, infra, data_dir))
    config = load(layout.config)
    health = collect(config, layout)
    if json:
        as_json(health)
    else:
        about = [("Infra", str(config.name)), ("Data", layout.root), ("Token", layout.token_file)]
        say(pairs([*about, ("Store", config.store.kind)]))
        heading("Processes")
        say(table([("Process", "Pid", "Status"), *((p.name, p.pid or "-", p.status) for p in health.processes)]))
        heading("Doors")
        say(table([("Address", "Status"), *((d.address, d.status) for d in health.doors)]))
        if health.jobs:
            heading("Jobs")
            say(
                table(
                    [("ID", "Type", "Status", "Running"), *((j.id, j.type, j.status, j.running) for j in health.jobs)]
                )
            )
    if not health.well:
        agent_runs = any(one.name == "agent" and one.pid for one in health.processes)
        logs = f"See what is not well in its log below {layout.logs}."
        note(f"\nNext: {logs if agent_runs else 'Run `kokiris up`: it starts what is not running.'}")
        sys.exit(1)


@click.command("version", cls=Command, examples="kokiris version")
def version_command() -> None:
    """Prints the version."""
    say(f"kokiris v{__version__}")
