"""HAProxy's access lines: what becomes of one (`logs.model.ACCESS_LOG_FORMAT`). Pure."""

from __future__ import annotations

import re

from kokiris.logs.model import ACCESS_FIELDS, TIME, Document
from kokiris.logs.times import iso

JOB = "router"
_ABSOLUTE = re.compile(r"^https?://[^/]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_ALLOC = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def document_of_access(line: bytes, received_us: int, *, infra: str, node: str) -> Document | None:
    """The document of one request; None for what is no access line."""
    parts = _CONTROL.sub(" ", line.decode("utf-8", "replace")).strip().split(" ", len(ACCESS_FIELDS) - 1)
    found = dict(zip(ACCESS_FIELDS, parts, strict=False))
    if len(found) < len(ACCESS_FIELDS) or _NUMBER.fullmatch(found["status"]) is None:
        return None
    status = int(found["status"])
    document: Document = {
        TIME: _time(found, received_us),
        "infra": infra,
        "node": node,
        "job": JOB,
        "stream": "access",
        "level": "error" if status >= 500 or status <= 0 else "warn" if status >= 400 else "info",
    }
    for name in ("client", "method", "host", "path", "router"):
        if found[name] not in {"", "-", "<BADREQ>"}:
            document[name] = found[name]
    if "path" in document:
        document["path"] = _ABSOLUTE.sub("", document["path"]) or "/"
    document |= {"status": status, "bytes": _number(found["bytes"]), "duration_ms": _number(found["duration_ms"])}
    document["http"] = {
        "timings_ms": {key: _number(found[key]) for key in ("tq", "tw", "tc", "tr") if _number(found[key]) >= 0},
        "end": found["end"],
        "received_bytes": _number(found["sent"]),
    }
    _add_target(document, found["server"])
    address = document.get("host", "-") + document.get("path", "")
    document["message"] = f"{document.get('method', '-')} {address} {status} {document['duration_ms']}ms"
    return document


def _add_target(document: Document, server: str) -> None:
    """HAProxy's name of the server; with an allocation's id in it (Nomad's service ids), the allocation."""
    if server in {"", "<NOSRV>", "-"}:
        return
    document["service"] = server
    alloc = _ALLOC.search(server)
    if alloc is not None:
        document["alloc"] = alloc[0]


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0


def _time(found: dict[str, str], received_us: int) -> str:
    """When the request was accepted (`ts` in s, `ms`); else when the line came."""
    seconds = _number(found["ts"])
    return iso(seconds * 1_000_000 + _number(found["ms"]) % 1000 * 1000) if seconds > 0 else iso(received_us)
