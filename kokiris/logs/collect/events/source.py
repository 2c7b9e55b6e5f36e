"""Reading what happens through the public Nomad and Consul APIs, with the node's operator token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec

from kokiris.kernel.errors import NotFound, Unavailable

T = TypeVar("T")

TOPICS = ("Allocation", "Deployment", "Evaluation", "Job", "Node")
CALL_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)
PARKED_S = 60
"""How long a blocking query may stay parked."""
PARKED_TIMEOUT = aiohttp.ClientTimeout(total=PARKED_S + 30, connect=5)
SILENCE_S = 90
"""The stream says something every 30 s; silent for longer, it is dead."""
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=SILENCE_S)
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, Unavailable, NotFound, msgspec.MsgspecError)
"""What makes the follower begin anew, later."""


class StreamEvent(msgspec.Struct, kw_only=True):
    """One change of an object, which is in `Payload` under its topic."""

    Topic: str
    Type: str = ""
    Key: str = ""
    Namespace: str = ""
    Payload: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)


class StreamBatch(msgspec.Struct, kw_only=True):
    """The changes of one commit; a heartbeat has none. `Error`: the stream ends, something may be missed."""

    Index: int = 0
    Events: list[StreamEvent] = msgspec.field(default_factory=list)
    Error: str = ""


class Source:
    """Both APIs of one server. `token` is asked anew for every request. Everything may raise one of FAILURES."""

    def __init__(self, nomad_url: str, consul_url: str, token: Callable[[], str]) -> None:
        self._nomad = nomad_url.rstrip("/")
        self._consul = consul_url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def nomad(self, path: str, as_type: type[T], **parameters: str) -> tuple[T, int]:
        """(the answer, its index). Raises NotFound."""
        return await self._get(self._nomad + path, as_type, parameters, "X-Nomad-Index", CALL_TIMEOUT)

    async def consul(self, path: str, as_type: type[T], index: int) -> tuple[T, int]:
        """As `nomad`, but waits until the answer is newer than `index`."""
        parameters = {"index": str(index), "wait": f"{PARKED_S}s"} if index else {}
        return await self._get(self._consul + path, as_type, parameters, "X-Consul-Index", PARKED_TIMEOUT)

    async def _get(
        self, url: str, as_type: type[T], parameters: Mapping[str, str], index: str, within: aiohttp.ClientTimeout
    ) -> tuple[T, int]:
        async with self._open().get(url, params=parameters, headers=self._headers(), timeout=within) as answer:
            raw = await answer.read()
            if answer.status == 404:
                raise NotFound(f"{url} is not there")
            if answer.status >= 300:
                raise Unavailable(f"{url} answers {answer.status}")
            return msgspec.json.decode(raw, type=as_type), int(answer.headers.get(index, "0"))

    @asynccontextmanager
    async def changes(self, index: int) -> AsyncIterator[AsyncIterator[StreamBatch]]:
        """Commits from `index` on, as far back as the server still holds them. Once this is entered, none of those that
        follow is missed without an `Error`."""
        parameters = [("topic", topic) for topic in TOPICS] + [("namespace", "*"), ("index", str(index))]
        url = f"{self._nomad}/v1/event/stream"
        async with self._open().get(url, params=parameters, headers=self._headers(), timeout=STREAM_TIMEOUT) as answer:
            if answer.status >= 300:
                raise Unavailable(f"{url} answers {answer.status}")
            yield _batches(answer.content.iter_any())

    def _headers(self) -> dict[str, str]:
        return {"X-Nomad-Token": self._token()}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _batches(chunks: Any) -> AsyncIterator[StreamBatch]:
    """Lines, however long: one commit may hold thousands of allocations."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" not in chunk:
            continue
        *lines, left = bytes(rest).split(b"\n")
        rest = bytearray(left)
        for line in lines:
            if line.strip():
                yield msgspec.json.decode(line, type=StreamBatch)
