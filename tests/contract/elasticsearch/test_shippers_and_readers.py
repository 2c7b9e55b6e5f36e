"""What shippers and readers send on the wire, byte by byte, and what they look for in the answers."""

from __future__ import annotations

import gzip
import json
import time
from itertools import pairwise
from typing import Any

import pytest
from yarl import URL

from kokiris.logs.index.retention import Limits
from kokiris.logs.times import iso
from tests.engines.logs import OPERATOR, TENANT, TOKEN, LogServer

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


async def visible(server: LogServer) -> None:
    assert (await server.call("POST", "/_refresh"))[0] == 200


async def raw(server: LogServer, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes, Any]:
    sent = {"Authorization": f"Bearer {TOKEN}", **NDJSON, **headers}
    async with server.session.request(method, server.url + path, data=body, headers=sent) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_fluent_bit(server: LogServer) -> None:
    """POST, `_type` in the action, `log` for the message, and a literal that it searches for in the answer."""
    body = b"".join(
        lines(
            {"create": {"_index": "fluent-bit", "_type": "_doc"}},
            {"@timestamp": iso(time.time_ns() // 1000), "log": f"GET /{number} 200", "stream": "stdout"},
        )
        for number in range(3000)
    )
    status, answer, headers = await raw(server, "POST", "/_bulk", body)
    assert status == 200
    assert b'"errors":false,"items":[' in answer
    assert answer.startswith(b'{"took":')
    assert headers["X-Elastic-Product"] == "Elasticsearch"
    await visible(server)
    _, counted, _ = await server.call("GET", "/fluent-bit/_count?q=log:get")
    assert counted["count"] == 3000


async def test_logstash_start_and_filtered_bulk(server: LogServer) -> None:
    for method, path in (("HEAD", "/"), ("GET", "/"), ("GET", "/_license?human=false"), ("GET", "/_nodes/http")):
        status, _, answer = await server.call(method, path)
        assert (status, answer.headers["X-Elastic-Product"]) == (200, "Elasticsearch")
    body = lines({"index": {"_id": "a"}}, {"message": "one"}, {"index": {}}, {"@timestamp": "nonsense"})
    path = "/logstash/_bulk?filter_path=errors,items.*.error,items.*.status"
    status, answer, _ = await raw(server, "POST", path, gzip.compress(body), **{"Content-Encoding": "gzip"})
    found = json.loads(answer)
    assert status == 200
    assert found["errors"] is True
    assert found["items"][0] == {"index": {"status": 201}}
    assert found["items"][1]["index"]["status"] == 400
    assert found["items"][1]["index"]["error"]["type"] == "mapper_parsing_exception"


async def test_vector_and_filebeat_start(server: LogServer) -> None:
    assert (await server.call("GET", "/_cluster/health"))[1]["status"] == "green"
    info = (await server.call("GET", "/"))[1]
    assert int(info["version"]["number"].split(".")[0]) >= 8
    for path in ("/_ilm/policy/filebeat", "/_index_template/filebeat", "/_data_stream/filebeat", "/_ingest/pipeline/x"):
        assert (await server.call("PUT", path, {}))[1] == {"acknowledged": True}
        assert (await server.call("GET", path))[0] == 200
    assert (await server.call("GET", "/es/"))[1]["tagline"] == "You Know, for Search"


async def test_malformed_bulk_takes_nothing(server: LogServer) -> None:
    for body, part in (
        (b'{"create":{}}\n{"message":"x"}\n{"creat":{}}\n{}\n', "Malformed action/metadata line [3]"),
        (b"not json\n", "Malformed action/metadata line [1]"),
        (b'{"create":{}}', "has no document"),
        (b"", "request body is required"),
    ):
        status, answer, _ = await raw(server, "POST", "/_bulk", body)
        assert status == 400
        assert part in json.loads(answer)["error"]["reason"]
    await visible(server)
    assert (await server.call("GET", "/_count"))[1]["count"] == 0


async def test_one_bad_document_spoils_no_other(server: LogServer) -> None:
    body = (
        b'{"create":{}}\n{"message":"good"}\n{"create":{}}\n{"message":\n{"create":{}}\n[1]\n{"delete":{"_id":"x"}}\n'
    )
    status, answer, _ = await raw(server, "PUT", "/_bulk", body)
    found = json.loads(answer)
    assert (status, found["errors"]) == (200, True)
    assert [next(iter(item.values()))["status"] for item in found["items"]] == [201, 400, 400, 400]
    assert all(len(item) == 1 for item in found["items"])


async def test_grafana(server: LogServer) -> None:
    """Its one query call: histogram by level, and the page of logs with highlights."""
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms - 600_000
    actions = []
    for number in range(120):
        stamp = iso((start_ms + number * 5000) * 1000)
        level = "error" if number % 4 == 0 else "info"
        actions += [{"create": {}}, {"@timestamp": stamp, "message": f"request {number} timeout", "level": level}]
    await raw(server, "POST", "/_bulk", lines(*actions))
    await visible(server)
    span = {"range": {"@timestamp": {"gte": start_ms, "lte": now_ms, "format": "epoch_millis"}}}
    query = {
        "bool": {"filter": [span, {"query_string": {"analyze_wildcard": True, "query": "level:error AND timeout"}}]}
    }
    header = {"search_type": "query_then_fetch", "ignore_unavailable": True, "index": "logs,other"}
    histogram = {
        "date_histogram": {
            "field": "@timestamp",
            "min_doc_count": 0,
            "extended_bounds": {"min": start_ms, "max": now_ms},
            "format": "epoch_millis",
            "fixed_interval": "60s",
        },
        "aggs": {"1": {"terms": {"field": "level", "size": 10}}},
    }
    page = {
        "size": 500,
        "query": query,
        "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}],
        "script_fields": {},
        "docvalue_fields": ["@timestamp"],
        "fields": [{"field": "*"}, {"field": "@timestamp", "format": "epoch_millis"}],
        "highlight": {
            "fields": {"*": {}},
            "pre_tags": ["@HIGHLIGHT@"],
            "post_tags": ["@/HIGHLIGHT@"],
            "fragment_size": 1,
        },
    }
    body = lines(
        header, {"size": 0, "query": query, "aggs": {"2": histogram}}, header, page, header, {"query": {"x": {}}}
    )
    status, answer, _ = await raw(server, "POST", "/_msearch?max_concurrent_shard_requests=5", body)
    assert status == 200
    counted, shown, wrong = json.loads(answer)["responses"]
    buckets = counted["aggregations"]["2"]["buckets"]
    assert sum(bucket["doc_count"] for bucket in buckets) == 30
    assert all(bucket["key_as_string"] == str(bucket["key"]) for bucket in buckets)
    assert {after["key"] - before["key"] for before, after in pairwise(buckets)} == {60_000}
    assert buckets[-1]["key"] >= now_ms - 120_000
    first = shown["hits"]["hits"][0]
    assert (shown["status"], len(shown["hits"]["hits"])) == (200, 30)
    assert "@HIGHLIGHT@timeout@/HIGHLIGHT@" in first["highlight"]["message"][0]
    assert first["fields"]["@timestamp"][0].isdigit()
    assert len(first["sort"]) == 2
    assert wrong["status"] == 400
    assert wrong["error"]["reason"].startswith("query: unknown query [x]")


@pytest.mark.parametrize("token", [TENANT, TOKEN])
async def test_tenants_do_not_see_the_platform(server: LogServer, token: str) -> None:
    """Neither with a token of few rights, nor with the client's management token."""
    body = lines(
        {"create": {}}, {"message": "secret", "namespace": "platform"}, {"create": {"_id": "t"}}, {"message": "own"}
    )
    await raw(server, "POST", "/_bulk", body)
    await visible(server)
    for path in ("/_count", "/_count?q=secret", "/_count?q=NOT%20own"):
        tenant = (await server.call("GET", path, token=token))[1]["count"]
        everything = (await server.call("GET", path, token=OPERATOR))[1]["count"]
        assert (tenant, everything) in {(1, 2), (0, 1)}
    assert (await server.call("DELETE", "/logs-2026.01.01", token=TENANT))[0] == 403
    assert (await server.call("GET", "/_search", token=""))[0] == 401


async def test_a_gzip_bomb_is_refused(server: LogServer) -> None:
    bomb = gzip.compress(b" " * (80 * 1024 * 1024))
    status, answer, _ = await raw(server, "POST", "/_bulk", bomb, **{"Content-Encoding": "gzip"})
    assert (status, json.loads(answer)["error"]["type"]) == (413, "content_too_long_exception")


async def test_a_refused_bulk_says_so_in_status_and_items(server: LogServer) -> None:
    """Most shippers go by the status, rsyslog by the items: neither may take the entries for delivered or for bad."""
    server.index.limits = Limits(min_free_bytes=1 << 60)
    assert server.index.warning()
    body = lines({"create": {"_index": "a", "_id": "1"}}, {"message": "x"}, {"index": {}}, {"message": "y"})
    status, answer, _ = await raw(server, "POST", "/_bulk", body)
    found = json.loads(answer)
    assert (status, found["status"], found["errors"]) == (429, 429, True)
    assert found["error"]["type"] == "es_rejected_execution_exception"
    assert [(name, item["status"]) for one in found["items"] for name, item in one.items()] == [
        ("create", 429),
        ("index", 429),
    ]
    assert found["items"][0]["create"]["_id"] == "1"


GRAFANA_METRICS: list[tuple[str, dict[str, Any], Any]] = [
    ("avg", {"field": "latency", "missing": "0"}, {"value": 5.5}),
    ("avg", {"field": "latency"}, {"value": 6.0}),
    ("percentiles", {"field": "status", "percents": ["25", "50"]}, {"values": {"25.0": 200, "50.0": 200}}),
    ("cardinality", {"field": "job", "precision_threshold": "100"}, {"value": 2}),
    ("extended_stats", {"field": "latency", "sigma": "2"}, {"count": 11, "sum": 66.0}),
]


async def test_grafana_panels_send_numbers_as_texts(server: LogServer) -> None:
    """Twelve entries of one minute, as a time series and a table of Grafana 10 and 11 ask for them."""
    now_ms = time.time_ns() // 1_000_000 // 60_000 * 60_000
    actions: list[Any] = []
    for number in range(12):
        measured = {"latency": number} if number else {}
        entry = {"@timestamp": iso((now_ms + number) * 1000), "job": "shop" if number % 2 else "api", "status": 200}
        actions += [{"create": {}}, {**entry, **measured}]
    await raw(server, "POST", "/_bulk", lines(*actions))
    await visible(server)
    span = {"range": {"@timestamp": {"gte": now_ms - 60_000, "lte": now_ms + 60_000, "format": "epoch_millis"}}}
    query = {"bool": {"filter": [span, {"query_string": {"analyze_wildcard": True, "query": "*"}}]}}
    header = {"ignore_unavailable": True, "index": "logs-*", "search_type": "query_then_fetch"}
    series = {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "60s", "min_doc_count": "1", "time_zone": "utc"}
    }
    asked: list[dict[str, Any]] = [
        {"2": {**series, "aggs": {"1": {kind: settings}}}} for kind, settings, _ in GRAFANA_METRICS
    ]
    slowest = {"field": "job", "size": "10", "order": {"1[95]": "desc"}, "min_doc_count": "1"}
    worst = {"1": {"percentiles": {"field": "latency", "percents": ["95"]}}}
    asked.append({"3": {"terms": slowest, "aggs": worst}})
    asked.append({"3": {"histogram": {"field": "latency", "interval": "6", "min_doc_count": "0"}}})
    body = lines(*(part for aggs in asked for part in (header, {"size": 0, "query": query, "aggs": aggs})))
    status, answer, _ = await raw(server, "POST", "/_msearch?max_concurrent_shard_requests=5", body)
    found = json.loads(answer)["responses"]
    assert (status, {one["status"] for one in found}) == (200, {200}), found
    for one, (kind, _, wanted) in zip(found, GRAFANA_METRICS, strict=False):
        (bucket,) = one["aggregations"]["2"]["buckets"]
        assert bucket["doc_count"] == 12
        for name, value in wanted.items():
            assert bucket["1"][name] == pytest.approx(value, rel=0.02), kind
    assert [bucket["key"] for bucket in found[-2]["aggregations"]["3"]["buckets"]] == ["shop", "api"]
    assert [bucket["doc_count"] for bucket in found[-1]["aggregations"]["3"]["buckets"]] == [5, 6]


async def test_numbers_that_are_none_are_named(server: LogServer) -> None:
    for aggregation, named in (
        ({"terms": {"field": "job", "min_doc_count": "many"}}, "min_doc_count"),
        ({"percentiles": {"field": "status", "percents": ["most"]}}, "percents"),
        ({"histogram": {"field": "status", "interval": "-1"}}, "interval"),
        ({"avg": {"field": "status", "missing": "none"}}, "missing"),
        ({"cardinality": {"field": "job", "missing": "none"}}, "missing"),
    ):
        status, found, _ = await server.call("POST", "/_search", {"size": 0, "aggs": {"a": aggregation}})
        assert status == 400
        assert named in found["error"]["reason"]


async def test_patterns_of_data_streams_mean_every_day(server: LogServer) -> None:
    """Elastic's own shippers write to `logs-<dataset>-<namespace>`, and readers look for that or for `logs-*-*`."""
    now = iso(time.time_ns() // 1000)
    body = lines({"create": {"_index": "logs-nginx-default"}}, {"@timestamp": now, "message": "x"})
    await raw(server, "POST", "/_bulk", body)
    await visible(server)
    day = now[:10].replace("-", ".")
    for pattern, wanted in (
        ("logs-nginx-default", 1), ("logs-nginx-*", 1), ("logs-*-*", 1), ("logs-*", 1), ("filebeat-*", 1),
        (f"logs-{day}", 1), (f"logs-{day[:4]}.*", 1), ("logs-2001.*", 0),
    ):  # fmt: skip
        status, found, _ = await server.call("GET", f"/{pattern}/_count")
        assert (status, found["count"]) == (200, wanted), pattern
    assert (await server.call("GET", "/logs-2001.01.01/_count"))[0] == 404


async def test_logstash_makes_its_rollover_index(server: LogServer) -> None:
    """With `ilm_enabled`, the first index has a name with date math, whose slash is escaped."""
    assert (await server.call("HEAD", "/_alias/logstash"))[0] in {200, 404}
    url = URL(f"{server.url}/%3Clogstash-%7Bnow%2Fd%7D-000001%3E", encoded=True)
    async with server.session.put(
        url, json={"aliases": {"logstash": {"is_write_index": True}}}, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["acknowledged"] is True
