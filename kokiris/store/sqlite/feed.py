"""Commits of this process on their way to the watchers of this process. One event loop, no I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kokiris.store.contract import Batch, Event

MAX_BUFFERED_EVENTS = 20_000
"""A watcher that lags further behind is sent back to the stored history instead of filling memory."""


class Subscription:
    """One watcher's place in the feed. Created by `Feed.subscribe`."""

    def __init__(self, feed: Feed, prefix: bytes) -> None:
        self._feed = feed
        self._prefix = prefix
        self._batches: list[Batch] = []
        self._events = 0
        self._overflowed = False
        self._wake: asyncio.Future[None] | None = None

    def restart(self) -> int:
        """Forgets what is buffered; from now on every commit after the returned revision will be handed out."""
        self._batches, self._events, self._overflowed = [], 0, False
        return self._feed.revision

    async def take(self) -> Sequence[Batch] | None:
        """The next batches, waiting for at least one. None: some were dropped (`restart`, then read the history), or
        the feed is closed."""
        while not self._batches and not self._overflowed and not self._feed.closed:
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        if self._overflowed or self._feed.closed:
            return None
        batches, self._batches, self._events = self._batches, [], 0
        return batches

    def offer(self, revision: int, events: Sequence[Event]) -> None:
        """Called by the feed for each commit."""
        if self._overflowed:
            return
        mine = [event for event in events if event.key.startswith(self._prefix)] if self._prefix else list(events)
        last = self._batches[-1] if self._batches else None
        if not mine and last is not None and not last.events:
            self._batches[-1] = Batch(revision, ())
        else:
            self._batches.append(Batch(revision, mine))
        self._events += len(mine)
        if self._events > MAX_BUFFERED_EVENTS:
            self._batches, self._overflowed = [], True
        self.wake()

    def wake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def close(self) -> None:
        self._feed.drop(self)


class Feed:
    """Fans commits out. `publish` must be called in revision order, from the event loop."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.closed = False
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, prefix: bytes) -> Subscription:
        """A place in the feed; call `restart` on it first, `close` at the end."""
        subscription = Subscription(self, prefix)
        self._subscriptions.add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def publish(self, revision: int, events: Sequence[Event]) -> None:
        """Hands one commit to every watcher; `events` are in key order."""
        self.revision = revision
        for subscription in self._subscriptions:
            subscription.offer(revision, events)

    def close(self) -> None:
        """Ends every `take`."""
        self.closed = True
        for subscription in self._subscriptions:
            subscription.wake()
