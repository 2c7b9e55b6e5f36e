"""What each query means, on one document: the slow reference that the index is compared with. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from kokiris.logs.analysis import words
from kokiris.logs.documents import number_of
from kokiris.logs.levels import canonical_level
from kokiris.logs.model import Indexed, Value, several
from kokiris.logs.query import tree
from kokiris.logs.query.fields import Kind, Place, places
from kokiris.logs.query.patterns import is_any, prefix_of, regex_of


def matches(query: tree.Query, document: Indexed, identifier: str = "") -> bool:  # noqa: PLR0911 - one return per kind reads best
    """Whether `document` is found by `query`."""
    match query:
        case tree.All():
            return True
        case tree.Nothing():
            return False
        case tree.And(parts=parts):
            return all(matches(part, document, identifier) for part in parts)
        case tree.Or(parts=parts, at_least=at_least):
            return sum(matches(part, document, identifier) for part in parts) >= at_least
        case tree.Not(part=part):
            return not matches(part, document, identifier)
        case tree.Ids(values=values):
            return identifier in values
        case tree.TimeRange(low_us=low_us, high_us=high_us):
            return (low_us is None or document.time_us >= low_us) and (high_us is None or document.time_us <= high_us)
        case tree.Words():
            return _words(query, document)
        case tree.AnyOf(field=field, values=values):
            return any(matches(tree.Term(field, value), document, identifier) for value in values)
        case _:
            return any(_at(query, place, document) for place in places(query.field))


def _words(query: tree.Words, document: Indexed) -> bool:
    """Each word may stand in any of the field's texts; places that are not analyzed want the whole."""
    found = words(query.text)
    texts = [place for place in places(query.field) if place.kind is Kind.TEXT]
    present = {word for place in texts for text in _texts(place, document) for word in words(text)}
    judged: Callable[[Iterable[bool]], bool] = all if query.every else any
    if texts and found and judged(word in present for word in found):
        return True
    return any(
        _at(tree.Term(query.field, query.text), place, document)
        for place in places(query.field)
        if place.kind is not Kind.TEXT
    )


def _at(query: tree.Query, place: Place, document: Indexed) -> bool:  # noqa: PLR0911 - one return per kind reads best
    match query:
        case tree.Term(value=value):
            return _is(place, value, document)
        case tree.Phrase(text=text, prefix=prefix):
            return _phrase(place, text, document, prefix=prefix)
        case tree.Wildcard(pattern=pattern):
            return _wildcard(place, pattern, document)
        case tree.Regexp(pattern=pattern):
            return any(re.fullmatch(pattern, one) for one in _units(place, document))
        case tree.Range():
            return _in_range(query, _numbers(place, document))
        case tree.Exists():
            return _exists(place, document)
    return False


def _is(place: Place, value: str, document: Indexed) -> bool:
    if place.kind is Kind.TEXT:
        found = words(value)
        return bool(found) and any(set(found) <= set(words(text)) for text in [" ".join(_texts(place, document))])
    if place.kind is Kind.KEYWORD:
        wanted = canonical_level(value) if place.name == "level" else value
        return wanted in several(document.keywords.get(place.name))
    number = number_of(value)
    if place.kind is Kind.INTEGER:
        return number is not None and number in several(document.integers.get(place.name))
    values = several(document.attributes.get(place.name))
    return value in values or (number is not None and number in values)


def _phrase(place: Place, text: str, document: Indexed, *, prefix: bool) -> bool:
    if place.kind is not Kind.TEXT:
        return _begins(place, text, document) if prefix else _is(place, text, document)
    wanted = words(text)
    return bool(wanted) and any(_follows(wanted, words(one), prefix=prefix) for one in _texts(place, document))


def _follows(wanted: list[str], present: list[str], *, prefix: bool) -> bool:
    for start in range(len(present) - len(wanted) + 1):
        window = present[start : start + len(wanted)]
        last = window[-1].startswith(wanted[-1]) if prefix else window[-1] == wanted[-1]
        if last and window[:-1] == wanted[:-1]:
            return True
    return False


def _begins(place: Place, text: str, document: Indexed) -> bool:
    """Whether a value begins with `text`; with nothing: whether there is one."""
    if not text:
        return _exists(place, document)
    if place.kind is Kind.INTEGER:
        numbers = several(document.integers.get(place.name))
        return any(str(one).startswith(text) for one in numbers if one >= 0 and text.isdigit() and text.isascii())
    return any(one.startswith(text) for one in _units(place, document))


def _wildcard(place: Place, pattern: str, document: Indexed) -> bool:
    if is_any(pattern):
        return _exists(place, document)
    if place.kind is Kind.INTEGER:
        prefix = prefix_of(pattern)
        return prefix is not None and _begins(place, prefix, document)
    expression = regex_of(pattern, lower=place.kind is Kind.TEXT)
    return any(re.fullmatch(expression, one) for one in _units(place, document))


def _units(place: Place, document: Indexed) -> Iterator[str]:
    """What patterns are held against: words of a text, whole values otherwise."""
    if place.kind is Kind.TEXT:
        for text in _texts(place, document):
            yield from words(text)
    elif place.kind is Kind.KEYWORD:
        yield from several(document.keywords.get(place.name))
    elif place.kind is Kind.ATTRIBUTE:
        yield from (one for one in several(document.attributes.get(place.name)) if isinstance(one, str))


def _texts(place: Place, document: Indexed) -> Iterable[str]:
    if place.name == "message":
        return (document.message,) if document.message is not None else ()
    return document.texts


def _numbers(place: Place, document: Indexed) -> list[float]:
    if place.kind is Kind.INTEGER:
        return [float(one) for one in several(document.integers.get(place.name))]
    values: list[Value] = several(document.attributes.get(place.name)) if place.kind is Kind.ATTRIBUTE else []
    return [one for one in values if isinstance(one, float)]


def _in_range(query: tree.Range, numbers: list[float]) -> bool:
    """Of a field with several values, one may hold the lower bound and another the upper."""
    low = query.low is None or any(one > query.low or (query.with_low and one == query.low) for one in numbers)
    high = query.high is None or any(one < query.high or (query.with_high and one == query.high) for one in numbers)
    return bool(numbers) and low and high


def _exists(place: Place, document: Indexed) -> bool:
    if place.kind is Kind.TEXT:
        return any(words(text) for text in _texts(place, document))
    if place.kind is Kind.KEYWORD:
        return place.name in document.keywords
    if place.kind is Kind.INTEGER:
        return place.name in document.integers
    if place.kind is Kind.ATTRIBUTE:
        below = place.name + "."
        return any(path == place.name or path.startswith(below) for path in document.attributes)
    return True
