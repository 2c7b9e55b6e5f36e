"""/v1/event/…: custom events, the last 256 of the infra."""

from __future__ import annotations

import base64
import re
from typing import Any

from kokiris.discovery.api.call import Call
from kokiris.discovery.model import UserEvent
from kokiris.discovery.writer import Change
from kokiris.http.app import read_body
from kokiris.kernel.errors import BadInput
from kokiris.kernel.ids import new_id

KEPT = 256
PAYLOAD_LIMIT_BYTES = 64 * 1024


def _wire(event: UserEvent) -> dict[str, Any]:
    return {
        "ID": event.ID,
        "Name": event.Name,
        "Payload": base64.b64encode(event.Payload).decode() if event.Payload else None,
        "NodeFilter": event.NodeFilter,
        "ServiceFilter": event.ServiceFilter,
        "TagFilter": event.TagFilter,
        "Version": 1,
        "LTime": event.LTime,
    }


def _pattern(text: str, what: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise BadInput(f'{what} filter "{text}" is not a regular expression: {error}') from error


async def fire(call: Call) -> Any:
    """PUT /v1/event/fire/:name"""
    for name in ("node", "service", "tag"):
        _pattern(call.query(name), name)
    if call.query("tag") and not call.query("service"):
        raise BadInput("Cannot provide tag filter without service filter")
    event = UserEvent(
        ID=new_id(),
        Name=call.params["name"],
        Payload=await read_body(call.req, PAYLOAD_LIMIT_BYTES),
        NodeFilter=call.query("node"),
        ServiceFilter=call.query("service"),
        TagFilter=call.query("tag"),
    )
    keys = call.context.writer.keys

    def decide() -> Change[None]:
        kept = sorted(call.catalog.events.values(), key=lambda one: one.LTime)
        change = Change(None, deletes=[keys.event(one.ID) for one in kept[: max(0, len(kept) - KEPT + 1)]])
        change.put(keys.event(event.ID), event)
        return change

    await call.context.writer.change(decide)
    return _wire(event)


async def listing(call: Call) -> Any:
    """GET /v1/event/list, oldest first."""
    await call.block(("events",))
    found = sorted(call.catalog.events.values(), key=lambda one: one.LTime)
    name = call.query("name")
    if name:
        found = [one for one in found if one.Name == name]
    for parameter, attribute in (("node", "NodeFilter"), ("service", "ServiceFilter"), ("tag", "TagFilter")):
        pattern = _pattern(call.query(parameter), parameter)
        if pattern is not None:
            found = [one for one in found if pattern.search(getattr(one, attribute))]
    return [_wire(one) for one in found]
