"""Parses bodies: attributes and blocks."""

from __future__ import annotations

from kokiris.orchestrator.jobspec.cursor import Cursor
from kokiris.orchestrator.jobspec.expressions import parse_expression
from kokiris.orchestrator.jobspec.lexer import Kind, Token
from kokiris.orchestrator.jobspec.source import Source
from kokiris.orchestrator.jobspec.syntax import Attribute, Block, Body, Label, Literal
from kokiris.orchestrator.jobspec.templates import parse_template


def parse_body(source: Source) -> Body:
    """The syntax tree of a whole file. Raises JobFileError at the first place that is not HCL."""
    cursor = Cursor(source)
    return _items(cursor, 0, closing=None)


def _items(cursor: Cursor, start: int, closing: str | None) -> Body:
    attributes: dict[str, Attribute] = {}
    blocks: list[Block] = []
    while True:
        cursor.skip_newlines()
        token = cursor.peek()
        if closing is None and token.kind is Kind.END:
            break
        if closing is not None and cursor.at_operator(closing):
            break
        item = _item(cursor)
        if isinstance(item, Block):
            blocks.append(item)
        else:
            _add_attribute(cursor, attributes, item)
        if cursor.peek().kind is not Kind.NEWLINE and not (closing and cursor.at_operator(closing)):
            raise _missing_newline(cursor, item)
    return Body(source=cursor.source, start=start, end=cursor.peek().start, attributes=attributes, blocks=tuple(blocks))


def _missing_newline(cursor: Cursor, item: Attribute | Block) -> Exception:
    after = f'the value of "{item.name}"' if isinstance(item, Attribute) else f'block "{item.type}"'
    return cursor.unexpected(f"the end of the line after {after}")


def _add_attribute(cursor: Cursor, attributes: dict[str, Attribute], item: Attribute) -> None:
    earlier = attributes.get(item.name)
    if earlier is not None:
        line, column = cursor.source.place(earlier.start)
        raise cursor.source.error(
            item.start, f'Attribute "{item.name}" is set twice; it was set at {cursor.source.name}:{line},{column}'
        )
    attributes[item.name] = item


def _item(cursor: Cursor) -> Attribute | Block:
    token = cursor.peek()
    if token.kind is Kind.QUOTE_OPEN:
        raise cursor.source.error(
            token.start,
            "Names of attributes and blocks are not quoted",
            next_step='Remove the quotes; for keys that are no names (with dots), write the map as "env = { … }".',
        )
    name = cursor.expect_kind(Kind.NAME, "of an attribute or block")
    if cursor.accept("="):
        value = parse_expression(cursor)
        return Attribute(source=cursor.source, start=name.start, end=value.end, name=name.text, value=value)
    if cursor.at_operator(":"):
        raise cursor.source.error(
            cursor.peek().start, f'Expected "=" after "{name.text}", found ":"', next_step="Write name = value."
        )
    return _block(cursor, name)


def _block(cursor: Cursor, name: Token) -> Block:
    labels: list[Label] = []
    while not cursor.at_operator("{"):
        labels.append(_label(cursor, name))
    opening = cursor.take()
    cursor.enter()
    body = _items(cursor, opening.start, closing="}")
    cursor.leave()
    closing = cursor.take()
    return Block(
        source=cursor.source,
        start=name.start,
        end=closing.end,
        type=name.text,
        labels=tuple(labels),
        body=body,
    )


def _label(cursor: Cursor, name: Token) -> Label:
    token = cursor.peek()
    if token.kind is Kind.NAME:
        cursor.take()
        return Label(text=token.text, start=token.start)
    if token.kind is not Kind.QUOTE_OPEN:
        raise cursor.unexpected(f'"=" or "{{" after "{name.text}"')
    value = parse_template(cursor, parse_expression)
    if not isinstance(value, Literal):
        raise cursor.source.error(
            token.start,
            f'The label of block "{name.text}" has an interpolation: labels are plain strings',
            next_step='Write the name itself, or make the block with dynamic "…" { labels = [ … ] }.',
        )
    return Label(text=str(value.value), start=token.start)
