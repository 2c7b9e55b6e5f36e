"""Shipping documents by `_bulk`: to our own API over loopback, or to an Elasticsearch that the configuration names."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from kokiris.kernel.errors import BadInput, Unavailable
from kokiris.logs.model import Document

log = logging.getLogger(__name__)

TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 15.0
INDEX = "logs-kokiris"
PORTION_BYTES = 4 * 1024 * 1024
"""Of one request: far below what any Elasticsearch takes."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A document and the id under which it is kept once, however often it is sent."""

    identifier: str
    document: Document


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A shipment as the two lines of a bulk request."""

    identifier: str
    lines: bytes


def portions(shipments: Sequence[Shipment]) -> Iterator[list[_Encoded]]:
    """Requests of at most PORTION_BYTES, but for an entry that is larger by itself."""
    portion: list[_Encoded] = []
    size_bytes = 0
    for one in shipments:
        action = msgspec.json.encode({"create": {"_index": INDEX, "_id": one.identifier}})
        lines = action + b"\n" + msgspec.json.encode(one.document) + b"\n"
        if portion and size_bytes + len(lines) > PORTION_BYTES:
            yield portion
            portion, size_bytes = [], 0
        portion.append(_Encoded(one.identifier, lines))
        size_bytes += len(lines)
    if portion:
        yield portion


def trust(ca_file: str) -> ssl.SSLContext:
    """What the certificate of somebody else's Elasticsearch is checked against; "" means the machine's authorities.
    Raises BadInput."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(f"logs.elasticsearch_ca_file {ca_file} cannot be used: {error}") from error


def credentials(file: str) -> str:
    """The Authorization header of somebody else's Elasticsearch; "" without a file. Raises BadInput."""
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"logs.elasticsearch_credentials_file {file} cannot be read: {error}") from error


class Shipper:
    """`headers` carry the credentials. `tls` checks the certificate where `url` is https."""

    def __init__(self, url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self._url = f"{url.rstrip('/')}/_bulk"
        self._headers = {"Content-Type": "application/x-ndjson", **headers}
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self.refused = 0
        """Documents that the index will never take."""

    async def ship(self, shipments: Sequence[Shipment]) -> None:
        """Returns once each document is acknowledged or refused for good; waits and tries again as long as it takes:
        meanwhile nothing is read, and containers go on writing into their files."""
        for part in portions(shipments):
            left, pause_s = part, FIRST_PAUSE_S
            while left:
                try:
                    left = await self._once(left)
                except (aiohttp.ClientError, OSError, TimeoutError, Unavailable, msgspec.MsgspecError) as error:
                    log.warning("%d entries wait: %s", len(left), str(error) or type(error).__name__)
                if left:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _once(self, shipments: list[_Encoded]) -> list[_Encoded]:
        """Those to send again. Raises when none of them got anywhere."""
        body = b"".join(one.lines for one in shipments)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=TIMEOUT, connector=aiohttp.TCPConnector(ssl=self._tls or True)
            )
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            raw = await response.read()
            if response.status >= 300:
                raise Unavailable(f"{self._url} answers {response.status}: {raw[:200].decode(errors='replace')}")
        answer: dict[str, Any] = msgspec.json.decode(raw)
        if not answer.get("errors"):
            return []
        return [one for one, item in zip(shipments, answer["items"], strict=True) if self._again(one, item)]

    def _again(self, one: _Encoded, item: Mapping[str, Any]) -> bool:
        (result,) = item.values()
        status = int(result.get("status", 500))
        if status < 300 or status == 409:
            return False
        if status == 429 or status >= 500:
            return True
        self.refused += 1
        log.warning("entry %s is refused: %s", one.identifier, str(result.get("error"))[:300])
        return False

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None
