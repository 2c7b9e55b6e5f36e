"""Traefik's rule language, version 3: `Host(`a.example`) && (PathPrefix(`/api`) || Path(`/`))`. Pure.

The whole grammar parses. What this version acts on is Host, Path and PathPrefix with any `&&`, `||`, `!` and
parentheses; `not_acted_on` names the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kokiris.kernel.errors import BadInput

MAX_RULE_BYTES = 8192
MAX_DEPTH = 40

ACTED_ON = frozenset({"Host", "Path", "PathPrefix"})
ARGUMENTS = {
    "Host": (1, 1),
    "HostRegexp": (1, 1),
    "Path": (1, 1),
    "PathPrefix": (1, 1),
    "PathRegexp": (1, 1),
    "Method": (1, 1),
    "Header": (2, 2),
    "HeaderRegexp": (2, 2),
    "Query": (1, 2),
    "QueryRegexp": (1, 2),
    "ClientIP": (1, 1),
}
"""Least and most number of arguments of each matcher."""

_SPELLINGS = {
    spelling: name for name in ARGUMENTS for spelling in (name, name.lower(), name.upper(), name.lower().capitalize())
}
_OLD_NAMES = {"headers": "Header", "headersregexp": "HeaderRegexp", "hostheader": "Host", "hostsni": "Host"}

_TOKEN = re.compile(r'\s*(?:(&&|\|\||!|\(|\)|,)|([A-Za-z]+)|(`[^`]*`)|("(?:[^"\\]|\\.)*")|(\S))')
_HOST = re.compile(r"(?=.{1,253}$)(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)")
_PLAIN_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "'": "'",
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """`name` in its exact spelling; arguments checked, hosts in lower case without a closing dot."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of `operand`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All of `operands`."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of `operands`."""

    operands: tuple[Expression, ...]


Expression = Matcher | Not | And | Or


def parse(rule: str) -> Expression:
    """The tree of a rule. Raises BadInput saying what is wrong and at which column (1-based)."""
    if len(rule.encode()) > MAX_RULE_BYTES:
        raise BadInput(f"rule is longer than {MAX_RULE_BYTES} bytes", next_step="Split it into several routers.")
    if not rule.strip():
        raise BadInput("rule is empty", next_step="Write for example Host(`www.example.org`).")
    return _Parser(rule).parse()


def matchers(expression: Expression) -> Iterator[Matcher]:
    """Every matcher in it, from left to right."""
    match expression:
        case Matcher():
            yield expression
        case Not(operand):
            yield from matchers(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from matchers(operand)


def not_acted_on(expression: Expression) -> list[str]:
    """Names of the matchers that parse but that this version does not serve, each once."""
    return list(dict.fromkeys(one.name for one in matchers(expression) if one.name not in ACTED_ON))


def hosts(expression: Expression) -> list[str]:
    """Every host named in it, each once, in order; `*.x` and `*` among them."""
    return list(dict.fromkeys(one.arguments[0] for one in matchers(expression) if one.name == "Host"))


class _Parser:
    """Recursive descent: or → and → not → group | matcher."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._tokens = [(match.lastindex or 0, match[match.lastindex or 0], match) for match in _TOKEN.finditer(rule)]
        self._at = 0

    def parse(self) -> Expression:
        tree = self._any(0)
        if self._at < len(self._tokens):
            raise self._wrong(f'unexpected "{self._tokens[self._at][1]}"', "Join matchers with && or ||.")
        return tree

    def _wrong(self, what: str, fix: str) -> BadInput:
        if self._at < len(self._tokens):
            kind, _, match = self._tokens[self._at]
            column = match.start(kind) + 1
        else:
            column = len(self._rule.rstrip()) + 1
        return BadInput(f"rule {self._rule[:200]!r}: {what} at column {column}", next_step=fix)

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _any(self, depth: int) -> Expression:
        operands = [self._all(depth)]
        while self._peek() == "||":
            self._at += 1
            operands.append(self._all(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _all(self, depth: int) -> Expression:
        operands = [self._one(depth)]
        while self._peek() == "&&":
            self._at += 1
            operands.append(self._one(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _one(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise self._wrong("nested too deeply", "Split the rule into several routers.")
        symbol = self._peek()
        if symbol == "!":
            self._at += 1
            return Not(self._one(depth + 1))
        if symbol == "(":
            self._at += 1
            tree = self._any(depth + 1)
            self._expect(")")
            return tree
        return self._matcher()

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            found = f'found "{self._peek()}"' if self._peek() else "the rule ends"
            raise self._wrong(f'expected "{token}", {found}', "Close what was opened.")
        self._at += 1

    def _matcher(self) -> Matcher:
        kind, word, _ = self._tokens[self._at] if self._at < len(self._tokens) else (0, "", None)
        if kind != 2:
            found = f'found "{word}"' if word else "the rule ends"
            raise self._wrong(f"expected a matcher such as Host, {found}", "Write for example Host(`www.example.org`).")
        name = _SPELLINGS.get(word)
        if name is None:
            raise self._wrong(f'"{word}" is not a matcher', _name_hint(word))
        self._at += 1
        self._expect("(")
        arguments = [self._argument(name)]
        while self._peek() == ",":
            self._at += 1
            arguments.append(self._argument(name))
        self._expect(")")
        least, most = ARGUMENTS[name]
        if not least <= len(arguments) <= most:
            self._at -= 1
            takes = str(least) if least == most else f"{least} to {most}"
            raise self._wrong(
                f"{name} takes {takes} argument{'s' if most > 1 else ''}, not {len(arguments)}",
                f"Write one {name}(…) per value, joined with ||.",
            )
        return Matcher(name, self._checked(name, tuple(arguments)))

    def _argument(self, name: str) -> str:
        kind, text, _ = self._tokens[self._at] if self._at < len(self._tokens) else (0, "", None)
        if kind not in {3, 4}:
            found = f'found "{text}"' if text else "the rule ends"
            raise self._wrong(
                f"expected a value in back-quotes or double quotes, {found}",
                f"Write {name}(`value`).",
            )
        value = text[1:-1] if kind == 3 else _unescape(text[1:-1])
        if not value:
            raise self._wrong(f"{name} has an empty value", "Give a value.")
        self._at += 1
        return value

    def _checked(self, name: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
        first = arguments[0]
        if name == "Host":
            host = first.lower().removesuffix(".")
            if host != "*" and not _HOST.fullmatch(host):
                raise self._wrong(
                    f'"{first[:100]}" is not a host name', "Write the name alone: no scheme, port, path or spaces."
                )
            return (host,)
        if name in {"Path", "PathPrefix"} and not first.startswith("/"):
            raise self._wrong(f'{name} "{first[:100]}" does not start with "/"', f"Write {name}(`/{first[:100]}`).")
        if name.endswith("Regexp"):
            try:
                re.compile(arguments[-1])
            except re.error as problem:
                raise self._wrong(f"{name}: {problem}", "Correct the regular expression.") from problem
        return arguments


def _name_hint(word: str) -> str:
    old = _OLD_NAMES.get(word.lower())
    if old:
        return f"Version 3 of the rule language calls it {old}."
    close = next((name for name in ARGUMENTS if name.lower() == word.lower()), None)
    known = ", ".join(ARGUMENTS)
    return f"Write {close}." if close else f"Matchers are {known}."


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(min(int(code.lstrip("xuU"), 8 if code.isdigit() else 16), 0x10FFFF))
        return _PLAIN_ESCAPES.get(code, code)

    return _ESCAPE.sub(one, text)
