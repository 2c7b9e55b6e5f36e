"""The agent's side: asking the nursery for a process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import struct

import msgspec

from kokiris.agent.nursery.protocol import PACKET_BYTES, Answer, Birth, Ended
from kokiris.agent.processes import ProcessSpec, Running
from kokiris.kernel.errors import HostError

PATIENCE_S = 60.0
"""For a nursery to come up, and again for its answer: loading takes it a second, ten on a busy machine."""
RETRY_S = 0.05
CODE_TIMEOUT_S = 10.0
"""The nursery learns of an end when we do."""


async def fork(spec: ProcessSpec, abandon: asyncio.Event) -> Running | None:
    """The process that `spec` describes, from the nursery it names. None when `abandon` was set before one was asked.

    Raises HostError when no nursery can be asked or it refuses; one that stays silent is killed, so that the agent
    starts another. What was asked for and not heard of is found by its pid file, by the next call at the latest.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not abandon.is_set():
        try:
            return await _ask(spec)
        except OSError as error:  # not up yet, or it ended meanwhile
            if loop.time() > deadline:
                raise HostError(
                    f"cannot start {spec.name}: no nursery answers on {spec.nursery} ({error})",
                    next_step="Read nursery.log.",
                ) from error
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(abandon.wait(), RETRY_S)
    return None


async def _ask(spec: ProcessSpec) -> Running:
    """Raises OSError when there is nobody to answer."""
    birth = Birth(
        argv=list(spec.argv),
        log_file=str(spec.log_file),
        pid_file=str(spec.pid_file),
        fingerprint=spec.fingerprint(),
        descriptors=list(spec.pass_fds),
    )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    running = None
    try:
        connection.connect(str(spec.nursery))
        socket.send_fds(connection, [msgspec.json.encode(birth)], spec.pass_fds)
        answer = await _answer(connection, spec)
        if answer.child is None:
            raise HostError(f"cannot start {spec.name}: the nursery refused: {answer.refusal}")
        with contextlib.suppress(ProcessLookupError):
            code = functools.partial(_code, connection)
            running = Running(answer.child, None if answer.ran_already else code, adopted=answer.ran_already)
    finally:
        if running is None or running.adopted:
            connection.close()
    if running is None:
        raise HostError(f"{spec.name} ended at once", next_step=f"Read {spec.log_file}.")
    return running


async def _answer(connection: socket.socket, spec: ProcessSpec) -> Answer:
    try:
        async with asyncio.timeout(PATIENCE_S):
            raw = await asyncio.get_running_loop().sock_recv(connection, PACKET_BYTES)
    except TimeoutError:
        pid = _peer(connection)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise HostError(
            f"cannot start {spec.name}: the nursery was silent for {PATIENCE_S:.0f} s; process {pid} was killed"
        ) from None
    if not raw:
        raise ConnectionResetError("it ended before it answered")
    return msgspec.json.decode(raw, type=Answer)


def _peer(connection: socket.socket) -> int:
    """The process that listens; it holds the other end, so that its pid is nobody else's yet."""
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


async def _code(connection: socket.socket) -> int | None:
    """The exit code of a child that has ended; None when its nursery is no more. Closes the connection."""
    with connection, contextlib.suppress(OSError, msgspec.MsgspecError):
        async with asyncio.timeout(CODE_TIMEOUT_S):
            raw = await asyncio.get_running_loop().sock_recv(connection, PACKET_BYTES)
        return msgspec.json.decode(raw, type=Ended).code
    return None
