"""What a log entry is: its fields, and which of them the index knows by name. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KEYWORDS = (
    "infra", "namespace", "job", "group", "task", "alloc", "node", "stream", "level",
    "method", "path", "host", "router", "service", "client",
)  # fmt: skip
"""Matched exactly. The first nine say where an entry comes from, the others are the router's."""
INTEGERS = ("status", "bytes", "duration_ms")
"""Of router lines, and of JSON lines that use the same names for whole numbers."""
TIME = "@timestamp"
TIME_ALIASES = ("time", "timestamp", "ts")
MESSAGE = "message"
MESSAGE_ALIASES = ("log", "msg")
OWN_FIELDS = frozenset({"infra", "namespace", "job", "group", "task", "alloc", "node", "stream"})
"""Set by the collector: a JSON line cannot claim to come from elsewhere."""

Value = str | float
Document = dict[str, Any]


@dataclass(slots=True)
class Indexed:
    """One document as the index sees it. Every query means the same on it as on the index: `query.evaluate`."""

    time_us: int
    """Unix µs."""
    message: str | None = None
    keywords: dict[str, list[str]] = field(default_factory=dict)
    integers: dict[str, list[int]] = field(default_factory=dict)
    attributes: dict[str, list[Value]] = field(default_factory=dict)
    """Path ("user.id") → values: texts, and numbers as floats."""
    texts: list[str] = field(default_factory=list)
    """Searched along with the message by queries that name no field."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a task's output comes from. Absent parts are ""."""

    infra: str = ""
    namespace: str = ""
    job: str = ""
    group: str = ""
    task: str = ""
    alloc: str = ""
    node: str = ""
    stream: str = ""

    def fields(self) -> Document:
        """As document fields; those that are "" are left out."""
        pairs = (
            ("infra", self.infra), ("namespace", self.namespace), ("job", self.job), ("group", self.group),
            ("task", self.task), ("alloc", self.alloc), ("node", self.node), ("stream", self.stream),
        )  # fmt: skip
        return {name: value for name, value in pairs if value}
