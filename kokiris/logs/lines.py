"""One line of a task's output as a document. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.logs.entries import is_trace
from kokiris.logs.levels import canonical_level, detect_level
from kokiris.logs.model import MESSAGE, OWN_FIELDS, TIME, TIME_ALIASES, Document, Origin, message_field
from kokiris.logs.times import document_time_us, iso

LINE_CHARS = 256 * 1024
"""Longer messages are cut; the rest is not kept."""
LEVEL_FIELDS = ("level", "severity", "lvl", "loglevel", "log.level", "levelname")
OTHER = "app"
"""Fields of a JSON line that would say where it comes from go below this one."""
PAST_US, FUTURE_US = 7 * 86_400_000_000, 3_600_000_000
"""How far a line's own time may lie from when it was read, to be believed."""


def document_of(text: str, origin: Origin, read_us: int) -> Document:
    """The document of one entry (which may have several lines). A JSON object's fields become the document's own; its
    level and time count when they are ones."""
    fields = _json_fields(text)
    document: Document = {TIME: iso(read_us), **origin.fields()}
    if fields is None:
        level = detect_level(text) or ("error" if is_trace(text) else "")
        if level:
            document["level"] = level
        document[MESSAGE] = text[:LINE_CHARS]
        return document
    _take_time(document, fields, read_us)
    _take_level(document, fields)
    named = message_field(fields)
    message = fields.pop(named) if named is not None else None
    others: dict[str, Any] = {}
    for name, value in fields.items():
        if name in OWN_FIELDS or name == TIME:
            others[name] = value
        elif name:
            document[name] = value
    if others:
        known = document.get(OTHER)
        document[OTHER] = {**others, **known} if isinstance(known, dict) else others
    document[MESSAGE] = (message if message is not None else text)[:LINE_CHARS]
    return document


def _json_fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("{") or not text.rstrip().endswith("}"):
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _take_time(document: Document, fields: dict[str, Any], read_us: int) -> None:
    for name in (TIME, *TIME_ALIASES):
        if name not in fields:
            continue
        try:
            time_us = document_time_us(fields[name])
        except BadInput:
            continue
        if read_us - PAST_US <= time_us <= read_us + FUTURE_US:
            document[TIME] = iso(time_us)
            del fields[name]
            return


def _take_level(document: Document, fields: dict[str, Any]) -> None:
    for name in LEVEL_FIELDS:
        level = canonical_level(fields.get(name))
        if level:
            del fields[name]
            document["level"] = level
            return
