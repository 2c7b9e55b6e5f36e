"""Functions of numbers."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, DecimalException, localcontext

from kokiris.orchestrator.jobspec.values import (
    ARITHMETIC,
    Value,
    ValueProblem,
    shorten,
    to_integer,
    to_number,
    to_string,
)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def absolute(number: Value) -> Value:
    """abs(-2) is 2."""
    return abs(to_number(number))


def ceil(number: Value) -> Value:
    """ceil(1.2) is 2."""
    return to_number(number).to_integral_value(ROUND_CEILING)


def floor(number: Value) -> Value:
    """floor(1.8) is 1."""
    return to_number(number).to_integral_value(ROUND_FLOOR)


def signum(number: Value) -> Value:
    """-1, 0 or 1."""
    value = to_number(number)
    return Decimal((value > 0) - (value < 0))


def largest(first: Value, *more: Value) -> Value:
    """max(1, 3, 2) is 3."""
    return max(to_number(value) for value in (first, *more))


def smallest(first: Value, *more: Value) -> Value:
    """min(1, 3, 2) is 1."""
    return min(to_number(value) for value in (first, *more))


def power(base: Value, exponent: Value) -> Value:
    """pow(3, 2) is 9."""
    try:
        with localcontext(ARITHMETIC):
            return to_number(base) ** to_number(exponent)
    except DecimalException as error:
        raise ValueProblem("the result is not a number, or out of range") from error


def logarithm(number: Value, base: Value) -> Value:
    """log(16, 2) is 4."""
    value, to_base = to_number(number), to_number(base)
    if value <= 0 or to_base <= 0 or to_base == 1:
        raise ValueProblem("number and base must be positive, and the base not 1")
    return Decimal(repr(math.log(float(value)) / math.log(float(to_base))))


def parseint(text: Value, base: Value) -> Value:
    """parseint("FF", 16) is 255; bases 2 to 62."""
    digits, radix = to_string(text), to_integer(base)
    if not 2 <= radix <= 62:
        raise ValueProblem(f"the base must be between 2 and 62, found {radix}")
    sign, body = (-1, digits[1:]) if digits.startswith("-") else (1, digits.removeprefix("+"))
    alphabet = _DIGITS[:radix]
    if radix <= 36:
        body = body.lower()
    if not body or len(body) > 200 or any(digit not in alphabet for digit in body):
        raise ValueProblem(f'"{shorten(digits)}" is no number of base {radix}')
    total = 0
    for digit in body:
        total = total * radix + alphabet.index(digit)
    return Decimal(sign * total)


FUNCTIONS = {
    "abs": absolute,
    "ceil": ceil,
    "floor": floor,
    "log": logarithm,
    "max": largest,
    "min": smallest,
    "parseint": parseint,
    "pow": power,
    "signum": signum,
}
