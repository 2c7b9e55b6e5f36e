"""A place in a list of tokens, with what all parts of the parser share: newlines, depth, "expected …" errors."""

from __future__ import annotations

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.lexer import Kind, Token, tokenize
from kokiris.orchestrator.jobspec.source import Source

MAX_DEPTH = 50
"""Blocks or expressions in each other. Deeper is refused: the parser and the evaluator recurse once per level."""


class Cursor:
    """Reads tokens one after the other."""

    def __init__(self, source: Source, *, template: bool = False) -> None:
        self.source = source
        self._tokens = tokenize(source, template=template)
        self._at = 0
        self._depth = 0
        self._newlines_count = [True]

    def peek(self) -> Token:
        """The next token. Newlines are tokens only where they end something."""
        if not self._newlines_count[-1]:
            while self._tokens[self._at].kind is Kind.NEWLINE:
                self._at += 1
        return self._tokens[self._at]

    def peek_second(self) -> Token:
        """The token after the next one, newlines included."""
        self.peek()
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token, and goes past it; END stays."""
        token = self.peek()
        if token.kind is not Kind.END:
            self._at += 1
        return token

    @property
    def previous_end(self) -> int:
        """Where the last token taken ends."""
        return self._tokens[self._at - 1].end if self._at else 0

    def at_operator(self, *texts: str) -> bool:
        """Whether the next token is one of these operators."""
        token = self.peek()
        return token.kind is Kind.OPERATOR and token.text in texts

    def at_name(self, text: str) -> bool:
        """Whether the next token is this name."""
        token = self.peek()
        return token.kind is Kind.NAME and token.text == text

    def accept(self, text: str) -> bool:
        """Goes past this operator if it is next."""
        if self.at_operator(text):
            self.take()
            return True
        return False

    def expect(self, text: str, why: str) -> Token:
        """This operator, or an error: 'expected "=" after the name, found …'."""
        if not self.at_operator(text):
            raise self.unexpected(f'"{text}" {why}')
        return self.take()

    def expect_kind(self, kind: Kind, why: str) -> Token:
        """A token of this kind, or an error."""
        if self.peek().kind is not kind:
            raise self.unexpected(f"{kind.value} {why}")
        return self.take()

    def skip_newlines(self) -> None:
        """Goes past empty lines."""
        while self._tokens[self._at].kind is Kind.NEWLINE:
            self._at += 1

    def newlines(self, count: bool) -> None:
        """From here to `newlines_as_before`, newlines are tokens (`count`) or nothing."""
        self._newlines_count.append(count)

    def newlines_as_before(self) -> None:
        """Ends what `newlines` began."""
        self._newlines_count.pop()

    def enter(self) -> None:
        """One level deeper; an error when that is too deep."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.source.error(
                self.peek().start, f"Nested too deep: blocks and expressions may nest {MAX_DEPTH} levels"
            )

    def leave(self) -> None:
        """One level back."""
        self._depth -= 1

    def unexpected(self, expected: str) -> JobFileError:
        """The error for a token that cannot stand here."""
        token = self.peek()
        found = f'"{token.text}"' if token.kind in {Kind.NAME, Kind.NUMBER, Kind.OPERATOR} else token.kind.value
        return self.source.error(token.start, f"Expected {expected}, found {found}")
