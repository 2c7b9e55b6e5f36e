"""Every query means the same on the index as by the slow reference."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kokiris.logs.documents import indexed
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.schema import row_of
from kokiris.logs.model import Indexed
from kokiris.logs.query import tree
from kokiris.logs.query.evaluate import matches

T0_US = 1_795_000_000_000_000
WORDS = ["alpha", "beta", "conn", "connection", "reset", "10.1.2.3", "a_b", "É", "x" * 60]
VALUES: list[Any] = [
    "alpha",
    "beta gamma",
    "5",
    5,
    -3,
    2.5,
    10,
    502,
    True,
    "2026-01-01T00:00:00Z",
    "a/b",
    "",
    2**60,
    [1, "x"],
]
FIELDS = ["level", "job", "status", "user.id", "user", "message", "", "path", "order-no", "nowhere", "user.id.deep"]

documents = st.fixed_dictionaries(
    {"@timestamp": st.integers(0, 20).map(lambda step: (T0_US + step * 1_000_000) / 1e6)},
    optional={
        "message": st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join),
        "level": st.sampled_from(["info", "WARN", "error", "Err", 50, "odd"]),
        "job": st.sampled_from(["shop", "shop/a", "api", 7]),
        "status": st.sampled_from([200, 404, 502, 502.5, "ok", "5", 5, 59]),
        "user": st.one_of(
            st.sampled_from(VALUES),
            st.fixed_dictionaries({}, optional={"id": st.sampled_from(VALUES), "name": st.sampled_from(VALUES)}),
        ),
        "path": st.sampled_from(["/", "/api/v1", "/api/v1/items", "/x y"]),
        "order-no": st.sampled_from(VALUES),
        "tags": st.lists(st.sampled_from(VALUES), max_size=3),
    },
)
fields = st.sampled_from(FIELDS)
texts = st.one_of(
    st.sampled_from([str(one) for one in VALUES]),
    st.sampled_from(WORDS),
    st.sampled_from(["shop", "ok", "/api/v1", "warning", "alpha beta"]),
)
patterns = st.sampled_from(
    [
        "al*",
        "*",
        "?lpha",
        "*a*",
        "co*tion",
        "5*",
        "a/b",
        "/api*",
        "/api/*items",
        "s*p",
        "alpha",
        "2026*",
        "É*",
        "sho\\p",
        "50?",
        "*2*",
    ]
)
number_fields = st.sampled_from(["status", "user.id", "user", "order-no", "tags"])
bounds = st.one_of(st.none(), st.sampled_from([0.0, 5.0, -3.0, 2.5, 502.0, 502.5, 1e6, 4.999, 200.0]))


def _ranges(field: str, low: float | None, high: float | None, with_low: bool, with_high: bool) -> tree.Query:
    return tree.Range(field, low, high, with_low, with_high)


leaves: st.SearchStrategy[tree.Query] = st.one_of(
    st.builds(tree.Term, fields, texts),
    st.builds(tree.AnyOf, fields, st.lists(texts, max_size=3).map(tuple)),
    st.builds(tree.Words, fields, texts, st.booleans()),
    st.builds(tree.Phrase, fields, texts, st.booleans()),
    st.builds(tree.Wildcard, fields, patterns),
    st.builds(tree.Regexp, fields, st.sampled_from(["al.*", "[a-c]+", "(shop|api)(/a)?", "5.?"])),
    st.builds(_ranges, number_fields, bounds, bounds, st.booleans(), st.booleans()),
    st.builds(tree.Exists, fields),
    st.builds(tree.TimeRange, st.sampled_from([None, T0_US + 5_000_000]), st.sampled_from([None, T0_US + 9_000_000])),
    st.builds(tree.Ids, st.lists(st.sampled_from(["own-1", "own-2", "k-3", "k-5", "zz"]), max_size=3).map(tuple)),
    st.just(tree.All()),
    st.just(tree.Nothing()),
)  # fmt: skip
queries = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(tree.And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(tree.Or, st.lists(inner, max_size=3).map(tuple), st.integers(1, 3)),
        st.builds(tree.Not, inner),
    ),
    max_leaves=6,
)
_folders = itertools.count()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(
    [{"@timestamp": T0_US / 1e6, "status": 200, "user": 5}],
    [tree.Phrase(field, start, prefix=True) for field in ("status", "user", "job") for start in ("", "2")],
)
@given(st.lists(documents, min_size=4, max_size=25), st.lists(queries, min_size=15, max_size=40))
def test_index_and_reference_agree(root: Path, given_documents: list[dict[str, Any]], asked: list[tree.Query]) -> None:
    day = DayIndex(root / str(next(_folders)))
    entries: list[tuple[str, Indexed]] = []
    for number, document in enumerate(given_documents):
        entry = indexed(document, T0_US)
        day.catalogue.add(entry, 1)
        own = f"own-{number}" if number < 3 else ""
        row = row_of(
            entry, key=number, sequence=number, identifier=own, source=msgspec.json.encode(document), paths=day.paths
        )
        day.add(row)
        if number % 7 == 3:
            day.commit(number)
        entries.append((own or f"k-{number:x}", entry))
    day.commit(len(entries))
    for query in asked:
        hits, _ = day.newest(day.compile(query), 100)
        found = sorted(hit.key for hit in hits)
        expected = [number for number, (own, entry) in enumerate(entries) if matches(query, entry, own)]
        assert found == expected, (query, [given_documents[number] for number in set(found) ^ set(expected)])
        assert day.count(day.compile(query)) == len(expected)
    day.close_writer()
