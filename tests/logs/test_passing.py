"""With an Elasticsearch of somebody else behind the door, the client's token still sees no entry of the platform."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from kokiris.logs.api.appending import merged
from kokiris.logs.api.bulk import parse_bulk
from kokiris.logs.api.call import EsError
from kokiris.logs.api.upstream import Upstream
from tests.engines.logs import OPERATOR, TOKEN, LogServer, serve_logs


@pytest.fixture
async def passed() -> list[tuple[str, str, str]]:
    """(method, path as it was sent, body) of all that reaches the other side, in order."""
    return []


@pytest.fixture
async def over_there(server: LogServer, passed: list[tuple[str, str, str]]) -> AsyncIterator[str]:
    """The address of `server` behind something that writes down what it is asked."""

    async def hand_on(request: web.Request) -> web.Response:
        body = await request.read()
        passed.append((request.method, request.raw_path, body.decode()))
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url = URL(server.url + request.raw_path, encoded=True)
        async with server.session.request(request.method, url, data=body or None, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hand_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def front(server: LogServer, over_there: str, tmp_path: Path) -> AsyncIterator[LogServer]:
    """A door before `server`, which it may ask for everything: an entry of the client's, one of the platform's."""
    for namespace in ("default", "platform"):
        await server.call("POST", "/logs/_doc", {"message": f"entry of {namespace}", "namespace": namespace, "n": 1})
    await server.call("POST", "/_refresh")
    async with serve_logs(tmp_path / "front", upstream=Upstream(over_there, f"Bearer {OPERATOR}")) as running:
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
    ("PUT", "/logs/_doc/x", {"message": "in its place"}, "PUT /logs/_doc/x"),
    ("POST", "/logs/_update/x", {"doc": {}}, "POST /logs/_update/x"),
    ("POST", "/logs/_delete_by_query", {"query": {"match_all": {}}}, "_delete_by_query"),
    ("POST", "/logs/_doc?pipeline=mine", {"message": "x"}, "pipeline"),
    ("POST", "/_bulk?pipeline=mine", b'{"create":{}}\n{"message":"x"}\n', "pipeline"),
    ("DELETE", "/_index_template/logs", None, "DELETE /_index_template/logs"),
    ("POST", "/.security-7/_doc", {"message": "x"}, ".security-7"),
    ("GET", "/.security-7/_search", None, ".security-7"),
    ("GET", "/logs,<.security-7>/_search", None, ".security-7"),
    ("GET", "/_search?expand_wildcards=all", None, "expand_wildcards"),
    ("POST", "/_msearch", b'{"index":["logs",".security"]}\n{}\n', ".security"),
    ("POST", "/_msearch", b'{"expand_wildcards":"hidden"}\n{}\n', "hidden"),
    ("POST", "/_search", {"query": {"terms": {"n": {"index": "logs", "id": "x", "path": "n"}}}}, "a lookup"),
])  # fmt: skip
async def test_what_could_show_more_is_refused_by_name(
    front: LogServer, method: str, path: str, body: Any, named: str
) -> None:
    status, answer, _ = await front.call(method, path, body)
    assert (status, answer["error"]["type"]) == (403, "security_exception")
    assert named in answer["error"]["reason"]


@pytest.mark.parametrize("path", [
    "/%255fsearch", "/_nodes/%2e%2e/_search", "/_nodes/%252e%252e/_search", "/_alias/../_search", "/logs%252f_search",
])  # fmt: skip
async def test_a_path_means_the_same_over_there(
    front: LogServer, passed: list[tuple[str, str, str]], path: str
) -> None:
    """What is quoted twice, or leads upwards, was a search for everything once it had been passed on."""
    url = URL(front.url + path, encoded=True)
    async with front.session.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
        assert "entry of" not in await answer.text()
    assert [sent for _, sent, _ in passed] in ([], [path]), "refused, or as it came"


BULK = b"""{"create":{"_index":"shop","_id":"a"}}
{"message":"entry of a"}
{"delete":{"_index":"logs","_id":"a"}}
{"index":{"_index":"shop","_id":"a","pipeline":"mine","version":7}}
{"message":"in its place"}
{"index":{}}
{"message":"entry of nobody"}
{"update":{"_index":"logs","_id":"a"}}
{"doc":{"message":"changed"}}
{"create":{"_index":".security-7"}}
{"message":"a role"}
{"create":{"_index":"<.security-{now/d}>"}}
{"message":"a role"}
{"create":{"_index":"shop"}}
not JSON
"""


async def test_entries_are_added_and_none_is_changed(front: LogServer, passed: list[tuple[str, str, str]]) -> None:
    status, answer, _ = await front.call(
        "POST", "/shop/_bulk?filter_path=items.*.status,items.*.error.reason,errors", BULK
    )
    assert (status, answer["errors"]) == (200, True)
    said = [
        (name, item["status"], item.get("error", {}).get("reason", ""))
        for one in answer["items"]
        for name, item in one.items()
    ]
    assert said == [
        ("create", 201, ""),
        ("delete", 400, "action 2 (delete): entries are not deleted one by one"),
        ("index", 200, ""),
        ("index", 201, ""),
        ("update", 400, "action 5 (update): entries are not updated"),
        ("create", 400, "action 6 (create): index [.security-7] is the system's own"),
        ("create", 400, "action 7 (create): index [<.security-{now/d}>] is the system's own"),
        ("create", 400, said[7][2]),
    ]
    assert said[7][2].startswith("action 8 (create): failed to parse")
    method, path, body = passed[-1]
    assert (method, path) == ("POST", "/shop/_bulk")
    assert body.splitlines() == [
        '{"create":{"_index":"shop","_id":"a"}}', '{"message":"entry of a"}',
        '{"create":{"_index":"shop","_id":"a"}}', '{"message":"in its place"}',
        '{"index":{"_index":"shop"}}', '{"message":"entry of nobody"}',
    ]  # fmt: skip
    await front.call("POST", "/_refresh")
    assert await found(front, OPERATOR) == {"a", "nobody", "default", "platform"}


async def test_what_adds_nothing_is_not_passed_on(front: LogServer, passed: list[tuple[str, str, str]]) -> None:
    status, answer, _ = await front.call("POST", "/_bulk", b'{"delete":{"_index":"logs","_id":"a"}}\n')
    assert (status, answer["errors"], answer["items"][0]["delete"]["status"]) == (200, True, 400)
    status, answer, _ = await front.call("PUT", "/_ingest/pipeline/drop", {"processors": [{"drop": {}}]})
    assert (status, answer) == (200, {"acknowledged": True})
    assert passed == []
    await front.call("POST", "/_bulk", b'{"delete":{"_index":"logs","_id":"a"}}\n', token=OPERATOR)
    assert passed[-1][2] == '{"delete":{"_index":"logs","_id":"a"}}\n', "the operator's is its own"


@pytest.mark.parametrize("raw", [b"<html>", b"[]", b'{"items":[]}', b'{"items":[{"create":1}]}'])
def test_an_answer_that_does_not_fit_is_named(raw: bytes) -> None:
    with pytest.raises(EsError, match=r"logs\.elasticsearch_url answers") as refused:
        merged(parse_bulk(b'{"create":{}}\n{"message":"x"}\n', ""), raw)
    assert refused.value.http_status == 502


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
