"""Long answers: chunks passed on as they come, ended when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import falcon.asgi


class UntilGone:
    """An async iterator over `chunks` for `resp.stream` that ends as soon as the client disconnects.

    Whatever `chunks` holds (an upstream connection, a subscription) is released then: its generator is closed.
    Only for requests whose body has been read, or that have none.
    """

    def __init__(self, req: falcon.asgi.Request, chunks: AsyncIterator[bytes]) -> None:
        self._receive = req.scope["kokiris.receive"]
        self._chunks = chunks
        self._gone: asyncio.Task[None] | None = None

    def __aiter__(self) -> UntilGone:
        return self

    async def __anext__(self) -> bytes:
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._disconnected())
        following = asyncio.ensure_future(anext(self._chunks))
        try:
            await asyncio.wait({following, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                raise StopAsyncIteration
            return following.result()
        finally:
            if not following.done():
                following.cancel()
                await asyncio.wait({following})

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def close(self) -> None:
        """Called by Falcon when the answer is over, however it ended."""
        if self._gone is not None:
            self._gone.cancel()
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
