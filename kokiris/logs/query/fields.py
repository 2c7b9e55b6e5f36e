"""What a field's name in a query stands for in the index. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kokiris.logs.documents import path_of
from kokiris.logs.model import INTEGERS, KEYWORDS, MESSAGE, MESSAGE_ALIASES, TIME

SUFFIXES = (".keyword", ".raw", ".text")
"""What readers append to ask for the whole value; here it makes no difference."""


class Kind(Enum):
    """How a place in the index is searched."""

    TEXT = "text"
    KEYWORD = "keyword"
    INTEGER = "integer"
    ATTRIBUTE = "attribute"
    TIME = "time"
    ID = "id"


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere in the index. `name` is "message", "texts", a promoted field's, or an attribute's path."""

    kind: Kind
    name: str


def is_time(field: str) -> bool:
    return field == TIME


def places(field: str) -> tuple[Place, ...]:  # noqa: PLR0911 - one return per kind reads best
    """All places that `field` may mean; a document matches when one of them does. "", "*" and "_all" mean the
    message and every text."""
    for suffix in SUFFIXES:
        if field.endswith(suffix) and len(field) > len(suffix):
            field = field[: -len(suffix)]
    if field in {"", "*", "_all"}:
        return Place(Kind.TEXT, "message"), Place(Kind.TEXT, "texts")
    if field == MESSAGE:
        return (Place(Kind.TEXT, "message"),)
    if field == TIME:
        return (Place(Kind.TIME, "time"),)
    if field == "_id":
        return (Place(Kind.ID, "id"),)
    path = path_of(field)
    if path in KEYWORDS:
        return (Place(Kind.KEYWORD, path),)
    if path in INTEGERS:
        return Place(Kind.INTEGER, path), Place(Kind.ATTRIBUTE, path)
    if path in MESSAGE_ALIASES:
        return Place(Kind.TEXT, "message"), Place(Kind.ATTRIBUTE, path)
    return (Place(Kind.ATTRIBUTE, path),) if path else ()
