"""The functions of templates that look things up; the others are in `kokiris.kernel.templates.functions`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from kokiris.kernel.templates.evaluation import FunctionFailed
from kokiris.kernel.templates.functions import PURE, UNAVAILABLE
from kokiris.worker.client import CatalogEntry, TaskVariable
from kokiris.worker.templates.variables import TaskVariables, VariableItems, metadata


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
            **{name: _refusing(reason) for name, reason in UNAVAILABLE.items()},
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
