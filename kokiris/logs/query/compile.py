"""From the query tree to tantivy's query objects, for one day's index.

Never through tantivy's own query language, which answers `AND NOT` and wildcards with nothing (logs.md 1.4); the one
exception is a number range over an attribute, which has no other door, and is made of half-open ranges because closed
ones with a whole and a broken bound end the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tantivy
from tantivy import Occur

from kokiris.logs.analysis import words
from kokiris.logs.documents import number_of
from kokiris.logs.index.schema import DATE_MARK, marked
from kokiris.logs.levels import canonical_level
from kokiris.logs.query import tree
from kokiris.logs.query.fields import Kind, Place, places
from kokiris.logs.query.patterns import is_any, literal, parts, prefix_of, regex_of

MAX_EXPANSIONS = 2000
"""How many different values of an attribute, or endings of a phrase's last word, one pattern may stand for."""
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1

Nested = tantivy.Query


class Compiler:
    """For one index. `times` are the first and the last time in it (unix µs).

    `values_like(path, regex)` gives an attribute's values (as indexed) that match, at most one more than
    MAX_EXPANSIONS; `words_like(field, prefix)` likewise the words of a text field."""

    def __init__(
        self,
        index: tantivy.Index,
        *,
        times: Callable[[], tuple[int, int]],
        values_like: Callable[[str, str], Sequence[str]],
        words_like: Callable[[str, str], Sequence[str]],
    ) -> None:
        self._index = index
        self._schema = index.schema
        self._times = times
        self._values_like = values_like
        self._words_like = words_like

    def compile(self, query: tree.Query) -> Nested:
        """Raises QueryError for a pattern the index cannot follow."""
        try:
            return self._of(query)
        except ValueError as error:
            raise tree.QueryError(f"the index does not take this query: {str(error)[:300]}") from None

    def _of(self, query: tree.Query) -> Nested:  # noqa: PLR0911 - one return per kind reads best
        match query:
            case tree.All():
                return tantivy.Query.all_query()
            case tree.Nothing():
                return tantivy.Query.empty_query()
            case tree.And(parts=parts):
                return self._all_of(parts)
            case tree.Or(parts=parts, at_least=at_least):
                return self._some_of(parts, at_least)
            case tree.Not(part=part):
                return _without(self._of(part))
            case tree.Ids(values=values):
                return self._ids(values)
            case tree.TimeRange(low_us=low_us, high_us=high_us):
                if self.is_all(query):
                    return tantivy.Query.all_query()
                return self.integers("time", low_us, high_us)
            case tree.Words():
                return self._words(query)
            case tree.AnyOf(field=field, values=values):
                return either([self._any_of(place, values) for place in places(field)])
            case _:
                return either([self._at(query, place) for place in places(query.field)])

    def is_all(self, query: tree.Query) -> bool:
        """Whether it leaves out nothing. A time range does so on most days that it reaches."""
        if isinstance(query, tree.TimeRange):
            first_us, last_us = self._times()
            low_us, high_us = query.low_us, query.high_us
            return (low_us is None or low_us <= first_us) and (high_us is None or high_us >= last_us)
        return isinstance(query, tree.All)

    def _all_of(self, queries: Sequence[tree.Query]) -> Nested:
        clauses = [
            (Occur.MustNot, self._of(part.part)) if isinstance(part, tree.Not) else (Occur.Must, self._of(part))
            for part in queries
            if not self.is_all(part)
        ]
        if all(occur == Occur.MustNot for occur, _ in clauses):
            clauses.append((Occur.Must, tantivy.Query.all_query()))
        return tantivy.Query.boolean_query(clauses)

    def _some_of(self, queries: Sequence[tree.Query], at_least: int) -> Nested:
        if at_least <= 0:
            return tantivy.Query.all_query()
        if at_least > len(queries):
            return tantivy.Query.empty_query()
        if at_least == 1:
            return either([self._of(part) for part in queries])
        clauses = [(Occur.Should, self._of(part)) for part in queries]
        return tantivy.Query.boolean_query(clauses, minimum_number_should_match=at_least)

    def _ids(self, values: Sequence[str]) -> Nested:
        numbers = [int(one[2:], 16) for one in values if is_sequence_id(one)]
        found = [tantivy.Query.term_query(self._schema, "seq", number) for number in numbers]
        if values:
            found.append(tantivy.Query.term_set_query(self._schema, "id", list(values)))
        return either(found)

    def _words(self, query: tree.Words) -> Nested:
        fields = places(query.field)
        texts = [place.name for place in fields if place.kind is Kind.TEXT]
        found: list[Nested] = []
        wanted = list(dict.fromkeys(words(query.text)))
        if texts and wanted:
            each = [either([self._word(name, word) for name in texts]) for word in wanted]
            found.append(together(each) if query.every else either(each))
        found += [self._term(place, query.text) for place in fields if place.kind is not Kind.TEXT]
        return either(found)

    def _word(self, name: str, word: str) -> Nested:
        return tantivy.Query.term_query(self._schema, name, word)

    def _any_of(self, place: Place, values: Sequence[str]) -> Nested:
        if place.kind is Kind.KEYWORD and values:
            wanted = [canonical_level(one) if place.name == "level" else one for one in values]
            return tantivy.Query.term_set_query(self._schema, place.name, wanted)
        return either([self._term(place, one) for one in values])

    def _at(self, query: tree.Query, place: Place) -> Nested:
        match query:
            case tree.Term(value=value):
                return self._term(place, value)
            case tree.Phrase(text=text, prefix=prefix):
                return self._phrase(place, text, prefix=prefix)
            case tree.Wildcard(pattern=pattern):
                return self._wildcard(place, pattern)
            case tree.Regexp(pattern=pattern):
                return self._regexp(place, pattern)
            case tree.Range():
                return self._range(query, place)
            case tree.Exists():
                return self._exists(place)
        raise AssertionError(f"{type(query).__name__} has no compilation")

    def _term(self, place: Place, value: str) -> Nested:
        number = number_of(value)
        match place.kind:
            case Kind.TEXT:
                found = [self._word(place.name, word) for word in dict.fromkeys(words(value))]
                return together(found) if found else tantivy.Query.empty_query()
            case Kind.KEYWORD:
                wanted = canonical_level(value) if place.name == "level" else value
                return tantivy.Query.term_query(self._schema, place.name, wanted)
            case Kind.INTEGER:
                if number is None or not number.is_integer() or abs(number) > 2**53:
                    return tantivy.Query.empty_query()
                return tantivy.Query.term_query(self._schema, place.name, int(number))
            case Kind.ATTRIBUTE:
                texts = [tantivy.Query.term_query(self._schema, _path(place), marked(value))]
                if number is not None:
                    texts.append(tantivy.Query.term_query(self._schema, _path(place), number))
                return either(texts)
            case _:
                return tantivy.Query.empty_query()

    def _phrase(self, place: Place, text: str, *, prefix: bool) -> Nested:
        if place.kind is not Kind.TEXT:
            return self._beginning(place, text) if prefix else self._term(place, text)
        wanted = words(text)
        if not wanted:
            return tantivy.Query.empty_query()
        if not prefix:
            return self._in_a_row(place.name, wanted)
        if len(wanted) == 1:
            return self._beginning(place, wanted[0])
        endings = _few(self._words_like(place.name, wanted[-1]), f"{wanted[-1]}*")
        return either([self._in_a_row(place.name, [*wanted[:-1], ending]) for ending in endings])

    def _in_a_row(self, name: str, wanted: Sequence[str]) -> Nested:
        if len(wanted) == 1:
            return self._word(name, wanted[0])
        return tantivy.Query.phrase_query(self._schema, name, list(wanted))

    def _beginning(self, place: Place, prefix: str) -> Nested:
        """Not `phrase_prefix_query`, which looks at fifty terms only."""
        if not prefix:
            return self._exists(place)
        if place.kind in {Kind.TEXT, Kind.KEYWORD}:
            return tantivy.Query.regex_query(self._schema, place.name, f"{literal(prefix)}(.|\\n)*")
        if place.kind is Kind.ATTRIBUTE:
            return either([self._json_beginning(place, start) for start in (prefix, DATE_MARK + prefix)])
        return self._integer_beginning(place, prefix) if place.kind is Kind.INTEGER else tantivy.Query.empty_query()

    def _json_beginning(self, place: Place, prefix: str) -> Nested:
        return tantivy.Query.fuzzy_term_query(self._schema, _path(place), prefix, distance=0, prefix=True)

    def _integer_beginning(self, place: Place, prefix: str) -> Nested:
        """5* is 5, 50 to 59, 500 to 599…"""
        if not (prefix.isdigit() and prefix.isascii()) or (prefix[0] == "0" and prefix != "0"):
            return tantivy.Query.empty_query()
        if prefix == "0":
            return tantivy.Query.term_query(self._schema, place.name, 0)
        low = int(prefix)
        steps = [10**power for power in range(19) if (low + 1) * 10**power - 1 <= INTEGER_MAX]
        return either([self.integers(place.name, low * step, (low + 1) * step - 1) for step in steps])

    def _wildcard(self, place: Place, pattern: str) -> Nested:
        if is_any(pattern):
            return self._exists(place)
        prefix = prefix_of(pattern)
        if prefix is not None:
            return self._beginning(place, prefix.lower() if place.kind is Kind.TEXT else prefix)
        if place.kind is Kind.INTEGER:
            return tantivy.Query.empty_query()
        if not any(part is None or part == "" for part in parts(pattern)):
            whole = "".join(part for part in parts(pattern) if part)
            if place.kind is Kind.TEXT:
                return self._word(place.name, whole.lower())
            if place.kind is Kind.KEYWORD:
                return tantivy.Query.term_query(self._schema, place.name, whole)
        return self._expression(place, regex_of(pattern, lower=place.kind is Kind.TEXT))

    def _regexp(self, place: Place, pattern: str) -> Nested:
        return self._expression(place, pattern)

    def _expression(self, place: Place, expression: str) -> Nested:
        if place.kind in {Kind.TEXT, Kind.KEYWORD}:
            return tantivy.Query.regex_query(self._schema, place.name, expression)
        if place.kind is not Kind.ATTRIBUTE:
            return tantivy.Query.empty_query()
        found = _few(self._values_like(place.name, f"{DATE_MARK}?({expression})"), expression)
        return either([tantivy.Query.term_query(self._schema, _path(place), one) for one in found])

    def _range(self, query: tree.Range, place: Place) -> Nested:
        if place.kind is Kind.INTEGER:
            low = None if query.low is None else _at_least(query.low, included=query.with_low)
            high = None if query.high is None else _at_most(query.high, included=query.with_high)
            return self.integers(place.name, low, high)
        if place.kind is not Kind.ATTRIBUTE:
            return tantivy.Query.empty_query()
        halves = []
        if query.low is not None:
            halves.append(f"{'[' if query.with_low else '{'}{_number(query.low)} TO *]")
        if query.high is not None:
            halves.append(f"[* TO {_number(query.high)}{']' if query.with_high else '}'}")
        if not halves:
            halves = [f"[{_number(-1e308)} TO *]"]
        return together([self._index.parse_query(f"{_path(place)}:{half}", []) for half in halves])

    def integers(self, name: str, low: int | None, high: int | None) -> Nested:
        """`name` between two bounds, both included."""
        low = None if low is None else max(INTEGER_MIN, min(INTEGER_MAX, low))
        high = None if high is None else max(INTEGER_MIN, min(INTEGER_MAX, high))
        if low is not None and high is not None and low > high:
            return tantivy.Query.empty_query()
        if low is None and high is None:
            return tantivy.Query.exists_query(name)
        return tantivy.Query.range_query(self._schema, name, tantivy.FieldType.Integer, low, high)

    def _exists(self, place: Place) -> Nested:
        match place.kind:
            case Kind.TEXT if place.name == "message":
                return _without(tantivy.Query.term_query(self._schema, "absent", "message"))
            case Kind.TEXT:
                return tantivy.Query.regex_query(self._schema, place.name, "(.|\\n)+")
            case Kind.KEYWORD | Kind.INTEGER:
                return tantivy.Query.exists_query(place.name)
            case Kind.ATTRIBUTE:
                return tantivy.Query.exists_query(_path(place), json_subpaths=True)
            case _:
                return tantivy.Query.all_query()


