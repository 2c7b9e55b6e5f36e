"""Functions that encode and decode: base64, CSV, JSON, URLs, YAML."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus

from kokiris.orchestrator.jobspec.functions.yaml import YamlProblem, dump_yaml, load_yaml
from kokiris.orchestrator.jobspec.values import MAX_ITEMS, Value, ValueProblem, number_text, to_number, to_string, weigh


def base64decode(text: Value) -> Value:
    """The UTF-8 text that was encoded."""
    try:
        return base64.b64decode(to_string(text), validate=True).decode()
    except (binascii.Error, ValueError):
        raise ValueProblem("the text is not base64 of UTF-8") from None


def base64encode(text: Value) -> Value:
    """Base64 of the UTF-8 form."""
    return base64.b64encode(to_string(text).encode("utf-8", "surrogatepass")).decode()


def urlencode(text: Value) -> Value:
    """For use in a query string."""
    return quote_plus(to_string(text), safe="-_.~")


def csvdecode(text: Value) -> Value:
    """A list of objects, one a line, named by the first line."""
    try:
        rows = list(csv.reader(io.StringIO(to_string(text)), strict=True))
    except csv.Error as error:
        raise ValueProblem(f"not CSV: {error}") from None
    rows = [row for row in rows if row]
    if not rows:
        raise ValueProblem("the first line must name the columns")
    head, *body = rows
    if len(set(head)) != len(head):
        raise ValueProblem("two columns have the same name")
    if any(len(row) != len(head) for row in body):
        raise ValueProblem(f"every line must have {len(head)} columns")
    return tuple(dict(zip(head, row, strict=True)) for row in body)


def jsonencode(value: Value) -> str:
    """Compact JSON with sorted keys; <, > and & are escaped, as Go does."""
    weigh(value, MAX_ITEMS)
    text = _json(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _json(value: Value) -> str:
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, tuple):
        return "[" + ",".join(_json(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(key)}:{_json(value[key])}" for key in sorted(value)) + "}"
    return json.dumps(value, ensure_ascii=False)


def jsondecode(text: Value) -> Value:
    """The value of a JSON text."""
    try:
        loaded = json.loads(to_string(text), parse_float=_number, parse_int=_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueProblem(f"not JSON: {error}") from None
    return value_of(loaded)


def _number(text: str) -> Decimal:
    return to_number(text)


def _no_number(text: str) -> Decimal:
    raise ValueProblem(f"{text} is not JSON")


def value_of(loaded: Any) -> Value:
    """Decoded JSON or YAML as a value of the language."""
    if isinstance(loaded, list):
        return tuple(value_of(item) for item in loaded)
    if isinstance(loaded, dict):
        return {str(key): value_of(item) for key, item in loaded.items()}
    return loaded


def yamldecode(text: Value) -> Value:
    """The value of a YAML text (without anchors, tags and several documents)."""
    try:
        return value_of(load_yaml(to_string(text)))
    except (YamlProblem, RecursionError) as error:
        raise ValueProblem(f"not YAML that can be read here: {error}") from None


def yamlencode(value: Value) -> Value:
    """YAML, keys sorted, strings quoted."""
    weigh(value, MAX_ITEMS)
    return dump_yaml(value)


FUNCTIONS = {
    "base64decode": base64decode,
    "base64encode": base64encode,
    "csvdecode": csvdecode,
    "jsondecode": jsondecode,
    "jsonencode": jsonencode,
    "urlencode": urlencode,
    "yamldecode": yamldecode,
    "yamlencode": yamlencode,
}
