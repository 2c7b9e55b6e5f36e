"""What a client's token may write to somebody else's Elasticsearch: new entries, as into our own index. Pure.

Over there `index` replaces an entry of the same id, `update` and `delete` change what others wrote, and names that
begin with a dot are the system's own. Actions are therefore written anew: what has an id is created, or is there
already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from kokiris.logs.api.bulk import Action, item_of, parse_bulk
from kokiris.logs.api.call import Call, EsError
from kokiris.logs.index.log_index import Taken

_OF_THE_SYSTEM = re.compile(r"(?:^|[:<,+-])\s*\.")
_DUPLICATE = 409


def is_of_the_system(names: str) -> bool:
    """Whether one of these index names (with commas, wildcards, date math) may mean a hidden one."""
    return _OF_THE_SYSTEM.search(names) is not None


def actions_to_pass(call: Call) -> list[Action]:
    """Of a `_bulk`; one that is not passed on has no document, and says why with its position. Raises EsError."""
    actions = parse_bulk(call.body, call.path.rpartition("/")[0].removeprefix("/"))
    return [_judged(position, action) for position, action in enumerate(actions, 1)]


def _judged(position: int, action: Action) -> Action:
    error = action.error
    if not error and is_of_the_system(action.index):
        error = f"index [{action.index}] is the system's own"
    if not error:
        return action
    return msgspec.structs.replace(action, document=None, error=f"action {position} ({action.name}): {error}")


def lines_of(actions: Sequence[Action]) -> bytes:
    """The body to pass on; b"" when nothing is."""
    lines: list[bytes] = []
    for action in actions:
        if action.document is not None:
            name = "create" if action.identifier else action.name
            where = {"_index": action.index, **({"_id": action.identifier} if action.identifier else {})}
            lines += (msgspec.json.encode({name: where}), action.source)
    return b"".join(line + b"\n" for line in lines)


class _Answered(msgspec.Struct):
    """A `_bulk` answer; each item has one key, the action's name."""

    took: int = 0
    items: list[dict[str, dict[str, Any]]] = msgspec.field(default_factory=list)


def merged(actions: Sequence[Action], raw: bytes) -> dict[str, Any]:
    """What to answer: over there's answer to `lines_of`, and what was not passed on in its place.

    `raw` is its body; b"" when nothing was passed on. Raises EsError (502) for one that does not fit.
    """
    try:
        answered = msgspec.json.decode(raw, type=_Answered) if raw else _Answered()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EsError(502, "illegal_state_exception", f"logs.elasticsearch_url answers no _bulk: {error}") from None
    passed = sum(action.document is not None for action in actions)
    if len(answered.items) != passed:
        reason = f"logs.elasticsearch_url answers {len(answered.items)} items to {passed} actions"
        raise EsError(502, "illegal_state_exception", reason)
    results = iter(answered.items)
    items: list[dict[str, Any]] = []
    for action in actions:
        if action.document is None:
            item = item_of(action, None)
        else:
            item = next(iter(next(results).values()))
            if action.name == "index" and item.get("status") == _DUPLICATE:
                item = item_of(action, Taken(action.identifier, duplicate=True))
        items.append({action.name: item})
    errors = any("error" in one for item in items for one in item.values())
    return {"took": answered.took, "errors": errors, "items": items}
