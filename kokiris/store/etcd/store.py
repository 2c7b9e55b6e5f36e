"""`EtcdStore`: the contract on an etcd cluster of version 3.4 or later."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Batch, CommitResult, Condition, KeyValue, Lease, Range
from kokiris.store.etcd import etcd_pb2 as pb
from kokiris.store.etcd.endpoints import (
    ATTEMPT_DEADLINE_S,
    HAS_LEADER,
    RETRY_PAUSE_S,
    Endpoints,
    Member,
    describe,
    never_sent,
)
from kokiris.store.etcd.watching import watch
from kokiris.store.limits import check_commit
from kokiris.store.prefixes import prefix_end

T = TypeVar("T")

COMMIT_DEADLINE_S = 5.0
"""How long a commit may stay without an answer before its fate is reported as unknown: a small one."""
COMMIT_BYTES_PER_S = 2_000_000
"""A large one may take as long as a slow disk needs for it besides: twice, in etcd's log and in its file."""
RANGE_PAGE_KEYS = 500
RANGE_DEADLINE_S = 5.0
"""For one page, which may hold large values."""
PAST_RESERVED = b"\1"
NO_END = b"\0"
"""etcd's word for a range without end."""


class EtcdLease:
    """See `Lease`."""

    def __init__(self, endpoints: Endpoints, lease_id: int, ttl_s: float) -> None:
        self._endpoints = endpoints
        self.lease_id = lease_id
        self.ttl_s = ttl_s

    async def keep_alive(self) -> bool:
        request = pb.LeaseKeepAliveRequest(ID=self.lease_id)

        async def call(member: Member) -> Any:
            stream = member.keep_alive(timeout=ATTEMPT_DEADLINE_S, metadata=HAS_LEADER)
            try:
                await stream.write(request)
                response = await stream.read()
                if response is grpc.aio.EOF:
                    raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, (), (), details="the stream ended")
                return response
            finally:
                stream.cancel()

        response = await _refusals(self._endpoints.read(call))
        return bool(response.TTL > 0)

    async def revoke(self) -> None:
        request = pb.LeaseRevokeRequest(ID=self.lease_id)
        try:
            await self._endpoints.read(lambda member: member.lease_revoke(request, timeout=ATTEMPT_DEADLINE_S))
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise _refused(error) from error


