"""format() and formatlist(): Go's verbs, as HCL has them."""

from __future__ import annotations

import re
from decimal import Decimal

from kokiris.orchestrator.jobspec.functions.encoding import jsonencode
from kokiris.orchestrator.jobspec.values import (
    MAX_STRING,
    Value,
    ValueProblem,
    number_text,
    to_bool,
    to_integer,
    to_items,
    to_number,
    to_string,
)

_VERB = re.compile(
    r"%(?:%|(?P<flags>[ +\-#0]*)(?:\[(?P<index>\d+)\])?(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.))", re.S
)
_MAX_WIDTH = 10_000


def format_text(template: Value, *arguments: Value) -> Value:
    """format("%s-%02d", "web", 3) is "web-03"."""
    spec = to_string(template)
    parts: list[str] = []
    last, position, highest = 0, 0, 0
    for match in _VERB.finditer(spec):
        parts.append(spec[last : match.start()])
        last = match.end()
        if match[0] == "%%":
            parts.append("%")
            continue
        position = int(match["index"]) if match["index"] else position + 1
        highest = max(highest, position)
        if not 1 <= position <= len(arguments):
            raise ValueProblem(f'not enough arguments for "{match[0]}" at {match.start()}: need {position}')
        parts.append(_formatted(match, arguments[position - 1]))
        if sum(map(len, parts)) > MAX_STRING:
            raise ValueProblem(f"the string has more than {MAX_STRING} characters")
    rest = spec[last:]
    if "%" in rest:
        raise ValueProblem("the format ends in the middle of a verb")
    if highest < len(arguments):
        raise ValueProblem(f"too many arguments: {highest} used, {len(arguments)} given")
    return "".join(parts) + rest


def formatlist(template: Value, *arguments: Value) -> Value:
    """format() for each item of the lists, which have the same length; other arguments are the same each time."""
    lengths = {len(value) for value in arguments if isinstance(value, tuple)}
    if not lengths:
        return (format_text(template, *arguments),)
    if len(lengths) > 1:
        raise ValueProblem(f"the lists have different lengths: {sorted(lengths)}")
    columns = [to_items(value) if isinstance(value, tuple) else (value,) * max(lengths) for value in arguments]
    return tuple(format_text(template, *row) for row in zip(*columns, strict=True))


def _formatted(match: re.Match[str], value: Value) -> str:
    flags, verb = match["flags"], match["verb"]
    width = int(match["width"] or 0)
    precision = int(match["precision"] or 0) if match["precision"] is not None else None
    if width > _MAX_WIDTH or (precision or 0) > _MAX_WIDTH:
        raise ValueProblem(f"width and precision go up to {_MAX_WIDTH}")
    if verb in "dboxX":
        text = _integer(verb, to_integer(value), flags)
    elif verb in "eEfFgG":
        text = _float(verb, to_number(value), flags, precision)
    elif verb == "t":
        text = "true" if to_bool(value) else "false"
    elif verb in "sq":
        text = to_string(value)[:precision]
        text = jsonencode(text) if verb == "q" else text
    elif verb == "v":
        text = _general(value, "#" in flags)
    else:
        raise ValueProblem(f'unsupported verb "%{verb}"')
    return _padded(text, width, flags, numeric=verb in "dboxXeEfFgG")


def _integer(verb: str, number: int, flags: str) -> str:
    text = format(abs(number), verb)
    if "#" in flags:
        text = {"b": "0b", "o": "0", "x": "0x", "X": "0X", "d": ""}[verb] + text
    return _sign(number < 0, flags) + text


def _float(verb: str, number: Decimal, flags: str, precision: int | None) -> str:
    kind = verb.replace("F", "f")
    if kind in "gG" and precision is None:
        text = number_text(abs(number))
    else:
        text = format(abs(number), f".{6 if precision is None else precision}{kind}")
    exponent = re.search(r"[eE][+-]\d$", text)
    if exponent:
        text = text[:-1] + "0" + text[-1]
    return _sign(number < 0, flags) + text


def _sign(negative: bool, flags: str) -> str:
    if negative:
        return "-"
    return "+" if "+" in flags else " " if " " in flags else ""


def _general(value: Value, quoted: bool) -> str:
    if isinstance(value, (tuple, dict)) or value is None or quoted:
        return str(jsonencode(value))
    return to_string(value)


def _padded(text: str, width: int, flags: str, *, numeric: bool) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and numeric:
        sign = text[:1] if text[:1] in "+- " else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


FUNCTIONS = {"format": format_text, "formatlist": formatlist}
