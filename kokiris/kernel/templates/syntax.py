"""Parses the subset of Go's text/template that job files use: output, pipelines, variables, if, range, with, trimming,
comments. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from kokiris.kernel.templates.tree import (
    Block,
    Dot,
    Function,
    Group,
    Literal,
    Node,
    Operand,
    Output,
    Pipeline,
    Position,
    TemplateError,
    Text,
    Variable,
)

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<number>[-+]?\d+(?:\.\d+)?)
      | (?P<variable>\$[A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
      | (?P<field>\.[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*|\.)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>:=|[|()=,])""",
    re.VERBOSE,
)
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "nil": None}
_UNSUPPORTED = frozenset({"define", "template", "block", "break", "continue"})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


@dataclass(slots=True)
class _Open:
    """A block that has no `end` yet (None: the template itself), and where its next nodes go."""

    block: Block | None
    target: list[Node]
    offset: int
    chained: bool = False


def parse(name: str, source: str, left: str = "{{", right: str = "}}") -> list[Node]:
    """The nodes of `source`. Raises TemplateError naming template and position."""
    return _Parser(name, source, left or "{{", right or "}}").parse()


class _Parser:
    def __init__(self, name: str, source: str, left: str, right: str) -> None:
        self._name, self._source, self._left, self._right = name, source, left, right
        self._tokens: list[_Token] = []
        self._next = 0

    def parse(self) -> list[Node]:
        root: list[Node] = []
        stack = [_Open(None, root, 0)]
        for text, action, offset in self._pieces():
            if text:
                stack[-1].target.append(Text(text))
            if action is not None and action.strip():
                self._action(action, offset, stack)
        if len(stack) > 1:
            unclosed = stack[-1]
            raise self._error(unclosed.offset, f'"{unclosed.block.kind if unclosed.block else ""}" has no "end"')
        return root

    def _action(self, action: str, offset: int, stack: list[_Open]) -> None:
        self._tokens, self._next = self._lex(action, offset), 0
        first = self._tokens[0]
        word = first.text if first.kind == "word" else ""
        if word in _UNSUPPORTED:
            raise self._error(first.offset, f'"{word}" is not supported')
        if word in {"if", "range", "with"}:
            self._next = 1
            self._open(word, offset, stack, chained=False)
        elif word == "else":
            self._else(offset, stack)
        elif word == "end":
            self._next = 1
            self._finish()
            self._end(offset, stack)
        else:
            stack[-1].target.append(Output(self._pipeline()))
            self._finish()

    def _open(self, kind: str, offset: int, stack: list[_Open], *, chained: bool) -> None:
        block = Block(kind, self._pipeline())
        self._finish()
        stack[-1].target.append(block)
        stack.append(_Open(block, block.body, offset, chained=chained))

    def _else(self, offset: int, stack: list[_Open]) -> None:
        top = stack[-1]
        if top.block is None or top.target is top.block.other:
            raise self._error(offset, '"else" outside of a block')
        top.target = top.block.other
        self._next = 1
        if self._next == len(self._tokens):
            return
        word = self._tokens[self._next]
        if word.text not in {"if", "with"}:
            raise self._error(word.offset, f'unexpected "{word.text}" after "else"')
        self._next += 1
        self._open(word.text, offset, stack, chained=True)

    def _end(self, offset: int, stack: list[_Open]) -> None:
        """One `end` closes a block and the `else if`s chained to it."""
        while True:
            closed = stack.pop()
            if closed.block is None:
                raise self._error(offset, '"end" without a block')
            if not closed.chained:
                return

    def _pieces(self) -> list[tuple[str, str | None, int]]:
        """(text, action after it or None, the action's offset), with `{{-` and `-}}` applied and comments dropped."""
        pieces: list[tuple[str, str | None, int]] = []
        at, trim_next = 0, False
        while True:
            start = self._source.find(self._left, at)
            text = self._source[at:] if start < 0 else self._source[at:start]
            if trim_next:
                text = text.lstrip()
            if start < 0:
                pieces.append((text, None, at))
                return pieces
            inner = start + len(self._left)
            end = self._closing(inner)
            action = self._source[inner:end]
            if action.startswith("-") and action[1:2].isspace():
                text, action, inner = text.rstrip(), action[1:], inner + 1
            trim_next = action.endswith("-") and action[-2:-1].isspace()
            if trim_next:
                action = action[:-1]
            comment = action.strip().startswith("/*") and action.strip().endswith("*/")
            pieces.append((text, None if comment else action, inner))
            at = end + len(self._right)

    def _closing(self, inner: int) -> int:
        """Where the action ends: the right delimiter outside of quotes."""
        at = inner
        while at < len(self._source):
            if self._source.startswith(self._right, at):
                return at
            if self._source[at] in '"`':
                quoted = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`').match(self._source, at)
                if quoted is None:
                    raise self._error(at, "unterminated text")
                at = quoted.end()
            else:
                at += 1
        raise self._error(inner, "action is not closed")

    def _lex(self, action: str, offset: int) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(action):
            match = _TOKEN.match(action, at)
            if match is None:
                raise self._error(offset + at, f'unexpected "{action[at]}"')
            if match.lastgroup and match.lastgroup != "space":
                tokens.append(_Token(match.lastgroup, match[0], offset + at))
            at = match.end()
        return tokens

    def _pipeline(self) -> Pipeline:
        at = self._position(self._tokens[min(self._next, len(self._tokens) - 1)].offset)
        assign, declares = self._assignment()
        commands = [self._command()]
        while self._accept("|"):
            commands.append(self._command())
        return Pipeline(at, tuple(commands), assign, declares)

    def _assignment(self) -> tuple[tuple[str, ...], bool]:
        """`$x :=`, `$x =` or `$i, $x :=` at the beginning."""
        names: list[str] = []
        at = self._next
        while at < len(self._tokens) and self._tokens[at].kind == "variable":
            names.append(self._tokens[at].text[1:])
            at += 1
            if at < len(self._tokens) and self._tokens[at].text == ",":
                at += 1
                continue
            break
        if names and at < len(self._tokens) and self._tokens[at].text in {":=", "="}:
            self._next = at + 1
            return tuple(names), self._tokens[at].text == ":="
        return (), True

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._next < len(self._tokens) and self._tokens[self._next].text not in {"|", ")"}:
            operands.append(self._operand())
        if not operands:
            at = self._tokens[-1].offset if self._tokens else 0
            raise self._error(at, "a value or function is missing")
        return tuple(operands)

    def _operand(self) -> Operand:
        token = self._tokens[self._next]
        self._next += 1
        operand: Operand
        match token.kind:
            case "string":
                operand = Literal(self._unquoted(token))
            case "raw":
                operand = Literal(token.text[1:-1])
            case "number":
                operand = Literal(float(token.text) if "." in token.text else int(token.text))
            case "variable":
                name, *names = token.text[1:].split(".")
                operand = Variable(name, tuple(names))
            case "field":
                operand = Dot(tuple(part for part in token.text.split(".") if part))
            case "word" if token.text in _CONSTANTS:
                operand = Literal(_CONSTANTS[token.text])
            case "word":
                operand = Function(token.text)
            case "sign" if token.text == "(":
                operand = self._group(token)
            case _:
                raise self._error(token.offset, f'unexpected "{token.text}"')
        return operand

    def _group(self, opening: _Token) -> Group:
        pipeline = self._pipeline()
        if not self._accept(")"):
            raise self._error(opening.offset, '"(" is not closed')
        names: tuple[str, ...] = ()
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            closing = self._tokens[self._next - 1]
            if token.kind == "field" and token.offset == closing.offset + 1:
                names = tuple(part for part in token.text.split(".") if part)
                self._next += 1
        return Group(pipeline, names)

    def _unquoted(self, token: _Token) -> str:
        try:
            return str(json.loads(token.text, strict=False))
        except ValueError:
            raise self._error(token.offset, f"{token.text} is not a valid text") from None

    def _accept(self, sign: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next].text == sign:
            self._next += 1
            return True
        return False

    def _finish(self) -> None:
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            raise self._error(token.offset, f'unexpected "{token.text}"')

    def _position(self, offset: int) -> Position:
        before = self._source[:offset]
        return Position(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)

    def _error(self, offset: int, problem: str) -> TemplateError:
        return TemplateError(self._name, self._position(offset), problem)
