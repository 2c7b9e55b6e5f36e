"""What a log entry is: its fields, and which of them the index knows by name. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

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
MESSAGE_ALIASES = ("log", "msg", "MESSAGE")
OWN_FIELDS = frozenset({"infra", "namespace", "job", "group", "task", "alloc", "node", "stream"})
"""Set by the collector: a JSON line cannot claim to come from elsewhere."""

Value = str | float
Document = dict[str, Any]
T = TypeVar("T")


def message_field(document: Document) -> str | None:
    """The name of the field that is the entry's message; None when it has none that is a text."""
    return next((name for name in (MESSAGE, *MESSAGE_ALIASES) if isinstance(document.get(name), str)), None)


class Indexed(msgspec.Struct, gc=False):
    """One document as the index sees it. Every query means the same on it as on the index: `query.evaluate`.

    A field's only value stands by itself, several are a list: thousands of entries wait to be indexed at a time, and
    a list for each of their values doubles the work of Python's garbage collector (measured)."""

    time_us: int
    """Unix µs."""
    message: str | None = None
    keywords: dict[str, str | list[str]] = msgspec.field(default_factory=dict)
    integers: dict[str, int | list[int]] = msgspec.field(default_factory=dict)
    attributes: dict[str, Value | list[Value]] = msgspec.field(default_factory=dict)
    """Path ("user.id") → values: texts, and numbers as floats."""
    texts: list[str] = msgspec.field(default_factory=list)
    """Searched along with the message by queries that name no field."""


def several(values: T | list[T] | None) -> list[T]:
    """A field's values of an `Indexed` as a list; None: it has none."""
    if values is None:
        return []
    return values if isinstance(values, list) else [values]


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


ACCESS_FIELDS = (
    "ts", "ms", "number", "client", "status", "bytes", "sent", "tq", "tw", "tc", "tr", "duration_ms", "end", "frontend",
    "router", "server", "method", "path", "host",
)  # fmt: skip
"""Of an access line, in this order, one space between: only the last, whatever a client sent as Host, may hold spaces.
Each is "-" where there is none."""
ACCESS_CLIENT = "sess.client"
"""HAProxy's variable with the client's address: written out once a connection, as each time costs a printf."""
ACCESS_LOG_FORMAT = (
    f"%Ts %ms %rt %[var({ACCESS_CLIENT})] %ST %B %U %TR %Tw %Tc %Tr %Ta %ts %f "
    "%b %s %[capture.req.method] %[capture.req.uri,field(1,?)] %[capture.req.hdr(0)]"
)
"""The access line: for the `log-format` line of every HTTP frontend whose first capture is the Host header.

The query string is left out: it may hold secrets. Plain text, because JSON is three times as
long and costs HAProxy more to write."""
ACCESS_LINE_BYTES = 8192
"""The longest access line: what is beyond is cut off."""
ACCESS_RING = "access"
"""Where HAProxy keeps its last access lines for who reads them; the name of its `ring` section."""
ACCESS_RING_BYTES = 4 * 1024 * 1024
"""Some 30,000 lines: what may be written while the log search is away or behind. Memory is taken as it is filled."""
