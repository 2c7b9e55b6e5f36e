"""Several lines that are one entry: stack traces and indented continuations. A pure state machine, one per stream."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kokiris.logs.levels import detect_level

MAX_LINES = 500
MAX_CHARS = 128 * 1024
"""An entry that grows beyond is ended, and the next line begins another."""

_INDENTED = re.compile(r"[ \t]+\S")
_JAVA = re.compile(r"\s*(?:at [\w$.<>/]+[(\[]|Caused by:|Suppressed:|\.\.\. \d+ (?:more|common frames))")
_JAVA_HEAD = re.compile(r"(?:Exception in thread \"|(?:[a-z_]\w*\.)+[A-Z][\w$]*(?:Exception|Error|Throwable)\b)")
_PYTHON_HEAD = "Traceback (most recent call last):"
_PYTHON_LINKS = ("During handling of the above exception", "The above exception was the direct cause")
_PYTHON_LAST = re.compile(r"[A-Za-z_][\w.]*(?::|$)")
_GO_HEAD = re.compile(r"(?:panic: |fatal error: |goroutine \d+ \[|SIG[A-Z]+: )")
_GO_NEXT = re.compile(
    r"(?:goroutine \d+ \[|[\w./*()\-]+\(.*\)$|created by |\s|\[signal |exit status \d|main\.|runtime\.|$)"
)
_PHP = re.compile(r"(?:Stack trace:|#\d+ |  thrown in )")
_FAILURES = frozenset({"warn", "error", "fatal"})
_DATED = re.compile(r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d")


@dataclass(slots=True)
class Entry:
    """Lines of one entry; `start` is whatever the caller gave with its first line."""

    lines: list[str] = field(default_factory=list)
    start: int = 0
    chars: int = 0

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class EntryJoiner:
    """Lines in, entries out. The last entry stays open until the next line or `flush`: a trace may go on."""

    def __init__(self) -> None:
        self._open: Entry | None = None
        self._mode = ""

    def add(self, line: str, position: int) -> Entry | None:
        """Takes a line (without its end) that began at `position`; the entry that it has ended, if any."""
        entry = self._open
        if entry is not None and len(entry.lines) < MAX_LINES and entry.chars < MAX_CHARS and self._goes_on(line):
            entry.lines.append(line)
            entry.chars += len(line) + 1
            return None
        self._open = Entry([line], position, len(line))
        self._mode = _mode_of(line)
        return entry

    def flush(self) -> Entry | None:
        """The open entry, ended."""
        entry, self._open, self._mode = self._open, None, ""
        return entry

    @property
    def pending(self) -> Entry | None:
        """The open entry."""
        return self._open

    def _goes_on(self, line: str) -> bool:
        if self._mode == "json" or line.startswith("{"):
            return False
        if self._mode == "python":
            return self._python(line)
        if self._mode == "go":
            return not _DATED.match(line) and _GO_NEXT.match(line) is not None
        if line.startswith(_PYTHON_HEAD):
            self._mode = "python"
            return True
        if self._begins_trace(line):
            return True
        return _INDENTED.match(line) is not None or _JAVA.match(line) is not None or _PHP.match(line) is not None

    def _begins_trace(self, line: str) -> bool:
        """A trace below the one line in which a logger has told of the failure. Java's begins with the exception's
        name, which alone might be anything; Go's server tells of a panic with date and client."""
        head = self._open.lines[0] if self._open is not None and len(self._open.lines) == 1 else ""
        if line.startswith("goroutine ") and "panic" in head:
            self._mode = "go"
            return True
        return _JAVA_HEAD.match(line) is not None and detect_level(head) in _FAILURES

    def _python(self, line: str) -> bool:
        """Frames are indented, then comes one line with the exception; a blank line may lead to its cause."""
        if _INDENTED.match(line) or line.startswith((_PYTHON_HEAD, *_PYTHON_LINKS)):
            return True
        last = self._open.lines[-1] if self._open is not None else ""
        if not line.strip():
            return not last.strip() or not _INDENTED.match(last)
        if _INDENTED.match(last) and _PYTHON_LAST.match(line) and not _DATED.match(line):
            return True
        self._mode = ""
        return False


def _mode_of(line: str) -> str:
    if line.startswith("{"):
        return "json"
    if _PYTHON_HEAD in line:
        return "python"
    return "go" if _GO_HEAD.match(line) else ""


def is_trace(text: str) -> bool:
    """Whether an entry is a stack trace without a line of its own that says how grave it is."""
    return "\n" in text and (text.startswith(_PYTHON_HEAD) or _JAVA_HEAD.match(text) is not None)
