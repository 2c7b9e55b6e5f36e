"""What has happened to a node, from the history it carries. Pure."""

from __future__ import annotations

import hashlib

from kokiris.kernel.clock import parse_rfc3339_ns
from kokiris.logs.collect.events.entry import EventEntry
from kokiris.orchestrator.model.node import Node, NodeEvent

_KNOWN = {
    "Node registered": ("Registered", "info", "has joined and is ready"),
    "Node re-registered": ("Ready", "info", "is ready again"),
    "Node reregistered by heartbeat": ("Ready", "info", "is ready again"),
    "Node heartbeat missed": ("Down", "error", "is down: it has not been heard of"),
    "Node drain strategy set": ("Draining", "warn", "is draining: its allocations move elsewhere"),
    "Node drain complete": ("Drained", "info", "is drained"),
    "Node drain canceled": ("DrainCanceled", "info", "is no longer draining"),
    "Node marked as ineligible for scheduling": ("Ineligible", "warn", "takes no new allocations"),
    "Node marked as eligible for scheduling": ("Eligible", "info", "takes new allocations again"),
}
"""The servers' words → type, level, ours."""


def of_node(node: Node) -> list[EventEntry]:
    """An entry per line of its history."""
    return [_entry(node, event) for event in node.Events or () if parse_rfc3339_ns(event.Timestamp) > 0]


def _entry(node: Node, event: NodeEvent) -> EventEntry:
    kind, level, words = _KNOWN.get(event.Message, ("Event", "info", f"({event.Subsystem}): {event.Message}"))
    mark = hashlib.sha256(event.Message.encode()).hexdigest()[:8]
    time_ns = parse_rfc3339_ns(event.Timestamp)
    return EventEntry(
        identifier=f"{node.ID}.event.{time_ns:x}.{mark}",
        time_ns=time_ns,
        kind="Node",
        type=kind,
        level=level,
        message=f"Node {node.Name} {words}",
        fields={"node": node.Name, "node_id": node.ID},
    )
