"""Who holds a variable. Pure: stored record, now → answer."""

from __future__ import annotations

import hashlib
import hmac

from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import SECOND_NS, parse_duration_ns
from kokiris.variables.model import SealedVariable, VariableLock

DEFAULT_NS = 15 * SECOND_NS
MIN_TTL_NS = 10 * SECOND_NS
MAX_TTL_NS = 24 * 3600 * SECOND_NS


def lock_hash(lock_id: str) -> str:
    """As stored."""
    return hashlib.sha256(lock_id.encode()).hexdigest()


def is_held(record: SealedVariable, now_ns: int) -> bool:
    """Whether somebody holds it, and has renewed in time."""
    return bool(record.LockIDSHA256) and now_ns < record.LockExpiresNs


def is_closed(record: SealedVariable, now_ns: int) -> bool:
    """Whether nobody new may take it: it is held, or was lost less than its delay ago."""
    return bool(record.LockIDSHA256) and now_ns < record.LockExpiresNs + record.LockDelayNs


def may_acquire(record: SealedVariable, lock_id: str, now_ns: int) -> bool:
    """Whether it is free, or held by `lock_id` itself."""
    return not is_closed(record, now_ns) or (is_held(record, now_ns) and is_holder(record, lock_id))


def is_holder(record: SealedVariable, lock_id: str) -> bool:
    """Whether `lock_id` is the present lock's."""
    return bool(lock_id and record.LockIDSHA256) and hmac.compare_digest(record.LockIDSHA256, lock_hash(lock_id))


def durations(lock: VariableLock) -> tuple[int, int]:
    """(ttl, delay) in ns. Raises BadInput for a TTL outside of 10 s to 24 h, or a negative delay."""
    ttl_ns = parse_duration_ns(lock.TTL) if lock.TTL else DEFAULT_NS
    delay_ns = parse_duration_ns(lock.LockDelay) if lock.LockDelay else DEFAULT_NS
    if not MIN_TTL_NS <= ttl_ns <= MAX_TTL_NS:
        raise BadInput(f'lock TTL "{lock.TTL}" must be between 10s and 24h')
    if delay_ns < 0:
        raise BadInput(f'lock delay "{lock.LockDelay}" must not be negative')
    return ttl_ns, delay_ns


def without_lock(record: SealedVariable) -> None:
    """Forgets the lock."""
    record.LockIDSHA256 = ""
    record.LockTTLNs = record.LockDelayNs = record.LockExpiresNs = 0