class EtcdStore:
    """See `Store`. Made by `open`; belongs to the event loop it was opened in."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    @classmethod
    async def open(cls, endpoints: Sequence[str], *, tls: tuple[Path, Path, Path] | None) -> EtcdStore:
        """Connects. Raises StoreError when no endpoint answers, HostError when a certificate cannot be read."""
        store = cls(Endpoints(endpoints, tls))
        try:
            await store.get(PAST_RESERVED)
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def endpoint(self) -> str:
        """host:port of the member in use."""
        return self._endpoints.current.address

    async def get(self, key: bytes) -> KeyValue | None:
        response = await _refusals(self._range(pb.RangeRequest(key=key)))
        return _key_value(response.kvs[0]) if response.kvs else None

    async def range(self, prefix: bytes) -> Range:
        while True:
            try:
                return await self._paged(prefix)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.OUT_OF_RANGE:  # compacted between two pages: begin again
                    raise _refused(error) from error

    async def commit(
        self,
        conditions: Sequence[Condition] = (),
        puts: Mapping[bytes, bytes] | None = None,
        deletes: Sequence[bytes] = (),
        *,
        lease: Lease | None = None,
    ) -> CommitResult:
        puts = puts or {}
        check_commit(conditions, puts, deletes)
        request = _transaction(conditions, puts, deletes, lease.lease_id if lease is not None else 0)
        while True:
            member = await self._endpoints.reachable()
            try:
                response = await member.txn(request, timeout=commit_deadline_s(request), metadata=HAS_LEADER)
            except grpc.aio.AioRpcError as error:
                if error.code() in _REFUSED:
                    raise _refused(error) from error
                self._endpoints.suspect(member)
                if never_sent(error):
                    await asyncio.sleep(RETRY_PAUSE_S)
                    continue
                raise StoreError(
                    f"etcd {member.address} left a commit unanswered, it may or may not be kept: {describe(error)}",
                    next_step="Read the object again before repeating the change.",
                ) from error
            return CommitResult(response.succeeded, response.header.revision)

    async def watch(self, prefix: bytes, from_revision: int) -> AsyncIterator[Batch]:
        async for batch in watch(self._endpoints, prefix, from_revision):
            yield batch

    async def lease(self, ttl_s: float) -> EtcdLease:
        # Our own id: when an answer is lost, asking again finds the lease instead of making another.
        request = pb.LeaseGrantRequest(TTL=max(1, math.ceil(ttl_s)), ID=secrets.randbits(62) + 1)
        try:
            response = await self._endpoints.read(
                lambda member: member.lease_grant(request, timeout=ATTEMPT_DEADLINE_S)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:  # "lease already exists"
                raise _refused(error) from error
            return EtcdLease(self._endpoints, request.ID, float(request.TTL))
        return EtcdLease(self._endpoints, response.ID, float(response.TTL))

    async def close(self) -> None:
        await self._endpoints.close()

    async def _range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """One page. Raises StoreError when no member answers, grpc's error when etcd refuses."""

        timeout_s = RANGE_DEADLINE_S if request.limit else ATTEMPT_DEADLINE_S

        async def call(member: Member) -> pb.RangeResponse:
            return cast(pb.RangeResponse, await member.range(request, timeout=timeout_s, metadata=HAS_LEADER))

        return await self._endpoints.read(call)

    async def _paged(self, prefix: bytes) -> Range:
        """All pages as of the revision of the first. Raises grpc's error."""
        start, end, revision = max(prefix, PAST_RESERVED), prefix_end(prefix) or NO_END, 0
        items: list[KeyValue] = []
        while True:
            response = await self._range(
                pb.RangeRequest(key=start, range_end=end, limit=RANGE_PAGE_KEYS, revision=revision)
            )
            revision = revision or response.header.revision
            items.extend(map(_key_value, response.kvs))
            if not response.more:
                return Range(revision, items)
            start = response.kvs[-1].key + b"\0"


_REFUSED = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Answers after which it is certain that nothing was written."""


def commit_deadline_s(request: pb.TxnRequest) -> float:
    """By its size. Pure."""
    return COMMIT_DEADLINE_S + request.ByteSize() / COMMIT_BYTES_PER_S


def _transaction(
    conditions: Sequence[Condition], puts: Mapping[bytes, bytes], deletes: Sequence[bytes], lease_id: int
) -> pb.TxnRequest:
    request = pb.TxnRequest()
    for condition in conditions:
        if condition.mod_revision:
            request.compare.add(target=pb.Compare.MOD, key=condition.key, mod_revision=condition.mod_revision)
        else:
            request.compare.add(target=pb.Compare.CREATE, key=condition.key, create_revision=0)
    for key, value in sorted(puts.items()):
        request.success.add().request_put.CopyFrom(pb.PutRequest(key=key, value=value, lease=lease_id))
    for key in sorted(set(deletes)):
        request.success.add().request_delete_range.CopyFrom(pb.DeleteRangeRequest(key=key))
    return request


def _key_value(kv: pb.KeyValue) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision)


async def _refusals(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _refused(error) from error


def _refused(error: grpc.aio.AioRpcError) -> StoreError:
    if error.code() == grpc.StatusCode.NOT_FOUND:
        next_step = "Take a new lease and write its keys again."
        return StoreError(f"the lease of a commit has expired: {describe(error)}", next_step=next_step)
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return StoreError(
            f"etcd refused: {describe(error)}",
            next_step="Compact and defragment etcd, or raise its --quota-backend-bytes; then disarm its alarm.",
        )
    return StoreError(f"etcd refused: {describe(error)}")
