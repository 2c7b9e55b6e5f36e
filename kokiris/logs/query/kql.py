"""KQL, Kibana's query language, to the query tree. Pure.

`field:value`, `field:"phrase"`, bare words over message and texts, `and`/`or`/`not` in any case, `field:(a or b)`,
`status >= 500`, `@timestamp > now-1h`, `field:*`, `field:con*`, `user.*:x`, and backslash before `\\():<>"*{}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from kokiris.logs.query import tree
from kokiris.logs.query.comparison import comparison
from kokiris.logs.query.patterns import is_any
from kokiris.logs.query.tree import MAX_DEPTH, QueryError

_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r"<=|>=|<|>|:")
_SPECIAL = frozenset('():<>"{}')
_KEYWORD = re.compile(r"(and|or|not)(?=[\s()\"]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Literal:
    """`pattern`: as written, escapes kept, for wildcards; `text`: what it says."""

    text: str
    pattern: str
    quoted: bool
    wild: bool
    start: int


def parse_kql(text: str, *, now_us: int, known_fields: Iterable[str] = ()) -> tree.Query:
    """The query tree; an empty text is every entry. `known_fields` are those that a field pattern is held against.
    Raises QueryError with the position."""
    return _Parser(text, now_us, known_fields).parse()


class _Parser:
    def __init__(self, text: str, now_us: int, known_fields: Iterable[str]) -> None:
        self._text = text
        self._now_us = now_us
        self._known = known_fields
        self._at = 0
        self._depth = 0

    def parse(self) -> tree.Query:
        self._skip()
        if self._at == len(self._text):
            return tree.All()
        query = self._or(self._clause)
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._text[self._at]!r}")
        return query

    # ---- structure --------------------------------------------------------------------------------------------------

    def _or(self, unit: Callable[[], tree.Query]) -> tree.Query:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep")
        parts = [self._and(unit)]
        while self._word("or"):
            parts.append(self._and(unit))
        self._depth -= 1
        return parts[0] if len(parts) == 1 else tree.Or(tuple(parts))

    def _and(self, unit: Callable[[], tree.Query]) -> tree.Query:
        parts = [self._not(unit)]
        while self._word("and"):
            parts.append(self._not(unit))
        return parts[0] if len(parts) == 1 else tree.And(tuple(parts))

    def _not(self, unit: Callable[[], tree.Query]) -> tree.Query:
        negations = 0
        while self._word("not"):
            negations += 1
        query = self._group(unit)
        return tree.Not(query) if negations % 2 else query

    def _group(self, unit: Callable[[], tree.Query]) -> tree.Query:
        if not self._sign("("):
            return unit()
        opened = self._at
        query = self._or(unit)
        if not self._sign(")"):
            raise self._error("expected ')'" if self._at == len(self._text) else "expected 'and', 'or' or ')'", opened)
        return query

    def _clause(self) -> tree.Query:
        left = self._literal("a field, a value or '('")
        operator = _OPERATOR.match(self._text, self._at)
        if operator is None:
            return self._value("", left)
        self._at = operator.end()
        self._skip()
        field = left.text
        if operator[0] != ":":
            literal = self._literal("a value")
            return self._positioned(literal.start, lambda: comparison(field, operator[0], literal.text, self._now_us))
        if self._at < len(self._text) and self._text[self._at] == "{":
            raise self._error("nested fields ({…}) do not exist here; write parent.child:value")
        names = self._fields(left)
        if self._at < len(self._text) and self._text[self._at] == "(":
            return self._value_list(names)
        literal = self._literal("a value")
        return _each(names, lambda name: self._value(name, literal))

    def _value_list(self, names: list[str]) -> tree.Query:
        """`field:(a or b)`, read once for each field that a pattern stands for."""
        start, parts = self._at, []
        for name in names or [""]:
            self._at = start
            parts.append(self._group(partial(self._listed, name)))
        if not names:
            return tree.Nothing()
        return parts[0] if len(parts) == 1 else tree.Or(tuple(parts))

    def _listed(self, name: str) -> tree.Query:
        return self._value(name, self._literal("a value"))

    # ---- values -----------------------------------------------------------------------------------------------------

    def _fields(self, left: _Literal) -> list[str]:
        if not left.wild or left.quoted:
            return [left.text]
        if is_any(left.pattern):
            return [""]
        return [name for name in sorted(self._known) if fnmatchcase(name, left.pattern)]

    def _value(self, field: str, literal: _Literal) -> tree.Query:
        if literal.quoted:
            return self._positioned(literal.start, lambda: self._exact(field, literal.text))
        if literal.wild:
            if is_any(literal.pattern):
                return tree.Exists(field) if field else tree.All()
            if " " not in literal.pattern:
                return tree.Wildcard(field, literal.pattern)
            words = [
                tree.Wildcard(field, one) if "*" in one else tree.Words(field, one) for one in literal.pattern.split()
            ]
            return tree.And(tuple(words))
        return self._positioned(literal.start, lambda: self._exact(field, literal.text, phrase=False))

    def _exact(self, field: str, text: str, *, phrase: bool = True) -> tree.Query:
        if field == "@timestamp":
            return comparison(field, ":", text, self._now_us)
        return tree.Phrase(field, text) if phrase else tree.Words(field, text)

    def _positioned(self, start: int, make: Callable[[], tree.Query]) -> tree.Query:
        try:
            return make()
        except QueryError as error:
            if error.position:
                raise
            raise QueryError(error.reason, text=self._text, position=start + 1) from None

    # ---- characters -------------------------------------------------------------------------------------------------

    def _literal(self, wanted: str) -> _Literal:
        start = self._at
        if start < len(self._text) and self._text[start] == '"':
            return self._quoted()
        stray = _KEYWORD.match(self._text, start)
        if stray is not None and not self._names_a_field(stray.end()):
            raise self._error(f"expected {wanted}, found '{stray[1]}'")
        text, pattern, wild = "", "", False
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\" and self._at + 1 < len(self._text):
                text += self._text[self._at + 1]
                pattern += self._text[self._at : self._at + 2]
                self._at += 2
                continue
            if char in _SPECIAL or (char.isspace() and self._ends_at_space()):
                break
            wild = wild or char == "*"
            text += char
            pattern += "\\?" if char == "?" else char
            self._at += 1
        if not text:
            found = repr(self._text[self._at]) if self._at < len(self._text) else "the end"
            raise self._error(f"expected {wanted}, found {found}")
        self._skip()
        return _Literal(text.rstrip(), pattern.rstrip(), quoted=False, wild=wild, start=start)

    def _ends_at_space(self) -> bool:
        """Whether the unquoted words end here: before `and`, `or`, `not`… or at the end."""
        after = _SPACE.match(self._text, self._at)
        end = after.end() if after is not None else self._at
        return end == len(self._text) or _KEYWORD.match(self._text, end) is not None

    def _quoted(self) -> _Literal:
        start = self._at
        self._at += 1
        text = ""
        while self._at < len(self._text) and self._text[self._at] != '"':
            if self._text[self._at] == "\\" and self._at + 1 < len(self._text):
                self._at += 1
            text += self._text[self._at]
            self._at += 1
        if self._at >= len(self._text):
            raise self._error("the quotation mark is not closed", start)
        self._at += 1
        self._skip()
        return _Literal(text, text, quoted=True, wild=False, start=start)

    def _word(self, word: str) -> bool:
        match = _KEYWORD.match(self._text, self._at)
        if match is None or match[1].lower() != word:
            return False
        if self._names_a_field(match.end()):
            return False
        self._at = match.end()
        self._skip()
        return True

    def _names_a_field(self, end: int) -> bool:
        """Whether an operator follows: `not` may be the name of a field."""
        after = _SPACE.match(self._text, end)
        return _OPERATOR.match(self._text, after.end() if after is not None else end) is not None

    def _sign(self, sign: str) -> bool:
        if self._at >= len(self._text) or self._text[self._at] != sign:
            return False
        self._at += 1
        self._skip()
        return True

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match is not None else self._at

    def _error(self, reason: str, at: int | None = None) -> QueryError:
        return QueryError(reason, text=self._text, position=(self._at if at is None else at) + 1)


def _each(names: list[str], make: Callable[[str], tree.Query]) -> tree.Query:
    parts = [make(name) for name in names]
    return parts[0] if len(parts) == 1 else tree.Or(tuple(parts))
