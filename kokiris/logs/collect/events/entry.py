"""One event as a log entry. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from kokiris.kernel.units import MICROSECOND_NS
from kokiris.logs.collect.shipper import Shipment
from kokiris.logs.model import MESSAGE, TIME, Document
from kokiris.logs.times import iso

STREAM = "event"
MESSAGE_CHARS = 2000
"""Longer messages are cut: outputs of checks, errors of engines."""


@dataclass(frozen=True, slots=True)
class EventEntry:
    """`identifier` is the same whenever the same event is met again, and unique within its infra."""

    identifier: str
    time_ns: int
    """Unix ns."""
    kind: str
    """`event.kind`: Job, Deployment, Allocation, Check or Node."""
    type: str
    """`event.type`: "Started", "DriverFailure"…"""
    level: str
    message: str
    fields: Document = field(default_factory=dict)


def shipment(entry: EventEntry, infra: str) -> Shipment:
    """As it is sent to the index. Fields that are "" are left out."""
    fields = {name: value for name, value in entry.fields.items() if value not in ("", None)}
    document: Document = {
        TIME: iso(entry.time_ns // MICROSECOND_NS),
        "infra": infra,
        "stream": STREAM,
        "level": entry.level,
        "event": {"kind": entry.kind, "type": entry.type},
        **fields,
        MESSAGE: entry.message[:MESSAGE_CHARS],
    }
    return Shipment(f"{infra}.{entry.identifier}", document)


def plural(count: int, word: str) -> str:
    """ "1 instance", "2 instances"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def sentence_end(text: str) -> str:
    """`text` without the dots and spaces at its end."""
    return text.rstrip(". \n")
