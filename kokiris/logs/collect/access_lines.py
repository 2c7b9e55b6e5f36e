"""HAProxy's access lines: how it must write them, and what becomes of one. Pure.

HAProxy sends each as a datagram to a unix socket, the body in JSON: `logs.model.ACCESS_LOG_FORMAT`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from kokiris.logs.model import TIME, Document
from kokiris.logs.times import iso

JOB = "router"
_PRIORITY = re.compile(rb"^<\d{1,3}>")
_ABSOLUTE = re.compile(r"^https?://[^/]*")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_ALLOC = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def document_of_access(datagram: bytes, received_us: int, *, infra: str, node: str) -> Document | None:
    """The document of one request; None for what is no access line."""
    try:
        found = msgspec.json.decode(_CONTROL.sub(b" ", _PRIORITY.sub(b"", datagram.strip())).strip())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict) or "status" not in found:
        return None
    status = _number(found.get("status"))
    document: Document = {
        TIME: _time(found, received_us),
        "infra": infra,
        "node": node,
        "job": JOB,
        "stream": "access",
        "level": "error" if status >= 500 or status <= 0 else "warn" if status >= 400 else "info",
    }
    for name in ("client", "method", "host", "path", "router"):
        if isinstance(found.get(name), str) and found[name] not in {"", "-", "<BADREQ>"}:
            document[name] = found[name]
    if "path" in document:
        document["path"] = _ABSOLUTE.sub("", document["path"]) or "/"
    for name in ("status", "bytes", "duration_ms"):
        document[name] = _number(found.get(name))
    timings = {key: _number(found.get(key)) for key in ("tq", "tw", "tc", "tr") if _number(found.get(key)) >= 0}
    document["http"] = {
        "timings_ms": timings,
        "end": str(found.get("end", "")),
        "received_bytes": _number(found.get("sent")),
    }
    _add_target(document, str(found.get("server", "")))
    document["message"] = " ".join(
        str(part)
        for part in (
            document.get("method", "-"),
            document.get("host", "-") + document.get("path", ""),
            status,
            f"{document['duration_ms']}ms",
        )
    )
    return document


def _add_target(document: Document, server: str) -> None:
    """HAProxy's name of the server; with an allocation's id in it (Nomad's service ids), the allocation."""
    if server in {"", "<NOSRV>", "-"}:
        return
    document["service"] = server
    alloc = _ALLOC.search(server)
    if alloc is not None:
        document["alloc"] = alloc[0]


def _number(value: Any) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,15}", value):
        return int(value)
    return int(value) if isinstance(value, (int, float)) and abs(value) < 2**53 else 0


def _time(found: dict[str, Any], received_us: int) -> str:
    """When the request was accepted (`ts` in s, `ms`); else when the line came."""
    seconds = _number(found.get("ts"))
    return iso(seconds * 1_000_000 + _number(found.get("ms")) % 1000 * 1000) if seconds > 0 else iso(received_us)
