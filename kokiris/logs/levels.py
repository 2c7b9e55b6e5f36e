"""Levels of log entries: one spelling for each, found in fields or in the line itself. Pure."""

from __future__ import annotations

import re

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")

_SPELLINGS = {
    "trace": ("trace", "trc", "verbose", "finest", "finer", "silly"),
    "debug": ("debug", "dbg", "fine", "config"),
    "info": ("info", "information", "informational", "inf", "notice", "note", "log", "ok"),
    "warn": ("warn", "warning", "wrn"),
    "error": ("error", "err", "eror", "severe", "failure"),
    "fatal": ("fatal", "ftl", "critical", "crit", "panic", "emerg", "emergency", "alert"),
}
_CANONICAL = {spelling: level for level, spellings in _SPELLINGS.items() for spelling in spellings}
_BUNYAN = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
HEAD_CHARS = 120
"""A level is looked for in the beginning of a line only: further on it is part of what is told."""

_IN_LINE = re.compile(
    r"(?:^|[\s\[(|<:=\"'])"
    r"(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|SEVERE|FATAL|CRIT(?:ICAL)?|PANIC|EMERG|ALERT|"
    r"trace|debug|info|notice|warn(?:ing)?|error|severe|fatal|crit(?:ical)?|panic|emerg|alert|"
    r"Trace|Debug|Info|Notice|Warn(?:ing)?|Error|Fatal|Critical|Panic)"
    r"(?=$|[\s\])|>:,;\"'])"
)
_KLOG = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d")
_KLOG_LEVELS = {"I": "info", "W": "warn", "E": "error", "F": "fatal"}
_LOGFMT = re.compile(r"\b(?:level|lvl|severity)=\"?([A-Za-z]+)\"?")


def canonical_level(value: object) -> str:
    """The one spelling of a level: "WARNING" is "warn", 50 (bunyan, pino) "error". An unknown word stays, in lower
    case; what is no level at all (a list, an empty text) is ""."""
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        return _BUNYAN.get(value, str(value))
    if not isinstance(value, str):
        return ""
    word = value.strip().lower()
    return _CANONICAL.get(word, word)


def detect_level(line: str) -> str:
    """The level a plain line states near its beginning; "" when it states none."""
    head = line[:HEAD_CHARS]
    if (klog := _KLOG.match(head)) is not None:
        return _KLOG_LEVELS[klog[1]]
    if "=" in head and (logfmt := _LOGFMT.search(head)) is not None and logfmt[1].lower() in _CANONICAL:
        return _CANONICAL[logfmt[1].lower()]
    found = _IN_LINE.search(head)
    return _CANONICAL[found[1].lower()] if found is not None else ""
