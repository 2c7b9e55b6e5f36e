"""`_bulk` and single documents: reading the lines, writing the answer that each shipper greps. Pure but for `take`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from kokiris.kernel.errors import Busy
from kokiris.logs.api.call import EsError, error_body
from kokiris.logs.index.log_index import Incoming, Taken

ACTIONS = frozenset({"index", "create", "update", "delete"})
DEFAULT_INDEX = "logs"


class Action(msgspec.Struct, frozen=True, gc=False):
    """One action of a bulk request. `error`: why it is not even tried. `source`: the document as it was sent."""

    name: str
    index: str
    identifier: str
    document: dict[str, Any] | None
    error: str = ""
    source: bytes = b""


def parse_bulk(body: bytes, index: str) -> list[Action]:
    """The actions in order. Raises EsError for a body that is no bulk request at all; then nothing is taken."""
    lines = body.split(b"\n")
    actions: list[Action] = []
    number, last = 0, len(lines)
    while number < last:
        line = lines[number].strip()
        number += 1
        if not line:
            continue
        try:
            name, named, identifier = (_known_action if len(line) < 128 else _action)(line)
        except ValueError as error:
            raise EsError(
                400, "illegal_argument_exception", f"Malformed action/metadata line [{number}]{error}"
            ) from None
        target = named or index or DEFAULT_INDEX
        if name == "delete":
            actions.append(Action(name, target, identifier, None, "entries are not deleted one by one"))
            continue
        if number >= last:
            raise EsError(400, "illegal_argument_exception", f"the action on line {number} has no document after it")
        source, number = lines[number].strip(), number + 1
        if name == "update":
            actions.append(Action(name, target, identifier, None, "entries are not updated"))
        else:
            actions.append(_with_document(name, target, identifier, source))
    if not actions:
        raise EsError(400, "parse_exception", "request body is required")
    return actions


def _action(line: bytes) -> tuple[str, str, str]:
    """(action, index, id), both "" when not given. Raises ValueError."""
    try:
        action = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f": it is not JSON: {error}") from None
    if not isinstance(action, dict) or len(action) != 1 or next(iter(action)) not in ACTIONS:
        raise ValueError(", expected one of [create, delete, index, update]")
    ((name, settings),) = action.items()
    given = settings if isinstance(settings, dict) else {}
    return name, str(given.get("_index") or ""), str(given.get("_id") or "")


_known_action = lru_cache(maxsize=64)(_action)
"""Many shippers write the same line before every document."""


def _with_document(name: str, index: str, identifier: str, source: bytes) -> Action:
    if len(identifier.encode()) > 512:
        return Action(name, index, identifier[:64], None, "an id has at most 512 bytes")
    try:
        document = msgspec.json.decode(source)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Action(name, index, identifier, None, f"failed to parse: {error}")
    if not isinstance(document, dict):
        return Action(name, index, identifier, None, "failed to parse: a document is a JSON object")
    return Action(name, index, identifier, document, source=source)


def incoming_of(actions: Sequence[Action]) -> list[Incoming]:
    """What the index is to take; `answer` matches its answers up again."""
    return [Incoming(one.document, one.identifier, one.source) for one in actions if one.document is not None]


def answer(actions: Sequence[Action], taken: Sequence[Taken], took_ms: int) -> dict[str, Any]:
    """Keys in the order that shippers search for in the text: took, errors, items; one key per item."""
    results = iter(taken)
    items: list[dict[str, Any]] = []
    errors = False
    for action in actions:
        item = item_of(action, next(results) if action.document is not None else None)
        errors = errors or "error" in item
        items.append({action.name: item})
    return {"took": took_ms, "errors": errors, "items": items}


def refused(actions: Sequence[Action], error: Busy) -> dict[str, Any]:
    """The answer to a request of which nothing was taken: the error of the whole, and the same for each action.

    Most shippers go by the status of the request; rsyslog reads the items only, and repeats those that say 429.
    """
    whole = error_body(error)
    cause = {"type": whole["error"]["type"], "reason": error.message}
    items = [
        {one.name: {"_index": one.index, "_id": one.identifier, "status": error.http_status, "error": cause}}
        for one in actions
    ]
    return {"took": 0, "errors": True, "items": items, **whole}


def item_of(action: Action, taken: Taken | None) -> dict[str, Any]:
    """The answer to one action; `taken` None: it was not even tried."""
    if taken is None or (taken.error and not taken.duplicate):
        kind = "illegal_argument_exception" if action.name in {"update", "delete"} else "mapper_parsing_exception"
        reason = action.error if taken is None else taken.error
        return {
            "_index": action.index,
            "_id": action.identifier,
            "status": 400,
            "error": {"type": kind, "reason": reason},
        }
    head = {"_index": action.index, "_id": taken.identifier}
    if not taken.duplicate:
        return {**head, "_version": 1, "result": "created", "status": 201}
    if action.name == "index":
        return {**head, "_version": 1, "result": "noop", "status": 200}
    reason = f"[{taken.identifier}]: {taken.error}"
    return {**head, "status": 409, "error": {"type": "version_conflict_engine_exception", "reason": reason}}
