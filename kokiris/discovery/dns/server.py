"""The sockets: UDP in a thread that blocks on it, TCP in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading

from kokiris.discovery.dns.responder import Responder
from kokiris.kernel.errors import HostError

log = logging.getLogger(__name__)

TCP_IDLE_S = 10.0
MAX_TCP_CONNECTIONS = 256
_STOP_CHECK_S = 1
_PORT_TRIES = 20
_BUFFER_BYTES = 1 << 21


class DnsServer:
    """One address, both transports."""

    def __init__(self, responder: Responder, host: str, port: int) -> None:
        self._responder = responder
        self._host = host
        self._port = port
        self._stopping = False
        self._udp: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is bound, also when 0 was asked for."""
        return self._port

    async def start(self) -> None:
        """Raises HostError when the address cannot be bound. Port 0 takes one that is free for both transports."""
        tries = 1 if self._port else _PORT_TRIES
        while True:
            tries -= 1
            try:
                udp, self._tcp = await self._bind()
                break
            except OSError as error:
                if tries == 0:
                    reason = error.strerror or str(error)
                    raise HostError(f"DNS cannot listen on {self._host}:{self._port}: {reason}") from error
        self._port = udp.getsockname()[1]
        self._udp = udp
        self._thread = threading.Thread(target=self._serve_udp, args=(udp,), name="dns udp", daemon=True)
        self._thread.start()

    async def _bind(self) -> tuple[socket.socket, asyncio.Server]:
        udp = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            # a time limit kept by the kernel: a Python timeout would cost one more system call per packet
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _STOP_CHECK_S, 0))
            udp.bind((self._host, self._port))
            tcp = await asyncio.start_server(self._accept, self._host, udp.getsockname()[1], limit=1 << 16)
        except OSError:
            udp.close()
            raise
        return udp, tcp

    async def stop(self) -> None:
        """Idempotent."""
        self._stopping = True
        if self._tcp is not None:
            self._tcp.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._tcp = None
        if self._udp is not None and self._thread is not None:
            with contextlib.suppress(OSError):
                self._udp.shutdown(socket.SHUT_RD)  # wakes the thread
            await asyncio.to_thread(self._thread.join, 2 * _STOP_CHECK_S)
            self._udp.close()
            self._udp = None

    def _serve_udp(self, udp: socket.socket) -> None:
        receive, send, answer = udp.recvfrom, udp.sendto, self._responder.udp
        while not self._stopping:
            try:
                packet, peer = receive(65535)
            except OSError:
                continue  # nothing came within the time limit, or an ICMP error of an earlier answer
            reply = answer(packet)
            if reply is not None:
                with contextlib.suppress(OSError):
                    send(reply, peer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_TCP_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve_tcp(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the other side is gone or too slow
        except Exception:
            log.exception("dns: a TCP connection failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._stopping:
            async with asyncio.timeout(TCP_IDLE_S):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                packet = await reader.readexactly(length)
                reply = self._responder.tcp(packet)
                if reply is None:
                    return
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
