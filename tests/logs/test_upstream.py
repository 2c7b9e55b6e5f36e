"""`logs.elasticsearch_url`: another server holds the entries (here one of ours), ours passes on and translates KQL."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kokiris.access.authority import issue, new_authority, new_key_and_request, utc_now
from kokiris.kernel.errors import BadInput
from kokiris.logs.api.upstream import Upstream
from kokiris.logs.collect.shipper import Shipment, Shipper, trust
from tests.engines.logs import TENANT, TOKEN, LogServer, serve_logs
from tests.engines.ports import free_ports


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


async def test_an_upstream_that_leads_back_is_named(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    upstream = Upstream(f"http://127.0.0.1:{port}", f"Bearer {TOKEN}")
    async with serve_logs(tmp_path / "front", upstream=upstream, port=port) as front:
        status, answer, _ = await front.call("GET", "/_search")
        assert status == 508
        assert "leads back to this log search" in answer["error"]["reason"]


async def test_an_upstream_that_is_away_is_named(tmp_path: Path) -> None:
    async with serve_logs(tmp_path / "front", upstream=Upstream("http://127.0.0.1:1", "")) as front:
        status, answer, _ = await front.call("GET", "/_search")
        assert status == 503
        assert "logs.elasticsearch_url" in answer["error"]["reason"]


@pytest.fixture
def behind_tls(server: LogServer, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """HAProxy with a certificate of an authority of its own before `server`: its address, and that authority's file."""
    authority = new_authority("somebody's own", utc_now())
    key_pem, request_pem = new_key_and_request(["localhost"])
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "both.pem").write_bytes(issue(authority, request_pem, ["localhost"], utc_now()) + key_pem)
    (port,) = free_ports(1)
    (tmp_path / "tls.cfg").write_text(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen tls\n  bind 127.0.0.1:{port} ssl crt {tmp_path / 'both.pem'}\n"
        f"  server logs {server.url.removeprefix('http://')}\n"
    )
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(tmp_path / "tls.cfg")])
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.02)
    yield f"https://localhost:{port}", tmp_path / "ca.pem"
    process.terminate()
    process.wait(30)


async def test_a_certificate_of_its_own_authority_is_checked(
    server: LogServer, behind_tls: tuple[str, Path], tmp_path: Path
) -> None:
    url, ca_file = behind_tls
    stranger = Upstream(url, f"Bearer {TOKEN}", trust(""))
    async with serve_logs(tmp_path / "stranger", upstream=stranger) as front:
        status, answer, _ = await front.call("GET", "/_search")
        assert (status, "certificate" in answer["error"]["reason"].lower()) == (503, True)
    shipper = Shipper(url, {"Authorization": f"Bearer {TOKEN}"}, trust(str(ca_file)))
    await shipper.ship([Shipment("one", {"@timestamp": 1_800_000_000_000_000, "message": "over TLS"})])
    await shipper.close()
    await server.call("POST", "/_refresh")
    async with serve_logs(tmp_path / "front", upstream=Upstream(url, f"Bearer {TOKEN}", trust(str(ca_file)))) as front:
        assert (await front.call("GET", "/_count"))[1]["count"] == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_file_that_cannot_be_used_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(BadInput, match=re.escape(str(tmp_path / "ca.pem"))):
        trust(str(tmp_path / "ca.pem"))
