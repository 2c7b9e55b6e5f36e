"""Decodes bodies by their `Spec` into raw JSON: evaluates, converts, expands dynamic blocks, names what is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kokiris.kernel.errors import BadInput, JobFileError
from kokiris.kernel.units import parse_duration_ns
from kokiris.orchestrator.jobspec.evaluate import Scope, evaluate
from kokiris.orchestrator.jobspec.schema import Field, Nested, Spec
from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.jobspec.syntax import Attribute, Block, Body, Expression, Label, Literal, Reference
from kokiris.orchestrator.jobspec.values import (
    Value,
    ValueProblem,
    pairs_of,
    plain,
    to_bool,
    to_integer,
    to_items,
    to_map,
    to_string,
    weigh,
)

_MAX_PARTS = 200_000


def _duration(value: Value) -> int:
    """Go's text ("1h30m"), or a number of nanoseconds."""
    if isinstance(value, str):
        try:
            return parse_duration_ns(value)
        except BadInput as error:
            raise ValueProblem(f"{error.message} ({error.next_step})") from None
    return to_integer(value)


def _any(value: Value) -> Any:
    weigh(value, _MAX_PARTS)
    return plain(value)


def _strings_by_name(value: Value) -> dict[str, str]:
    return {key: to_string(item) for key, item in to_map(value).items() if item is not None}


_CONVERT: dict[str, Callable[[Value], Any]] = {
    "str": to_string,
    "int": to_integer,
    "bool": to_bool,
    "duration": _duration,
    "strings": lambda value: [to_string(item) for item in to_items(value)],
    "ints": lambda value: [to_integer(item) for item in to_items(value)],
    "map": _strings_by_name,
    "any": _any,
}


@dataclass(frozen=True, slots=True)
class _Found:
    """A block as it stands in the file, or as a dynamic block made it."""

    type: str
    labels: tuple[Label, ...]
    body: Body
    scope: Scope
    block: Block


def decode_block(block: Block, spec: Spec, scope: Scope) -> dict[str, Any]:
    """The JSON of a block of the file. Raises JobFileError with the place of what does not fit."""
    return _decode(_Found(block.type, block.labels, block.body, scope, block), spec, "")


def _decode(found: _Found, spec: Spec, where: str) -> dict[str, Any]:
    here = _path(where, found)
    if spec.kind != "fields":
        return _decode_map(found, spec, here)
    decoded = _labels(found, spec, here)
    for attribute in found.body.attributes.values():
        _attribute(decoded, attribute, spec, found.scope, here)
    for inner in _expanded(found.body, found.scope, here):
        nested = spec.blocks.get(inner.type)
        if nested is None:
            raise _unknown_block(inner, spec, here)
        _nested(decoded, inner, nested, here)
    for name, field in spec.fields.items():
        if field.required and field.json not in decoded:
            raise found.block.source.error(found.block.start, f'Missing required argument "{name}" in {here}')
    return spec.finish(decoded) if spec.finish else decoded


def _path(where: str, found: _Found) -> str:
    own = " ".join([found.type, *(f'"{label.text}"' for label in found.labels)])
    return f"{where} {own}" if where and not where.startswith("job ") else own


def _labels(found: _Found, spec: Spec, here: str) -> dict[str, Any]:
    if len(found.labels) < len(spec.labels):
        raise found.block.source.error(
            found.block.start,
            f'Missing name for {found.type}: block "{found.type}" has {len(spec.labels)} label',
            next_step=f'Write {found.type} "name" {{ … }}.',
        )
    if len(found.labels) > len(spec.labels):
        extra = found.labels[len(spec.labels)]
        raise found.block.source.error(extra.start, f'Extraneous label "{extra.text}" for {here}')
    return {json: label.text for json, label in zip(spec.labels, found.labels, strict=True)}


def _attribute(decoded: dict[str, Any], attribute: Attribute, spec: Spec, scope: Scope, here: str) -> None:
    field = spec.fields.get(attribute.name)
    nested = spec.blocks.get(attribute.name)
    if field is None and nested is not None and nested.spec.kind == "strings":
        field = Field(nested.json, "map")
    if field is None:
        raise _unknown_attribute(attribute, spec, here)
    value = _converted(attribute.value, field.type, scope, f'"{attribute.name}" in {here}')
    if value is not None:
        decoded[field.json] = value


def _converted(node: Expression, kind: str, scope: Scope, what: str) -> Any:
    """None for null: as if it were not there."""
    value = evaluate(node, scope)
    if value is None:
        return None
    try:
        return _CONVERT[kind](value)
    except ValueProblem as problem:
        raise node.source.error(node.start, f"Invalid value for {what}: {problem}") from None


def _unknown_attribute(attribute: Attribute, spec: Spec, here: str) -> JobFileError:
    if attribute.name in spec.blocks:
        return attribute.source.error(
            attribute.start,
            f'Unsupported argument: "{attribute.name}" in {here} is a block',
            next_step=f"Write {attribute.name} {{ … }} without the equals sign.",
        )
    hint = did_you_mean(attribute.name, [*spec.fields, *spec.blocks])
    return attribute.source.error(
        attribute.start, f'Unsupported argument: "{attribute.name}" is not expected in {here}{hint}'
    )