def is_sequence_id(identifier: str) -> bool:
    """Whether it is an id that the index gave itself: "k-" and the hex sequence number."""
    return (
        identifier.startswith("k-") and 0 < len(identifier[2:]) <= 15 and set(identifier[2:]) <= set("0123456789abcdef")
    )


def sequence_id(sequence: int) -> str:
    """The id of a document that came without one."""
    return f"k-{sequence:x}"


def either(queries: Sequence[Nested]) -> Nested:
    """At least one of them."""
    if not queries:
        return tantivy.Query.empty_query()
    return queries[0] if len(queries) == 1 else tantivy.Query.boolean_query([(Occur.Should, one) for one in queries])


def together(queries: Sequence[Nested]) -> Nested:
    """All of them."""
    return queries[0] if len(queries) == 1 else tantivy.Query.boolean_query([(Occur.Must, one) for one in queries])


def _without(query: Nested) -> Nested:
    """`MustNot` alone matches nothing."""
    return tantivy.Query.boolean_query([(Occur.Must, tantivy.Query.all_query()), (Occur.MustNot, query)])


def _path(place: Place) -> str:
    return f"attrs.{place.name}"


def _few(found: Sequence[str], pattern: str) -> Sequence[str]:
    if len(found) > MAX_EXPANSIONS:
        raise tree.QueryError(f"{pattern!r} stands for more than {MAX_EXPANSIONS} different values; narrow it down")
    return found


def _number(value: float) -> str:
    """As tantivy's parser reads a float: digits on both sides of the dot, no exponent."""
    text = f"{value:.17f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _at_least(value: float, *, included: bool) -> int:
    if not math.isfinite(value):
        return INTEGER_MAX if value > 0 else INTEGER_MIN
    return math.ceil(value) if included or not value.is_integer() else int(value) + 1


def _at_most(value: float, *, included: bool) -> int:
    if not math.isfinite(value):
        return INTEGER_MAX if value > 0 else INTEGER_MIN
    return math.floor(value) if included or not value.is_integer() else int(value) - 1
