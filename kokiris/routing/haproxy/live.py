"""What a running HAProxy holds, read from the answers of its runtime API. Pure but for the commands themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kokiris.logs.model import ACCESS_RING
from kokiris.routing.haproxy.files import ENTRY_POINTS, MAP_KINDS, HaproxyFiles, MapName, slot_number
from kokiris.routing.haproxy.runtime import RuntimeApi

_MAINTENANCE, _DRAIN = 0x01 | 0x02 | 0x04 | 0x20, 0x08 | 0x10


@dataclass(slots=True)
class LiveServer:
    """A server in a slot. `ready`: it gets new requests; `maintenance`: it gets none and serves none."""

    weight: int
    ready: bool
    maintenance: bool


@dataclass(slots=True)
class Live:
    """Slots that exist, servers by slot, maps, and server name → certificate file."""

    pid: int = 0
    slots: int = 0
    servers: dict[int, dict[str, LiveServer]] = field(default_factory=dict)
    maps: dict[MapName, dict[str, str]] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)
    outdated: bool = False
    """It runs a static configuration without some of the maps, or without the ring: the one on disk is newer."""


async def read_live(api: RuntimeApi, files: HaproxyFiles) -> Live:
    """Everything, in one exchange. Raises HaproxyAway."""
    names = [(entry_point, kind) for entry_point in ENTRY_POINTS for kind in MAP_KINDS]
    answers = await api.commands(
        [
            "show info",
            "show backend",
            "show servers state",
            f"show ssl crt-list {files.certificate_list}",
            "show events",
            *(f"show map {files.map(*name)}" for name in names),
        ]
    )
    info, backends, servers, certificates, rings, *maps = answers
    return Live(
        pid=pid_of(info),
        slots=sum(slot_number(line.strip()) is not None for line in backends.splitlines()),
        servers=servers_of(servers),
        certificates=certificates_of(certificates),
        outdated=f" {ACCESS_RING} " not in rings or any(text.startswith("Unknown map") for text in maps),
        maps={name: map_of(text) for name, text in zip(names, maps, strict=True)},
    )


def pid_of(info: str) -> int:
    """The worker's pid out of `show info`."""
    return next((int(line.partition(":")[2]) for line in info.splitlines() if line.startswith("Pid:")), 0)


def finished(info: str) -> bool:
    """Whether, by its `show info`, a worker was told to stop and has no client left."""
    values = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
    return values.get("Stopping") == "1" and values.get("CurrConns") == "0"


def worker_of(processes: str) -> int:
    """The pid of the worker that takes new connections, out of the master's `show proc`; 0 when there is none."""
    current = processes.partition("# workers\n")[2].partition("#")[0].split()
    return int(current[0]) if current and current[0].isdigit() else 0


def servers_of(state: str) -> dict[int, dict[str, LiveServer]]:
    """Servers of slots out of `show servers state`."""
    found: dict[int, dict[str, LiveServer]] = {}
    for line in state.splitlines():
        columns = line.split()
        if len(columns) < 9 or not columns[0].isdigit():
            continue
        number = slot_number(columns[1])
        if number is None:
            continue
        admin = int(columns[6])
        found.setdefault(number, {})[columns[3]] = LiveServer(
            weight=int(columns[7]), ready=not admin & (_MAINTENANCE | _DRAIN), maintenance=bool(admin & _MAINTENANCE)
        )
    return found


def certificates_of(listing: str) -> dict[str, str]:
    """Server name → file out of `show ssl crt-list <list>`; lines without names (the default) are left out."""
    found = {}
    for line in listing.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        path, *names = line.split()
        found.update(dict.fromkeys((name for name in names if not name.startswith("[")), path))
    return found


def map_of(text: str) -> dict[str, str]:
    """`show map <file>`: each line is an identifier, a key and a value."""
    entries = (line.split(" ", 2) for line in text.splitlines() if line.startswith("0x"))
    return {entry[1]: entry[2] for entry in entries if len(entry) == 3}


def sessions_of(stat: str) -> dict[str, int]:
    """Server name → requests it is serving or that wait for it, out of `show stat <backend> 4 -1`."""
    header, *lines = stat.lstrip("# ").splitlines() or [""]
    columns = {name: position for position, name in enumerate(header.split(","))}
    found = {}
    for line in lines:
        values = line.split(",")
        if len(values) > columns.get("scur", len(values)):
            found[values[columns["svname"]]] = int(values[columns["scur"]] or 0) + int(values[columns["qcur"]] or 0)
    return found


def wrong_answers(commands: Mapping[str, str] | list[tuple[str, str]]) -> list[str]:
    """Commands whose answers are not those of success, as "command: answer" (payloads are left out)."""
    pairs = commands.items() if isinstance(commands, Mapping) else commands
    return [f"{command.splitlines()[0]}: {answer}" for command, answer in pairs if not _good(answer)]


_GOOD = ("New server registered", "Server deleted", "New version created", "Success!", "New empty certificate")


def _good(answer: str) -> bool:
    return not answer or any(text in answer for text in _GOOD) or answer.startswith("Transaction created")
