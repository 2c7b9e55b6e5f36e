"""YAML, as far as job files use it: block and flow collections, all scalars, comments; no anchors, tags, documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kokiris.orchestrator.jobspec.values import ValueProblem, number_text, to_number

_MAX_DEPTH = 60
_KEY = re.compile(
    r"""(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#\[\]{},&*!|>'"%@`-][^#]*?|-[^\s#][^#]*?)\s*:(?=\s|$)"""
)
_NUMBER = re.compile(r"[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)")
_PLAIN_END = re.compile(r"\s+#|:(?=\s|$)")


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class YamlProblem(Exception):
    """What cannot be read, with its line."""


@dataclass(slots=True)
class _Line:
    number: int
    indent: int
    text: str


def load_yaml(text: str) -> Any:
    """The value: dict, list, str, Decimal, bool, None. Raises YamlProblem."""
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self.raw = text.split("\n")
        self.lines = [_line(i, raw) for i, raw in enumerate(self.raw, start=1)]
        self.at = 0
        self.depth = 0

    def document(self) -> Any:
        self._skip()
        if self.at < len(self.lines) and self.lines[self.at].text == "---":
            self.at += 1
            self._skip()
        if self.at >= len(self.lines):
            return None
        value = self._node(self.lines[self.at].indent)
        self._skip()
        if self.at < len(self.lines):
            raise self._problem("this line does not belong to what is above it")
        return value

    def _problem(self, what: str) -> YamlProblem:
        number = self.lines[min(self.at, len(self.lines) - 1)].number
        return YamlProblem(f"line {number}: {what}")

    def _skip(self) -> None:
        while self.at < len(self.lines) and (not self.lines[self.at].text or self.lines[self.at].text[0] == "#"):
            self.at += 1

    def _node(self, indent: int) -> Any:
        """The collection or scalar whose first line is the present one."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._problem("nested too deep")
        line = self.lines[self.at]
        if line.text == "-" or line.text.startswith("- "):
            value: Any = self._sequence(indent)
        elif _KEY.match(line.text):
            value = self._mapping(indent)
        else:
            self.at += 1
            value = self._inline(line.text, indent - 1)
        self.depth -= 1
        return value

    def _sequence(self, indent: int) -> list[Any]:
        items: list[Any] = []
        while self._more(indent) and (self.lines[self.at].text == "-" or self.lines[self.at].text.startswith("- ")):
            line = self.lines[self.at]
            rest = line.text[1:].lstrip()
            if rest and rest[0] != "#" and not self._is_block_scalar(rest):
                inner = indent + len(line.text) - len(rest)
                self.lines[self.at] = _Line(line.number, inner, rest)
                items.append(self._node(inner))
            else:
                self.at += 1
                items.append(self._after(rest, indent))
        return items

    def _mapping(self, indent: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while self._more(indent):
            line = self.lines[self.at]
            match = _KEY.match(line.text)
            if match is None:
                raise self._problem("expected key: value")
            key = _scalar(match["key"])
            name = key if isinstance(key, str) else match["key"]
            if name in mapping:
                raise self._problem(f'the key "{name}" stands twice')
            rest = line.text[match.end() :].lstrip()
            self.at += 1
            mapping[name] = self._after(rest, indent, in_mapping=True)
        return mapping

    def _more(self, indent: int) -> bool:
        self._skip()
        if self.at >= len(self.lines):
            return False
        line = self.lines[self.at]
        if line.indent > indent:
            raise self._problem("indented more than the lines above")
        return line.indent == indent

    def _is_block_scalar(self, rest: str) -> bool:
        return bool(re.match(r"[|>][-+0-9]*\s*(#.*)?$", rest))

    def _after(self, rest: str, indent: int, *, in_mapping: bool = False) -> Any:
        """The value after `key:` or `-`: on the line, below it, or nothing."""
        if rest and rest[0] != "#":
            return self._inline(rest, indent)
        self._skip()
        if self.at < len(self.lines):
            line = self.lines[self.at]
            sequence = line.text == "-" or line.text.startswith("- ")
            if line.indent > indent or (in_mapping and sequence and line.indent == indent):
                return self._node(line.indent)
        return None

    def _inline(self, text: str, indent: int) -> Any:
        if self._is_block_scalar(text):
            return self._block_scalar(text, indent)
        if text[0] in "&*!%@`":
            raise YamlProblem(f'line {self.lines[self.at - 1].number}: "{text[0]}" is not supported')
        if text[0] in "[{":
            return self._flow(text)
        if text[0] in "\"'":
            return self._quoted(text)
        parts = [_plain(text)]
        while "#" not in text and self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.text or line.indent <= indent or _KEY.match(line.text) or line.text[0] == "#":
                break
            parts.append(_plain(line.text))
            self.at += 1
        return _scalar(" ".join(parts))

    def _quoted(self, text: str) -> Any:
        match = re.match(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*(?:#.*)?$""", text)
        if match is None:
            raise YamlProblem(f"line {self.lines[self.at - 1].number}: the quote does not end on this line")
        return _scalar(match[1])

    def _block_scalar(self, head: str, indent: int) -> str:
        lines: list[str] = []
        base: int | None = None
        while self.at < len(self.lines):
            raw = self.raw[self.lines[self.at].number - 1]
            depth = len(raw) - len(raw.lstrip(" "))
            if raw.strip():
                if depth <= indent:
                    break
                base = depth if base is None else base
                if depth < base:
                    raise self._problem("indented less than the first line of the text")
            lines.append(raw[base or 0 :] if raw.strip() else "")
            self.at += 1
        keep, strip = "+" in head, "-" in head
        text = "\n".join(lines) + "\n" if lines else ""
        if head[0] == ">":
            text = re.sub(r"(?<=\S)\n(?=\S)", " ", text.rstrip("\n")) + "\n" * (len(text) - len(text.rstrip("\n")))
        if keep:
            return text
        stripped = text.rstrip("\n")
        return stripped if strip or not stripped else stripped + "\n"

    def _flow(self, text: str) -> Any:
        number = self.lines[self.at - 1].number
        while not _balanced(text) and self.at < len(self.lines):
            text += " " + self.lines[self.at].text
            self.at += 1
        flow = _Flow(text, number)
        value = flow.value(0)
        flow.end()
        return value


