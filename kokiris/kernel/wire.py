"""JSON as Go's `encoding/json` reads it, into msgspec structs.

Field names match without regard to case (an exact match wins), unknown fields are ignored, `null` for a field that
cannot hold it means "absent". Source: reference on Nomad's transport conventions; every Go client relies on it.
"""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from kokiris.kernel.errors import BadInput

T = TypeVar("T")


def decode(data: bytes, as_type: type[T]) -> T:
    """Decodes a JSON body. Raises BadInput with the parser's reason and path."""
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"request body is not JSON: {error}", next_step="Send a JSON document.") from error
    except RecursionError:
        raise BadInput("request body is nested too deeply", next_step="Send a flatter document.") from None
    return convert(raw, as_type)


def convert(raw: Any, as_type: type[T]) -> T:
    """Converts decoded JSON. Raises BadInput naming the field that does not fit."""
    try:
        return msgspec.convert(_fit(raw, as_type), as_type, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"request does not fit: {error}") from error
    except RecursionError:
        raise BadInput("request is nested too deeply", next_step="Send a flatter document.") from None


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[dict[str, str], dict[str, Any]]:
    hints = typing.get_type_hints(struct)
    names = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
    return {name.lower(): name for name in names}, names


def _fit(raw: Any, wanted: Any) -> Any:
    """`raw` with its keys spelled as `wanted` spells them and impossible nulls removed."""
    origin = get_origin(wanted)
    if origin in {Union, types.UnionType}:
        options = [option for option in get_args(wanted) if option is not types.NoneType]
        return _fit(raw, options[0]) if len(options) == 1 else raw
    if isinstance(raw, list) and origin is list:
        (item,) = get_args(wanted)
        return [_fit(value, item) for value in raw]
    if not isinstance(raw, dict):
        return raw
    if origin is dict:
        _, item = get_args(wanted)
        return {key: _fit(value, item) for key, value in raw.items()}
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _fit_struct(raw, wanted)
    return raw


def _fit_struct(raw: dict[str, Any], wanted: type[msgspec.Struct]) -> dict[str, Any]:
    lowered, hints = _fields(wanted)
    fitted: dict[str, Any] = {}
    for key, value in raw.items():
        name = key if key in hints else lowered.get(key.lower())
        if name is None or (name != key and name in raw):
            continue
        if value is None and not _accepts_none(hints[name]):
            continue
        fitted[name] = _fit(value, hints[name])
    return fitted


def _accepts_none(hint: Any) -> bool:
    return hint is Any or types.NoneType in get_args(hint)
