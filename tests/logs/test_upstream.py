"""`logs.elasticsearch_url`: another server holds the entries (here one of ours), ours passes on and translates KQL."""

from __future__ import annotations

from pathlib import Path

from kokiris.logs.api.upstream import Upstream
from tests.engines.logs import TENANT, TOKEN, LogServer, serve_logs


async def test_requests_page_and_kql_are_passed_on(server: LogServer, tmp_path: Path) -> None:
    upstream = Upstream(server.url, f"Bearer {TOKEN}")
    async with serve_logs(tmp_path / "front", upstream=upstream) as front:
        for number in range(5):
            document = {"message": f"entry {number} reset", "job": "shop", "status": 500 + number}
            status, _, answer = await front.call("POST", "/logs/_doc", document)
            assert (status, answer.headers["X-Elastic-Product"]) == (201, "Elasticsearch")
        await front.call("POST", "/_refresh")
        assert not any(day.documents for day in front.index.days())
        for kql, count in (
            ("job:shop and status >= 503", 2),
            ("reset and not job:x", 5),
            ('"entry 3"', 1),
            ("ent*", 5),
        ):
            body = {"query": {"bool": {"filter": [{"kql": {"query": kql}}]}}}
            assert (await front.call("POST", "/_search", body))[1]["hits"]["total"]["value"] == count
        assert (await front.call("GET", "/_count", token=TENANT))[0] == 403
        status, wrong, _ = await front.call("POST", "/_search", {"query": {"kql": {"query": "job:"}}})
        assert (status, wrong["error"]["col"]) == (400, 5)
        async with front.session.post(f"{front.url}/sign-in", data={"token": TOKEN}, allow_redirects=False) as answer:
            cookie = f"kokiris_logs={answer.cookies['kokiris_logs'].value}"
        headers = {"Accept": "text/html", "Cookie": cookie}
        async with front.session.get(f"{front.url}/?q=status+>%3D+503", headers=headers) as answer:
            assert "2 entries" in await answer.text()


async def test_an_upstream_that_is_away_is_named(tmp_path: Path) -> None:
    async with serve_logs(tmp_path / "front", upstream=Upstream("http://127.0.0.1:1", "")) as front:
        status, answer, _ = await front.call("GET", "/_search")
        assert status == 503
        assert "logs.elasticsearch_url" in answer["error"]["reason"]
