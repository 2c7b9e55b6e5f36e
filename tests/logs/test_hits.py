"""Pages over days: whatever stretch of time is looked at first, the page is the one that sorting everything gives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kokiris.logs.documents import indexed
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.schema import KEY_STEPS, row_of
from kokiris.logs.model import TIME
from kokiris.logs.query import tree
from kokiris.logs.query.evaluate import matches
from kokiris.logs.search import hits
from kokiris.logs.search.hits import KEYS_PER_MS, find
from kokiris.logs.search.request import SearchRequest, SortField
from kokiris.logs.times import DAY_US
from tests.engines.logs import TOKEN, LogServer

T0_US = 1_795_000_000_000_000
NOW_US = T0_US + 5 * DAY_US
_folders = itertools.count()

# Crowded here, sparse there, some far ahead: a guess of where the newest lie is often wrong.
offsets_us = st.one_of(st.integers(0, 3000), st.integers(0, 3_000_000_000), st.integers(0, 2 * DAY_US), st.just(0))
asked = st.sampled_from(
    [
        tree.All(),
        tree.Term("job", "a"),
        tree.Not(tree.Term("job", "a")),
        tree.Wildcard("message", "even*"),
        tree.TimeRange(T0_US + 1000, None),
        tree.And((tree.Term("job", "a"), tree.TimeRange(None, T0_US + 2_000_000_000))),
        tree.Words("message", "third"),
    ]
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hits")


def opened(root: Path, times_us: list[list[int]]) -> tuple[list[DayIndex], list[tuple[int, Any]]]:
    """Days, newest first, and every entry with its key."""
    days, entries = [], []
    for number, of_day in enumerate(times_us):
        day = DayIndex(root / str(next(_folders)))
        for place, time_us in enumerate(of_day):
            message = f"{'even' if place % 2 else 'odd'}word {'third' if place % 3 == 0 else ''}"
            document = {TIME: time_us / 1e6, "message": message, "job": "ab"[place % 4 == 0]}
            entry = indexed(document, 0)
            key = entry.time_us * KEY_STEPS + number * 100 + place  # unique over days, as `Indexing` gives them
            day.catalogue.add(entry, 1)
            source = msgspec.json.encode({"key": key})
            sequence = number * 1000 + place
            day.add(row_of(entry, key=key, sequence=sequence, identifier="", source=source, paths=day.paths))
            if place % 40 == 30:
                day.commit(sequence)
            entries.append((key, entry))
        day.commit(number * 1000 + len(of_day))
        day.close_writer()
        days.insert(0, day)
    return days, entries


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(offsets_us, min_size=40, max_size=90), min_size=1, max_size=2),
    st.lists(st.tuples(asked, st.integers(2, 9), st.booleans(), st.booleans()), min_size=3, max_size=6),
)
def test_pages_are_those_of_a_full_sort(
    root: Path, offsets: list[list[int]], requests: list[tuple[tree.Query, int, bool, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hits, "FEW_MATCHES", 3)
        patched.setattr(hits, "WINDOW_SPARE", 1)
        days, entries = opened(
            root, [[T0_US + number * DAY_US + one for one in of] for number, of in enumerate(offsets)]
        )
        for query, size, descending, total in requests:
            expected = sorted((key for key, entry in entries if matches(query, entry)), reverse=descending)
            by_time = SortField(TIME, descending), SortField("_doc", descending, by_arrival=True)
            found: list[int] = []
            after: tuple[Any, ...] = ()
            while True:
                request = SearchRequest(query=query, size=size, sort=by_time, search_after=after, total=total)
                page, count = find(days, request, NOW_US)
                assert count == (len(expected) if total else 0)
                assert [msgspec.json.decode(hit.raw)["key"] for hit in page] == [hit.key for hit in page]
                found += [hit.key for hit in page]
                if len(page) < size:
                    break
                after = (page[-1].key // KEYS_PER_MS, page[-1].key % KEYS_PER_MS)
            assert found == expected


async def test_documents_come_back_as_they_were_sent(server: LogServer) -> None:
    sent = b'{"@timestamp":"2026-11-23T10:00:00Z", "b" : 1.50, "a":{"y":[1, 2],"x":"\\u00e9"}, "message":"as sent"}'
    body = b'{"create":{"_index":"logs"}}\n' + sent + b' \r\n{"create":{}}\n{"message":"without a time"}\n'
    status, answer, _ = await server.call("POST", "/_bulk?refresh=true", body)
    assert (status, answer["errors"]) == (200, False)
    search = {"query": {"match": {"message": "sent"}}}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with server.session.post(f"{server.url}/_search", json=search, headers=headers) as whole:
        assert b'"_source":' + sent in await whole.read()
    _, picked, _ = await server.call("POST", "/_search", {**search, "_source": ["a.x"]})
    assert picked["hits"]["hits"][0]["_source"] == {"a": {"x": "é"}}
    _, none, _ = await server.call("POST", "/_search", {**search, "_source": False})
    assert "_source" not in none["hits"]["hits"][0]
    path = "/_search?q=message:sent&filter_path=hits.hits._source.b"
    assert (await server.call("GET", path))[1] == {"hits": {"hits": [{"_source": {"b": 1.5}}]}}
    _, pretty, _ = await server.call("GET", "/_search?q=message:sent&pretty")
    assert pretty["hits"]["hits"][0]["_source"]["a"] == {"y": [1, 2], "x": "é"}
    _, timed, _ = await server.call("GET", "/_search?q=without")
    assert timed["hits"]["hits"][0]["_source"]["@timestamp"].endswith("Z")
