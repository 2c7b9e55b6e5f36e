"""With an Elasticsearch of somebody else behind the door, the client's token still sees no entry of the platform."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kokiris.logs.api.upstream import Upstream
from tests.engines.logs import OPERATOR, TOKEN, LogServer, serve_logs


@pytest.fixture
async def front(server: LogServer, tmp_path: Path) -> AsyncIterator[LogServer]:
    """A door before `server`, which it may ask for everything: an entry of the client's, one of the platform's."""
    for namespace in ("default", "platform"):
        await server.call("POST", "/logs/_doc", {"message": f"entry of {namespace}", "namespace": namespace, "n": 1})
    await server.call("POST", "/_refresh")
    async with serve_logs(tmp_path / "front", upstream=Upstream(server.url, f"Bearer {OPERATOR}")) as running:
        yield running


async def found(front: LogServer, token: str, path: str = "/_search", body: Any = None) -> set[str]:
    status, answer, _ = await front.call("POST", path, body, token=token)
    assert status == 200, answer
    return {hit["_source"]["message"].removeprefix("entry of ") for hit in answer["hits"]["hits"]}


@pytest.mark.parametrize(("path", "body"), [
    ("/_search", None),
    ("/logs-*/_search", {"query": {"match": {"message": "entry"}}}),
    ("/_search", {"query": {"bool": {"should": [{"term": {"namespace": "platform"}}, {"match_all": {}}]}}}),
    ("/_search", {"query": {"kql": {"query": "namespace:* and n >= 1"}}}),
    ("/_search?q=message:entry&size=10", None),
])  # fmt: skip
async def test_a_search_finds_what_the_token_may_see(front: LogServer, path: str, body: Any) -> None:
    assert await found(front, OPERATOR, path, body) == {"default", "platform"}
    assert await found(front, TOKEN, path, body) == {"default"}


async def test_counts_buckets_and_several_searches_too(front: LogServer) -> None:
    buckets = {"size": 0, "aggs": {"of": {"terms": {"field": "namespace"}}}}
    lines = b"".join(json.dumps(one).encode() + b"\n" for one in ({}, {"query": {"match_all": {}}}, {}, buckets))
    for token, expected in ((OPERATOR, {"default", "platform"}), (TOKEN, {"default"})):
        assert (await front.call("GET", "/_count", token=token))[1]["count"] == len(expected)
        _, answer, _ = await front.call("POST", "/_search", buckets, token=token)
        assert {one["key"] for one in answer["aggregations"]["of"]["buckets"]} == expected
        _, answer, _ = await front.call("POST", "/_msearch", lines, token=token)
        assert answer["responses"][0]["hits"]["total"]["value"] == len(expected)
        assert {one["key"] for one in answer["responses"][1]["aggregations"]["of"]["buckets"]} == expected


@pytest.mark.parametrize(("method", "path", "body", "named"), [
    ("POST", "/_search", {"aggs": {"all": {"global": {}, "aggs": {"x": {"terms": {"field": "n"}}}}}}, "global"),
    ("POST", "/_search", {"query": {"more_like_this": {"like": [{"_id": "x"}]}}}, "more_like_this"),
    ("POST", "/_search", {"runtime_mappings": {"namespace": {"type": "keyword"}}}, "runtime_mappings"),
    ("POST", "/_search", {"suggest": {"text": "entry"}}, "suggest"),
    ("POST", "/_search?source={}", None, "source"),
    ("GET", "/logs/_doc/x", None, "GET /logs/_doc/x"),
    ("POST", "/_sql", {"query": "SELECT * FROM logs"}, "POST /_sql"),
    ("POST", "/_mget", {"ids": ["x"]}, "POST /_mget"),
    ("DELETE", "/logs-2026.11.30", None, "DELETE /logs-2026.11.30"),
])  # fmt: skip
async def test_what_could_show_more_is_refused_by_name(
    front: LogServer, method: str, path: str, body: Any, named: str
) -> None:
    status, answer, _ = await front.call(method, path, body)
    assert (status, answer["error"]["type"]) == (403, "security_exception")
    assert named in answer["error"]["reason"]


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/"), ("GET", "/_cluster/health"), ("GET", "/_license"), ("GET", "/_cat/indices?format=json"),
    ("GET", "/logs/_mapping"), ("GET", "/_field_caps?fields=*"), ("PUT", "/_index_template/x"), ("HEAD", "/logs"),
])  # fmt: skip
async def test_what_clients_ask_first_is_answered(front: LogServer, method: str, path: str) -> None:
    assert (await front.call(method, path))[0] in {200, 404}


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1"])
async def test_a_search_that_is_no_object_is_named(front: LogServer, body: bytes) -> None:
    status, answer, _ = await front.call("POST", "/_search", body)
    assert (status, "is a JSON object" in answer["error"]["reason"]) == (400, True)
    status, answer, _ = await front.call("POST", "/_msearch", b"{}\n{")
    assert (status, "ndjson" in answer["error"]["reason"]) == (400, True)
