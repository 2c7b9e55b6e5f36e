"""Values of a driver's `config` block: job files write numbers as texts, blocks as lists of one map… Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kokiris.worker.drivers.contract import StartFailed

_SUFFIXES = {"k": 1024, "m": 1024**2, "g": 1024**3}


def text(config: Mapping[str, Any], key: str) -> str:
    """ "" when absent; numbers and booleans as HCL writes them. Raises StartFailed for lists and maps."""
    value = config.get(key)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise _wrong(key, value, "a text")


def strings(config: Mapping[str, Any], key: str) -> list[str]:
    """Empty when absent. Raises StartFailed for anything that is not a list of plain values."""
    value = config.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        raise _wrong(key, value, "a list of texts")
    return [text({key: one}, key) for one in value]


def boolean(config: Mapping[str, Any], key: str) -> bool:
    """False when absent. Raises StartFailed for what is no truth value."""
    value = config.get(key, False)
    if isinstance(value, bool):
        return value
    if value is None:
        return False
    if str(value).lower() in {"true", "1"}:
        return True
    if str(value).lower() in {"false", "0", ""}:
        return False
    raise _wrong(key, value, "true or false")


def integer(config: Mapping[str, Any], key: str) -> int:
    """0 when absent. Raises StartFailed for what is no whole number."""
    value = config.get(key)
    if value is None:
        return 0
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _wrong(key, value, "a whole number") from None


def size_bytes(config: Mapping[str, Any], key: str) -> int:
    """A number of bytes, or with k, m, g."""
    raw = text(config, key).strip().lower().removesuffix("b")
    factor = _SUFFIXES.get(raw[-1:], 1)
    digits = raw[:-1] if factor > 1 else raw
    if not digits:
        return 0
    if not digits.isdigit():
        raise _wrong(key, raw, "a size in bytes")
    return int(digits) * factor


def merged_map(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A block: `{}` when absent; HCL makes a list of maps of repeated blocks, which are joined."""
    value = config.get(key)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return {name: inner for one in value for name, inner in one.items()}
    raise _wrong(key, value, "a block")


def string_map(config: Mapping[str, Any], key: str) -> dict[str, str]:
    """As `merged_map`, with texts as values."""
    found = merged_map(config, key)
    return {name: text(found, name) for name in found}


def _wrong(key: str, value: Any, wanted: str) -> StartFailed:
    return StartFailed(f"config.{key} is {type(value).__name__} {str(value)[:80]!r}, but must be {wanted}", final=True)
