"""Parses HCL expressions. Recursion happens once per level of nesting, which `Cursor.enter` bounds."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from kokiris.orchestrator.jobspec.cursor import Cursor
from kokiris.orchestrator.jobspec.lexer import Kind, Token
from kokiris.orchestrator.jobspec.source import Source
from kokiris.orchestrator.jobspec.syntax import (
    Access,
    Attr,
    Call,
    Conditional,
    Expression,
    For,
    Index,
    Literal,
    Object,
    Operation,
    Reference,
    Splat,
    Step,
    Tuple,
    Unary,
)
from kokiris.orchestrator.jobspec.templates import parse_template

_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 4,
    ">": 4,
    "<=": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
_MAX_STEPS = 100
_CONSTANTS = {"true": True, "false": False, "null": None}


def parse_expression(cursor: Cursor) -> Expression:
    """The expression at the cursor. Raises JobFileError."""
    cursor.enter()
    try:
        condition = _operations(cursor)
        if not cursor.accept("?"):
            return condition
        then = parse_expression(cursor)
        cursor.expect(":", 'between the two results of "? :"')
        otherwise = parse_expression(cursor)
        return Conditional(
            source=cursor.source,
            start=condition.start,
            end=otherwise.end,
            condition=condition,
            then=then,
            otherwise=otherwise,
        )
    finally:
        cursor.leave()


def parse_whole_expression(source: Source) -> Expression:
    """The one expression a source consists of (a variable's value from outside)."""
    cursor = Cursor(source)
    cursor.newlines(False)
    expression = parse_expression(cursor)
    if cursor.peek().kind is not Kind.END:
        raise cursor.unexpected("the end of the value")
    return expression


def _operations(cursor: Cursor) -> Expression:
    """Operands and operators, folded by precedence without recursion."""
    operands = [_unary(cursor)]
    operators: list[str] = []
    while (token := cursor.peek()).kind is Kind.OPERATOR and token.text in _PRECEDENCE:
        _fold(cursor, operands, operators, _PRECEDENCE[token.text] + 1)
        operators.append(cursor.take().text)
        operands.append(_unary(cursor))
    _fold(cursor, operands, operators, 1)
    return operands[0]


def _fold(cursor: Cursor, operands: list[Expression], operators: list[str], precedence: int) -> None:
    """Combines what binds at least as tightly as `precedence`, each run of one precedence into one flat node."""
    while operators and _PRECEDENCE[operators[-1]] >= precedence:
        level = _PRECEDENCE[operators[-1]]
        count = 0
        while count < len(operators) and _PRECEDENCE[operators[-1 - count]] == level:
            count += 1
        first = operands[-1 - count]
        pairs = tuple(zip(operators[-count:], operands[-count:], strict=True))
        del operators[-count:], operands[-count - 1 :]
        operands.append(
            Operation(source=cursor.source, start=first.start, end=pairs[-1][1].end, first=first, rest=pairs)
        )


def _unary(cursor: Cursor) -> Expression:
    token = cursor.peek()
    if not cursor.at_operator("-", "!"):
        return _postfix(cursor, _primary(cursor))
    cursor.take()
    cursor.enter()
    try:
        operand = _unary(cursor)
    finally:
        cursor.leave()
    if token.text == "-" and isinstance(operand, Literal) and isinstance(operand.value, Decimal):
        return Literal(source=cursor.source, start=token.start, end=operand.end, value=-operand.value)
    return Unary(source=cursor.source, start=token.start, end=operand.end, operator=token.text, operand=operand)


def _primary(cursor: Cursor) -> Expression:
    token = cursor.peek()
    if token.kind is Kind.NUMBER:
        cursor.take()
        return Literal(source=cursor.source, start=token.start, end=token.end, value=_number(cursor, token))
    if token.kind in {Kind.QUOTE_OPEN, Kind.HEREDOC_OPEN}:
        return parse_template(cursor, parse_expression)
    if token.kind is Kind.NAME:
        return _named(cursor)
    if cursor.at_operator("("):
        return _parenthesised(cursor)
    if cursor.at_operator("["):
        return _tuple(cursor)
    if cursor.at_operator("{"):
        return _object(cursor)
    raise cursor.unexpected("a value")


def _number(cursor: Cursor, token: Token) -> Decimal:
    try:
        number = Decimal(token.text)
    except InvalidOperation:
        number = Decimal("Infinity")
    if not number.is_finite() or abs(number.adjusted()) > 300:
        raise cursor.source.error(token.start, f"Number {token.text[:40]} is out of range")
    return number


def _parenthesised(cursor: Cursor) -> Expression:
    opening = cursor.take()
    cursor.newlines(False)
    inner = parse_expression(cursor)
    cursor.peek()
    closing = cursor.expect(")", 'to close "("')
    cursor.newlines_as_before()
    # A tuple of one step-less access keeps the parentheses visible: (a.b) as an object key is a reference.
    return Access(source=cursor.source, start=opening.start, end=closing.end, base=inner, steps=())


def _named(cursor: Cursor) -> Expression:
    token = cursor.take()
    if cursor.at_operator("("):
        return _call(cursor, token)
    if token.text in _CONSTANTS:
        return Literal(source=cursor.source, start=token.start, end=token.end, value=_CONSTANTS[token.text])
    return Reference(source=cursor.source, start=token.start, end=token.end, root=token.text, steps=(), steps_end=())


def _call(cursor: Cursor, name: Token) -> Call:
    cursor.take()
    cursor.newlines(False)
    arguments: list[Expression] = []
    expand = False
    while not cursor.at_operator(")"):
        arguments.append(parse_expression(cursor))
        if cursor.accept("..."):
            expand = True
            break
        if not cursor.accept(","):
            break
    closing = cursor.expect(")", f"after the arguments of {name.text}")
    cursor.newlines_as_before()
    return Call(
        source=cursor.source,
        start=name.start,
        end=closing.end,
        name=name.text,
        arguments=tuple(arguments),
        expand=expand,
    )


def _postfix(cursor: Cursor, base: Expression) -> Expression:
    steps: list[Step] = []
    ends: list[int] = []
    while cursor.at_operator(".", "["):
        if len(steps) >= _MAX_STEPS:
            raise cursor.source.error(cursor.peek().start, f"A reference may have {_MAX_STEPS} steps")
        opening = cursor.take()
        steps += _dotted(cursor, opening) if opening.text == "." else [_bracketed(cursor, opening)]
        ends += [cursor.previous_end] * (len(steps) - len(ends))
    if not steps:
        return base
    return _reference(base, steps, ends, cursor)


def _reference(base: Expression, steps: list[Step], ends: list[int], cursor: Cursor) -> Expression:
    """Literal steps belong to the name itself; what follows the first computed one is an access into it."""
    literal: list[Attr | Index] = []
    if isinstance(base, Reference):
        for step in steps:
            if isinstance(step, Splat) or (isinstance(step, Index) and not isinstance(step.key, Literal)):
                break
            literal.append(step)
        if literal:
            base = Reference(
                source=cursor.source,
                start=base.start,
                end=ends[len(literal) - 1],
                root=base.root,
                steps=tuple(literal),
                steps_end=tuple(ends[: len(literal)]),
            )
    rest = tuple(steps[len(literal) :])
    if not rest:
        return base
    return Access(source=cursor.source, start=base.start, end=ends[-1], base=base, steps=rest)


def _dotted(cursor: Cursor, dot: Token) -> list[Step]:
    token = cursor.peek()
    if token.kind is Kind.NAME:
        cursor.take()
        return [Attr(name=token.text, start=dot.start)]
    if cursor.accept("*"):
        return [Splat(full=False, start=dot.start)]
    if token.kind is Kind.NUMBER and "e" not in token.text.lower():
        cursor.take()
        return [
            Index(
                key=Literal(source=cursor.source, start=token.start, end=token.end, value=Decimal(digits)),
                start=dot.start,
            )
            for digits in token.text.split(".")
        ]
    raise cursor.unexpected('an attribute name after "."')


def _bracketed(cursor: Cursor, opening: Token) -> Step:
    cursor.newlines(False)
    if cursor.at_operator("*") and cursor.peek_second().text == "]":
        cursor.take()
        step: Step = Splat(full=True, start=opening.start)
    else:
        step = Index(key=parse_expression(cursor), start=opening.start)
    cursor.expect("]", "to close the index")
    cursor.newlines_as_before()
    return step


def _tuple(cursor: Cursor) -> Expression:
    opening = cursor.take()
    cursor.newlines(False)
    if cursor.at_name("for"):
        return _for(cursor, opening, "]")
    items: list[Expression] = []
    while not cursor.at_operator("]"):
        items.append(parse_expression(cursor))
        if not cursor.accept(","):
            break
    closing = cursor.expect("]", 'or "," after an item of the list')
    cursor.newlines_as_before()
    return Tuple(source=cursor.source, start=opening.start, end=closing.end, items=tuple(items))


def _object(cursor: Cursor) -> Expression:
    opening = cursor.take()
    cursor.newlines(False)
    if cursor.at_name("for") and cursor.peek_second().text not in {"=", ":"}:
        return _for(cursor, opening, "}")
    cursor.newlines_as_before()
    cursor.newlines(True)
    items: list[tuple[Expression, Expression]] = []
    cursor.skip_newlines()
    while not cursor.at_operator("}"):
        key = _object_key(cursor)
        if not (cursor.accept("=") or cursor.accept(":")):
            raise cursor.unexpected('"=" after the key')
        cursor.skip_newlines()
        items.append((key, parse_expression(cursor)))
        separated = cursor.accept(",") or cursor.peek().kind is Kind.NEWLINE
        cursor.skip_newlines()
        if not separated and not cursor.at_operator("}"):
            raise cursor.unexpected("a comma or the end of the line after the value")
    closing = cursor.take()
    cursor.newlines_as_before()
    return Object(source=cursor.source, start=opening.start, end=closing.end, items=tuple(items))


def _object_key(cursor: Cursor) -> Expression:
    """A bare name is the key itself."""
    key = parse_expression(cursor)
    if not isinstance(key, Reference):
        return key
    if key.steps:
        raise cursor.source.error(
            key.start,
            f"Ambiguous key {cursor.source.text[key.start : key.end]}: a reference or a name with dots?",
            next_step="Quote it if it is a name, or put it in parentheses if it is a reference.",
        )
    return Literal(source=key.source, start=key.start, end=key.end, value=key.root)


def _for(cursor: Cursor, opening: Token, closing: str) -> For:
    cursor.take()
    key, value = "", cursor.expect_kind(Kind.NAME, "after for").text
    if cursor.accept(","):
        key, value = value, cursor.expect_kind(Kind.NAME, "after the comma").text
    if not cursor.at_name("in"):
        raise cursor.unexpected('"in" after the names of for')
    cursor.take()
    collection = parse_expression(cursor)
    cursor.expect(":", "after what for goes through")
    result = parse_expression(cursor)
    result_key: Expression | None = None
    if closing == "}":
        cursor.expect("=>", "between key and value")
        result_key, result = result, parse_expression(cursor)
    grouped = result_key is not None and cursor.accept("...")
    condition = None
    if cursor.at_name("if"):
        cursor.take()
        condition = parse_expression(cursor)
    end = cursor.expect(closing, "to close the for expression")
    cursor.newlines_as_before()
    return For(
        source=cursor.source,
        start=opening.start,
        end=end.end,
        key=key,
        value=value,
        collection=collection,
        result_key=result_key,
        result=result,
        grouped=grouped,
        condition=condition,
    )
