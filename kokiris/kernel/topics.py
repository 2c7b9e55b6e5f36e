"""Blocking queries wait on topics: a topic is a resource (`("job", "default", "web")`), its index the revision of its
last change. Waking is per topic, so a change of one job wakes only those who asked for it. No I/O: futures only."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence

Topic = tuple[Hashable, ...]


class Topics:
    """Indexes and waiters of one materialised state. Used from one event loop."""

    def __init__(self) -> None:
        self.floor = 1
        """The index of topics that are not known: raise it when forgetting, so that no index ever goes back."""
        self._index: dict[Topic, int] = {}
        self._waiting: dict[Topic, set[asyncio.Future[None]]] = {}

    def index(self, *topics: Topic) -> int:
        """The newest revision among `topics`; at least 1, as clients expect. Unknown topics count as `floor`."""
        return max((self._index.get(topic, self.floor) for topic in topics), default=self.floor)

    def raise_floor(self, revision: int) -> None:
        """Unknown topics count at least as `revision` from now on. Wakes nobody: nothing changed for them."""
        self.floor = max(self.floor, revision)

    def touch(self, topics: Iterable[Topic], revision: int) -> None:
        """Records a change at `revision` and wakes whoever waits on any of `topics`."""
        for topic in topics:
            self._index[topic] = revision
            for future in self._waiting.pop(topic, ()):
                if not future.done():
                    future.set_result(None)

    def forget(self, topic: Topic) -> None:
        """Drops the index of a resource that is gone; give a wider topic as well when asking for its index."""
        self._index.pop(topic, None)

    async def wait(self, topics: Sequence[Topic], after_index: int, timeout_s: float) -> None:
        """Returns once the index of `topics` exceeds `after_index`, or after `timeout_s`. Cancel-safe."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self.index(*topics) <= after_index:
            remaining = deadline - loop.time()
            if remaining <= 0:
                return
            future: asyncio.Future[None] = loop.create_future()
            for topic in topics:
                self._waiting.setdefault(topic, set()).add(future)
            try:
                await asyncio.wait_for(future, remaining)
            except TimeoutError:
                return
            finally:
                self._leave(topics, future)

    def _leave(self, topics: Sequence[Topic], future: asyncio.Future[None]) -> None:
        for topic in topics:
            waiting = self._waiting.get(topic)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[topic]

    def is_waited_on(self, topic: Topic) -> bool:
        """Whether anybody is parked on `topic`."""
        return topic in self._waiting

    def known(self) -> list[Topic]:
        """Every topic that has an index."""
        return list(self._index)

    def waiting(self) -> int:
        """How many futures are parked (for metrics)."""
        return len({future for futures in self._waiting.values() for future in futures})
