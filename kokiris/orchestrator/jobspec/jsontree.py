"""JSON as a syntax tree with places: strings are templates, as HCL's JSON syntax has it."""

from __future__ import annotations

import json
import re
from decimal import Decimal

from kokiris.orchestrator.jobspec.cursor import MAX_DEPTH, Cursor
from kokiris.orchestrator.jobspec.expressions import parse_expression
from kokiris.orchestrator.jobspec.source import Embedded, Source
from kokiris.orchestrator.jobspec.syntax import Expression, Literal, Object, Tuple
from kokiris.orchestrator.jobspec.templates import parse_template
from kokiris.orchestrator.jobspec.values import ValueProblem, to_number

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse_json_tree(source: Source) -> Expression:
    """The tree of a JSON document. Raises JobFileError at what is not JSON."""
    reader = _Reader(source)
    value = reader.value(0)
    reader.space()
    if reader.at < len(source.text):
        raise source.error(reader.at, "Invalid JSON: unexpected text after the document")
    return value


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.at = 0

    def space(self) -> str:
        """The next character that is no space."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise self.source.error(self.at, f"Nested too deep: JSON may nest {MAX_DEPTH} levels")
        first = self.space()
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._array(depth)
        if first == '"':
            return self._template()
        return self._word()

    def _word(self) -> Literal:
        start = self.at
        for word, value in _WORDS.items():
            if self.text.startswith(word, start):
                self.at += len(word)
                return Literal(source=self.source, start=start, end=self.at, value=value)
        match = _NUMBER.match(self.text, start)
        if match is None:
            raise self.source.error(start, "Invalid JSON: expected a value")
        self.at = match.end()
        return Literal(source=self.source, start=start, end=self.at, value=self._number(match[0], start))

    def _number(self, text: str, start: int) -> Decimal:
        try:
            return to_number(text)
        except ValueProblem as problem:
            raise self.source.error(start, f"Invalid JSON: {problem}") from None

    def _string(self) -> str:
        match = _STRING.match(self.text, self.at)
        try:
            decoded = json.loads(match[0]) if match else None
        except ValueError:
            decoded = None
        if match is None or not isinstance(decoded, str):
            raise self.source.error(self.at, "Invalid JSON: expected a string")
        self.at = match.end()
        return decoded

    def _template(self) -> Expression:
        start = self.at
        text = self._string()
        if "${" in text or "%{" in text:
            return parse_template(Cursor(Embedded(self.source, start, text), template=True), parse_expression)
        return Literal(source=self.source, start=start, end=self.at, value=text)

    def _array(self, depth: int) -> Tuple:
        start = self.at
        self.at += 1
        items: list[Expression] = []
        while self.space() != "]":
            items.append(self.value(depth + 1))
            self._comma("]")
        self.at += 1
        return Tuple(source=self.source, start=start, end=self.at, items=tuple(items))

    def _object(self, depth: int) -> Object:
        start = self.at
        self.at += 1
        items: list[tuple[Expression, Expression]] = []
        while self.space() != "}":
            at = self.at
            key = Literal(source=self.source, start=at, end=at, value=self._string())
            if self.space() != ":":
                raise self.source.error(self.at, 'Invalid JSON: expected ":" after the name')
            self.at += 1
            items.append((key, self.value(depth + 1)))
            self._comma("}")
        self.at += 1
        return Object(source=self.source, start=start, end=self.at, items=tuple(items))

    def _comma(self, closing: str) -> None:
        found = self.space()
        if found == ",":
            self.at += 1
            if self.space() == closing:
                raise self.source.error(self.at, f'Invalid JSON: a comma before "{closing}"')
        elif found != closing:
            raise self.source.error(self.at, f'Invalid JSON: expected "," or "{closing}"')