def _unknown_block(found: _Found, spec: Spec, here: str) -> JobFileError:
    if found.type in spec.fields:
        return found.block.source.error(
            found.block.start,
            f'Unsupported block: "{found.type}" in {here} is an argument',
            next_step=f"Write {found.type} = ….",
        )
    hint = did_you_mean(found.type, [*spec.blocks, *spec.fields])
    return found.block.source.error(
        found.block.start, f'Unsupported block: blocks of type "{found.type}" are not expected in {here}{hint}'
    )


def _nested(decoded: dict[str, Any], found: _Found, nested: Nested, here: str) -> None:
    if nested.how == "one":
        if nested.json in decoded:
            raise found.block.source.error(
                found.block.start, f'Duplicate block: only one "{found.type}" may stand in {here}'
            )
        decoded[nested.json] = _decode(found, nested.spec, here)
        return
    value = _decode(found, nested.spec, here)
    if nested.how == "many":
        decoded.setdefault(nested.json, []).append(value)
        return
    name = value[nested.spec.labels[0]]
    named = decoded.setdefault(nested.json, {})
    if name in named:
        raise found.block.source.error(found.block.start, f'Duplicate block: {found.type} "{name}" in {here}')
    named[name] = value


def _decode_map(found: _Found, spec: Spec, here: str) -> dict[str, Any]:
    """Blocks whose names are the user's: env, meta, headers, driver configuration."""
    if spec.kind == "opaque":
        return _opaque(found.body, found.scope, here)
    if found.labels:
        raise found.block.source.error(found.labels[0].start, f'Extraneous label "{found.labels[0].text}" for {here}')
    for block in found.body.blocks:
        raise block.source.error(block.start, f'Unsupported block: {here} has no blocks, found "{block.type}"')
    kind = "str" if spec.kind == "strings" else "strings"
    decoded: dict[str, Any] = {}
    for attribute in found.body.attributes.values():
        value = _converted(attribute.value, kind, found.scope, f'"{attribute.name}" in {here}')
        if value is not None:
            decoded[attribute.name] = value
    return decoded


def _opaque(body: Body, scope: Scope, here: str) -> dict[str, Any]:
    """Driver configuration: blocks become lists of objects, labels become keys."""
    decoded: dict[str, Any] = {}
    for attribute in body.attributes.values():
        value = _converted(attribute.value, "any", scope, f'"{attribute.name}" in {here}')
        if value is not None:
            decoded[attribute.name] = value
    for found in _expanded(body, scope, here):
        if found.type in body.attributes:
            raise found.block.source.error(
                found.block.start, f'"{found.type}" in {here} is set both as an argument and as a block'
            )
        value = _opaque(found.body, found.scope, _path(here, found))
        for label in reversed(found.labels):
            value = {label.text: [value]}
        decoded.setdefault(found.type, []).append(value)
    return decoded


def _expanded(body: Body, scope: Scope, here: str) -> Iterator[_Found]:
    """The blocks of a body, dynamic ones replaced by what they make."""
    for block in body.blocks:
        if block.type == "dynamic":
            yield from _dynamic(block, scope, here)
        else:
            yield _Found(block.type, block.labels, block.body, scope, block)


def _dynamic(block: Block, scope: Scope, here: str) -> Iterator[_Found]:
    if len(block.labels) != 1:
        raise block.source.error(block.start, f'A dynamic block in {here} has one label: dynamic "port" {{ … }}')
    made = block.labels[0].text
    content = [inner for inner in block.body.blocks if inner.type == "content"]
    if len(content) != 1 or len(block.body.blocks) != 1:
        raise block.source.error(block.start, f'dynamic "{made}" in {here} needs exactly one block, "content"')
    attributes = block.body.attributes
    for attribute in attributes.values():
        if attribute.name not in {"for_each", "iterator", "labels"}:
            hint = did_you_mean(attribute.name, ("for_each", "iterator", "labels"))
            raise attribute.source.error(
                attribute.start, f'Unsupported argument: "{attribute.name}" is not expected in dynamic "{made}"{hint}'
            )
    if "for_each" not in attributes:
        raise block.source.error(block.start, f'dynamic "{made}" in {here} needs "for_each"')
    name = _iterator(attributes.get("iterator"), made)
    collection = attributes["for_each"].value
    for key, value in _pairs(collection, scope):
        inner = scope.with_names({name: {"key": key, "value": value}})
        yield _Found(made, _made_labels(attributes.get("labels"), inner), content[0].body, inner, block)


def _pairs(collection: Expression, scope: Scope) -> list[tuple[Value, Value]]:
    try:
        return pairs_of(evaluate(collection, scope))
    except ValueProblem as problem:
        raise collection.source.error(collection.start, f"Invalid for_each: {problem}") from None


def _iterator(attribute: Attribute | None, made: str) -> str:
    if attribute is None:
        return made
    if isinstance(attribute.value, Reference) and not attribute.value.steps:
        return attribute.value.root
    if isinstance(attribute.value, Literal) and isinstance(attribute.value.value, str):
        return attribute.value.value
    raise attribute.source.error(attribute.value.start, "Invalid iterator: a plain name is needed")


def _made_labels(attribute: Attribute | None, scope: Scope) -> tuple[Label, ...]:
    if attribute is None:
        return ()
    texts = _converted(attribute.value, "strings", scope, '"labels" of a dynamic block')
    return tuple(Label(text=text, start=attribute.value.start) for text in texts or ())
