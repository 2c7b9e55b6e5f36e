"""Lists: prefix, filter, order and pages, as Nomad cuts them. Pure but for reading the query."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kokiris.http.filter import compile_filter
from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.core.refusal import Refused

T = TypeVar("T")
Token = tuple[Any, ...]
"""Orders a list; its parts joined by "." are the page token a client gets."""

_NOT_HEX = re.compile(r"[^0-9a-fA-F]")
_UUID_LENGTH = 36


def by_id(item: Any) -> Token:
    """Order of lists sorted by id."""
    return (item.ID,)


def by_creation(item: Any) -> Token:
    """Order of lists sorted by age: oldest first."""
    return (item.CreateIndex, item.ID)


def by_namespace(item: Any) -> Token:
    """Order of the list of jobs."""
    return (item.Namespace, item.ID)


def page(
    call: Call, items: Iterable[T], order: Callable[[T], Token], full: Callable[[T], Any] | None = None
) -> list[T]:
    """The page asked for: `per_page`, `next_token`, `reverse`, `filter`. Sets X-Nomad-NextToken when more follow.

    `full` gives the object a filter is applied to (default: the item itself). Raises BadInput for a wrong parameter.
    """
    reverse = order is by_creation and call.flag("reverse")
    chosen = sorted(items, key=order, reverse=reverse)
    token = call.query("next_token")
    if token:
        start = _parse_token(token, order)
        chosen = [item for item in chosen if (order(item) <= start if reverse else order(item) >= start)]
    expression = call.query("filter")
    if expression:
        chosen = _filtered(expression, chosen, full)
    per_page = call.integer("per_page") or 0
    if per_page and len(chosen) > per_page:
        call.resp.set_header("X-Nomad-NextToken", header_text(".".join(str(part) for part in order(chosen[per_page]))))
        chosen = chosen[:per_page]
    return chosen


def header_text(text: str) -> str:
    """`text` as a header can carry it: anything outside printable ASCII is replaced."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def _parse_token(token: str, order: Callable[[Any], Token]) -> Token:
    if order is by_creation:
        head, _, rest = token.partition(".")
        if not head.isdecimal() or not head.isascii() or len(head) > 19:
            raise BadInput(f'failed to create result paginator: next_token "{header_text(token)}" is not one of ours')
        return (int(head), rest)
    if order is by_namespace:
        head, _, rest = token.partition(".")
        return (head, rest)
    return (token,)


def _filtered(expression: str, items: list[T], full: Callable[[T], Any] | None) -> list[T]:
    try:
        matches = compile_filter(expression)
    except BadInput as error:
        raise BadInput(f"failed to create result paginator: {error.message}", next_step=error.next_step) from error
    try:
        return [item for item in items if matches(full(item) if full else item)]
    except BadInput as error:
        raise BadInput(f"failed to read result page: {error.message}", next_step=error.next_step) from error


def uuid_prefix(call: Call) -> str:
    """`?prefix=` of a list of UUIDs, in lower case. Raises Refused when it is no even number of hex digits."""
    prefix = call.query("prefix")
    if not prefix:
        return ""
    digits = prefix.replace("-", "")
    if prefix.count("-") > 4:
        raise Refused(f'prefix lookup failed: UUID should have maximum of 4 "-"; got {prefix.count("-")}')
    if _NOT_HEX.search(digits):
        raise Refused(f'prefix lookup failed: Invalid UUID: "{prefix[:40]}" is not hexadecimal')
    if len(digits) % 2:
        raise Refused("prefix lookup failed: Input (without hyphens) must be even length")
    return prefix.lower()


def full_uuid(text: str, what: str) -> str:
    """A path's id. Raises Refused (500, as Nomad) unless it has 36 characters."""
    if len(text) != _UUID_LENGTH:
        raise Refused(
            f"{what} lookup failed: index error: UUID must be 36 characters",
            next_step="Give the full id; the list with ?prefix= finds it from its first digits.",
        )
    return text.lower()
