"""The key/value pairs in memory: ordered for prefixes, and waking those who wait on a prefix. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

from kokiris.discovery.model import KvEntry
from kokiris.kernel.topics import Topic, Topics

KNOWN_PREFIXES = 10_000
"""How many prefixes that nobody waits on any more keep an index of their own."""

_LAST = "\U0010ffff"


class KvSpace:
    """Key/value pairs by key, with prefix reads in O(log n + found).

    A change of `a/b/c` must wake whoever waits on `a/b/`: the prefixes somebody asked about are known, and a change
    looks up the beginnings of its key among them. It never scans the waiters.
    """

    def __init__(self) -> None:
        self.entries: dict[str, KvEntry] = {}
        self._ordered: list[str] = []
        self._prefixes: OrderedDict[str, None] = OrderedDict()
        self._lengths: Counter[int] = Counter()

    def put(self, entry: KvEntry) -> None:
        if entry.Key not in self.entries:
            self._ordered.insert(bisect_left(self._ordered, entry.Key), entry.Key)
        self.entries[entry.Key] = entry

    def load(self, entries: Iterable[KvEntry]) -> None:
        """Many at once: replaces all entries, sorting once."""
        self.entries = {entry.Key: entry for entry in entries}
        self._ordered = sorted(self.entries)

    def remove(self, name: str) -> KvEntry | None:
        entry = self.entries.pop(name, None)
        if entry is not None:
            del self._ordered[bisect_left(self._ordered, name)]
        return entry

    def keys_under(self, prefix: str) -> Sequence[str]:
        """Keys that start with `prefix`, in order."""
        start = bisect_left(self._ordered, prefix)
        end = bisect_left(self._ordered, prefix + _LAST, start)
        while end < len(self._ordered) and self._ordered[end].startswith(prefix):
            end += 1  # keys that go on with the very last code point
        return self._ordered[start:end]

    def under(self, prefix: str) -> list[KvEntry]:
        return [self.entries[name] for name in self.keys_under(prefix)]

    def prefix_topic(self, prefix: str, topics: Topics) -> Topic:
        """The topic of a prefix. From now on its changes are told apart from those of other prefixes."""
        topic = ("kv_prefix", prefix)
        if prefix in self._prefixes:
            self._prefixes.move_to_end(prefix)
            return topic
        self._prefixes[prefix] = None
        self._lengths[len(prefix)] += 1
        newest = max((entry.ModifyIndex for entry in self.under(prefix)), default=1)
        topics.touch((topic,), max(newest, topics.floor))
        self._forget_idle(topics)
        return topic

    def _forget_idle(self, topics: Topics) -> None:
        for _ in range(len(self._prefixes) - KNOWN_PREFIXES):
            prefix, _none = self._prefixes.popitem(last=False)
            topic = ("kv_prefix", prefix)
            if topics.is_waited_on(topic):
                self._prefixes[prefix] = None
                continue
            topics.raise_floor(topics.index(topic))
            topics.forget(topic)
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def topics_of(self, name: str) -> list[Topic]:
        """What a change of `name` touches: itself, and every known prefix of it."""
        touched: list[Topic] = [("kv", name)]
        for length in self._lengths:
            if length <= len(name) and name[:length] in self._prefixes:
                touched.append(("kv_prefix", name[:length]))
        return touched
