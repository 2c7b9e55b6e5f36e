"""Receives HAProxy's access lines on a unix datagram socket. A full queue drops lines and counts them: a request never
waits for its log line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from pathlib import Path

from kokiris.kernel.ids import new_id
from kokiris.logs.collect.access_lines import document_of_access
from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.logs.collect.shipper import Shipment, Shipper

log = logging.getLogger(__name__)

QUEUE = 20_000
BATCH = 2000
GATHER_S = 0.2
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
LONGEST_BYTES = 16 * 1024
BACKLOG = 1024
"""Datagrams that wait in the kernel. Linux gives a socket 10: HAProxy writes more at once, and would lose the rest."""
BACKLOG_SETTING = Path("/proc/sys/net/unix/max_dgram_qlen")


class AccessSocket:
    """`run` until cancelled."""

    def __init__(self, path: Path, *, infra: str, node: str, shipper: Shipper, targets: AccessTargets) -> None:
        self._path = path
        self._targets = targets
        self._infra = infra
        self._node = node
        self._shipper = shipper
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(QUEUE)
        self._prefix = new_id()[:8]
        self._number = 0
        self.dropped = 0

    def _receive(self, receiver: socket.socket) -> None:
        """All that is there: HAProxy writes many at once. Each is one line, or several with line ends between."""
        for _ in range(BACKLOG):
            try:
                data = receiver.recv(LONGEST_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            try:
                self._queue.put_nowait((time.time_ns() // 1000, data))
            except asyncio.QueueFull:
                self.dropped += 1
                if self.dropped.bit_count() == 1:
                    log.warning("%d access lines dropped: the index does not keep up", self.dropped)

    async def run(self) -> None:
        """Opens the socket anew (0600, for root's HAProxy before it drops privileges), receives and ships."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.unlink(missing_ok=True)
        _raise_backlog()
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        receiver.bind(str(self._path))
        os.chmod(self._path, 0o660)  # noqa: PTH101 - the path of a bound socket
        loop = asyncio.get_running_loop()
        loop.add_reader(receiver, self._receive, receiver)
        try:
            while True:
                await self._ship_some()
        finally:
            loop.remove_reader(receiver)
            receiver.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _ship_some(self) -> None:
        first = await self._queue.get()
        await asyncio.sleep(GATHER_S)
        received = [first]
        while len(received) < BATCH and not self._queue.empty():
            received.append(self._queue.get_nowait())
        self._targets.refresh()
        shipments: list[Shipment] = []
        for received_us, data in received:
            for line in data.split(b"\n"):
                document = document_of_access(line, received_us, infra=self._infra, node=self._node) if line else None
                if document is not None:
                    self._targets.complete(document)
                    self._number += 1
                    shipments.append(Shipment(f"{self._prefix}.r.{self._number:x}", document))
        if shipments:
            await self._shipper.ship(shipments)


def _raise_backlog() -> None:
    """A socket takes the kernel's setting, of the network namespace, when it is made; systemd raises it likewise."""
    try:
        if int(BACKLOG_SETTING.read_text()) < BACKLOG:
            BACKLOG_SETTING.write_text(f"{BACKLOG}\n")
    except OSError as error:
        log.warning("%s stays as it is, bursts of access lines may be lost: %s", BACKLOG_SETTING, error)
