"""From a packet to its answer. Never raises, whatever the packet; knows how old its zone is."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from kokiris.discovery.dns.message import (
    ANY_CLASS,
    BADVERS,
    IN,
    MAX_TCP_BYTES,
    PLAIN_UDP_BYTES,
    REFUSED,
    SERVFAIL,
    Malformed,
    Query,
    build_reply,
    error_reply,
    parse_query,
)
from kokiris.discovery.dns.zone import Zone

log = logging.getLogger(__name__)

STALE_AFTER_S = 60.0
"""Without word from a server for so long, an old answer may be worse than none."""
ROTATIONS = 8
MAX_CACHED = 20_000

_QUESTION_AT = 12


class _Cached:
    """Answers to one question in several orders: the part of the header after the id, and what follows the question."""

    __slots__ = ("_next", "heads", "tails")

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.tails: list[bytes] = []
        self._next = 0

    def reply(self, packet: bytes, question_end: int) -> bytes:
        at = self._next
        self._next = (at + 1) % len(self.heads)
        return packet[:2] + self.heads[at] + packet[_QUESTION_AT:question_end] + self.tails[at]


class Responder:
    """Answers from the zone it was given last. `set_zone` may be called from another thread."""

    def __init__(self, *, stale_after_s: float = STALE_AFTER_S, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._stale_after_s = stale_after_s
        self._clock_s = clock_s
        self._heard_at_s = float("-inf")
        self._zone: Zone | None = None
        self._cache: dict[bytes, _Cached] = {}

    def set_zone(self, zone: Zone) -> None:
        """From the next packet on, answers come from `zone` alone."""
        self._zone, self._cache = zone, {}
        self.still_true()

    def still_true(self) -> None:
        """A server has confirmed the zone just now."""
        self._heard_at_s = self._clock_s()

    def udp(self, packet: bytes) -> bytes | None:
        """The answer to a datagram; None: not worth one."""
        cache = self._cache
        name_end = packet.find(b"\0", _QUESTION_AT)
        key = packet[2:_QUESTION_AT] + packet[_QUESTION_AT:name_end].lower() + packet[name_end:]
        cached = cache.get(key)
        if cached is not None and len(cached.heads) == ROTATIONS and not self._is_stale():
            return cached.reply(packet, name_end + 5)
        try:
            query = parse_query(packet)
            reply, cacheable = self._answer(query, query.udp_bytes or PLAIN_UDP_BYTES)
        except Malformed as error:
            return error_reply(packet, error.rcode) if error.answerable else None
        except Exception:
            log.exception("dns: a query of %d bytes could not be answered", len(packet))
            return error_reply(packet, SERVFAIL)
        if cacheable and name_end == _QUESTION_AT + len(query.name) - 1:
            if cached is None:
                if len(cache) >= MAX_CACHED:
                    cache.clear()
                cached = cache.setdefault(key, _Cached())
            cached.heads.append(reply[2:_QUESTION_AT])
            cached.tails.append(reply[name_end + 5 :])
        return reply

    def tcp(self, packet: bytes) -> bytes | None:
        """As `udp`, whole up to 64 KiB."""
        try:
            return self._answer(parse_query(packet), MAX_TCP_BYTES)[0]
        except Malformed as error:
            return error_reply(packet, error.rcode) if error.answerable else None
        except Exception:
            log.exception("dns: a query of %d bytes could not be answered", len(packet))
            return error_reply(packet, SERVFAIL)

    def _is_stale(self) -> bool:
        return self._clock_s() - self._heard_at_s > self._stale_after_s

    def _answer(self, query: Query, limit_bytes: int) -> tuple[bytes, bool]:
        """(reply, whether it may be given again while the zone lasts)."""
        refusal = self._refusal(query)
        zone = self._zone
        if refusal is not None or zone is None:
            reply = build_reply(query, refusal or SERVFAIL, limit_bytes=limit_bytes, authoritative=False)
            return reply, False
        answer = zone.resolve(query.labels, query.qtype)
        records = list(answer.records)
        random.shuffle(records)
        reply = build_reply(
            query,
            answer.rcode,
            records,
            answer.authority,
            answer.additional,
            limit_bytes=limit_bytes,
            authoritative=answer.authoritative,
        )
        return reply, True

    def _refusal(self, query: Query) -> int | None:
        if query.edns_version:
            return BADVERS
        if query.qclass not in {IN, ANY_CLASS}:
            return REFUSED
        return SERVFAIL if self._is_stale() else None
