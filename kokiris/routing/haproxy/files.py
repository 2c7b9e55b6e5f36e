"""Which files HAProxy reads, where they lie, and how they are written. Names and texts only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kokiris.infra.config import Layout

ENTRY_POINTS = ("web", "websecure")
MAP_KINDS = ("host", "wild", "exact", "prefix")
"""What each is looked up for: see `kokiris.routing.compiler.Tables`."""
MapName = tuple[str, str]
"""(entry point, kind)."""

SLOTS_PER_FILE = 128
"""Slots share files so that a change rewrites a few kilobytes, whatever the size of the pool."""


@dataclass(frozen=True, slots=True)
class HaproxyFiles:
    """Every path under `<data>/haproxy` and the two sockets under `<data>/run`."""

    folder: Path
    run: Path

    @classmethod
    def of(cls, layout: Layout) -> HaproxyFiles:
        return cls(layout.haproxy, layout.run)

    @property
    def config(self) -> Path:
        """The static part: written when HAProxy is started, never by the edge."""
        return self.folder / "haproxy.cfg"

    @property
    def slots(self) -> Path:
        """A folder of `.cfg` files with the slots and the servers in them: the dynamic part."""
        return self.folder / "slots"

    @property
    def maps(self) -> Path:
        return self.folder / "maps"

    @property
    def certificates(self) -> Path:
        """One PEM file (key and chain, 0600) per certificate."""
        return self.folder / "certificates"

    @property
    def certificate_list(self) -> Path:
        """HAProxy's crt-list: which certificate answers which server name."""
        return self.folder / "certificates.list"

    @property
    def default_certificate(self) -> Path:
        """Answers unknown server names; carries the platform's names once the infra's authority has signed it."""
        return self.certificates / "default.pem"

    @property
    def state(self) -> Path:
        """The edge's memory: service → slot, server → instance, router → service. The log search reads it too."""
        return self.folder / "edge.json"

    @property
    def gate(self) -> Path:
        """Sessions that open gated addresses: hash → end (see `kokiris.routing.gate`)."""
        return self.maps / "gate.map"

    @property
    def socket(self) -> Path:
        """The runtime API of the running worker."""
        return self.run / "haproxy.sock"

    @property
    def master_socket(self) -> Path:
        """The master process: reload, list of workers."""
        return self.run / "haproxy-master.sock"

    def map(self, entry_point: str, kind: str) -> Path:
        return self.maps / f"{entry_point}.{kind}.map"

    def slot_file(self, number: int) -> Path:
        return self.slots / f"{number // SLOTS_PER_FILE:04d}.cfg"


def slot_name(number: int) -> str:
    """The backend of slot `number`."""
    return f"s{number:05d}"


def slot_number(name: str) -> int | None:
    """The inverse of `slot_name`; None for any other backend."""
    return int(name[1:]) if len(name) == 6 and name[0] == "s" and name[1:].isdigit() else None


def slot_text(number: int, servers: Mapping[str, str]) -> str:
    """A slot's section. `servers` maps a server's name to its address and options."""
    lines = [f"backend {slot_name(number)}", "  balance roundrobin"]
    lines += [f"  server {name} {rest}" for name, rest in sorted(servers.items())]
    return "\n".join(lines) + "\n"


def slot_file_text(first: int, count: int, servers: Mapping[int, Mapping[str, str]]) -> str:
    """The file holding slots `first` … `first + count - 1`."""
    return "".join(slot_text(number, servers.get(number, {})) for number in range(first, first + count))


def map_text(entries: Mapping[str, str]) -> str:
    """A map file: one `key value` per line, sorted so that equal tables give equal files."""
    return "".join(f"{key} {entries[key]}\n" for key in sorted(entries))


def certificate_list_text(default: Path, by_name: Mapping[str, Path]) -> str:
    """The crt-list. Its first line answers names that no other line has."""
    return f"{default}\n" + "".join(f"{by_name[name]} {name}\n" for name in sorted(by_name))
