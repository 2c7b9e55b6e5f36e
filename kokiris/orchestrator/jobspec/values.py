"""HCL's values as plain Python: str, Decimal (all numbers), bool, None, tuple (lists and tuples), `SetOf`, dict.

A bool is never a number here, because numbers are Decimal. Collections are never changed once made.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, DecimalException, localcontext
from typing import Any

MAX_STRING = 8 * 1024 * 1024
"""Characters of any one string made while evaluating."""
MAX_ITEMS = 100_000
"""Items of any one collection made while evaluating."""

ARITHMETIC = Context(prec=150, Emax=400, Emin=-400)
"""About the 512 bits that HCL computes with; overflow is an error."""


class ValueProblem(Exception):
    """What is wrong with a value; the evaluator adds the place and makes it a JobFileError."""


class SetOf(tuple[Any, ...]):
    """A set: unique items, in a stable order."""

    __slots__ = ()


Value = Any
"""str | Decimal | bool | None | tuple[Value, ...] | dict[str, Value]"""


def set_of(items: tuple[Value, ...]) -> SetOf:
    """Unique items; strings and numbers are sorted, others keep their order."""
    unique: list[Value] = []
    seen: set[Any] = set()
    for item in items:
        mark = identity(item)
        if mark not in seen:
            seen.add(mark)
            unique.append(item)
    if all(isinstance(item, str) for item in unique) or all(isinstance(item, Decimal) for item in unique):
        unique.sort()
    return SetOf(unique)


def identity(value: Value) -> Any:
    """A hashable that is equal for equal values of the same type only."""
    if isinstance(value, tuple):
        return ("list", tuple(identity(item) for item in value))
    if isinstance(value, dict):
        return ("map", tuple((key, identity(value[key])) for key in sorted(value)))
    return (type(value).__name__, value)


def equal(left: Value, right: Value) -> bool:
    """HCL's ==: values of different types are never equal."""
    return bool(identity(left) == identity(right))


def type_name(value: Value) -> str:
    """The type as messages name it."""
    if value is None:
        return "null"
    names = {str: "string", Decimal: "number", bool: "bool", SetOf: "set", tuple: "list", dict: "object"}
    return names.get(type(value), "value")


def to_string(value: Value) -> str:
    """A primitive as a string, as HCL converts it. Raises ValueProblem for null and collections."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return number_text(value)
    raise ValueProblem(f"a string is needed, found {type_name(value)}")


def number_text(number: Decimal) -> str:
    """Without exponent and trailing zeros: 1, 0.5, 1000000."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def to_number(value: Value) -> Decimal:
    """A number, or a string that is one. Raises ValueProblem."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        try:
            number = Decimal(value.strip()) if value.strip() == value and "_" not in value else None
        except DecimalException:
            number = None
        if number is not None and number.is_finite() and abs(number.adjusted()) <= 300:
            return number
        raise ValueProblem(f'a number is needed, found the string "{shorten(value)}"')
    raise ValueProblem(f"a number is needed, found {type_name(value)}")


def to_integer(value: Value) -> int:
    """A whole number. Raises ValueProblem."""
    number = to_number(value)
    if number != number.to_integral_value():
        raise ValueProblem(f"a whole number is needed, found {number_text(number)}")
    if abs(number) >= 2**63:
        raise ValueProblem(f"{shorten(number_text(number))} is out of range: whole numbers have 64 bits")
    return int(number)


def to_bool(value: Value) -> bool:
    """true, false, or a string that is one. Raises ValueProblem."""
    if isinstance(value, bool):
        return value
    if value in ("true", "1"):
        return True
    if value in ("false", "0"):
        return False
    found = f'the string "{shorten(value)}"' if isinstance(value, str) else type_name(value)
    raise ValueProblem(f"true or false is needed, found {found}")


def to_items(value: Value) -> tuple[Value, ...]:
    """A list, tuple or set. Raises ValueProblem."""
    if isinstance(value, tuple):
        return value
    raise ValueProblem(f"a list is needed, found {type_name(value)}")


def to_map(value: Value) -> dict[str, Value]:
    """A map or object. Raises ValueProblem."""
    if isinstance(value, dict):
        return value
    raise ValueProblem(f"a map is needed, found {type_name(value)}")


def pairs_of(value: Value) -> list[tuple[Value, Value]]:
    """(key, value) in the order HCL goes through them: maps by key, sets with the item as its own key."""
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, SetOf):
        return [(item, item) for item in value]
    if isinstance(value, tuple):
        return [(Decimal(i), item) for i, item in enumerate(value)]
    raise ValueProblem(f"only lists, sets and maps can be gone through, found {type_name(value)}")


def bounded(value: Value) -> Value:
    """`value` itself if it is not too large. Raises ValueProblem."""
    if isinstance(value, str) and len(value) > MAX_STRING:
        raise ValueProblem(f"the string has more than {MAX_STRING} characters")
    if isinstance(value, (tuple, dict)) and len(value) > MAX_ITEMS:
        raise ValueProblem(f"the collection has more than {MAX_ITEMS} items")
    return value


def weigh(value: Value, limit: int) -> int:
    """How many values it is made of; what is shared counts as often as it appears. Raises ValueProblem past `limit`."""
    weight = 0
    pending = [value]
    while pending:
        weight += 1
        if weight > limit:
            raise ValueProblem(f"the value is made of more than {limit} parts")
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, tuple):
            pending.extend(item)
    return weight


def arithmetic(operator: str, left: Decimal, right: Decimal) -> Decimal:
    """left operator right, for + - * / %. Raises ValueProblem for a division by zero and for overflow."""
    if operator in {"/", "%"} and right == 0:
        raise ValueProblem("division by zero")
    try:
        with localcontext(ARITHMETIC):
            if operator == "+":
                return left + right
            if operator == "-":
                return left - right
            if operator == "*":
                return left * right
            return left / right if operator == "/" else left % right
    except DecimalException as error:
        raise ValueProblem(f"the result of {operator} is out of range") from error


def plain(value: Value) -> Any:
    """As JSON: whole numbers become int, others float, tuples lists. Recurses once per level of nesting."""
    if isinstance(value, Decimal):
        if value == value.to_integral_value() and abs(value) < Decimal(2**63):
            return int(value)
        number = float(value)
        if math.isinf(number):
            raise ValueProblem("the number is out of range")
        return number
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def shorten(text: str) -> str:
    """For messages: at most 60 characters."""
    return text if len(text) <= 60 else text[:57] + "…"
