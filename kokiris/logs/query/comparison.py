"""`field >= value` in every query language: of times, of numbers. Pure."""

from __future__ import annotations

from datetime import UTC, tzinfo

from kokiris.kernel.errors import BadInput
from kokiris.logs.documents import number_of
from kokiris.logs.query import tree
from kokiris.logs.query.fields import is_time
from kokiris.logs.query.tree import QueryError
from kokiris.logs.times import query_time_us

LOWER, UPPER = {">": False, ">=": True}, {"<": False, "<=": True}


def comparison(field: str, operator: str, value: str, now_us: int) -> tree.Query:
    """`operator` is >, >=, <, <= or ":" (equal). Raises QueryError without a position when `value` does not compare."""
    if operator == ":":
        return interval(field, [(">=", value), ("<=", value)], now_us)
    return interval(field, [(operator, value)], now_us)


def interval(
    field: str, bounds: list[tuple[str, object]], now_us: int, *, form: str = "", zone: tzinfo = UTC
) -> tree.Query:
    """All of the bounds. Raises QueryError."""
    if is_time(field):
        return _times(bounds, now_us, form, zone)
    low: tuple[float, bool] | None = None
    high: tuple[float, bool] | None = None
    for operator, value in bounds:
        number = number_of(str(value).strip()) if not isinstance(value, bool) else None
        if number is None:
            raise QueryError(f"{field} {operator} {value!r}: only numbers and {'@timestamp'} compare")
        if operator in LOWER:
            low = max((number, LOWER[operator]), low or (number, LOWER[operator]), key=lambda one: (one[0], not one[1]))
        else:
            high = min((number, UPPER[operator]), high or (number, UPPER[operator]), key=lambda one: (one[0], one[1]))
    return tree.Range(
        field,
        low[0] if low else None,
        high[0] if high else None,
        low[1] if low else True,
        high[1] if high else True,
    )


def _times(bounds: list[tuple[str, object]], now_us: int, form: str, zone: tzinfo) -> tree.Query:
    low: int | None = None
    high: int | None = None
    for operator, value in bounds:
        try:
            round_up = operator in {">", "<="}
            time_us = query_time_us(value, now_us=now_us, round_up=round_up, form=form, zone=zone)
        except BadInput as error:
            raise QueryError(error.message) from None
        if operator in LOWER:
            found = time_us if LOWER[operator] else time_us + 1
            low = found if low is None else max(low, found)
        else:
            found = time_us if UPPER[operator] else time_us - 1
            high = found if high is None else min(high, found)
    return tree.TimeRange(low, high)
