"""KQL, Lucene and the query DSL: what they mean, and where they say an error is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.logs.query.dsl import Context, parse_dsl
from kokiris.logs.query.kql import parse_kql
from kokiris.logs.query.lucene import parse_lucene
from kokiris.logs.query.tree import (
    All,
    And,
    AnyOf,
    Exists,
    Ids,
    Not,
    Nothing,
    Or,
    Phrase,
    Query,
    QueryError,
    Range,
    Regexp,
    Term,
    TimeRange,
    Wildcard,
    Words,
)

NOW_US = 1_795_434_620_000_000
HOUR_US = 3_600_000_000
CONTEXT = Context(NOW_US, ("user.id", "user.name", "job"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", All()),
        ("*", All()),
        ("timeout", Words("", "timeout")),
        ("null pointer", Words("", "null pointer")),
        ('"null pointer"', Phrase("", "null pointer")),
        ("job:shop", Words("job", "shop")),
        ('job : "shop"', Phrase("job", "shop")),
        ("job:shop and status >= 500", And((Words("job", "shop"), Range("status", 500.0)))),
        ("a or b and not c", Or((Words("", "a"), And((Words("", "b"), Not(Words("", "c"))))))),
        ("(a or b) AND c", And((Or((Words("", "a"), Words("", "b"))), Words("", "c")))),
        ("level:(error or warn)", Or((Words("level", "error"), Words("level", "warn")))),
        ("level:(not error)", Not(Words("level", "error"))),
        ("status < 300", Range("status", None, 300.0, True, False)),
        ("user.id:*", Exists("user.id")),
        ("message:con*", Wildcard("message", "con*")),
        ("path:/api/v?", Words("path", "/api/v?")),
        (r"path:a\*b", Words("path", "a*b")),
        (r"path:\(x\)", Words("path", "(x)")),
        ("user.*:x", Or((Words("user.id", "x"), Words("user.name", "x")))),
        ("@timestamp >= now-1h", TimeRange(NOW_US - HOUR_US, None)),
        ("or_else and android", And((Words("", "or_else"), Words("", "android")))),
        ("not not a", Words("", "a")),
    ],
)
def test_kql(text: str, meant: Query) -> None:
    assert parse_kql(text, now_us=NOW_US, known_fields=CONTEXT.known_fields) == meant


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("job:shop and", 13),
        ("job:", 5),
        ("(a or b", 2),
        ("a)", 2),
        ('job:"shop', 5),
        ("status >= abc", 11),
        ("and b", 1),
        ("a and or b", 7),
        ("job:{x:1}", 5),
        ("@timestamp > yesterday", 14),
        (":x", 1),
    ],
)
def test_kql_errors_have_a_position(text: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse_kql(text, now_us=NOW_US)
    assert caught.value.position == position
    assert f"at position {position}" in caught.value.message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Nothing()),
        ("*", All()),
        ("a b", Or((Words("", "a"), Words("", "b")))),
        ("a AND b", And((Words("", "a"), Words("", "b")))),
        ("a && !b", And((Words("", "a"), Not(Words("", "b"))))),
        ("level:error AND NOT job:auth", And((Words("level", "error"), Not(Words("job", "auth"))))),
        ("NOT a", Not(Words("", "a"))),
        ("+a -b", And((Words("", "a"), Not(Words("", "b"))))),
        ("a OR b", Or((Words("", "a"), Words("", "b")))),
        ('message:"reset by peer"~2', Phrase("message", "reset by peer")),
        ("job:(shop OR api)", Or((Words("job", "shop"), Words("job", "api")))),
        ("status:[500 TO 599]", Range("status", 500.0, 599.0)),
        ("status:{500 TO *}", Range("status", 500.0, None, False)),
        ("status:>=500", Range("status", 500.0)),
        ("status:[* TO *]", Exists("status")),
        ("path:/api.*/", Regexp("path", "api.*")),
        ("comp*ed", Wildcard("", "comp*ed")),
        ("_exists_:user.id", Exists("user.id")),
        ("host:a\\:b^2", Words("host", "a:b")),
        ("@timestamp:[now-1h TO now]", TimeRange(NOW_US - HOUR_US, NOW_US)),
        ("-5", Not(Words("", "5"))),
    ],
)
def test_lucene(text: str, meant: Query) -> None:
    assert parse_lucene(text, now_us=NOW_US) == meant


def test_lucene_with_and_as_the_default() -> None:
    assert parse_lucene("a b", now_us=NOW_US, every=True) == And((Words("", "a"), Words("", "b")))
    assert parse_lucene("a OR b", now_us=NOW_US, every=True) == Or((Words("", "a"), Words("", "b")))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("job:shop AND", 13),
        ("job:shop AND (level:error", 14),
        ("AND b", 1),
        ("a)", 2),
        ("status:[1 2]", 11),
        ("status:[1 TO 2", 15),
        ('"open', 1),
        ("path:/open", 6),
        ("path:/(/", 6),
        ("roam~", 5),
        ("status:[a TO b]", 8),
    ],
)
def test_lucene_errors_have_a_position(text: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse_lucene(text, now_us=NOW_US)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ({"match_all": {}}, All()),
        ({"match": {"message": "a b"}}, Words("message", "a b", every=False)),
        ({"match": {"message": {"query": "a b", "operator": "and"}}}, Words("message", "a b")),
        ({"term": {"status": {"value": 502}}}, Term("status", "502")),
        ({"term": {"ok": True}}, Term("ok", "true")),
        ({"terms": {"job": ["a", "b"], "boost": 1}}, AnyOf("job", ("a", "b"))),
        ({"prefix": {"path": "/a*"}}, Wildcard("path", "/a\\**")),
        ({"range": {"status": {"gte": 500, "lt": 600}}}, Range("status", 500.0, 600.0, True, False)),
        ({"range": {"@timestamp": {"gte": 1_795_434_620_000, "format": "epoch_millis"}}}, TimeRange(NOW_US)),
        (
            {"range": {"@timestamp": {"lt": "2026-01-01", "time_zone": "+01:00"}}},
            TimeRange(None, 1_767_221_999_999_999),
        ),
        ({"exists": {"field": "x"}}, Exists("x")),
        ({"ids": {"values": ["a"]}}, Ids(("a",))),
        ({"bool": {"must_not": {"term": {"a": "b"}}}}, Not(Term("a", "b"))),
        ({"bool": {}}, And(())),
        ({"bool": {"should": [{"match_all": {}}], "must": [{"match_none": {}}]}}, Nothing()),
        (
            {"bool": {"should": [{"term": {"a": "1"}}, {"term": {"a": "2"}}], "minimum_should_match": "100%"}},
            Or((Term("a", "1"), Term("a", "2")), 2),
        ),
        ({"kql": {"query": "a:b"}}, Words("a", "b")),
        ({"query_string": {"query": "a", "fields": ["x^3", "y"]}}, Or((Words("x", "a"), Words("y", "a")))),
        ({"multi_match": {"query": "a", "fields": ["x"], "type": "phrase"}}, Or((Phrase("x", "a"),))),
        ({"constant_score": {"filter": {"match_all": {}}}}, All()),
    ],
)
def test_dsl(body: dict[str, Any], meant: Query) -> None:
    assert parse_dsl(body, CONTEXT) == meant


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "expected one query"),
        ([], "expected one query"),
        ({"x": {}}, "unknown query [x]"),
        ({"term": {}}, "expects one field"),
        ({"terms": {"a": "b"}}, "list of values"),
        ({"range": {"status": {"gte": "abc"}}}, "only numbers"),
        ({"range": {"status": {"over": 1}}}, "does not support [over]"),
        ({"range": {"@timestamp": {"gte": "soon"}}}, "failed to parse date"),
        ({"regexp": {"a": "("}}, "not valid"),
        ({"bool": {"musst": []}}, "does not support [musst]"),
        ({"query_string": {"query": "a AND"}}, "position 6"),
        ({"bool": {"should": [{"match_all": {}}], "minimum_should_match": "x"}}, "minimum_should_match"),
    ],
)
def test_dsl_errors(body: Any, part: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_dsl(body, CONTEXT)
    assert part in caught.value.message


def test_nesting_ends_somewhere() -> None:
    body: dict[str, Any] = {"match_all": {}}
    for _ in range(100):
        body = {"bool": {"must": [body]}}
    for parse in (
        lambda: parse_dsl(body, CONTEXT),
        lambda: parse_kql("(" * 500 + "a" + ")" * 500, now_us=NOW_US),
        lambda: parse_lucene("(" * 500 + "a" + ")" * 500, now_us=NOW_US),
    ):
        with pytest.raises(QueryError, match="nested"):
            parse()


PIECES = [
    "a",
    "job:",
    "and ",
    "OR ",
    "not ",
    "(",
    ")",
    '"',
    "*",
    "status >= 5",
    " ",
    "\\",
    "[1 TO 2]",
    "/",
    "{",
    "~",
    "^2",
    "-",
    "+",
    "@timestamp",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30))
def test_any_text_parses_or_has_a_position(text: str) -> None:
    for parse in (lambda: parse_kql(text, now_us=NOW_US), lambda: parse_lucene(text, now_us=NOW_US)):
        try:
            parse()
        except QueryError as error:
            assert 1 <= error.position <= len(text) + 1  # noqa: PT017 - it need not be raised
