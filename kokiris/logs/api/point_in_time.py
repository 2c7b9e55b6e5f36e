"""Points in time (`_pit`): a search whose pages do not see what comes in meanwhile. Pure, and nothing is kept for them:
an entry's number in the journal says whether it was there."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace

import msgspec

from kokiris.logs.api.call import EsError
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.request import SearchRequest


@dataclass(frozen=True, slots=True)
class PointInTime:
    """What is in the days of `pattern`, up to the entry with number `sequence`."""

    sequence: int
    pattern: str

    @property
    def identifier(self) -> str:
        """No secret: what a reader may see is asked with every search."""
        return base64.urlsafe_b64encode(msgspec.json.encode([self.sequence, self.pattern])).decode()


def point_of(given: object) -> PointInTime:
    """Of a search's `pit`. Raises EsError (404) for an id that was not given out here."""
    identifier = given.get("id") if isinstance(given, dict) else None
    try:
        sequence, pattern = msgspec.json.decode(
            base64.b64decode(str(identifier), altchars=b"-_", validate=True), type=tuple[int, str]
        )
    except (binascii.Error, msgspec.MsgspecError, UnicodeError):
        named = str(identifier)[:40]
        raise EsError(404, "search_context_missing_exception", f"No search context found for id [{named}]") from None
    return PointInTime(sequence, pattern)


def at(point: PointInTime, request: SearchRequest) -> SearchRequest:
    """The search as of then. Raises QueryError."""
    if request.aggregations:
        raise QueryError("aggregations of a point in time are not supported; ask for them without [pit]")
    return replace(request, last_sequence=point.sequence)
