"""HCL's tokens. Strings and heredocs are templates: the lexer keeps a stack of modes, so nesting costs no recursion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from kokiris.orchestrator.jobspec.source import Source


class Kind(StrEnum):
    """What a token is; the texts read well in "expected …" messages."""

    NAME = "a name"
    NUMBER = "a number"
    OPERATOR = "an operator"
    NEWLINE = "the end of the line"
    QUOTE_OPEN = "a string"
    QUOTE_CLOSE = "the closing quote"
    HEREDOC_OPEN = "a heredoc"
    HEREDOC_CLOSE = "the end of the heredoc"
    TEXT = "text"
    INTERPOLATION = "${"
    DIRECTIVE = "%{"
    TEMPLATE_CLOSE = "}"
    END = "the end of the file"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is the source's text, except for TEXT, where quoted escapes are decoded (`$${` and `%%{` in all TEXT)."""

    kind: Kind
    text: str
    start: int
    end: int


MAX_TOKENS = 200_000
"""Of one file: what bounds the time that reading it takes."""

_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SPACE = re.compile(r"[ \t\r]+")
_COMMENT = re.compile(r"(?:#|//)[^\n]*")
_OPERATOR = re.compile(r"\.\.\.|==|!=|<=|>=|&&|\|\||=>|[{}\[\]()=+\-*/%<>!?:.,]")
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w-]*)[ \t]*\n")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_QUOTED_TEXT = re.compile(r'[^"\\\n$%]+')
_HEREDOC_TEXT = re.compile(r"[^\n$%]+|\n")


@dataclass(slots=True)
class _Mode:
    """Where the lexer is: in code (`braces` counts those open), a quoted string, or a heredoc up to `marker`."""

    name: str
    start: int
    braces: int = 0
    marker: str = ""


def tokenize(source: Source, *, template: bool = False) -> list[Token]:
    """All tokens, the last one END. Raises JobFileError for what is no token and for strings that do not end.

    With `template` the whole source is the text of one string, as if it stood between heredoc markers.
    """
    lexer = _Lexer(source, template=template)
    return lexer.run()


