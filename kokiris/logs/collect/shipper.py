"""Shipping documents by `_bulk`: to our own API over loopback, or to an Elasticsearch that the configuration names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Shipment:
    """A document and the id under which it is kept once, however often it is sent."""

    identifier: str
    document: Document


def credentials(file: str) -> str:
    """The Authorization header of somebody else's Elasticsearch; "" without a file. Raises BadInput."""
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"logs.elasticsearch_credentials_file {file} cannot be read: {error}") from error


class Shipper:
    """`headers` carry the credentials; they are asked for anew for every request."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = f"{url.rstrip('/')}/_bulk"
        self._headers = {"Content-Type": "application/x-ndjson", **headers}
        self._session: aiohttp.ClientSession | None = None
        self.refused = 0
        """Documents that the index will never take."""

    async def ship(self, shipments: Sequence[Shipment]) -> None:
        """Returns once each document is acknowledged or refused for good; waits and tries again as long as it takes:
        meanwhile nothing is read, and containers go on writing into their files."""
        left, pause_s = list(shipments), FIRST_PAUSE_S
        while left:
            try:
                left = await self._once(left)
                if not left:
                    return
            except (aiohttp.ClientError, OSError, TimeoutError, Unavailable, msgspec.MsgspecError) as error:
                log.warning("%d entries wait: %s", len(left), str(error) or type(error).__name__)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _once(self, shipments: list[Shipment]) -> list[Shipment]:
        """Those to send again. Raises when none of them got anywhere."""
        lines: list[bytes] = []
        for one in shipments:
            lines.append(msgspec.json.encode({"create": {"_index": INDEX, "_id": one.identifier}}))
            lines.append(msgspec.json.encode(one.document))
        body = b"\n".join(lines) + b"\n"
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            raw = await response.read()
            if response.status >= 300:
                raise Unavailable(f"{self._url} answers {response.status}: {raw[:200].decode(errors='replace')}")
        answer: dict[str, Any] = msgspec.json.decode(raw)
        if not answer.get("errors"):
            return []
        return [one for one, item in zip(shipments, answer["items"], strict=True) if self._again(one, item)]

    def _again(self, one: Shipment, item: Mapping[str, Any]) -> bool:
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
