"""Key/value writes, locks and sessions, decided as Consul decides them. Pure: catalog in, `Change` out."""

from __future__ import annotations

import msgspec

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import Keys, KvEntry, Session
from kokiris.discovery.writer import Change
from kokiris.kernel.errors import KokirisError
from kokiris.kernel.units import SECOND_NS

MAX_LOCK_DELAY_NS = 60 * SECOND_NS


class InvalidSession(KokirisError):
    """A lock was asked for with a session that does not exist."""

    code = "invalid_session"
    default_next_step = "Create a session first; a session ends when its TTL or a check of its node fails."

    def __init__(self, session_id: str) -> None:
        super().__init__(f'invalid session "{session_id}"')


class KvDraft:
    """Key/value operations in order, each seeing those before it; nothing is written until `change` is committed.

    Every method answers whether the operation took place. `change` requires each key that mattered to be as it was.
    """

    def __init__(self, catalog: Catalog, keys: Keys) -> None:
        self._catalog = catalog
        self._keys = keys
        self._pending: dict[str, KvEntry | None] = {}
        self.change: Change[None] = Change(None)

    def entry(self, name: str) -> KvEntry | None:
        """As it is after the operations so far."""
        return self._pending[name] if name in self._pending else self._catalog.kv.entries.get(name)

    def writes(self, name: str) -> bool:
        """Whether the operations so far put the key."""
        return self._pending.get(name) is not None

    def under(self, prefix: str) -> list[KvEntry]:
        """All entries whose keys start with `prefix`, in order, after the operations so far."""
        names = {*self._catalog.kv.keys_under(prefix), *(name for name in self._pending if name.startswith(prefix))}
        return [entry for name in sorted(names) if (entry := self.entry(name)) is not None]

    def require(self, name: str) -> None:
        """The commit needs the key to be as the catalog has it."""
        known = self._catalog.kv.entries.get(name)
        self.change.require(self._keys.kv(name), known.ModifyIndex if known else 0)

    def set(self, wanted: KvEntry, cas: int | None = None) -> bool:
        """A put; with `cas` only if the ModifyIndex is that (0: only if the key does not exist)."""
        before = self.entry(wanted.Key)
        if cas is not None:
            self.require(wanted.Key)
            if cas != (before.ModifyIndex if before else 0):
                return False
        if before is not None:  # a lock that is held stays held, and so must not be lost to a race
            self.require(wanted.Key)
            wanted = msgspec.structs.replace(wanted, LockIndex=before.LockIndex, Session=before.Session)
        self._write(before, wanted)
        return True

    def acquire(self, wanted: KvEntry, session_id: str) -> bool:
        """Locks the key for the session. False while another holds it, or within the lock-delay of a lost one.

        Raises InvalidSession.
        """
        session = self._catalog.sessions.get(session_id)
        if session is None:
            raise InvalidSession(session_id)
        before = self.entry(wanted.Key)
        self.require(wanted.Key)
        if wanted.Key in self._catalog.lock_delays or (before is not None and before.Session not in {"", session_id}):
            return False
        self.change.require(self._keys.session(session_id), session.ModifyIndex)
        self.change.require(self._keys.lock_delay(wanted.Key), 0)
        lock_index = before.LockIndex if before else 0
        if before is None or not before.Session:
            lock_index += 1
        self._write(before, msgspec.structs.replace(wanted, LockIndex=lock_index, Session=session_id))
        return True

    def release(self, wanted: KvEntry, session_id: str) -> bool:
        """Unlocks the key if the session holds it."""
        before = self.entry(wanted.Key)
        self.require(wanted.Key)
        if before is None or not session_id or before.Session != session_id:
            return False
        self._write(before, msgspec.structs.replace(wanted, LockIndex=before.LockIndex, Session=""))
        return True

    def delete(self, name: str, cas: int | None = None) -> bool:
        """True when the key is gone. With `cas` only if its ModifyIndex is that."""
        before = self.entry(name)
        if cas is not None:
            self.require(name)
        if before is None:
            return True
        if cas is not None and cas != before.ModifyIndex:
            return False
        self._pending[name] = None
        self.change.puts.pop(self._keys.kv(name), None)
        if name in self._catalog.kv.entries:
            self.change.deletes.append(self._keys.kv(name))
        return True

    def _write(self, before: KvEntry | None, after: KvEntry) -> None:
        """Writing what is there already is no change, as in Consul."""
        if before is not None:
            after = msgspec.structs.replace(after, CreateIndex=before.CreateIndex, ModifyIndex=before.ModifyIndex)
            if after == before:
                return
        stored = self._keys.kv(after.Key)
        self._pending[after.Key] = after
        self.change.put(stored, after)
        if stored in self.change.deletes:
            self.change.deletes.remove(stored)


def create_session(keys: Keys, change: Change[None], session: Session) -> None:
    """Stores a new session."""
    change.require(keys.session(session.ID), 0)
    change.put(keys.session(session.ID), session)


def delayed_keys(catalog: Catalog, session_id: str) -> tuple[float, list[str]]:
    """(seconds, kv keys) that may not be locked again once the session ends. Only "release" sessions leave keys that
    others might take for their own."""
    session = catalog.sessions.get(session_id)
    held = sorted(catalog.locked_by.get(session_id, ()))
    if session is None or not held:
        return 0.0, []
    return min(session.LockDelay, MAX_LOCK_DELAY_NS) / SECOND_NS, held


def end_session(catalog: Catalog, keys: Keys, session_id: str) -> Change[bool]:
    """Deletes the session, and releases or deletes the keys it holds. Ending one that is gone is no change."""
    session = catalog.sessions.get(session_id)
    if session is None:
        return Change(True)
    change = Change(True, deletes=[keys.session(session_id), keys.pulse("session", session_id)])
    change.require(keys.session(session_id), session.ModifyIndex)
    for name in sorted(catalog.locked_by.get(session_id, ())):
        entry = catalog.kv.entries[name]
        change.require(keys.kv(name), entry.ModifyIndex)
        if session.Behavior == "delete":
            change.deletes.append(keys.kv(name))
        else:
            change.put(keys.kv(name), msgspec.structs.replace(entry, Session=""))
    return change
