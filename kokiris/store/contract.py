"""What a store guarantees. It knows keys and revisions, nothing of jobs. Two implementations, one test suite.

* **Keys** are bytes, values are bytes. Order is byte order.
* **Revision** is one integer for the whole store: it grows with every commit that changes anything, never goes back,
  and survives restart. A commit has exactly one revision, and all its changes carry it.
* **Durable**: when `commit` returns, the change survives `kill -9` and loss of power.
* **Atomic**: a watcher sees all changes of a commit in one batch, commits in revision order, none twice, none missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key at one revision."""

    key: bytes
    value: bytes
    create_revision: int
    """The revision that created the key (since it was last deleted)."""
    mod_revision: int
    """The revision of its last change."""


@dataclass(frozen=True, slots=True)
class Range:
    """All live keys under a prefix, in key order, as they stood at `revision`."""

    revision: int
    items: Sequence[KeyValue]


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds while `key`'s mod_revision equals `mod_revision`; 0 means "the key does not exist"."""

    key: bytes
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one key. A deletion has `value` None and `create_revision` 0."""

    key: bytes
    value: bytes | None
    create_revision: int
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The changes under the watched prefix made by one commit, in key order.

    An empty `events` is a sign of life: everything up to `revision` has been delivered.
    """

    revision: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What `commit` did. `succeeded` False: a condition failed, nothing was written, `revision` is the present one."""

    succeeded: bool
    revision: int


class Lease(Protocol):
    """Keys put with a lease vanish (as an ordinary commit) when it is not kept alive for `ttl_s`, or is revoked."""

    @property
    def lease_id(self) -> int: ...

    @property
    def ttl_s(self) -> float: ...

    async def keep_alive(self) -> bool:
        """Renews for another `ttl_s`. False: the lease has expired, its keys are gone."""
        ...

    async def revoke(self) -> None:
        """Ends the lease and deletes its keys. Idempotent."""
        ...


class Store(Protocol):
    """See the module's text for the guarantees. All methods raise StoreError when the store cannot be reached."""

    async def get(self, key: bytes) -> KeyValue | None:
        """The key as of the newest commit, or None."""
        ...

    async def range(self, prefix: bytes) -> Range:
        """All keys starting with `prefix`, consistent at one revision. Any size: implementations page as needed."""
        ...

    async def commit(
        self,
        conditions: Sequence[Condition] = (),
        puts: Mapping[bytes, bytes] | None = None,
        deletes: Sequence[bytes] = (),
        *,
        lease: Lease | None = None,
    ) -> CommitResult:
        """Writes all of `puts` and `deletes`, or nothing if a condition fails. Deleting an absent key is no change.

        With `lease`, every put key belongs to it. A key may not be in both `puts` and `deletes` (BadInput).
        A commit that changes nothing returns the present revision.
        """
        ...

    def watch(self, prefix: bytes, from_revision: int) -> AsyncIterator[Batch]:
        """Every commit under `prefix` with revision >= `from_revision`, for ever; resumes by itself after failures.

        Raises Compacted when `from_revision` is older than what the store still has: read `range` again.
        """
        ...

    async def lease(self, ttl_s: float) -> Lease:
        """A new lease of at least `ttl_s`."""
        ...

    async def close(self) -> None:
        """Stops watches and frees everything; idempotent."""
        ...


class Compacted(Exception):
    """A watch asked for history the store no longer has. Internal: callers reload with `range`."""
