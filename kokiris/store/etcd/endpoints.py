"""Channels to several etcd members: one is used until it fails or falls silent, then the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from kokiris.kernel.errors import BadInput, HostError, StoreError
from kokiris.store.etcd import etcd_pb2 as pb

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPT_DEADLINE_S = 2.5
"""How long one member may take to answer a read before the next is asked."""
TOTAL_DEADLINE_S = 12.0
"""How long all attempts may take: an election of etcd takes 1 to 3 seconds."""
CONNECT_DEADLINE_S = 2.0
RETRY_PAUSE_S = 0.1
HAS_LEADER = (("hasleader", "true"),)
"""A member that is cut off from the others answers with an error instead of serving from the past."""

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),  # etcd refuses clients that ping more often than every 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_ANOTHER_MEMBER_MAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class Member:
    """One endpoint: its channel and the calls we make on it."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self.range = self._unary("KV/Range", pb.RangeRequest, pb.RangeResponse)
        self.txn = self._unary("KV/Txn", pb.TxnRequest, pb.TxnResponse)
        self.lease_grant = self._unary("Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse)
        self.lease_revoke = self._unary("Lease/LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse)
        self.keep_alive = self._stream("Lease/LeaseKeepAlive", pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse)
        self.watch = self._stream("Watch/Watch", pb.WatchRequest, pb.WatchResponse)

    def _unary(self, method: str, request: Any, response: Any) -> Any:
        return self.channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def _stream(self, method: str, request: Any, response: Any) -> Any:
        return self.channel.stream_stream(
            f"/etcdserverpb.{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    async def connected(self) -> bool:
        """Whether a connection stands, waiting up to CONNECT_DEADLINE_S for one. A hung member's does."""
        if self.channel.get_state(try_to_connect=True) == grpc.ChannelConnectivity.READY:
            return True
        try:
            await asyncio.wait_for(self._ready(), CONNECT_DEADLINE_S)
        except TimeoutError:
            return False
        return True

    async def why_not(self) -> str:
        """Why there is no connection, in gRPC's words (refused, certificate not trusted…)."""
        try:
            await self.range(pb.RangeRequest(key=b"/"), timeout=1.0)
        except grpc.aio.AioRpcError as error:
            return describe(error)
        return "it has only just come back"

    async def _ready(self) -> None:
        """Like `channel_ready`, but gives up at the first refused connection."""
        state = self.channel.get_state(try_to_connect=True)
        while state != grpc.ChannelConnectivity.READY:
            await self.channel.wait_for_state_change(state)
            state = self.channel.get_state(try_to_connect=True)
            if state in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}:
                raise TimeoutError


class Endpoints:
    """All members, and which one is in use."""

    def __init__(self, endpoints: Sequence[str], tls: tuple[Path, Path, Path] | None) -> None:
        credentials = _credentials(tls) if tls is not None else None
        self._members = [Member(_address(endpoint), credentials) for endpoint in endpoints]
        self._current = 0
        self.closed = False

    @property
    def current(self) -> Member:
        """The member in use."""
        return self._members[self._current]

    def suspect(self, member: Member) -> None:
        """`member` failed or fell silent: if it is in use, the next one is from now on."""
        if member is self.current:
            self._current = (self._current + 1) % len(self._members)
            if len(self._members) > 1:
                log.warning("etcd: leaving %s for %s", member.address, self.current.address)

    async def reachable(self) -> Member:
        """A member with a standing connection, tried in turn. Raises StoreError when there is none in time."""
        deadline = asyncio.get_running_loop().time() + TOTAL_DEADLINE_S
        while True:
            if self.closed:
                raise StoreError("the store is closed")
            member = self.current
            if await member.connected():
                return member
            self.suspect(member)
            if asyncio.get_running_loop().time() >= deadline:
                raise self.unreachable(await member.why_not())
            await asyncio.sleep(RETRY_PAUSE_S)

    async def read(self, call: Callable[[Member], Awaitable[T]]) -> T:
        """Runs `call` (something that may be repeated) on one member after the other until one answers.

        Raises StoreError when none does in time, and what etcd refuses for a reason of the request as grpc's error.
        """
        deadline = asyncio.get_running_loop().time() + TOTAL_DEADLINE_S
        while True:
            member = await self.reachable()
            try:
                return await call(member)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _ANOTHER_MEMBER_MAY:
                    raise
                self.suspect(member)
                if asyncio.get_running_loop().time() >= deadline:
                    raise self.unreachable(describe(error)) from error
            await asyncio.sleep(RETRY_PAUSE_S)

    def unreachable(self, reason: str) -> StoreError:
        """The error that names all endpoints."""
        names = ", ".join(member.address for member in self._members)
        return StoreError(
            f"etcd at {names} does not answer: {reason}", next_step="Check that etcd runs and is healthy."
        )

    async def close(self) -> None:
        """Ends running calls. Idempotent."""
        self.closed = True
        for member in self._members:
            await member.channel.close()


def describe(error: grpc.aio.AioRpcError) -> str:
    """etcd's own words, on one line."""
    return " ".join(f"{error.code().name}: {error.details() or ''}".split())


def never_sent(error: grpc.aio.AioRpcError) -> bool:
    """Whether it is certain that no member has seen the request, so that even a commit may be sent again."""
    words = error.details() or ""
    unconnected = error.code() == grpc.StatusCode.UNAVAILABLE and words.startswith("failed to connect to all addresses")
    return unconnected or words == "etcdserver: no leader"


def _address(endpoint: str) -> str:
    address = endpoint.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise BadInput(f'etcd endpoint "{endpoint}" is not host:port', next_step="Write it as 127.0.0.1:2379.")
    return address


def _credentials(tls: tuple[Path, Path, Path]) -> grpc.ChannelCredentials:
    try:
        ca, certificate, key = (path.read_bytes() for path in tls)
    except OSError as error:
        raise HostError(f"etcd: certificate {error.filename} cannot be read: {error.strerror}") from error
    return grpc.ssl_channel_credentials(ca, key, certificate)