class _Lexer:
    def __init__(self, source: Source, *, template: bool) -> None:
        self.source = source
        self.text = source.text
        self.at = 0
        self.tokens: list[Token] = []
        self.template = template
        self.modes = [_Mode("heredoc" if template else "code", 0)]
        if template:
            self._add(Kind.HEREDOC_OPEN, 0)

    def run(self) -> list[Token]:
        steps = {"code": self._code, "quote": self._quote, "heredoc": self._heredoc}
        while self.at < len(self.text):
            steps[self.modes[-1].name]()
        mode = self.modes[-1]
        if self.template and len(self.modes) == 1:
            self._add(Kind.HEREDOC_CLOSE, self.at)
        elif mode.name == "quote":
            raise self.source.error(mode.start, "Unterminated string: the closing quote is missing")
        elif mode.name == "heredoc":
            raise self._heredoc_open(mode)
        elif len(self.modes) > 1:
            raise self.source.error(mode.start, 'Unterminated template: the closing "}" is missing')
        self._add(Kind.NEWLINE, self.at)
        self._add(Kind.END, self.at)
        return self.tokens

    def _add(self, kind: Kind, end: int, text: str | None = None) -> None:
        if len(self.tokens) >= MAX_TOKENS:
            raise self.source.error(
                self.at,
                f"The file is too large: it has more than {MAX_TOKENS} words, marks and lines of text",
                next_step="Split the job, or keep large data in the image or in a file fetched at start.",
            )
        self.tokens.append(Token(kind, self.text[self.at : end] if text is None else text, self.at, end))
        self.at = end

    def _code(self) -> None:
        character = self.text[self.at]
        if match := _SPACE.match(self.text, self.at) or _COMMENT.match(self.text, self.at):
            self.at = match.end()
        elif character == "\n":
            self._add(Kind.NEWLINE, self.at + 1)
        elif self.text.startswith("/*", self.at):
            self._long_comment()
        elif match := _NAME.match(self.text, self.at):
            self._add(Kind.NAME, match.end())
        elif match := _NUMBER.match(self.text, self.at):
            self._add(Kind.NUMBER, match.end())
        elif self.text.startswith("~}", self.at) and len(self.modes) > 1 and self.modes[-1].braces == 0:
            self.modes.pop()
            self._add(Kind.TEMPLATE_CLOSE, self.at + 2)
        elif character == '"':
            self.modes.append(_Mode("quote", self.at))
            self._add(Kind.QUOTE_OPEN, self.at + 1)
        elif self.text.startswith("<<", self.at):
            self._open_heredoc()
        elif match := _OPERATOR.match(self.text, self.at):
            self._operator(match[0], match.end())
        else:
            raise self._no_token(character)

    def _no_token(self, character: str) -> Exception:
        if character in "'`“”‘’":
            return self.source.error(self.at, f'Invalid character {character}: strings are written in " quotes')
        if character == ";":
            return self.source.error(self.at, 'Invalid character ";": write one attribute or block per line')
        return self.source.error(self.at, f"Invalid character {character!r}")

    def _long_comment(self) -> None:
        end = self.text.find("*/", self.at)
        if end < 0:
            raise self.source.error(self.at, "Unterminated comment: the closing */ is missing")
        self.at = end + 2

    def _operator(self, text: str, end: int) -> None:
        mode = self.modes[-1]
        if text == "{":
            mode.braces += 1
        elif text == "}":
            if mode.braces == 0 and len(self.modes) > 1:
                self.modes.pop()
                self._add(Kind.TEMPLATE_CLOSE, end)
                return
            mode.braces = max(0, mode.braces - 1)
        self._add(Kind.OPERATOR, end)

    def _open_heredoc(self) -> None:
        match = _HEREDOC.match(self.text, self.at)
        if match is None:
            raise self.source.error(
                self.at, "Invalid heredoc: << must be followed by a word and the end of the line, as in <<EOF"
            )
        self.modes.append(_Mode("heredoc", self.at, marker=match[2]))
        self._add(Kind.HEREDOC_OPEN, match.end(), "-" if match[1] else "")
        self._close_heredoc_at_line_start()

    def _close_heredoc_at_line_start(self) -> bool:
        """Closes the heredoc when the line that starts here is its marker."""
        mode = self.modes[-1]
        if not mode.marker:
            return False
        end = self.text.find("\n", self.at)
        line_end = len(self.text) if end < 0 else end
        if self.text[self.at : line_end].strip() != mode.marker:
            return False
        self.modes.pop()
        self._add(Kind.HEREDOC_CLOSE, line_end)
        return True

    def _heredoc_open(self, mode: _Mode) -> Exception:
        return self.source.error(
            mode.start, f'Unterminated heredoc: no line holds just "{mode.marker}" after this place'
        )

    def _quote(self) -> None:
        character = self.text[self.at]
        if character == '"':
            self.modes.pop()
            self._add(Kind.QUOTE_CLOSE, self.at + 1)
        elif character == "\n":
            raise self.source.error(
                self.modes[-1].start,
                "Unterminated string: the closing quote is missing on this line",
                next_step='Close the string, or use a heredoc (<<EOF … EOF) or "\\n" for several lines.',
            )
        elif character == "\\":
            self._escape()
        elif not self._template_marker():
            match = _QUOTED_TEXT.match(self.text, self.at)
            self._add(Kind.TEXT, match.end() if match else self.at + 1)

    def _heredoc(self) -> None:
        if self._template_marker():
            return
        match = _HEREDOC_TEXT.match(self.text, self.at)
        end = match.end() if match else self.at + 1
        self._add(Kind.TEXT, end)
        if self.text[end - 1] == "\n":
            self._close_heredoc_at_line_start()

    def _template_marker(self) -> bool:
        """Takes `${`, `%{` and their escapes `$${`, `%%{`."""
        three = self.text[self.at : self.at + 3]
        if three in {"$${", "%%{"}:
            self._add(Kind.TEXT, self.at + 3, three[1:])
            return True
        if three[:2] not in {"${", "%{"}:
            return False
        kind = Kind.INTERPOLATION if three[0] == "$" else Kind.DIRECTIVE
        self.modes.append(_Mode("code", self.at))
        strip = three.endswith("~")
        self._add(kind, self.at + (3 if strip else 2), "~" if strip else "")
        return True

    def _escape(self) -> None:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _ESCAPES:
            self._add(Kind.TEXT, self.at + 2, _ESCAPES[letter])
            return
        digits = {"u": 4, "U": 8}.get(letter, 0)
        code = self.text[self.at + 2 : self.at + 2 + digits]
        if digits and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", code) and _is_character(int(code, 16)):
            self._add(Kind.TEXT, self.at + 2 + digits, chr(int(code, 16)))
            return
        raise self.source.error(
            self.at,
            f'Invalid escape "\\{letter}" in a string',
            next_step='Valid escapes are \\n \\r \\t \\" \\\\ \\uNNNN and \\UNNNNNNNN; write \\\\ for a backslash.',
        )


def _is_character(code: int) -> bool:
    return code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
