"""`?scroll=`: a search whose pages are fetched one after the other. Newest first, or oldest first."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from kokiris.logs.api.call import EsError
from kokiris.logs.model import TIME
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.hits import Hit
from kokiris.logs.search.request import SearchRequest, SortField

MAX_OPEN = 200
"""The oldest is forgotten when one more is opened; they hold no data."""


@dataclass(frozen=True, slots=True)
class Scroll:
    """What the next page is found by."""

    request: SearchRequest
    pattern: str
    owner: str


class Scrolls:
    """Open scrolls by their id, which is a secret. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Scroll] = OrderedDict()

    def begin(self, request: SearchRequest, pattern: str, owner: str) -> tuple[str, SearchRequest]:
        """(id, the request to be made for the first page). Raises QueryError for an order that cannot be continued."""
        sort = request.sort[0] if request.sort else SortField("_doc", descending=True, by_arrival=True)
        if not sort.by_arrival and sort.name != TIME:
            raise QueryError(f"scrolling works in the order of {TIME} only, not by [{sort.name}]")
        ordered = replace(request, sort=(SortField("_doc", sort.descending, by_arrival=True),), offset=0)
        identifier = secrets.token_urlsafe(24)
        with self._lock:
            self._open[identifier] = Scroll(ordered, pattern, owner)
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        return identifier, ordered

    def next(self, identifier: str, owner: str) -> Scroll:
        """Raises EsError (404) when it is not known, or somebody else's."""
        with self._lock:
            found = self._open.get(identifier)
        if found is None or found.owner != owner:
            raise EsError(
                404, "search_context_missing_exception", f"No search context found for id [{identifier[:40]}]"
            )
        return found

    def advance(self, identifier: str, hits: list[Hit]) -> None:
        """After a page: the next one begins behind its last hit."""
        with self._lock:
            known = self._open.get(identifier)
            if known is not None and hits:
                self._open[identifier] = replace(known, request=replace(known.request, search_after=(hits[-1].key,)))

    def end(self, identifiers: list[str]) -> int:
        """How many of them were open."""
        with self._lock:
            return sum(self._open.pop(one, None) is not None for one in identifiers)
