"""elasticsearch-py, unchanged, against our API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import elasticsearch
import pytest
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_bulk, async_scan

from tests.engines.logs import TOKEN, LogServer

NOW = datetime.now(UTC).replace(microsecond=0)


def documents(count: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "@timestamp": (NOW - timedelta(seconds=count - number)).isoformat(),
            "message": f"request {number} done" if number % 3 else f"connection {number} reset by peer",
            "level": "error" if number % 3 == 0 else "info",
            "job": "shop" if number % 2 else "api",
            "status": 500 + number % 3,
            "user": {"id": number, "name": f"user-{number % 5}"},
        }
        for number in range(count)
    ]


@pytest.fixture
async def client(server: LogServer) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(server.url, basic_auth=("anyone", TOKEN)) as connected:
        yield connected


async def fill(client: AsyncElasticsearch) -> None:
    done, errors = await async_bulk(client, ({"_index": "logs", "_op_type": "create", **one} for one in documents()))
    assert (done, errors) == (60, [])
    await client.indices.refresh()


async def test_info_and_health(client: AsyncElasticsearch) -> None:
    assert (await client.info())["tagline"] == "You Know, for Search"
    assert (await client.cluster.health(wait_for_status="yellow"))["status"] == "green"
    assert await client.ping()


async def test_search_with_filters_and_sort(client: AsyncElasticsearch) -> None:
    await fill(client)
    found = await client.search(
        index="logs",
        query={"bool": {"must": {"match": {"message": "connection"}}, "filter": [
            {"term": {"job": "shop"}}, {"range": {"status": {"gte": 500}}}
        ]}},
        sort=[{"@timestamp": "desc"}, {"_doc": "desc"}],
        size=4,
    )  # fmt: skip
    assert found["hits"]["total"] == {"value": 10, "relation": "eq"}
    assert [hit["_source"]["user"]["id"] for hit in found["hits"]["hits"]] == [57, 51, 45, 39]
    after = await client.search(
        query={"match": {"message": "connection"}},
        sort=[{"@timestamp": "desc"}, {"_doc": "desc"}],
        search_after=found["hits"]["hits"][0]["sort"],
        size=1,
    )
    assert after["hits"]["hits"][0]["_source"]["user"]["id"] == 54


async def test_aggregations(client: AsyncElasticsearch) -> None:
    await fill(client)
    found = await client.search(
        size=0,
        aggs={
            "by_job": {"terms": {"field": "job"}, "aggs": {"ids": {"stats": {"field": "user.id"}}}},
            "over_time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "10s"}},
            "names": {"cardinality": {"field": "user.name.keyword"}},
            "middle": {"percentiles": {"field": "user.id", "percents": [50]}},
            "parts": {"filters": {"filters": {"bad": {"term": {"level": "error"}}, "all": {"match_all": {}}}}},
        },
    )
    aggs = found["aggregations"]
    assert [(bucket["key"], bucket["doc_count"]) for bucket in aggs["by_job"]["buckets"]] == [("api", 30), ("shop", 30)]
    assert aggs["by_job"]["buckets"][0]["ids"] == {"count": 30, "min": 0, "max": 58, "avg": 29, "sum": 870}
    assert sum(bucket["doc_count"] for bucket in aggs["over_time"]["buckets"]) == 60
    assert aggs["names"]["value"] == 5
    assert abs(aggs["middle"]["values"]["50.0"] - 29.5) < 1.5
    assert {name: part["doc_count"] for name, part in aggs["parts"]["buckets"].items()} == {"bad": 20, "all": 60}


async def test_count_fields_mapping_and_indices(client: AsyncElasticsearch) -> None:
    await fill(client)
    assert (await client.count(query={"term": {"level": "error"}}))["count"] == 20
    fields = (await client.field_caps(index="logs", fields="*"))["fields"]
    assert fields["user.id"]["double"]["aggregatable"]
    assert fields["job"]["keyword"]["searchable"]
    assert "date" in fields["@timestamp"]
    mapping = await client.indices.get_mapping()
    assert next(iter(mapping.values()))["mappings"]["properties"]["user"]["properties"]["name"] == {"type": "keyword"}
    rows = await client.cat.indices(format="json")
    assert sum(int(row["docs.count"]) for row in rows) == 60  # rows are dicts with format=json


async def test_one_document_and_its_conflict(client: AsyncElasticsearch) -> None:
    first = await client.create(index="logs", id="own", document={"message": "hello"}, refresh=True)
    assert first["result"] == "created"
    assert (await client.get(index="logs", id="own"))["_source"]["message"] == "hello"
    with pytest.raises(elasticsearch.ConflictError):
        await client.create(index="logs", id="own", document={"message": "again"})


async def test_templates_and_policies_are_taken(client: AsyncElasticsearch) -> None:
    assert (await client.indices.put_index_template(name="logs", index_patterns=["logs*"]))["acknowledged"]
    assert (await client.ilm.put_lifecycle(name="logs", policy={"phases": {}}))["acknowledged"]


async def test_errors_are_elasticsearchs(client: AsyncElasticsearch, server: LogServer) -> None:
    with pytest.raises(elasticsearch.BadRequestError) as caught:
        await client.search(query={"query_string": {"query": "job:shop AND (level:error"}})
    assert caught.value.body["error"]["col"] == 14
    with pytest.raises(elasticsearch.NotFoundError):
        await client.search(index="logs-2001.01.01")
    async with AsyncElasticsearch(server.url, api_key=("id", "wrong")) as stranger:
        with pytest.raises(elasticsearch.AuthenticationException):
            await stranger.search()


async def test_visible_within_two_seconds(client: AsyncElasticsearch) -> None:
    begun_s = time.monotonic()
    await client.index(index="logs", document={"message": "zebrafish"})
    while not (await client.count(query={"match": {"message": "zebrafish"}}))["count"]:
        assert time.monotonic() - begun_s < 20
    assert begun_s


async def test_helpers_page_through_with_search_after(client: AsyncElasticsearch) -> None:
    await fill(client)
    seen: list[int] = []
    after: list[Any] | None = None
    while True:
        page = await client.search(sort=[{"@timestamp": "asc"}, {"_doc": "asc"}], size=7, search_after=after)
        hits = page["hits"]["hits"]
        if not hits:
            break
        seen += [hit["_source"]["user"]["id"] for hit in hits]
        after = hits[-1]["sort"]
    assert seen == list(range(60))


async def test_scroll_reads_everything(client: AsyncElasticsearch) -> None:
    await fill(client)
    seen = [hit["_source"]["user"]["id"] async for hit in async_scan(client, size=25)]
    assert sorted(seen) == list(range(60))
