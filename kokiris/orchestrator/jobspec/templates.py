"""Quoted strings and heredocs: text, `${ … }`, `%{ if }`, `%{ for }`, with `~` trimming and `<<-` flushing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kokiris.orchestrator.jobspec.cursor import Cursor
from kokiris.orchestrator.jobspec.lexer import Kind, Token
from kokiris.orchestrator.jobspec.syntax import Expression, Literal, Reference, Template, TemplateFor, TemplateIf

ParseExpression = Callable[[Cursor], Expression]


@dataclass(slots=True)
class _Text:
    """Literal text; trimming and flushing change `text`."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class _Interpolation:
    """`${ … }`."""

    value: Expression


@dataclass(slots=True)
class _Directive:
    """`%{ … }`: if, else, endif, for, endfor."""

    word: str
    start: int
    key: str = ""
    value: str = ""
    operand: Expression | None = None


_Part = _Text | _Interpolation | _Directive


def parse_template(cursor: Cursor, expression: ParseExpression) -> Literal | Template:
    """The string or heredoc that starts at the cursor."""
    opening = cursor.take()
    closing = Kind.QUOTE_CLOSE if opening.kind is Kind.QUOTE_OPEN else Kind.HEREDOC_CLOSE
    parts = _read_parts(cursor, closing, expression)
    if opening.kind is Kind.HEREDOC_OPEN and opening.text == "-":
        _flush(parts)
    builder = _Builder(cursor, parts, opening.start)
    template = builder.template(())
    return _simplest(template)


def _simplest(template: Template) -> Literal | Template:
    """A template without interpolations is a plain string."""
    if not template.parts:
        return Literal(source=template.source, start=template.start, end=template.end, value="")
    first = template.parts[0]
    if len(template.parts) == 1 and isinstance(first, Literal) and not template.wraps and isinstance(first.value, str):
        return Literal(source=template.source, start=template.start, end=template.end, value=first.value)
    return template


def _read_parts(cursor: Cursor, closing: Kind, expression: ParseExpression) -> list[_Part]:
    """All parts up to the closing token; text is one part per line, `~` has been applied."""
    parts: list[_Part] = []
    trim_next = False
    while (token := cursor.take()).kind is not closing:
        if token.kind is Kind.TEXT:
            text = token.text.lstrip() if trim_next else token.text
            trim_next = trim_next and not text
            _add_text(parts, text, token)
            continue
        if token.text == "~":
            _trim_end(parts)
        part, trim_next = _read_sequence(cursor, token, expression)
        parts.append(part)
    return parts


def _add_text(parts: list[_Part], text: str, token: Token) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, _Text) and not last.text.endswith("\n"):
        last.text += text
        last.end = token.end
    else:
        parts.append(_Text(text, token.start, token.end))


def _trim_end(parts: list[_Part]) -> None:
    for part in reversed(parts):
        if not isinstance(part, _Text):
            return
        part.text = part.text.rstrip()
        if part.text:
            return


def _read_sequence(cursor: Cursor, opening: Token, expression: ParseExpression) -> tuple[_Part, bool]:
    """What stands between `${` or `%{` and its `}`, and whether the text after it is to be trimmed."""
    cursor.newlines(False)
    if opening.kind is Kind.DIRECTIVE:
        part: _Part = _read_directive(cursor, opening, expression)
    else:
        if cursor.peek().kind is Kind.TEMPLATE_CLOSE:
            raise cursor.source.error(opening.start, "Empty interpolation: ${} needs an expression")
        part = _Interpolation(expression(cursor))
    close = cursor.peek()
    if close.kind is not Kind.TEMPLATE_CLOSE:
        raise cursor.unexpected('"}" after the expression (write $${ for a literal ${)')
    cursor.newlines_as_before()
    cursor.take()
    if isinstance(part, _Interpolation) and isinstance(part.value, Reference) and not opening.text:
        part.value = _with_text(part.value, opening, close)
    return part, close.text == "~}"


def _with_text(reference: Reference, opening: Token, close: Token) -> Reference:
    """The reference with the text of its interpolation, to be kept when the name is not one of ours."""
    if close.text == "~}":
        return reference
    return Reference(
        source=reference.source,
        start=reference.start,
        end=reference.end,
        root=reference.root,
        steps=reference.steps,
        steps_end=reference.steps_end,
        interpolation=reference.source.text[opening.start : close.end],
    )


