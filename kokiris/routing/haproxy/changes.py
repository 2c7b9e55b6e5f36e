"""What differs between what HAProxy holds and what it should: commands in a safe order. Pure.

Servers come before the maps that lead to them, and leave after; so no request ever sees half a route.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kokiris.routing.haproxy.files import HaproxyFiles, MapName, slot_name
from kokiris.routing.haproxy.live import Live, LiveServer
from kokiris.routing.haproxy.runtime import with_payloads, word

SWAP_UP_TO = 3000
"""Maps of up to so many entries are swapped in one transaction (8 ms per thousand); larger ones are edited in place."""
SWAP_FROM_CHANGES = 300

ServerKey = tuple[int, str]
"""(slot, server)."""


@dataclass(slots=True)
class MapChange:
    """From one content of a map to another. `swap`: replace it as a whole."""

    wanted: Mapping[str, str]
    put: dict[str, str] = field(default_factory=dict)
    add: dict[str, str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.put) + len(self.add) + len(self.delete)

    @property
    def swap(self) -> bool:
        """Several entries change at once for clients too, unless the map is so large that it would take long."""
        return self.size > 1 and (len(self.wanted) <= SWAP_UP_TO or self.size >= SWAP_FROM_CHANGES)


@dataclass(slots=True)
class Changes:
    """Everything to do, in this order: `add`, `ready` and `weigh` servers, `maps`, then `drain` servers."""

    add: dict[ServerKey, str] = field(default_factory=dict)
    ready: list[ServerKey] = field(default_factory=list)
    weigh: dict[ServerKey, int] = field(default_factory=dict)
    maps: dict[MapName, MapChange] = field(default_factory=dict)
    drain: list[ServerKey] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.add or self.ready or self.weigh or self.maps or self.drain)


def changes(live: Live, servers: Mapping[int, Mapping[str, str]], maps: Mapping[MapName, Mapping[str, str]]) -> Changes:
    """What brings `live` to `servers` (slot → server → address and options) and `maps`."""
    todo = Changes()
    for slot, wanted in servers.items():
        there = live.servers.get(slot, {})
        for name, options in wanted.items():
            _server(todo, (slot, name), options, there.get(name))
    for slot, held in live.servers.items():
        wanted = servers.get(slot, {})
        todo.drain += [(slot, name) for name, server in held.items() if server.ready and name not in wanted]
    for map_name, entries in maps.items():
        change = map_change(live.maps.get(map_name, {}), entries)
        if change.size:
            todo.maps[map_name] = change
    return todo


def _server(todo: Changes, key: ServerKey, options: str, there: LiveServer | None) -> None:
    if there is None:
        todo.add[key] = options
        return
    if not there.ready:
        todo.ready.append(key)
    weight = weight_of(options)
    if weight != there.weight:
        todo.weigh[key] = weight


def weight_of(options: str) -> int:
    """The weight in a server's options; 1 without one."""
    words = options.split()
    return int(words[words.index("weight") + 1]) if "weight" in words else 1


def map_change(held: Mapping[str, str], wanted: Mapping[str, str]) -> MapChange:
    """Entries to put, add and delete."""
    change = MapChange(wanted)
    if held == wanted:
        return change
    for key, value in wanted.items():
        if key not in held:
            change.add[key] = value
        elif held[key] != value:
            change.put[key] = value
    change.delete = [key for key in held if key not in wanted]
    return change


def server_commands(todo: Changes) -> list[str]:
    """Servers that come in."""
    commands = []
    for (slot, name), options in todo.add.items():
        path = f"{slot_name(slot)}/{name}"
        commands += [f"add server {path} {options}", f"enable server {path}"]
    commands += [f"set server {slot_name(slot)}/{name} state ready" for slot, name in todo.ready]
    commands += [f"set server {slot_name(slot)}/{name} weight {weight}" for (slot, name), weight in todo.weigh.items()]
    return commands


def drain_commands(todo: Changes) -> list[str]:
    """Servers that get no new request from now on."""
    return [f"set server {slot_name(slot)}/{name} state drain" for slot, name in todo.drain]


def edit_commands(files: HaproxyFiles, name: MapName, change: MapChange) -> list[str]:
    """A map edited in place: what is changed, then what is new, then what goes."""
    path = files.map(*name)
    commands = [f"set map {path} {word(key)} {word(value)}" for key, value in change.put.items()]
    commands += [f"add map {path} {word(key)} {word(value)}" for key, value in change.add.items()]
    return commands + [f"del map {path} {word(key)}" for key in change.delete]


def swap_commands(files: HaproxyFiles, name: MapName, change: MapChange, version: int) -> list[str]:
    """A map replaced in one step; `version` is what `prepare map` answered."""
    path = files.map(*name)
    lines = [f"{key} {value}" for key, value in change.wanted.items()]
    return [*with_payloads(f"add map @{version} {path}", lines), f"commit map @{version} {path}"]


def settle(live: Live, todo: Changes) -> None:
    """Notes in `live` that all of `todo` was carried out."""
    for (slot, name), options in todo.add.items():
        live.servers.setdefault(slot, {})[name] = LiveServer(weight_of(options), ready=True, maintenance=False)
    for slot, name in todo.ready:
        server = live.servers[slot][name]
        server.ready, server.maintenance = True, False
    for (slot, name), weight in todo.weigh.items():
        live.servers[slot][name].weight = weight
    for slot, name in todo.drain:
        live.servers[slot][name].ready = False
    for map_name, change in todo.maps.items():
        live.maps[map_name] = dict(change.wanted)
