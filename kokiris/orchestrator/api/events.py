"""`/v1/event/stream`: what changes, as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.api.call import ANSWERED, Call
from kokiris.orchestrator.api.eventlog import StreamEvent
from kokiris.orchestrator.api.streams import UntilGone

HEARTBEAT_S = 30.0
TOPICS = frozenset(
    {"ACLPolicy", "ACLRole", "ACLToken", "Allocation", "CSIPlugin", "CSIVolume", "Deployment", "Evaluation"}
    | {"HostVolume", "Job", "Node", "NodePool", "Operator", "Service", "*"}
)
_ENCODE = msgspec.json.Encoder().encode


async def stream(call: Call) -> Any:
    """GET /v1/event/stream?topic=Job:web&topic=Node&index=N&namespace=…: ndjson, `{}` at once and every 30 s.

    Begins at `index`, or at the oldest commit still buffered. Whoever reads so slowly that something has left the
    buffer unread is told so (`{"Error": …}`) and the stream ends: nothing is skipped in silence.
    """
    wanted = parse_topics(call.req.get_param_as_list("topic") or ())
    start = call.context.events.position_of(call.integer("index") or 0)
    call.resp.content_type = "application/json"
    call.resp.stream = UntilGone(call.req, _lines(call, wanted, start))
    return ANSWERED


def parse_topics(raw: Sequence[str]) -> dict[str, set[str]]:
    """Topic → keys, "*" for any. No topic: all. Raises BadInput for a topic Nomad does not have."""
    wanted: dict[str, set[str]] = {}
    for text in raw:
        topic, _, key = text.partition(":")
        if topic not in TOPICS:
            raise BadInput(
                f'Invalid key value pair for topic "{text}"', next_step="Topics are: " + ", ".join(sorted(TOPICS)) + "."
            )
        wanted.setdefault(topic, set()).add(key or "*")
    return wanted or {"*": {"*"}}


def matches(wanted: dict[str, set[str]], event: StreamEvent) -> bool:
    """Whether one of the topics asked for covers the event."""
    keys = {"*", event.Key, *(event.FilterKeys or ())}
    return any(not keys.isdisjoint(wanted.get(topic, ())) for topic in ("*", event.Topic))


async def _lines(call: Call, wanted: dict[str, set[str]], start: int) -> AsyncIterator[bytes]:
    log, position = call.context.events, start
    log.streams += 1
    try:
        yield b"{}\n"
        while True:
            commits = await log.since(position, HEARTBEAT_S)
            if not commits:
                yield b"{}\n"
            elif commits[0].position > position:
                yield _ENCODE({"Error": "subscription closed by server, client should resubscribe"}) + b"\n"
                return
            for commit in commits:
                position = commit.position + 1
                chosen = [
                    event
                    for event in log.events_of(commit)
                    if matches(wanted, event) and (not event.Namespace or call.sees(event.Namespace))
                ]
                if chosen:
                    yield _ENCODE({"Index": commit.index, "Events": chosen}) + b"\n"
    finally:
        log.streams -= 1