def _read_directive(cursor: Cursor, opening: Token, expression: ParseExpression) -> _Directive:
    token = cursor.peek()
    word = token.text if token.kind is Kind.NAME else ""
    if word not in {"if", "else", "endif", "for", "endfor"}:
        raise cursor.source.error(
            opening.start,
            "Invalid template directive: %{ must be followed by if, else, endif, for or endfor",
            next_step="Write %%{ for a literal %{.",
        )
    cursor.take()
    directive = _Directive(word, opening.start)
    if word == "if":
        directive.operand = expression(cursor)
    elif word == "for":
        directive.value = cursor.expect_kind(Kind.NAME, "after for").text
        if cursor.accept(","):
            directive.key = directive.value
            directive.value = cursor.expect_kind(Kind.NAME, "after the comma").text
        if not cursor.at_name("in"):
            raise cursor.unexpected('"in" after the names of for')
        cursor.take()
        directive.operand = expression(cursor)
    return directive


def _flush(parts: list[_Part]) -> None:
    """Removes the indentation that all lines share; empty lines do not count, a line that starts with `${` has none."""
    starts = [part for i, part in enumerate(parts) if _starts_line(parts, i)]
    counted: list[_Text] = []
    shared: int | None = None
    for part in starts:
        if isinstance(part, _Text):
            if not part.text.strip() and part.text.endswith("\n"):
                continue
            counted.append(part)
            indentation = len(part.text) - len(part.text.lstrip())
        else:
            indentation = 0
        shared = indentation if shared is None else min(shared, indentation)
    for text in counted:
        text.text = text.text[shared or 0 :]


def _starts_line(parts: list[_Part], index: int) -> bool:
    if index == 0:
        return True
    before = parts[index - 1]
    return isinstance(before, _Text) and before.text.endswith("\n")


class _Builder:
    """Turns the flat parts into nested templates."""

    def __init__(self, cursor: Cursor, parts: list[_Part], start: int) -> None:
        self._cursor = cursor
        self._parts = parts
        self._at = 0
        self._start = start

    def template(self, ends: tuple[str, ...]) -> Template:
        """Parts up to a directive named in `ends` (which is not taken), or all of them."""
        expressions: list[Expression] = []
        interpolations = 0
        while self._at < len(self._parts):
            part = self._parts[self._at]
            if isinstance(part, _Directive) and part.word in ends:
                break
            if isinstance(part, _Text):
                expressions += self._texts()
                continue
            self._at += 1
            if isinstance(part, _Interpolation):
                expressions.append(part.value)
                interpolations += 1
            else:
                expressions.append(self._block(part))
        return Template(
            source=self._cursor.source,
            start=self._start,
            end=self._cursor.previous_end,
            parts=tuple(expressions),
            wraps=interpolations == len(expressions) == 1 and not ends,
        )

    def _texts(self) -> list[Expression]:
        """All text up to the next other part, as one literal; nothing when it was trimmed away."""
        first = self._at
        while self._at < len(self._parts) and isinstance(self._parts[self._at], _Text):
            self._at += 1
        texts = [part for part in self._parts[first : self._at] if isinstance(part, _Text)]
        joined = "".join(part.text for part in texts)
        source = self._cursor.source
        return [Literal(source=source, start=texts[0].start, end=texts[-1].end, value=joined)] if joined else []

    def _block(self, opening: _Directive) -> TemplateIf | TemplateFor:
        if opening.word not in {"if", "for"} or opening.operand is None:
            raise self._cursor.source.error(
                opening.start, f"Unexpected %{{ {opening.word} }}: nothing is open that it could belong to"
            )
        self._cursor.enter()
        try:
            return self._if(opening, opening.operand) if opening.word == "if" else self._for(opening, opening.operand)
        finally:
            self._cursor.leave()

    def _if(self, opening: _Directive, condition: Expression) -> TemplateIf:
        then = self.template(("else", "endif"))
        otherwise = Template(source=then.source, start=then.end, end=then.end, parts=())
        if self._take(opening, "else", "endif").word == "else":
            otherwise = self.template(("endif",))
            self._take(opening, "endif")
        return TemplateIf(
            source=then.source,
            start=opening.start,
            end=then.end,
            condition=condition,
            then=then,
            otherwise=otherwise,
        )

    def _for(self, opening: _Directive, collection: Expression) -> TemplateFor:
        body = self.template(("endfor",))
        self._take(opening, "endfor")
        return TemplateFor(
            source=body.source,
            start=opening.start,
            end=body.end,
            key=opening.key,
            value=opening.value,
            collection=collection,
            body=body,
        )

    def _take(self, opening: _Directive, *words: str) -> _Directive:
        part = self._parts[self._at] if self._at < len(self._parts) else None
        if not isinstance(part, _Directive) or part.word not in words:
            raise self._cursor.source.error(
                opening.start, f"Unterminated %{{ {opening.word} }}: %{{ {words[-1]} }} is missing"
            )
        self._at += 1
        return part
