"""From HAProxy's access lines to the index."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import time
from collections.abc import Sequence

from kokiris.logs.collect.access_lines import document_of_access
from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.logs.collect.shipper import Shipment, Shipper

log = logging.getLogger(__name__)

ID_BYTES = 9
"""Two of a hundred million lines a day share 72 bits once in a thousand years."""
_DROPPED = re.compile(rb"(\d{1,12}) events? dropped")
"""A line of HAProxy's own, where others are missing."""


class AccessCollector:
    """A line that is brought again, to whichever collector, is kept once."""

    def __init__(self, *, infra: str, node: str, shipper: Shipper, targets: AccessTargets) -> None:
        self._targets = targets
        self._infra = infra
        self._node = node
        self._shipper = shipper
        self.dropped = 0
        """Lines that HAProxy could not keep until they were read."""

    async def take(self, lines: Sequence[bytes]) -> None:
        """Returns once the index has acknowledged them, however long it takes."""
        received_us = time.time_ns() // 1000
        self._targets.refresh()
        shipments: list[Shipment] = []
        for line in lines:
            document = document_of_access(line, received_us, infra=self._infra, node=self._node)
            if document is not None:
                self._targets.complete(document)
                shipments.append(Shipment(_identifier(line), document))
            elif (gap := _DROPPED.fullmatch(line)) is not None:
                self._missed(int(gap[1]))
        if shipments:
            await self._shipper.ship(shipments)

    def _missed(self, count: int) -> None:
        """A warning whenever the number has doubled."""
        before, self.dropped = self.dropped, self.dropped + count
        if self.dropped.bit_length() > before.bit_length():
            log.warning("%d access lines are missing: the index does not keep up", self.dropped)


def _identifier(line: bytes) -> str:
    """The same for the same line, which holds the request's time and number."""
    digest = hashlib.blake2b(line, digest_size=ID_BYTES).digest()
    return f"r.{base64.urlsafe_b64encode(digest).decode()}"
