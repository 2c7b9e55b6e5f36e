"""One shape for driver configuration: HCL blocks arrive as lists of objects, JSON jobs may use plain objects."""

from __future__ import annotations

from typing import Any

MAPS = frozenset({"labels", "sysctl", "ulimit", "auth", "logging", "storage_opt", "healthchecks", "port_map"})
"""Docker keys that are one map; several blocks are merged, later ones win."""

LISTS = frozenset({"mount", "mounts", "devices"})
"""Docker keys that are lists of objects."""

_OPTION_BLOCKS = frozenset({"bind_options", "tmpfs_options", "volume_options", "config", "driver_config"})


def canonical_config(driver: str, config: dict[str, Any]) -> dict[str, Any]:
    """The docker driver's configuration with maps as maps and `mounts` as one list; other drivers' as it is."""
    if driver != "docker":
        return config
    shaped: dict[str, Any] = {}
    for name, value in config.items():
        if name in MAPS:
            shaped[name] = _one_map(value)
        elif name in LISTS:
            items = value if isinstance(value, list) else [value]
            shaped[name] = [_options(item) for item in items]
        else:
            shaped[name] = value
    mounts = [*shaped.pop("mounts", []), *shaped.pop("mount", [])]
    if mounts:
        shaped["mounts"] = mounts
    return shaped


def _one_map(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return _options(value)
    merged: dict[str, Any] = {}
    for item in value:
        merged.update(item)
    return _options(merged)


def _options(value: Any) -> Any:
    """Nested option blocks of one element as a map."""
    if not isinstance(value, dict):
        return value
    return {
        name: _one_map(inner) if name in _OPTION_BLOCKS and isinstance(inner, list) else inner
        for name, inner in value.items()
    }
