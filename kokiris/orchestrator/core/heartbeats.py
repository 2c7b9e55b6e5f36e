"""Who is alive: deadlines of nodes' heartbeats, in the leader's memory. Pure: times are handed in (monotonic, s)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

MIN_TTL_S = 10.0
MAX_RATE = 50.0
"""Heartbeats per second that a server should get at most: more nodes beat more rarely."""
GRACE_S = 10.0
FAILOVER_TTL_S = 20.0
"""A new leader has heard of nobody yet: every node gets this long, and the grace, to be heard."""
STALL_S = 3.0
"""If we ourselves were held up this long (a paused machine), the nodes' silence is not theirs."""


class Heartbeats:
    """Deadlines by node id."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._deadline_s: dict[str, float] = {}
        self._jitter = jitter
        self._looked_at_s: float | None = None

    def beat(self, node_id: str, now_s: float) -> float:
        """Notes a sign of life; returns the TTL in seconds after which the next is due."""
        ttl_s = max(MIN_TTL_S, len(self._deadline_s) / MAX_RATE)
        ttl_s += self._jitter(0, ttl_s)
        self._deadline_s[node_id] = now_s + ttl_s + GRACE_S
        return ttl_s

    def begin(self, node_ids: Iterable[str], now_s: float) -> None:
        """Forgets all that was, and gives each of `node_ids` the time a new leader owes them."""
        self._deadline_s = dict.fromkeys(node_ids, now_s + FAILOVER_TTL_S + GRACE_S)
        self._looked_at_s = now_s

    def forget(self, node_id: str) -> None:
        """The node is down or gone: it is waited for no longer."""
        self._deadline_s.pop(node_id, None)

    def overdue(self, now_s: float) -> list[str]:
        """The nodes whose time is up. To be asked every second: after a longer gap all get that much more time."""
        stalled_s = 0.0 if self._looked_at_s is None else now_s - self._looked_at_s
        self._looked_at_s = now_s
        if stalled_s > STALL_S:
            self._deadline_s = {node_id: at + stalled_s for node_id, at in self._deadline_s.items()}
        return [node_id for node_id, at in self._deadline_s.items() if at <= now_s]
