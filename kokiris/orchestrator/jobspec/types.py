"""Type constraints of variables, and of convert(): string, number, bool, any, list, set, map, object, tuple."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.jobspec.syntax import Access, Call, Expression, Literal, Object, Reference, Tuple
from kokiris.orchestrator.jobspec.values import (
    Value,
    ValueProblem,
    set_of,
    to_bool,
    to_items,
    to_map,
    to_number,
    to_string,
)

_PRIMITIVES: dict[str, Callable[[Value], Value]] = {"string": to_string, "number": to_number, "bool": to_bool}
_COLLECTIONS = ("list", "set", "map")


@dataclass(frozen=True, slots=True)
class TypeOf:
    """A type: `name` and, for collections, what is inside."""

    name: str
    item: TypeOf | None = None
    attributes: tuple[tuple[str, TypeOf, bool], ...] = ()
    """Of an object: (name, type, optional)."""
    items: tuple[TypeOf, ...] = ()

    @property
    def literal(self) -> bool:
        """Whether a value from outside is taken as it is, without being read as an expression."""
        return self.name in {"string", "number"}


ANY = TypeOf("any")


def parse_type(node: Expression) -> TypeOf:
    """The type an expression names. Raises JobFileError."""
    if isinstance(node, Access) and not node.steps:
        return parse_type(node.base)
    if isinstance(node, Literal) and isinstance(node.value, str):
        return _named(node, node.value)
    if isinstance(node, Reference) and not node.steps:
        return _named(node, node.root)
    if isinstance(node, Call) and len(node.arguments) == 1:
        (argument,) = node.arguments
        if node.name in _COLLECTIONS:
            return TypeOf(node.name, item=parse_type(argument))
        if node.name == "object" and isinstance(argument, Object):
            return TypeOf("object", attributes=tuple(_attribute(key, kind) for key, kind in argument.items))
        if node.name == "tuple" and isinstance(argument, Tuple):
            return TypeOf("tuple", items=tuple(parse_type(item) for item in argument.items))
    raise node.source.error(
        node.start,
        f"Invalid type {node.source.text[node.start : node.end][:60]}",
        next_step="Types are string, number, bool, any, list(…), set(…), map(…), object({…}) and tuple([…]).",
    )


def _named(node: Expression, name: str) -> TypeOf:
    if name in _PRIMITIVES or name == "any":
        return TypeOf(name)
    if name in _COLLECTIONS:
        return TypeOf(name, item=ANY)
    known = [*_PRIMITIVES, "any", *_COLLECTIONS, "object", "tuple"]
    raise node.source.error(node.start, f'There is no type "{name}"{did_you_mean(name, known)}')


def _attribute(key: Expression, kind: Expression) -> tuple[str, TypeOf, bool]:
    if not isinstance(key, Literal) or not isinstance(key.value, str):
        raise key.source.error(key.start, "An attribute of an object type is a plain name")
    if isinstance(kind, Call) and kind.name == "optional" and kind.arguments:
        return key.value, parse_type(kind.arguments[0]), True
    return key.value, parse_type(kind), False


def convert_value(value: Value, wanted: TypeOf) -> Value:
    """`value` as `wanted`. null stays null. Raises ValueProblem naming the part that does not fit."""
    if value is None or wanted.name == "any":
        return value
    if wanted.name in _PRIMITIVES:
        return _PRIMITIVES[wanted.name](value)
    if wanted.name == "object":
        return _convert_object(value, wanted)
    if wanted.name == "tuple":
        items = to_items(value)
        if len(items) != len(wanted.items):
            raise ValueProblem(f"{len(wanted.items)} items are needed, found {len(items)}")
        return tuple(convert_value(item, kind) for item, kind in zip(items, wanted.items, strict=True))
    inner = wanted.item or ANY
    if wanted.name == "map":
        return {key: _inside(f'"{key}"', item, inner) for key, item in to_map(value).items()}
    converted = tuple(_inside(f"item {i}", item, inner) for i, item in enumerate(to_items(value)))
    return set_of(converted) if wanted.name == "set" else converted


def _convert_object(value: Value, wanted: TypeOf) -> Value:
    given = to_map(value)
    result: dict[str, Value] = {}
    for name, kind, optional in wanted.attributes:
        if name not in given and not optional:
            raise ValueProblem(f'attribute "{name}" is required')
        result[name] = _inside(f'"{name}"', given.get(name), kind)
    return result


def _inside(where: str, value: Value, wanted: TypeOf) -> Value:
    try:
        return convert_value(value, wanted)
    except ValueProblem as problem:
        raise ValueProblem(f"{where}: {problem}") from None
