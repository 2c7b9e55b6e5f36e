"""All variables in memory as they are stored: sealed. They are opened one at a time, when somebody reads one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.topics import Topic, Topics
from kokiris.kernel.units import format_duration
from kokiris.store.contract import Event, Range
from kokiris.variables.locks import is_held
from kokiris.variables.model import Keys, SealedVariable, Variable, VariableLock, VariableMetadata
from kokiris.variables.sealing import Keyring

_ANY: Topic = ("variables",)


class Stored(msgspec.Struct):
    """A sealed variable and where it stands."""

    record: SealedVariable
    create_index: int
    modify_index: int


class VariableTable:
    """Fed by the store's watch, like every view. Implements `model.VariableReader`."""

    def __init__(self, keys: Keys, keyring: Keyring, now_ns: NowNs = wall_ns) -> None:
        self.keys = keys
        self.keyring = keyring
        self.topics = Topics()
        self.revision = 0
        self._now_ns = now_ns
        self._stored: dict[tuple[str, str], Stored] = {}

    @property
    def root(self) -> bytes:
        return self.keys.root

    def stored(self, namespace: str, path: str) -> Stored | None:
        """As it is at rest."""
        return self._stored.get((namespace, path))

    def get(self, namespace: str, path: str) -> Variable | None:
        """Decrypted; its lock without the id. Raises Unavailable when it cannot be opened here."""
        found = self._stored.get((namespace, path))
        if found is None:
            return None
        meta = self._metadata(namespace, path, found)
        return Variable(**msgspec.structs.asdict(meta), Items=self.items(namespace, path, found.record))

    def items(self, namespace: str, path: str, record: SealedVariable) -> dict[str, str]:
        """Of a record at that path. Raises Unavailable when it cannot be opened here."""
        clear = self.keyring.open(record.KeyID, record.Sealed, self.keys.variable(namespace, path))
        return msgspec.msgpack.decode(clear, type=dict[str, str])

    def metadata(self, namespace: str, path_prefix: str) -> Sequence[VariableMetadata]:
        """By namespace and path; namespace "*" means all."""
        return [
            self._metadata(*name, found)
            for name, found in sorted(self._stored.items(), key=lambda one: one[0])
            if namespace in {"*", name[0]} and name[1].startswith(path_prefix)
        ]

    def _metadata(self, namespace: str, path: str, found: Stored) -> VariableMetadata:
        record = found.record
        lock: VariableLock | msgspec.UnsetType = msgspec.UNSET
        if is_held(record, self._now_ns()):
            lock = VariableLock(TTL=format_duration(record.LockTTLNs), LockDelay=format_duration(record.LockDelayNs))
        return VariableMetadata(
            Namespace=namespace,
            Path=path,
            CreateIndex=found.create_index,
            ModifyIndex=found.modify_index,
            CreateTime=record.CreateTime,
            ModifyTime=record.ModifyTime,
            Lock=lock,
        )

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot`."""
        gone = set(self._stored) - {self.keys.name(item.key) for item in snapshot.items}
        for name in gone:
            del self._stored[name]
        events = [Event(one.key, one.value, one.create_revision, one.mod_revision) for one in snapshot.items]
        self.apply(snapshot.revision, events)
        if gone:
            self.topics.touch([_ANY, *(("variable", *name) for name in gone)], snapshot.revision)

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        self.revision = max(self.revision, revision)
        for event in events:
            name = self.keys.name(event.key)
            if event.value is None:
                self._stored.pop(name, None)
            else:
                record = msgspec.msgpack.decode(event.value, type=SealedVariable)
                self._stored[name] = Stored(record, event.create_revision, event.mod_revision)
            self.topics.touch([_ANY, ("variable", *name)], event.mod_revision)
