"""What templates can call. Those that look things up are made by `lookups`; the others are pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from kokiris.worker.client import CatalogEntry, TaskVariable
from kokiris.worker.templates.evaluation import FunctionFailed, shown, truth
from kokiris.worker.templates.variables import TaskVariables, VariableItems, metadata

_UNAVAILABLE = {
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


class Lookups:
    """What a rendering asked for; `missing` is not known yet, and the text therefore not to be used."""

    def __init__(
        self,
        env: Mapping[str, str],
        instances: Callable[[str], list[CatalogEntry] | None],
        *,
        variables: TaskVariables | None = None,
        missing_key_is_error: bool = False,
    ) -> None:
        self.services: set[str] = set()
        self.missing: set[str] = set()
        """What is awaited, in words: "service db"."""
        self.uses_variables = False
        self._variables = variables
        self._env = env
        self._instances = instances
        self._missing_key_is_error = missing_key_is_error

    def functions(self) -> dict[str, Callable[..., Any]]:
        """All of them, by name."""
        return {
            **PURE,
            **{name: _refusing(reason) for name, reason in _UNAVAILABLE.items()},
            "env": self._get_env,
            "mustEnv": self._must_env,
            "envOrDefault": lambda name, default: self._env.get(name) or default,
            "service": self._service,
            "nomadService": self._nomad_service,
            "nomadVar": self._nomad_var,
            "nomadVarExists": self._nomad_var_exists,
            "nomadVarList": lambda prefix="": self._nomad_var_list(prefix),
            "nomadVarListSafe": lambda prefix="": self._nomad_var_list(prefix),
        }

    def _get_env(self, name: str) -> str:
        if name not in self._env and self._missing_key_is_error:
            raise FunctionFailed(f'variable "{name}" is not set')
        return self._env.get(name, "")

    def _must_env(self, name: str) -> str:
        if name not in self._env:
            raise FunctionFailed(f'variable "{name}" is not set')
        return self._env[name]

    def _service(self, query: str, *filters: str) -> list[dict[str, Any]]:
        """`[tag.]name[@dc][|passing]`."""
        name, _, wanted = query.partition("|")
        for one in [wanted, *filters]:
            if one not in {"", "passing"}:
                raise FunctionFailed(f'filter "{one}" is not supported: only passing instances are given')
        name = name.partition("@")[0].partition("~")[0]
        tag, dot, plain = name.partition(".")
        entries = self._lookup(plain if dot else name)
        return [_fields(entry) for entry in entries if not dot or tag in entry.Tags]

    def _nomad_service(self, *arguments: Any) -> list[dict[str, Any]]:
        """`nomadService "name"`, or `nomadService <count> "<key>" "name"` for a steady choice."""
        if len(arguments) == 1:
            return [_fields(entry) for entry in self._lookup(str(arguments[0]))]
        count, key, name = arguments
        entries = self._lookup(str(name))
        ranked = sorted(entries, key=lambda entry: hashlib.sha256(f"{key}{entry.ID}".encode()).digest())
        return [_fields(entry) for entry in ranked[: int(count)]]

    def _lookup(self, name: str) -> Sequence[CatalogEntry]:
        self.services.add(name)
        found = self._instances(name)
        if found is None:
            self.missing.add(f"service {name}")
            return []
        return found

    def _known_variables(self) -> Mapping[str, TaskVariable] | None:
        self.uses_variables = True
        known = self._variables.known() if self._variables is not None else None
        if known is None:
            self.missing.add("variables")
        return known

    def _nomad_var(self, path: str) -> Mapping[str, Any]:
        """The items of a variable; awaited until it exists, as consul-template does."""
        path = str(path).partition("@")[0]
        known = self._known_variables()
        if known is None or self._variables is None:
            return _Anything()
        if path not in self._variables.readable:
            raise FunctionFailed(
                f'this task may not read variable "{path}": its own are nomad/jobs/<job>…, and kokiris/db/<name> '
                "of databases its meta names"
            )
        if path not in known:
            self.missing.add(f"variable {path}")
            return _Anything()
        return VariableItems(known[path])

    def _nomad_var_exists(self, path: str) -> bool:
        return str(path).partition("@")[0] in (self._known_variables() or {})

    def _nomad_var_list(self, prefix: str) -> list[dict[str, Any]]:
        known = self._known_variables() or {}
        wanted = str(prefix).partition("@")[0]
        return [metadata(known[path]) for path in sorted(known) if path.startswith(wanted)]


class _Anything(dict[str, str]):
    """Stands for a variable that is awaited: the text made with it is not used."""

    def __contains__(self, name: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return ""


def _fields(entry: CatalogEntry) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.structs.asdict(entry)
    return {**found, "ServiceMeta": entry.Meta, "Status": "passing"}


def _refusing(reason: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise FunctionFailed(reason)

    return refuse


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