class _Flow:
    """[a, b] and {a: b}."""

    def __init__(self, text: str, number: int) -> None:
        self.text = text
        self.number = number
        self.at = 0

    def problem(self, what: str) -> YamlProblem:
        return YamlProblem(f"line {self.number}: {what}")

    def space(self) -> str:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def end(self) -> None:
        if self.space() not in {"", "#"}:
            raise self.problem("unexpected text after the collection")

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise self.problem("nested too deep")
        first = self.space()
        if first == "[":
            return self._items(depth)
        if first == "{":
            return self._pairs(depth)
        return _scalar(self._scalar_text())

    def _scalar_text(self) -> str:
        match = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^,\[\]{}:]|:(?!\s|$))*)""").match(
            self.text, self.at
        )
        if match is None:
            raise self.problem("expected a value")
        self.at = match.end()
        return match[1].strip()

    def _items(self, depth: int) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while self.space() != "]":
            items.append(self.value(depth + 1))
            self._comma("]")
        self.at += 1
        return items

    def _pairs(self, depth: int) -> dict[str, Any]:
        self.at += 1
        pairs: dict[str, Any] = {}
        while self.space() != "}":
            key = _scalar(self._scalar_text())
            if self.space() != ":":
                raise self.problem("expected key: value")
            self.at += 1
            pairs[str(key)] = self.value(depth + 1) if self.space() not in {",", "}"} else None
            self._comma("}")
        self.at += 1
        return pairs

    def _comma(self, closing: str) -> None:
        found = self.space()
        if found == ",":
            self.at += 1
        elif found != closing:
            raise self.problem(f'expected "," or "{closing}"')


def _line(number: int, raw: str) -> _Line:
    text = raw.strip()
    indent = len(raw) - len(raw.lstrip(" "))
    if raw[indent : indent + 1] == "\t" and text:
        raise YamlProblem(f"line {number}: indented with a tab")
    return _Line(number, indent, text)


def _balanced(text: str) -> bool:
    bare = re.sub(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')""", "", text)
    return bare.count("[") + bare.count("{") <= bare.count("]") + bare.count("}")


def _plain(text: str) -> str:
    match = _PLAIN_END.search(text)
    return (text[: match.start()] if match else text).strip()


def _scalar(text: str) -> Any:
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            raise YamlProblem(f"an escape in {text[:60]} is not supported") from None
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return _number(text)
    return text


def _number(text: str) -> Decimal:
    for prefix, base in (("0x", 16), ("0o", 8)):
        if text.lstrip("+-").startswith(prefix):
            return Decimal(int(text, base))
    try:
        return to_number(text)
    except ValueProblem as problem:
        raise YamlProblem(str(problem)) from None


def dump_yaml(value: Any) -> str:
    """Block style, keys sorted, strings in double quotes, collections that are empty in flow style."""
    return "\n".join(_dump(value)) + "\n"


def _dump(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines: list[str] = []
        for key in sorted(value):
            name = json.dumps(key, ensure_ascii=False)
            inner = _dump(value[key])
            if isinstance(value[key], (Mapping, tuple)) and value[key]:
                step = "" if isinstance(value[key], tuple) else "  "
                lines += [f"{name}:", *(step + line for line in inner)]
            else:
                lines.append(f"{name}: {inner[0]}")
        return lines
    if isinstance(value, tuple) and value:
        lines = []
        for item in value:
            first, *rest = _dump(item)
            lines += [f"- {first}", *("  " + line for line in rest)]
        return lines
    if isinstance(value, Decimal):
        return [number_text(value)]
    if isinstance(value, (Mapping, tuple)):
        return ["{}" if isinstance(value, Mapping) else "[]"]
    return [json.dumps(value, ensure_ascii=False)]
