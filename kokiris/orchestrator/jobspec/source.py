"""Source text with places: from an offset to line and column, and an error shown under the line it is about."""

from __future__ import annotations

from bisect import bisect_right

from kokiris.kernel.errors import JobFileError

MAX_SOURCE_BYTES = 1024 * 1024
"""A longer job or variable file is refused before it is read."""

_SHOWN_COLUMNS = 160
"""Of a very long line, only this much around the place is shown."""


class Source:
    """One text and its name. Offsets count characters; lines and columns are 1-based, columns count characters."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._line_starts = [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def error(self, offset: int, message: str, *, next_step: str | None = None) -> JobFileError:
        """The error to raise for what stands at `offset`."""
        line, column = self.place(offset)
        return JobFileError(message, file=self.name, line=line, column=column, next_step=next_step)


class Embedded(Source):
    """A text inside another (a JSON string): everything in it has the place where the string stands."""

    def __init__(self, outer: Source, offset: int, text: str) -> None:
        super().__init__(outer.name, text)
        self._outer = outer
        self._offset = offset

    def place(self, _offset: int) -> tuple[int, int]:
        """(line, column) of the string in the file."""
        return self._outer.place(self._offset)


def open_source(name: str, text: str) -> Source:
    """The source of a text that may be read: bounded, without NUL and BOM. Raises JobFileError."""
    if len(text) > MAX_SOURCE_BYTES:
        limit = MAX_SOURCE_BYTES // (1024 * 1024)
        raise JobFileError(
            f"{name} has {len(text)} characters; a job file may have {limit} MiB",
            file=name,
            line=1,
            column=1,
            next_step="Keep large data out of the job file: in the image, or fetched at start.",
        )
    return Source(name, text.removeprefix("\ufeff").replace("\r\n", "\n"))


def render_error(source: str, error: JobFileError) -> str:
    """The error as a person wants to see it: place and message, the offending line with a caret, the next step.

    `source` is the text of the file that `error.file` names. Without a place only message and next step are shown.
    """
    if error.line <= 0:
        head = f"{error.file}: {error.message}" if error.file else error.message
        return f"{head}\n\n{error.next_step}"
    shown = [f"{error.file}:{error.line},{error.column}: {error.message}", ""]
    lines = source.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if error.line <= len(lines):
        line, column = _window(lines[error.line - 1], error.column)
        margin = str(error.line)
        caret = "".join("\t" if character == "\t" else " " for character in line[: column - 1])
        shown += [f"  {margin} | {line}", f"  {' ' * len(margin)} | {caret}^", ""]
    return "\n".join([*shown, error.next_step])


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around `column`, and the column in that part."""
    if len(line) <= _SHOWN_COLUMNS:
        return line, column
    start = max(0, min(column - _SHOWN_COLUMNS // 2, len(line) - _SHOWN_COLUMNS))
    return line[start : start + _SHOWN_COLUMNS], column - start
