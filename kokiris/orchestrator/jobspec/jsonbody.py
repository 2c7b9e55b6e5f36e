"""HCL's JSON syntax: objects become bodies, by what the blocks of the job language are."""

from __future__ import annotations

from collections.abc import Iterator

from kokiris.orchestrator.jobspec.blocks import JOB
from kokiris.orchestrator.jobspec.expressions import parse_whole_expression
from kokiris.orchestrator.jobspec.schema import OPAQUE, Nested, Spec, fields, many
from kokiris.orchestrator.jobspec.source import Embedded
from kokiris.orchestrator.jobspec.syntax import (
    Attribute,
    Block,
    Body,
    Expression,
    Label,
    Literal,
    Object,
    Tuple,
)

_VARIABLE = Spec(
    labels=("name",),
    fields=fields("type type any\ndefault default any\ndescription description str"),
    blocks={"validation": many("v", Spec(fields=fields("condition condition any\nerror_message error_message str")))},
)
_TOP = Spec(
    blocks={
        "job": many("job", JOB),
        "variable": many("variable", _VARIABLE),
        "variables": many("variables", OPAQUE),
        "locals": many("locals", OPAQUE),
    }
)
_EXPRESSIONS = frozenset({"type", "condition"})
"""Attributes of variables that are written as strings and read as expressions."""


def body_of(document: Expression) -> Body:
    """The body of a whole file. Raises JobFileError where an object is needed and something else stands."""
    return _body(document, _TOP)


def _items(node: Expression) -> list[tuple[Literal, Expression]]:
    if not isinstance(node, Object):
        raise node.source.error(node.start, "An object is needed here")
    return [(key, value) for key, value in node.items if isinstance(key, Literal) and key.value != "//"]


def _body(node: Expression, spec: Spec) -> Body:
    attributes: dict[str, Attribute] = {}
    blocks: list[Block] = []
    for key, value in _items(node):
        name = str(key.value)
        nested = spec.blocks.get(name) if spec.kind == "fields" else None
        if name == "dynamic" and spec.kind == "fields":
            blocks += _dynamic(key, value, spec)
        elif nested is None or (nested.spec.kind == "strings" and isinstance(value, Object)):
            written = name in _EXPRESSIONS and (spec is _VARIABLE or "condition" in spec.fields)
            attributes[name] = Attribute(
                source=key.source,
                start=key.start,
                end=value.end,
                name=name,
                value=_expression(value) if written else value,
            )
        else:
            blocks += _blocks(key, value, nested)
    return Body(source=node.source, start=node.start, end=node.end, attributes=attributes, blocks=tuple(blocks))


def _expression(value: Expression) -> Expression:
    """A string that holds an expression: a type, a condition."""
    if isinstance(value, Literal) and isinstance(value.value, str):
        return parse_whole_expression(Embedded(value.source, value.start, value.value))
    return value


def _each(value: Expression) -> Iterator[Expression]:
    """One object, or a list of them."""
    if isinstance(value, Tuple):
        for item in value.items:
            yield from _each(item)
    else:
        yield value


def _blocks(key: Literal, value: Expression, nested: Nested) -> Iterator[Block]:
    for labels, content in _labelled(value, len(nested.spec.labels), ()):
        yield Block(
            source=key.source,
            start=key.start,
            end=content.end,
            type=str(key.value),
            labels=labels,
            body=_body(content, nested.spec),
        )


def _labelled(
    value: Expression, count: int, labels: tuple[Label, ...]
) -> Iterator[tuple[tuple[Label, ...], Expression]]:
    """Labels are the keys of as many nested objects."""
    for item in _each(value):
        if count == len(labels):
            yield labels, item
            continue
        for key, inner in _items(item):
            yield from _labelled(inner, count, (*labels, Label(text=str(key.value), start=key.start)))


def _dynamic(key: Literal, value: Expression, spec: Spec) -> Iterator[Block]:
    for labels, content in _labelled(value, 1, ()):
        nested = spec.blocks.get(labels[0].text)
        made = Spec(
            fields=fields("for_each for_each any\niterator iterator str\nlabels labels strings"),
            blocks={"content": Nested("content", nested.spec if nested else Spec(), "one")},
        )
        body = _body_unlabelled(content, made)
        yield Block(source=key.source, start=key.start, end=content.end, type="dynamic", labels=labels, body=body)


def _body_unlabelled(node: Expression, spec: Spec) -> Body:
    """`content` has no labels of its own: `labels` gives them."""
    content = spec.blocks["content"].spec
    bare = Spec(kind=content.kind, fields=content.fields, blocks=content.blocks)
    return _body(node, Spec(fields=spec.fields, blocks={"content": Nested("content", bare, "one")}))
