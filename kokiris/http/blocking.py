"""Blocking queries, as Nomad and Consul share them: `?index=N&wait=60s`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import falcon.asgi

from kokiris.http.app import while_connected
from kokiris.kernel.errors import BadInput
from kokiris.kernel.topics import Topic, Topics
from kokiris.kernel.units import SECOND_NS, parse_duration_ns

DEFAULT_WAIT_S = 300.0
MAX_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class BlockingQuery:
    """`index` 0: answer at once. `wait_s` is capped, without the jitter."""

    index: int
    wait_s: float


def parse(req: falcon.asgi.Request) -> BlockingQuery:
    """Raises BadInput with the texts clients know: "Invalid index", "Invalid wait time"."""
    raw_index, raw_wait = req.get_param("index", default=""), req.get_param("wait", default="")
    try:
        index = int(raw_index or "0")
    except ValueError:
        raise BadInput("Invalid index") from None
    if index < 0:
        raise BadInput("Invalid index")
    wait_s = DEFAULT_WAIT_S
    if raw_wait:
        try:
            wait_s = parse_duration_ns(raw_wait) / SECOND_NS
        except BadInput:
            raise BadInput("Invalid wait time") from None
    return BlockingQuery(index, min(wait_s, MAX_WAIT_S) if wait_s > 0 else DEFAULT_WAIT_S)


async def block(req: falcon.asgi.Request, topics: Topics, on: Sequence[Topic]) -> int:
    """Parks the request until the index of `on` exceeds what it asked for; returns the index to answer with.

    A client that goes away frees its place at once (ClientGone). The wait is lengthened by up to 1/16, as Consul's and
    Nomad's are, so that a herd does not return together.
    """
    query = parse(req)
    if query.index > 0 and topics.index(*on) <= query.index:
        jitter_s = random.uniform(0, query.wait_s / 16)  # noqa: S311 - spreads load, protects nothing
        await while_connected(req, topics.wait(on, query.index, query.wait_s + jitter_s))
    return topics.index(*on)
