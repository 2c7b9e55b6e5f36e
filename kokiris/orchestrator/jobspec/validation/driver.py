"""Driver configuration: keys, types, what is required, ports that exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kokiris.orchestrator.jobspec.dockerkeys import AUTH_KEYS, DOCKER_KEYS, RAW_EXEC_KEYS, Key
from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.task import Task

_KINDS: dict[str, tuple[tuple[type[Any], ...], str]] = {
    "text": ((str, int, float), "a string"),
    "number": ((int, str), "a number"),
    "boolean": ((bool, str), "true or false"),
    "texts": ((list,), "a list of strings"),
    "map": ((dict,), "a block or map"),
    "block": ((dict,), "a block"),
    "blocks": ((list,), "blocks"),
}
_TEXTS_OR_TEXT = frozenset({"entrypoint"})


def config_errors(group: TaskGroup, task: Task) -> list[str]:
    """What is wrong with a task's configuration for the drivers we have; others are refused elsewhere."""
    config = task.Config or {}
    if task.Driver == "docker":
        return [f"config: {error}" for error in _docker_errors(group, config)]
    if task.Driver == "raw_exec":
        errors = _key_errors(config, RAW_EXEC_KEYS)
        if not config.get("command"):
            errors.append('missing required argument "command"')
        return [f"config: {error}" for error in errors]
    return []


def _docker_errors(group: TaskGroup, config: Mapping[str, Any]) -> list[str]:
    errors = _key_errors(config, DOCKER_KEYS)
    image = config.get("image")
    if not image:
        errors.append('missing required argument "image"')
    elif isinstance(image, str) and (re.search(r"\s", image) or "://" in image):
        errors.append(f'image "{image}" is not an image reference')
    labels = {
        port.Label
        for network in group.Networks or []
        for port in [*(network.ReservedPorts or []), *(network.DynamicPorts or [])]
    }
    ports = config.get("ports")
    for port in ports if isinstance(ports, list) else []:
        if isinstance(port, str) and port not in labels:
            hint = did_you_mean(port, labels)
            errors.append(f'port "{port}" is not declared in the group\'s network block{hint}')
    auth = config.get("auth")
    for name in auth if isinstance(auth, dict) else {}:
        if name not in AUTH_KEYS:
            errors.append(f'unsupported argument "auth.{name}"{did_you_mean(name, AUTH_KEYS)}')
    return errors


def _key_errors(config: Mapping[str, Any], keys: Mapping[str, Key]) -> list[str]:
    errors: list[str] = []
    for name, value in config.items():
        key = keys.get(name)
        if key is None:
            errors.append(f'unsupported argument "{name}"{did_you_mean(name, keys)}')
        elif not _fits(name, value, key):
            errors.append(f'argument "{name}" must be {_KINDS[key.kind][1]}, found {_found(value)}')
    return errors


def _fits(name: str, value: Any, key: Key) -> bool:
    if value is None or (name in _TEXTS_OR_TEXT and isinstance(value, str)):
        return True
    types, _ = _KINDS[key.kind]
    if not isinstance(value, types) or (isinstance(value, bool) and key.kind == "number"):
        return False
    if key.kind == "texts":
        return all(isinstance(item, (str, int, float)) for item in value)
    if key.kind == "number" and isinstance(value, str):
        return bool(re.fullmatch(r"-?\d{1,18}", value)) or "${" in value
    if key.kind == "boolean" and isinstance(value, str):
        return value in {"true", "false"}
    return True


def _found(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a map"}
    return names.get(type(value), "null")
