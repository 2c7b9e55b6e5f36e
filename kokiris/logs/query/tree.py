"""The one query tree that every language is compiled to. What each node means is written down by `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass

from kokiris.kernel.errors import BadInput

MAX_DEPTH = 60
"""Of nested queries; deeper ones are refused by every parser."""


class QueryError(BadInput):
    """A query that does not parse. `position` is 1-based in `text`; 0 when there is none (JSON)."""

    code = "query"
    default_next_step = "Correct the query at the position shown."

    def __init__(self, reason: str, *, text: str = "", position: int = 0) -> None:
        where = f" at position {position}" if position else ""
        super().__init__(f"query{where}: {reason}", next_step=marked(text, position) if position else None)
        self.reason = reason
        self.text = text
        self.position = position


def marked(text: str, position: int) -> str:
    """The query with a mark before the place that is wrong."""
    return f"Correct it at the mark: {text[: position - 1]} >>> {text[position - 1 :]}"


@dataclass(frozen=True, slots=True)
class All:
    """Every document."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """None."""


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Query, ...]
    """None: every document."""


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Query, ...]
    """None: no document."""
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Not:
    part: Query


@dataclass(frozen=True, slots=True)
class Term:
    """The whole value; in analyzed text, all of its words. `field` "": the message and all texts."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the values, as whole values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """All words of `text` in any order, or without `every` one of them; in fields that are not analyzed, the whole."""

    field: str
    text: str
    every: bool = True


@dataclass(frozen=True, slots=True)
class Phrase:
    """The words of `text` one after the other; `prefix`: the last one may go on."""

    field: str
    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*` any characters, `?` one, backslash takes the next one literally. In analyzed text: a word."""

    field: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Regexp:
    """A regular expression over the whole value. In analyzed text: over a word."""

    field: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Range:
    """Of a number. None: no bound."""

    field: str
    low: float | None = None
    high: float | None = None
    with_low: bool = True
    with_high: bool = True


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Unix µs, both included. None: no bound."""

    low_us: int | None = None
    high_us: int | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field, or one below it, has a value."""

    field: str


@dataclass(frozen=True, slots=True)
class Ids:
    values: tuple[str, ...]


Query = (
    All
    | Nothing
    | And
    | Or
    | Not
    | Term
    | AnyOf
    | Words
    | Phrase
    | Wildcard
    | Regexp
    | Range
    | TimeRange
    | Exists
    | Ids
)


def both(left: Query, right: Query) -> Query:
    """`And`, without the parts that change nothing."""
    if isinstance(left, All):
        return right
    return left if isinstance(right, All) else And((left, right))
