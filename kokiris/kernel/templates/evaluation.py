"""Renders a parsed template: the subset's semantics, as Go's. Pure, but for what its functions look up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    TemplateError,
    Text,
    Variable,
)

Functions = Mapping[str, Callable[..., Any]]


class FunctionFailed(Exception):
    """Raised by functions; becomes a TemplateError with the position of the call."""


class _Scope:
    """Variables of a block; those of enclosing blocks are seen through."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self._outer = outer
        self._values: dict[str, Any] = {}

    def declare(self, name: str, value: Any) -> None:
        self._values[name] = value

    def assign(self, name: str, value: Any) -> None:
        scope = self._holder(name)
        if scope is None:
            raise FunctionFailed(f'undefined variable "${name}"')
        scope._values[name] = value

    def read(self, name: str) -> Any:
        scope = self._holder(name)
        if scope is None:
            raise FunctionFailed(f'undefined variable "${name}"')
        return scope._values[name]

    def _holder(self, name: str) -> _Scope | None:
        scope: _Scope | None = self
        while scope is not None and name not in scope._values:
            scope = scope._outer
        return scope


class Evaluation:
    """One rendering of one template."""

    def __init__(self, name: str, functions: Functions) -> None:
        self._name = name
        self._functions = functions

    def render(self, nodes: Sequence[Node], data: Any = None) -> str:
        """The text, `data` being the dot. Raises TemplateError with the position of what failed."""
        scope = _Scope()
        scope.declare("", data)
        pieces: list[str] = []
        self._nodes(nodes, data, scope, pieces)
        return "".join(pieces)

    def _nodes(self, nodes: Sequence[Node], dot: Any, scope: _Scope, pieces: list[str]) -> None:
        for node in nodes:
            match node:
                case Text():
                    pieces.append(node.text)
                case Output():
                    value = self._value(node.pipeline, dot, scope)
                    if not node.pipeline.assign:
                        pieces.append(shown(value))
                case Block():
                    self._block(node, dot, _Scope(scope), pieces)

    def _block(self, block: Block, dot: Any, scope: _Scope, pieces: list[str]) -> None:
        if block.kind == "range":
            self._range(block, dot, scope, pieces)
            return
        value = self._value(block.pipeline, dot, scope)
        if not truth(value):
            self._nodes(block.other, dot, scope, pieces)
        else:
            self._nodes(block.body, value if block.kind == "with" else dot, scope, pieces)

    def _range(self, block: Block, dot: Any, scope: _Scope, pieces: list[str]) -> None:
        value = self._plain_value(block.pipeline, dot, scope)
        items = self._items(value, block.pipeline)
        for key, item in items:
            inner = _Scope(scope)
            names = block.pipeline.assign
            if len(names) == 2:
                inner.declare(names[0], key)
            if names:
                inner.declare(names[-1], item)
            self._nodes(block.body, item, inner, pieces)
        if not items:
            self._nodes(block.other, dot, scope, pieces)

    def _items(self, value: Any, pipeline: Pipeline) -> list[tuple[Any, Any]]:
        if value is None:
            return []
        if isinstance(value, Mapping):
            return sorted(value.items())
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return [(number, number) for number in range(value)]
        raise TemplateError(self._name, pipeline.at, f"range can't iterate over {shown(value)[:60]}")

    def _value(self, pipeline: Pipeline, dot: Any, scope: _Scope) -> Any:
        value = self._plain_value(pipeline, dot, scope)
        try:
            for name in pipeline.assign:
                scope.declare(name, value) if pipeline.declares else scope.assign(name, value)
        except FunctionFailed as error:
            raise TemplateError(self._name, pipeline.at, str(error)) from error
        return value

    def _plain_value(self, pipeline: Pipeline, dot: Any, scope: _Scope) -> Any:
        try:
            value = self._command(pipeline.commands[0], dot, scope, ())
            for command in pipeline.commands[1:]:
                value = self._command(command, dot, scope, (value,))
        except FunctionFailed as error:
            raise TemplateError(self._name, pipeline.at, str(error)) from error
        return value

    def _command(self, command: tuple[Operand, ...], dot: Any, scope: _Scope, piped: tuple[Any, ...]) -> Any:
        first, rest = command[0], command[1:]
        if isinstance(first, Function):
            return self._call(first.name, rest, dot, scope, piped)
        if rest or piped:
            raise FunctionFailed("can't give arguments to a value that is not a function")
        return self._operand(first, dot, scope)

    def _call(self, name: str, operands: Sequence[Operand], dot: Any, scope: _Scope, piped: tuple[Any, ...]) -> Any:
        if name in {"and", "or"}:
            return self._shortcut(name, operands, dot, scope, piped)
        function = self._functions.get(name)
        if function is None:
            raise FunctionFailed(f'function "{name}" is not supported')
        arguments = [*(self._operand(one, dot, scope) for one in operands), *piped]
        try:
            return function(*arguments)
        except FunctionFailed as error:
            raise FunctionFailed(f"{name}: {error}") from error
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise FunctionFailed(f"{name}: {error}") from error

    def _shortcut(self, name: str, operands: Sequence[Operand], dot: Any, scope: _Scope, piped: tuple[Any, ...]) -> Any:
        """`and` and `or` look no further than they must."""
        value: Any = None
        for operand in operands:
            value = self._operand(operand, dot, scope)
            if truth(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def _operand(self, operand: Operand, dot: Any, scope: _Scope) -> Any:
        match operand:
            case Literal():
                return operand.value
            case Dot():
                return fields(dot, operand.names)
            case Variable():
                return fields(scope.read(operand.name), operand.names)
            case Group():
                return fields(self._plain_value(operand.pipeline, dot, scope), operand.names)
            case Function():
                return self._call(operand.name, (), dot, scope, ())


def fields(value: Any, names: Sequence[str]) -> Any:
    """`value.A.B`. Raises FunctionFailed for a field that does not exist."""
    for name in names:
        if isinstance(value, Mapping):
            if name not in value:
                raise FunctionFailed(f'there is no field "{name}" in {shown(sorted(value))}')
            value = value[name]
        else:
            raise FunctionFailed(f'there is no field "{name}" in {shown(value)[:60] or "nothing"}')
    return value


def truth(value: Any) -> bool:
    """As Go's templates: false are false, 0, nil, and empty texts, lists and maps."""
    return bool(value)


def shown(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{shown(key)}:{shown(one)}" for key, one in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(shown(one) for one in value) + "]"
    return str(value)
