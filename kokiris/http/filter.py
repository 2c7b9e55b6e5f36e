"""`?filter=` expressions as Nomad and Consul read them (go-bexpr's language), over JSON values and msgspec structs.

    expression = and-expr { "or" and-expr }          and-expr = not-expr { "and" not-expr }
    not-expr   = "not" not-expr | "(" expression ")" | match
    match      = selector ("==" | "!=") value | selector ["not"] ("contains" | "matches") value
               | selector "is" ["not"] ("empty" | "nil") | value ["not"] "in" selector
    selector   = name { "." name | "[" string "]" } | JSON pointer in quotes ("/Meta/a.b")
    value      = string in quotes or backticks | number | bare word

Pure. What a missing key means follows go-bexpr: in a map of texts it makes the positive operators false and the
negative ones true; a field that does not exist is an error.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from kokiris.kernel.errors import BadInput

Predicate = Callable[[Any], bool]

MAX_EXPRESSION_CHARACTERS = 8192
MAX_DEPTH = 64

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
      | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?![\w.]))
      | (?P<word>[a-zA-Z][a-zA-Z0-9_/]*)
      | (?P<index>\.[0-9]+)
      | (?P<mark>==|!=|[().\[\]])""",
    re.VERBOSE,
)
_TRUE, _FALSE = (
    frozenset({"1", "t", "T", "TRUE", "true", "True"}),
    frozenset({"0", "f", "F", "FALSE", "false", "False"}),
)
_NEXT_STEP = 'Write it as in: Status == "running" and "web" in Tags'


def compile_filter(expression: str) -> Predicate:
    """The predicate of `expression`; an empty one lets everything through.

    Raises BadInput naming the position of what does not parse. The predicate itself raises BadInput when a selector
    names a field that does not exist ("error finding value in datum: …") or an operator does not fit its value.
    """
    if not expression.strip():
        return lambda _: True
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise BadInput(f"filter expression of {len(expression)} characters: {MAX_EXPRESSION_CHARACTERS} is the limit")
    return _Parser(expression).parse()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class _Selector:
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


