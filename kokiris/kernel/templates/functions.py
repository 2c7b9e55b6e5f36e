"""What templates can call: the pure functions, and the names of those that only a task's own rendering has."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from kokiris.kernel.templates.evaluation import FunctionFailed, shown, truth

UNAVAILABLE = {
    "key": "the key/value store is not available to templates in this version",
    "keyOrDefault": "the key/value store is not available to templates in this version",
    "keyExists": "the key/value store is not available to templates in this version",
    "ls": "the key/value store is not available to templates in this version",
    "tree": "the key/value store is not available to templates in this version",
    "secret": "there is no Vault",
    "secrets": "there is no Vault",
    "file": "files of the node are not available to templates",
    "plugin": "plugins are not available to templates",
}
"""Known to consul-template, refused here: name → why."""
LOOKUPS = frozenset(
    {
        "env", "mustEnv", "envOrDefault", "service", "nomadService", "nomadVar", "nomadVarExists", "nomadVarList",
        "nomadVarListSafe",
    }
)  # fmt: skip
"""Those that the worker makes for each rendering."""


def go_format(form: str, *values: Any) -> str:
    """Go's `Sprintf` for %s %d %v %q %f %x %t %%, with flags, width and precision."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if verb in "sv":
            return f"%{flags}{width}s" % (shown(value)[: int(precision[1:])] if precision else shown(value))
        if verb == "t":
            return shown(bool(value))
        if verb == "q":
            return f"%{flags}{width}s" % json.dumps(shown(value), ensure_ascii=False)
        number = float(value) if verb in "feg" else int(value)
        return f"%{flags}{width}{precision}{verb}" % number

    return re.sub(r"%([-+ 0#]*)(\d*)(\.\d+)?([sdvqfxXegt%])", lambda m: one(_defaulted(m)), form)


def _defaulted(match: re.Match[str]) -> Any:
    class _Match:
        def groups(self) -> tuple[str, str, str, str]:
            flags, width, precision, verb = match.groups()
            return flags, width, precision or "", verb

    return _Match()


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple | str):
            if not 0 <= int(key) < len(value):
                raise FunctionFailed(f"index {key} is out of range")
            value = value[int(key)]
        else:
            raise FunctionFailed(f"can't index {shown(value)[:40]}")
    return value


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


def _truncated_quotient(divisor: Any, value: Any) -> Any:
    """Piped style: `10 | divide 2` is 5; whole numbers stay whole."""
    if isinstance(divisor, int) and isinstance(value, int):
        return int(value / divisor)
    return value / divisor


PURE: dict[str, Callable[..., Any]] = {
    "print": lambda *values: "".join(map(shown, values)),
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "printf": go_format,
    "len": len,
    "index": _index,
    "not": lambda value: not truth(value),
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "toLower": lambda text: text.lower(),
    "toUpper": lambda text: text.upper(),
    "toTitle": lambda text: text.title(),
    "trim": lambda cut, text: text.strip(cut),
    "trimSpace": lambda text: text.strip(),
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "replaceAll": lambda old, new, text: text.replace(old, new),
    "regexReplaceAll": lambda pattern, new, text: re.sub(pattern, re.sub(r"\$\{?(\d+)\}?", r"\\\1", new), text),
    "regexMatch": lambda pattern, text: re.search(pattern, text) is not None,
    "split": lambda separator, text: text.split(separator),
    "join": lambda separator, values: separator.join(map(shown, values)),
    "contains": lambda wanted, values: wanted in values,
    "in": lambda values, wanted: wanted in values,
    "indent": lambda count, text: "\n".join(" " * count + line for line in text.split("\n")),
    "parseInt": int,
    "parseFloat": float,
    "parseBool": lambda text: text.lower() in {"1", "t", "true"},
    "parseJSON": json.loads,
    "toJSON": lambda value: json.dumps(value, separators=(",", ":")),
    "toJSONPretty": lambda value: json.dumps(value, indent=2),
    "base64Encode": lambda text: base64.b64encode(text.encode()).decode(),
    "base64Decode": _decoded,
    "sha256Hex": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "add": lambda addend, value: value + addend,
    "subtract": lambda subtrahend, value: value - subtrahend,
    "multiply": lambda factor, value: value * factor,
    "divide": _truncated_quotient,
    "modulo": lambda divisor, value: value % divisor,
    "minimum": min,
    "maximum": max,
    "loop": lambda first, *last: list(range(first, last[0])) if last else list(range(first)),
}
