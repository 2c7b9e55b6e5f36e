"""Changes of variables: decided from the table in memory, committed under the condition that nobody was faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from kokiris.kernel.errors import BadInput, Busy
from kokiris.kernel.ids import new_id
from kokiris.kernel.topics import Topics
from kokiris.kernel.units import format_duration
from kokiris.store.contract import Condition, Store
from kokiris.variables import locks
from kokiris.variables.model import (
    SealedVariable,
    Variable,
    VariableConflict,
    VariableLock,
    VariableMetadata,
    check_items,
    check_path,
)
from kokiris.variables.table import Stored, VariableTable

ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class _Name:
    namespace: str
    path: str


class VariableWriter:
    """Implements `model.Variables`. `seen(revision)` returns once the table has applied it (its follower's `wait_for`).

    Every method raises BadInput or TooLarge for what cannot be stored, VariableConflict when check-and-set fails or
    somebody else holds the lock, Busy when others were faster 20 times in a row, StoreError when the store fails.
    """

    def __init__(
        self, store: Store, table: VariableTable, seen: Callable[[int], Awaitable[None]], now_ns: Callable[[], int]
    ) -> None:
        self._store = store
        self._table = table
        self._seen = seen
        self._now_ns = now_ns

    @property
    def topics(self) -> Topics:
        return self._table.topics

    def get(self, namespace: str, path: str) -> Variable | None:
        """As the table's."""
        return self._table.get(namespace, path)

    def metadata(self, namespace: str, path_prefix: str) -> list[VariableMetadata]:
        """As the table's."""
        return list(self._table.metadata(namespace, path_prefix))

    async def put(self, wanted: Variable, *, cas: int | None = None, lock_id: str = "") -> Variable:
        """Creates or replaces. `cas`: only at that ModifyIndex (0: only if absent)."""
        name = _Name(wanted.Namespace, check_path(wanted.Path))
        items = check_items(wanted.Items)

        def decide(found: Stored | None) -> SealedVariable:
            self._check(name, found, cas, lock_id)
            return self._sealed(name, items, found)

        await self._change(name, decide)
        return self._present(name)

    async def delete(self, namespace: str, path: str, *, cas: int | None = None, lock_id: str = "") -> int:
        """The index of the deletion; deleting what does not exist is no error."""
        name = _Name(namespace, check_path(path))

        def decide(found: Stored | None) -> None:
            self._check(name, found, cas, lock_id)

        return await self._change(name, decide)

    async def acquire(self, wanted: Variable, *, cas: int | None = None) -> Variable:
        """Takes the lock, creating the variable if need be; who holds it already gets it anew. `Lock.ID` is answered
        here and never again."""
        name = _Name(wanted.Namespace, check_path(wanted.Path))
        asked = wanted.Lock if isinstance(wanted.Lock, VariableLock) else VariableLock()
        ttl_ns, delay_ns = locks.durations(asked)
        lock_id = asked.ID or new_id()

        def decide(found: Stored | None) -> SealedVariable:
            now_ns = self._now_ns()
            if found is not None and not locks.may_acquire(found.record, asked.ID, now_ns):
                raise self._conflict(name)
            self._check(name, found, cas, lock_id, ignore_lock=True)
            items = dict(wanted.Items) or (self._items(name, found) if found else {})
            record = self._sealed(name, check_items(items) if items else {}, found)
            record.LockIDSHA256 = locks.lock_hash(lock_id)
            record.LockTTLNs, record.LockDelayNs, record.LockExpiresNs = ttl_ns, delay_ns, now_ns + ttl_ns
            return record

        await self._change(name, decide)
        answer = self._present(name)
        answer.Lock = VariableLock(ID=lock_id, TTL=format_duration(ttl_ns), LockDelay=format_duration(delay_ns))
        return answer

    async def renew(self, namespace: str, path: str, lock_id: str) -> VariableMetadata:
        """The holder has another TTL."""
        name = _Name(namespace, check_path(path))

        def decide(found: Stored | None) -> SealedVariable:
            record = self._held_by(name, found, lock_id)
            record.LockExpiresNs = self._now_ns() + record.LockTTLNs
            return record

        await self._change(name, decide)
        present = self._present(name)
        if isinstance(present.Lock, VariableLock):
            present.Lock.ID = lock_id
        fields = {one: getattr(present, one) for one in VariableMetadata.__struct_fields__}
        return VariableMetadata(**fields)

    async def release(self, namespace: str, path: str, lock_id: str) -> Variable:
        """Free at once, without the delay."""
        name = _Name(namespace, check_path(path))

        def decide(found: Stored | None) -> SealedVariable:
            record = self._held_by(name, found, lock_id)
            locks.without_lock(record)
            return record

        await self._change(name, decide)
        return self._present(name)

    # ---- deciding ------------------------------------------------------------------------------------------------

    def _check(
        self, name: _Name, found: Stored | None, cas: int | None, lock_id: str, *, ignore_lock: bool = False
    ) -> None:
        present_index = found.modify_index if found else 0
        if cas is not None and cas != present_index:
            raise self._conflict(name)
        if found is None or ignore_lock:
            return
        if locks.is_held(found.record, self._now_ns()) and not locks.is_holder(found.record, lock_id):
            raise self._conflict(name)

    def _held_by(self, name: _Name, found: Stored | None, lock_id: str) -> SealedVariable:
        """A copy of the record, to be changed."""
        if not lock_id:
            raise BadInput("missing lock ID", next_step='Send it as "Lock": {"ID": …}.')
        if found is None or not locks.is_held(found.record, self._now_ns()):
            raise self._conflict(name)
        if not locks.is_holder(found.record, lock_id):
            raise self._conflict(name)
        return msgspec.structs.replace(found.record)

    def _sealed(self, name: _Name, items: dict[str, str], found: Stored | None) -> SealedVariable:
        now_ns = self._now_ns()
        stored_key = self._table.keys.variable(name.namespace, name.path)
        key_id, sealed = self._table.keyring.seal(msgspec.msgpack.encode(items), stored_key)
        blank = SealedVariable(KeyID="", Sealed=b"", CreateTime=now_ns, ModifyTime=now_ns)
        record = msgspec.structs.replace(found.record if found else blank)
        record.KeyID, record.Sealed, record.ModifyTime = key_id, sealed, now_ns
        return record

    def _items(self, name: _Name, found: Stored) -> dict[str, str]:
        return self._table.items(name.namespace, name.path, found.record)

    def _conflict(self, name: _Name) -> VariableConflict:
        present = self._table.get(name.namespace, name.path)
        return VariableConflict(present or Variable(Namespace=name.namespace, Path=name.path, Items={}))

    def _present(self, name: _Name) -> Variable:
        present = self._table.get(name.namespace, name.path)
        if present is None:
            raise self._conflict(name)  # deleted by somebody else meanwhile
        return present

    async def _change(self, name: _Name, decide: Callable[[Stored | None], SealedVariable | None]) -> int:
        """Commits what `decide` makes of what is stored: a record, or None for "delete". The revision."""
        stored_key = self._table.keys.variable(name.namespace, name.path)
        for _ in range(ATTEMPTS):
            found = self._table.stored(name.namespace, name.path)
            record = decide(found)
            if record is None and found is None:
                return self._table.revision
            condition = Condition(stored_key, found.modify_index if found else 0)
            puts = {stored_key: msgspec.msgpack.encode(record)} if record is not None else {}
            result = await self._store.commit([condition], puts, [stored_key] if record is None else [])
            await self._seen(result.revision)
            if result.succeeded:
                return result.revision
        raise Busy(f'{ATTEMPTS} attempts to write variable "{name.path}" were each overtaken by others')
