"""One watch that goes on for ever: reopened after every error, and after a server that hangs without one.

It watches every key and filters here. etcd's progress messages may overtake events (before 3.4.25), so they only prove
that the server lives; that a revision touched nothing under the prefix is known from its own events alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from itertools import groupby
from typing import Any

import grpc
import grpc.aio

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Batch, Compacted, Event
from kokiris.store.etcd import etcd_pb2 as pb
from kokiris.store.etcd.endpoints import HAS_LEADER, Endpoints, Member
from kokiris.store.limits import RESERVED

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 1.0
SILENCE_LIMIT_S = 2.5
REOPEN_PAUSE_S = 0.1
EVERYTHING = b"\0"


class SilentError(Exception):
    """The member sent nothing, not even an answer to our progress requests. Internal."""


def batches_of(events: Sequence[pb.Event], prefix: bytes) -> list[Batch]:
    """Groups events by commit. The last batch is given even when it has nothing under `prefix`. Pure."""
    batches: list[Batch] = []
    for revision, group in groupby(events, key=lambda event: event.kv.mod_revision):
        mine = sorted((_event(each) for each in group if _is_under(each.kv.key, prefix)), key=lambda event: event.key)
        if batches and not batches[-1].events:
            batches.pop()
        batches.append(Batch(revision, mine))
    return batches


def _is_under(key: bytes, prefix: bytes) -> bool:
    return key.startswith(prefix) and not key.startswith(RESERVED)


def _event(event: pb.Event) -> Event:
    kv = event.kv
    if event.type == pb.Event.DELETE:
        return Event(kv.key, None, 0, kv.mod_revision)
    return Event(kv.key, kv.value, kv.create_revision, kv.mod_revision)


async def watch(endpoints: Endpoints, prefix: bytes, from_revision: int) -> AsyncIterator[Batch]:
    """See `Store.watch`."""
    following = max(from_revision, 1)
    while (member := await _reachable(endpoints)) is not None:
        try:
            async with contextlib.aclosing(_stream(member, following)) as responses:
                async for events in responses:
                    for batch in batches_of(events, prefix):
                        if batch.revision >= following:
                            yield batch
                            following = batch.revision + 1
        except (grpc.aio.AioRpcError, SilentError) as error:
            if endpoints.closed:
                return
            log.warning("etcd: watch on %s broke off, resuming from %d: %s", member.address, following, _reason(error))
            endpoints.suspect(member)
            await asyncio.sleep(REOPEN_PAUSE_S)


async def _reachable(endpoints: Endpoints) -> Member | None:
    """However long it takes; None once the store is closed."""
    while not endpoints.closed:
        try:
            return await endpoints.reachable()
        except StoreError as error:
            if not endpoints.closed:
                log.warning("etcd: watch waits: %s", error)
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name} {error.details() or ''}".strip()
    return str(error)


async def _stream(member: Member, start_revision: int) -> AsyncGenerator[Sequence[pb.Event], None]:
    """The events of one stream, a commit never split. Raises Compacted, SilentError or grpc's error."""
    call = member.watch(metadata=HAS_LEADER)
    pinging = asyncio.create_task(_ping(call, start_revision))
    gathered: list[pb.Event] = []
    try:
        while True:
            response = await _receive(call)
            if response.compact_revision:
                raise Compacted
            if response.canceled:
                raise SilentError(f"the member ended the watch: {response.cancel_reason}")
            gathered.extend(response.events)
            if gathered and not response.fragment:
                yield gathered
                gathered = []
    finally:
        pinging.cancel()
        call.cancel()
        await asyncio.gather(pinging, return_exceptions=True)


async def _receive(call: Any) -> pb.WatchResponse:
    """The next message; silence and the end of the stream become SilentError.

    The read runs in a task of its own: cancelling a gRPC call shows up as CancelledError in whoever reads from it,
    which must not be taken for a cancellation of this task.
    """
    reading = asyncio.ensure_future(call.read())
    try:
        done, _ = await asyncio.wait({reading}, timeout=SILENCE_LIMIT_S)
    finally:
        if not reading.done():
            call.cancel()
            reading.cancel()
    if not done:
        raise SilentError(f"no sign of life for {SILENCE_LIMIT_S} s")
    if reading.cancelled():
        raise SilentError("the stream was cancelled")
    response = reading.result()
    if response is grpc.aio.EOF:
        raise SilentError("the stream ended")
    return response  # type: ignore[no-any-return] # grpc is untyped


async def _ping(call: Any, start_revision: int) -> None:
    """Opens the watch, then asks for progress every second."""
    create = pb.WatchCreateRequest(
        key=EVERYTHING, range_end=EVERYTHING, start_revision=start_revision, progress_notify=True, fragment=True
    )
    progress = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(pb.WatchRequest(create_request=create))
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            await call.write(progress)