def _tokens(expression: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise _error(f"unexpected {expression[position]!r} (quote values that are not plain words)", position)
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(_Token(kind, match[0], position))
        position = match.end()
    return [*tokens, _Token("end", "", len(expression))]


def _error(reason: str, position: int) -> BadInput:
    return BadInput(f"filter expression: {reason} at position {position + 1}", next_step=_NEXT_STEP)


class _Parser:
    """Recursive descent over the tokens; every method consumes what it recognised and returns a predicate or part."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._at = 0
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._any_of()
        if self._next.kind != "end":
            raise self._unexpected('"and", "or" or the end')
        return predicate

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _accept(self, *texts: str) -> bool:
        """Consumes these words or marks if all of them come next."""
        ahead = self._tokens[self._at : self._at + len(texts)]
        if [token.text for token in ahead if token.kind in {"word", "mark"}] != list(texts):
            return False
        self._at += len(texts)
        return True

    def _unexpected(self, wanted: str) -> BadInput:
        found = f'"{self._next.text}"' if self._next.text else "the end"
        return _error(f"expected {wanted}, found {found}", self._next.position)

    def _any_of(self) -> Predicate:
        options = [self._all_of()]
        while self._accept("or"):
            options.append(self._all_of())
        return options[0] if len(options) == 1 else lambda datum: any(option(datum) for option in options)

    def _all_of(self) -> Predicate:
        parts = [self._negated()]
        while self._accept("and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else lambda datum: all(part(datum) for part in parts)

    def _negated(self) -> Predicate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(f"more than {MAX_DEPTH} levels", self._next.position)
        try:
            if self._accept("not"):
                inner = self._negated()
                return lambda datum: not inner(datum)
            if self._accept("("):
                inner = self._any_of()
                if not self._accept(")"):
                    raise self._unexpected('")"')
                return inner
            return self._match()
        finally:
            self._depth -= 1

    def _match(self) -> Predicate:
        start = self._next
        left = self._operand("a selector or a value")
        negation: tuple[tuple[tuple[str, ...], bool], ...] = (((), True), (("not",), False))
        for no, positive in negation:
            if self._accept(*no, "in"):
                return _contains(self._selector(), str(left), positive)
            if self._accept(*no, "contains"):
                return _contains(_as_selector(left, start), self._value(), positive)
            if self._accept(*no, "matches"):
                return self._matches(_as_selector(left, start), positive)
        for mark, positive in (("==", True), ("!=", False)):
            if self._accept(mark):
                return _equals(_as_selector(left, start), self._value(), positive)
        for no, positive in negation:
            if self._accept("is", *no, "empty"):
                return _is_empty(_as_selector(left, start), positive)
            if self._accept("is", *no, "nil"):
                return _is_nil(_as_selector(left, start), positive)
        raise self._unexpected("an operator (==, !=, in, contains, matches, is empty, is nil)")

    def _operand(self, wanted: str) -> _Selector | str:
        """A selector, or the text of a string or number."""
        token = self._next
        if token.kind == "word":
            return self._path()
        if token.kind not in {"string", "number"}:
            raise self._unexpected(wanted)
        self._at += 1
        return _unquote(token) if token.kind == "string" else token.text

    def _value(self) -> str:
        return str(self._operand("a value"))

    def _selector(self) -> _Selector:
        token = self._next
        return _as_selector(self._operand("a selector"), token)

    def _path(self) -> _Selector:
        path = [self._next.text]
        self._at += 1
        while True:
            if self._next.kind == "index":
                path.append(self._next.text[1:])
                self._at += 1
            elif self._accept("."):
                if self._next.kind != "word":
                    raise self._unexpected("a name")
                path.append(self._next.text)
                self._at += 1
            elif self._accept("["):
                if self._next.kind != "string":
                    raise self._unexpected("a string")
                path.append(_unquote(self._next))
                self._at += 1
                if not self._accept("]"):
                    raise self._unexpected('"]"')
            else:
                return _Selector(tuple(path))

    def _matches(self, selector: _Selector, positive: bool) -> Predicate:
        position = self._next.position
        pattern = self._value()
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError) as error:
            raise _error(f"{pattern!r} is not a regular expression ({error})", position) from error
        return _matches(selector, compiled, positive)


def _unquote(token: _Token) -> str:
    if token.text.startswith("`"):
        return token.text[1:-1]
    try:
        return str(json.loads(token.text, strict=False))
    except ValueError as error:
        raise _error("a string with an escape that does not exist", token.position) from error


def _as_selector(operand: _Selector | str, token: _Token) -> _Selector:
    """A JSON pointer in quotes is a selector as well; any other text is not."""
    if isinstance(operand, _Selector):
        return operand
    if token.kind == "string" and operand.startswith("/"):
        return _Selector(tuple(part.replace("~1", "/").replace("~0", "~") for part in operand[1:].split("/")))
    raise _error(f'expected a selector, found "{operand}"', token.position)


class _MissingType:
    """A key that a map does not have."""


_MISSING = _MissingType()


@cache
def _field_names(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {field.encode_name: field.name for field in msgspec.structs.fields(struct)}


def _find(datum: Any, selector: _Selector) -> Any:
    """The value at `selector`, `_MISSING` for an absent key of a map. Raises BadInput for a field that is not one."""
    value = datum
    for depth, part in enumerate(selector.path):
        if isinstance(value, msgspec.Struct):
            name = _field_names(type(value)).get(part)
            if name is None:
                raise _not_found(selector, depth)
            value = getattr(value, name)
        elif isinstance(value, Mapping):
            if part not in value:
                if depth == 0 or not _is_map(value):
                    raise _not_found(selector, depth)
                return _MISSING
            value = value[part]
        elif value is None and depth > 0:
            return _MISSING
        elif _is_list(value) and part.isdigit():
            if int(part) >= len(value):
                raise _not_found(selector, depth)
            value = value[int(part)]
        else:
            raise _not_found(selector, depth)
    return value


def _is_map(value: Mapping[str, Any]) -> bool:
    """Whether a decoded JSON object was a map of texts (Meta, TaggedAddresses keys…) rather than a struct."""
    return all(isinstance(item, str) for item in value.values()) or not any(key[:1].isupper() for key in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _not_found(selector: _Selector, depth: int) -> BadInput:
    pointer = "/" + "/".join(selector.path)
    return BadInput(
        f'error finding value in datum: {pointer} at part {depth}: couldn\'t find key "{selector.path[depth]}"',
        next_step="Filter on a field of the full object, spelled as in its JSON.",
    )


def _equals(selector: _Selector, wanted: str, positive: bool) -> Predicate:
    def predicate(datum: Any) -> bool:
        value = _find(datum, selector)
        equal = False if value is _MISSING or value is None else _same(value, wanted, selector)
        return equal is positive

    return predicate


def _same(value: Any, wanted: str, selector: _Selector) -> bool:
    """Compares after reading `wanted` as the type of `value`."""
    if isinstance(value, str):
        return value == wanted
    if isinstance(value, bool):
        if wanted in _TRUE or wanted in _FALSE:
            return value is (wanted in _TRUE)
        raise BadInput(f'filter expression: "{wanted}" is not a boolean, which {selector} is')
    if isinstance(value, (int, float)):
        try:
            return bool(operator.eq(value, int(wanted, 0) if isinstance(value, int) else float(wanted)))
        except ValueError:
            raise BadInput(f'filter expression: "{wanted}" is not a number, which {selector} is') from None
    raise BadInput(f"filter expression: {selector} is not a single value: == and != do not apply to it")


def _contains(selector: _Selector, wanted: str, positive: bool) -> Predicate:
    def predicate(datum: Any) -> bool:
        value = _find(datum, selector)
        return _holds(value, wanted, selector) is positive

    return predicate


def _holds(value: Any, wanted: str, selector: _Selector) -> bool:
    if value is _MISSING or value is None:
        return False
    if isinstance(value, (str, Mapping)):
        return wanted in value
    if _is_list(value) or isinstance(value, (set, frozenset)):
        return any(_same_item(item, wanted, selector) for item in value)
    raise BadInput(f"Cannot perform in/contains operations on type {type(value).__name__} for selector: {selector}")


def _same_item(item: Any, wanted: str, selector: _Selector) -> bool:
    if isinstance(item, (msgspec.Struct, Mapping)) or _is_list(item):
        raise BadInput(f"filter expression: the items of {selector} are not single values")
    try:
        return item is not None and _same(item, wanted, selector)
    except BadInput:  # a list may mix types: what cannot be compared is not equal
        return False


def _is_empty(selector: _Selector, positive: bool) -> Predicate:
    def predicate(datum: Any) -> bool:
        value = _find(datum, selector)
        if value is _MISSING or value is None:
            return positive
        if not isinstance(value, (str, Mapping, set, frozenset)) and not _is_list(value):
            raise BadInput(f'filter expression: "is empty" does not apply to {selector}')
        return (len(value) == 0) is positive

    return predicate


def _is_nil(selector: _Selector, positive: bool) -> Predicate:
    def predicate(datum: Any) -> bool:
        value = _find(datum, selector)
        return (value is None or value is _MISSING) is positive

    return predicate


def _matches(selector: _Selector, pattern: re.Pattern[str], positive: bool) -> Predicate:
    def predicate(datum: Any) -> bool:
        value = _find(datum, selector)
        if value is _MISSING or value is None:
            return not positive
        if not isinstance(value, str):
            raise BadInput(f'filter expression: "matches" applies to texts, which {selector} is not')
        return (pattern.search(value) is not None) is positive

    return predicate
