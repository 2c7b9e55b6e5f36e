"""Lucene's query syntax, as Elasticsearch's `query_string` reads it, to the query tree. Pure.

Words are joined by OR unless the caller says AND; `+`, `-`, `!`, `NOT`, `AND`, `OR`, `&&`, `||`, groups, `field:(…)`,
`"phrases"`, wildcards, `/regular expressions/`, `[a TO b}`, `>=5`, `_exists_:field`. Boosts change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kokiris.logs.query import tree
from kokiris.logs.query.comparison import interval
from kokiris.logs.query.patterns import check_regexp, is_any
from kokiris.logs.query.tree import MAX_DEPTH, QueryError

_SPACE = re.compile(r"[\s\u3000]*")
_END_OF_WORD = frozenset(' \t\r\n\u3000:()[]{}"^~')
_CONJUNCTION = re.compile(r"(AND|OR)(?=[\s()\"+!-]|$)|(&&)|(\|\|)")
_NOT = re.compile(r"NOT(?=[\s()\"+!-]|$)|[-!]")
_BOOST = re.compile(r"\^\d+(\.\d+)?")
_SLOP = re.compile(r"~\d*(\.\d+)?")
_COMPARE = re.compile(r">=|<=|>|<")


def parse_lucene(
    text: str, *, now_us: int, default_field: str = "", every: bool = False, lenient: bool = False
) -> tree.Query:
    """The query tree; an empty text is nothing, as in Lucene, and `*` everything. `every`: words are joined by AND.
    `lenient` (simple_query_string) reads what is wrong as plain words. Raises QueryError with the position."""
    try:
        return _Parser(text, now_us, default_field, every=every).parse()
    except QueryError:
        if lenient:
            return tree.Words(default_field, text, every)
        raise


class _Parser:
    def __init__(self, text: str, now_us: int, default_field: str, *, every: bool) -> None:
        self._text = text
        self._now_us = now_us
        self._default = default_field
        self._every = every
        self._at = 0
        self._depth = 0

    def parse(self) -> tree.Query:
        self._skip()
        if self._at == len(self._text):
            return tree.Nothing()
        query = self._clauses(self._default)
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._text[self._at]!r}")
        return query

    def _clauses(self, field: str) -> tree.Query:
        """Until `)` or the end. The rules of Lucene's classic parser: AND requires its left and right neighbour."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep")
        found: list[tuple[str, tree.Query]] = []
        while self._at < len(self._text) and self._text[self._at] != ")":
            conjunction = self._conjunction(first=not found)
            sign = self._sign_of_clause()
            query = self._clause(field)
            if found and conjunction == "AND" and found[-1][0] == "should":
                found[-1] = ("must", found[-1][1])
            if found and self._every and conjunction == "OR" and found[-1][0] == "must":
                found[-1] = ("should", found[-1][1])
            found.append((self._occur(sign, conjunction), query))
        self._depth -= 1
        if not found:
            raise self._error("expected a word or a field")
        return _combined(found)

    def _occur(self, sign: str, conjunction: str) -> str:
        if sign == "-":
            return "not"
        if sign == "+" or conjunction == "AND" or (self._every and conjunction != "OR"):
            return "must"
        return "should"

    def _conjunction(self, *, first: bool) -> str:
        match = _CONJUNCTION.match(self._text, self._at)
        if match is None:
            return ""
        if first:
            raise self._error(f"expected a word or a field before '{match[0]}'")
        self._at = match.end()
        self._skip()
        if self._at == len(self._text) or self._text[self._at] == ")":
            raise self._error(f"expected a word or a field after '{match[0]}'")
        return "AND" if match[1] == "AND" or match[2] else "OR"

    def _sign_of_clause(self) -> str:
        sign = ""
        while self._at < len(self._text):
            if self._text[self._at] == "+":
                sign, end = "+", self._at + 1
            elif (match := _NOT.match(self._text, self._at)) is not None:
                sign, end = "+" if sign == "-" else "-", match.end()
            else:
                break
            self._at = end
            self._skip()
        if sign and (self._at == len(self._text) or self._text[self._at] == ")"):
            raise self._error("expected a word or a field after the sign")
        return sign

    def _clause(self, field: str) -> tree.Query:
        char = self._text[self._at]
        if char == "(":
            return self._group(field)
        if char in '"[{/<>':
            return self._value(field)
        start = self._at
        name, pattern, wild = self._word()
        if self._at < len(self._text) and self._text[self._at] == ":":
            self._at += 1
            self._skip()
            if self._at == len(self._text) or self._text[self._at] == ")":
                raise self._error(f"expected a value after '{name}:'")
            return self._exists() if name == "_exists_" else self._of_field("" if is_any(pattern) else name)
        return self._plain(field, name, pattern, start, wild=wild)

    def _of_field(self, field: str) -> tree.Query:
        return self._group(field) if self._text[self._at] == "(" else self._value(field)

    def _exists(self) -> tree.Query:
        name, _, _ = self._word()
        self._skip()
        return tree.Exists(name)

    def _group(self, field: str) -> tree.Query:
        opened = self._at
        self._at += 1
        self._skip()
        query = self._clauses(field)
        if self._at == len(self._text):
            raise self._error("the parenthesis is not closed", opened)
        self._at += 1
        self._after(_BOOST)
        return query

    def _value(self, field: str) -> tree.Query:
        start, char = self._at, self._text[self._at]
        if char == '"':
            text = self._until('"', "the quotation mark is not closed")
            self._after(_SLOP, _BOOST)
            return self._positioned(start, lambda: self._equal(field, text) or tree.Phrase(field, text))
        if char == "/":
            pattern = self._until("/", "the regular expression is not closed", keep_escapes=True)
            self._after(_BOOST)
            return self._positioned(start, lambda: tree.Regexp(field, check_regexp(pattern)))
        if char in "[{":
            return self._range(field)
        compared = _COMPARE.match(self._text, self._at)
        if compared is not None:
            self._at = compared.end()
            text = self._bound()
            return self._positioned(start, lambda: interval(field, [(compared[0], text)], self._now_us))
        text, pattern, wild = self._word()
        return self._plain(field, text, pattern, start, wild=wild)

    def _plain(self, field: str, text: str, pattern: str, start: int, *, wild: bool) -> tree.Query:
        slop = _SLOP.match(self._text, self._at)
        if slop is not None:
            raise self._error("fuzzy words (~) are not supported; use a wildcard")
        self._after(_BOOST)
        if wild:
            if is_any(pattern):
                return tree.Exists(field) if field else tree.All()
            return tree.Wildcard(field, pattern)
        return self._positioned(start, lambda: self._equal(field, text) or tree.Words(field, text))

    def _equal(self, field: str, text: str) -> tree.Query | None:
        if field != "@timestamp":
            return None
        return interval(field, [(">=", text), ("<=", text)], self._now_us)

    def _range(self, field: str) -> tree.Query:
        start = self._at
        low_sign = ">=" if self._text[self._at] == "[" else ">"
        self._at += 1
        self._skip()
        low = self._bound()
        if not self._text.startswith("TO", self._at):
            raise self._error("expected TO")
        self._at += 2
        self._skip()
        high = self._bound()
        if self._at == len(self._text) or self._text[self._at] not in "]}":
            raise self._error("expected ']' or '}'")
        high_sign = "<=" if self._text[self._at] == "]" else "<"
        self._at += 1
        self._after(_BOOST)
        bounds: list[tuple[str, object]] = [(low_sign, low)] if low != "*" else []
        bounds += [(high_sign, high)] if high != "*" else []
        if not bounds:
            return tree.Exists(field)
        return self._positioned(start, lambda: interval(field, bounds, self._now_us))

    def _bound(self) -> str:
        if self._at < len(self._text) and self._text[self._at] == '"':
            text = self._until('"', "the quotation mark is not closed")
        else:
            match = re.compile(r"[^\s\]})(]+").match(self._text, self._at)
            if match is None:
                raise self._error("expected a bound: a number, a time or *")
            text, self._at = match[0].replace("\\", ""), match.end()
        self._skip()
        return text

    def _word(self) -> tuple[str, str, bool]:
        """(what it says, as a wildcard pattern, whether it is one)."""
        text, pattern, wild, start = "", "", False, self._at
        while self._at < len(self._text) and self._text[self._at] not in _END_OF_WORD:
            char = self._text[self._at]
            if char == "\\" and self._at + 1 < len(self._text):
                text += self._text[self._at + 1]
                pattern += self._text[self._at : self._at + 2]
                self._at += 2
                continue
            wild = wild or char in "*?"
            text += char
            pattern += char
            self._at += 1
        if self._at == start:
            found = repr(self._text[start]) if start < len(self._text) else "the end"
            raise self._error(f"expected a word or a field, found {found}")
        if self._at < len(self._text) and self._text[self._at] in "^~:":
            return text, pattern, wild
        self._skip()
        return text, pattern, wild

    def _until(self, end: str, missing: str, *, keep_escapes: bool = False) -> str:
        start = self._at
        self._at += 1
        text = ""
        while self._at < len(self._text) and self._text[self._at] != end:
            if self._text[self._at] == "\\" and self._at + 1 < len(self._text):
                if keep_escapes and self._text[self._at + 1] != end:
                    text += "\\"
                self._at += 1
            text += self._text[self._at]
            self._at += 1
        if self._at >= len(self._text):
            raise self._error(missing, start)
        self._at += 1
        return text

    def _after(self, *optional: re.Pattern[str]) -> None:
        for pattern in optional:
            match = pattern.match(self._text, self._at)
            self._at = match.end() if match is not None else self._at
        self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match is not None else self._at

    def _positioned(self, start: int, make: Callable[[], tree.Query]) -> tree.Query:
        try:
            return make()
        except QueryError as error:
            raise QueryError(error.reason, text=self._text, position=start + 1) from None

    def _error(self, reason: str, at: int | None = None) -> QueryError:
        return QueryError(reason, text=self._text, position=(self._at if at is None else at) + 1)


def _combined(found: list[tuple[str, tree.Query]]) -> tree.Query:
    musts = [query for occur, query in found if occur == "must"]
    shoulds = [query for occur, query in found if occur == "should"]
    nots = [tree.Not(query) for occur, query in found if occur == "not"]
    parts: list[tree.Query] = [*musts, *nots]
    if shoulds and not musts:
        parts.insert(0, shoulds[0] if len(shoulds) == 1 else tree.Or(tuple(shoulds)))
    return parts[0] if len(parts) == 1 else tree.And(tuple(parts))
