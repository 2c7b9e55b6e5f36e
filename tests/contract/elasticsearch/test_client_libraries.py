"""opensearch-py, the synchronous elasticsearch-py with its helpers, and its DSL, unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import elasticsearch
import pytest
from elasticsearch import Elasticsearch
from elasticsearch import helpers as elastic_helpers
from elasticsearch.dsl import Document, Keyword, Search, Text
from opensearchpy import OpenSearch
from opensearchpy import helpers as open_helpers

from tests.engines.logs import TOKEN, LogServer


async def beside(work: Callable[[], Any]) -> Any:
    """Runs a blocking client beside the event loop that serves it."""
    return await asyncio.to_thread(work)


def documents(count: int, **others: Any) -> list[dict[str, Any]]:
    return [{"_index": "es", "number": number, "message": f"line {number}", **others} for number in range(count)]


async def test_opensearch_py(server: LogServer) -> None:
    def use() -> None:
        client = OpenSearch(server.url, http_auth=("anyone", TOKEN))
        assert client.info()["version"]["number"].startswith("8.")
        assert open_helpers.bulk(client, documents(700)) == (700, [])
        named = [{**one, "_id": f"p{number}"} for number, one in enumerate(documents(300))]
        assert all(ok for ok, _ in open_helpers.parallel_bulk(client, named, chunk_size=50))
        again = list(open_helpers.streaming_bulk(client, [{**one, "_op_type": "create"} for one in named[:2]],
                                                 raise_on_error=False))  # fmt: skip
        assert [item["create"]["status"] for ok, item in again if not ok] == [409, 409]
        client.indices.refresh(index="es")
        assert client.count(index="es")["count"] == 1000
        assert [client.indices.exists(index=name) for name in ("es", "logs-*", "logs-2001.01.01")] == [
            True,
            True,
            False,
        ]
        assert client.get(index="es", id="p7")["_source"]["number"] == 7
        assert len(list(open_helpers.scan(client, index="es", query={"query": {"match": {"message": "line"}}}))) == 1000
        assert client.cat.count(params={"h": "count"}).strip() == "1000"
        assert client.cat.indices(params={"h": "index", "format": "json"})[0]["index"].startswith("logs-")
        assert client.cat.indices(params={"h": "docs.count"}).strip() == "1000"
        assert client.cluster.get_settings() == {"persistent": {}, "transient": {}}

    await beside(use)


async def test_elasticsearch_py_and_its_dsl(server: LogServer) -> None:
    class Entry(Document):
        message = Text()
        job = Keyword()

        class Index:
            name = "es"  # which is also one of the base paths that shippers use

    def use() -> None:
        client = Elasticsearch(server.url, api_key=TOKEN, http_compress=True)
        Entry.init(using=client)
        Entry(message="said by the dsl", job="shop").save(using=client, refresh=True)
        assert all(ok for ok, _ in elastic_helpers.parallel_bulk(client, documents(120, job="api"), chunk_size=40))
        done, errors = elastic_helpers.bulk(
            client, [*documents(1), {"_index": "es", "@timestamp": "yesterday"}], raise_on_error=False
        )
        assert (done, [one["index"]["status"] for one in errors]) == (1, [400])
        client.indices.refresh(index="es")
        assert len(list(elastic_helpers.scan(client, index="es", size=50))) == 122
        search = Search(using=client, index="es")
        assert [hit.job for hit in search.query("match", message="dsl")] == ["shop"]
        assert len(list(search.filter("term", job="api").scan())) == 120
        search.aggs.bucket("jobs", "terms", field="job").metric("highest", "max", field="number")
        jobs = search[:0].execute().aggregations.jobs.buckets
        assert [(bucket.key, bucket.doc_count, bucket.highest.value) for bucket in jobs] == [
            ("api", 120, 119),
            ("shop", 1, None),
        ]

    await beside(use)


REFUSED: list[tuple[str, Callable[[Elasticsearch], Any]]] = [
    ("ES|QL", lambda client: client.esql.query(query="FROM logs | LIMIT 5")),
    ("SQL", lambda client: client.sql.query(query="SELECT 1")),
    ("EQL", lambda client: client.eql.search(index="x", query="any where true")),
    ("searching in the background", lambda client: client.async_search.submit(index="x")),
    ("changing entries", lambda client: client.update(index="es", id="1", doc={"a": 1})),
    ("changing entries", lambda client: client.delete_by_query(index="x", query={"match_all": {}})),
    ("removing one entry", lambda client: client.delete(index="es", id="1")),
    ("reshaping indices", lambda client: client.reindex(source={"index": "a"}, dest={"index": "b"})),
    ("analysing texts", lambda client: client.indices.analyze(text="a b")),
    ("[knn]", lambda client: client.search(knn={"field": "v", "query_vector": [1], "k": 1, "num_candidates": 1})),
    ("scripts", lambda client: client.get_script(id="x")),
    ("[collapse]", lambda client: client.search(collapse={"field": "job"})),
    ("[script]", lambda client: client.search(query={"script": {"script": "1"}})),
    ("scripts are not run", lambda client: client.search(aggs={"a": {"avg": {"field": "b", "script": "1"}}})),
    ("[derivative]", lambda client: client.search(aggs={"a": {"derivative": {"buckets_path": "b"}}})),
    ("no handler found", lambda client: client.cluster.stats()),
]


async def test_what_is_not_there_is_refused_by_name(server: LogServer) -> None:
    def use() -> None:
        client = Elasticsearch(server.url, api_key=TOKEN)
        for name, call in REFUSED:
            with pytest.raises(elasticsearch.BadRequestError) as caught:
                call(client)
            assert name in caught.value.body["error"]["reason"], caught.value.body

    await beside(use)


async def test_points_in_time(server: LogServer) -> None:
    def elastic() -> None:
        client = Elasticsearch(server.url, api_key=TOKEN)
        moment = "2026-11-30T10:00:00Z"  # one for all: only the last sort value tells them apart
        assert elastic_helpers.bulk(client, documents(250, **{"@timestamp": moment}))[0] == 250
        point = client.open_point_in_time(index="es", keep_alive="1m")["id"]
        assert elastic_helpers.bulk(client, documents(50, **{"@timestamp": moment}), refresh="wait_for")[0] == 50
        seen: list[int] = []
        after = None
        while True:
            page = client.search(pit={"id": point, "keep_alive": "1m"}, size=60, sort=[{"@timestamp": "asc"}],
                                 search_after=after)  # fmt: skip
            assert (page["pit_id"], page["hits"]["total"]["value"]) == (point, 250)
            if not page["hits"]["hits"]:
                break
            seen += [hit["_source"]["number"] for hit in page["hits"]["hits"]]
            after = page["hits"]["hits"][-1]["sort"]
        assert sorted(seen) == list(range(250))
        assert client.close_point_in_time(id=point)["succeeded"]
        assert len(list(Search(using=client, index="es").query("match", message="line").iterate())) == 300
        with pytest.raises(elasticsearch.NotFoundError):
            client.search(pit={"id": "bm90IG9uZQ=="})
        with pytest.raises(elasticsearch.BadRequestError, match="aggregations of a point in time"):
            client.search(pit={"id": point}, aggs={"a": {"terms": {"field": "job"}}})

    def opensearch() -> None:
        client = OpenSearch(server.url, http_auth=("anyone", TOKEN))
        point = client.create_pit(index="es", params={"keep_alive": "1m"})["pit_id"]
        found = client.search(body={"pit": {"id": point}, "size": 1, "query": {"match_all": {}}})
        assert found["hits"]["total"]["value"] == 300
        assert client.delete_pit(body={"pit_id": [point]})["pits"] == [{"successful": True, "pit_id": point}]

    await beside(elastic)
    await beside(opensearch)
