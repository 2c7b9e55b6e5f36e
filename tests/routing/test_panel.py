"""The panel's shapes, lists, explanations, page and sign-in; certificates and their renewal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from kokiris.access.authority import due, issue, new_authority, new_key_and_request, utc_now
from kokiris.http.pages import ALONE
from kokiris.http.signin import SignIn
from kokiris.http.tokens import Principal
from kokiris.kernel.errors import BadInput, Unauthenticated, Unavailable
from kokiris.kernel.names import Addresses, parse_infra
from kokiris.routing.api import page, views
from kokiris.routing.api.access import PanelAccess
from kokiris.routing.api.certificates import certificate
from kokiris.routing.api.explain import explain
from kokiris.routing.api.listing import page_of
from kokiris.routing.certificates import Authority, CertificateStore
from kokiris.routing.configuration import Configuration, configure
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.model import CatalogService, Instance
from kokiris.routing.plan import Compiler, Plan
from kokiris.routing.platform import platform_of

PLATFORM = platform_of(Addresses(parse_infra("demo", "rec1"), "cloud.test"))


def site(name: str, *extra: str, healthy: bool = True, rule: str | None = None) -> CatalogService:
    tags = ("traefik.enable=true", f"traefik.http.routers.{name}.rule={rule or f'Host(`{name}.test`)'}", *extra)
    return CatalogService(name, tags, (Instance(f"i-{name}", "10.0.0.1", 80, tags, healthy, 1),))


@pytest.fixture
def configuration() -> Configuration:
    services = [
        site("up"),
        site("down", healthy=False),
        site("bad", rule="Host(`<script>`)"),
        site("plain", "traefik.http.routers.plain.entrypoints=web"),
        site("tcp", "traefik.tcp.routers.t.rule=HostSNI(`*`)"),
    ]
    return configure({one.name: one for one in services}, PLATFORM, Configuration())


@pytest.fixture
def plan(configuration: Configuration) -> Plan:
    return Compiler().plan(configuration, {})


def test_shapes(configuration: Configuration, plan: Plan) -> None:
    routers = {one["name"]: one for one in views.routers(configuration, plan)}
    assert routers["up@consulcatalog"] == {
        "entryPoints": ["websecure"], "service": "up", "rule": "Host(`up.test`)", "priority": 15, "priorityStr": "15",
        "status": "enabled", "using": ["websecure"], "name": "up@consulcatalog", "provider": "consulcatalog",
        "source": "up", "tls": {},
    }  # fmt: skip
    assert routers["bad@consulcatalog"]["status"] == "disabled"
    assert routers["nomad@internal"]["provider"] == "internal"
    services = {one["name"]: one for one in views.services(configuration, plan)}
    assert services["up@consulcatalog"]["serverStatus"] == {"http://10.0.0.1:80": "UP"}
    assert services["down@consulcatalog"]["serverStatus"] == {"http://10.0.0.1:80": "DOWN"}
    assert services["up@consulcatalog"]["usedBy"] == ["up@consulcatalog"]
    overview = views.overview(configuration, plan, [])
    assert overview["http"]["routers"] == {"total": len(routers), "warnings": 0, "errors": 1}
    assert overview["tcp"]["routers"] == {"total": 1, "warnings": 0, "errors": 1}
    assert set(views.raw_data(configuration, plan)) >= {"routers", "services", "middlewares", "tcpRouters"}


def test_pages_of_a_list() -> None:
    items: list[dict[str, Any]] = [
        {
            "name": f"r{number:03d}",
            "status": "enabled" if number % 2 else "disabled",
            "priority": -number,
            "provider": "p",
        }
        for number in range(250)
    ]
    first = page_of(items, {})
    assert (len(first.items), first.next_page) == (100, 2)
    last = page_of(items, {"page": "3"})
    assert (len(last.items), last.next_page) == (50, 1)
    assert page_of(items, {"sortBy": "priority"}).items[0]["name"] == "r249"
    assert page_of(items, {"direction": "desc"}).items[0]["name"] == "r249"
    assert len(page_of(items, {"status": "enabled", "per_page": "1000"}).items) == 125
    assert [one["name"] for one in page_of(items, {"search": "R17"}).items][:2] == ["r170", "r171"]
    assert page_of([], {}).items == []
    for wrong in ({"page": "0"}, {"page": "x"}, {"page": "99"}, {"per_page": "-1"}, {"sortBy": "x"}):
        with pytest.raises(BadInput):
            page_of(items, wrong)


@pytest.mark.parametrize(
    ("url", "status", "router"),
    [
        ("https://up.test/x", 200, "up@consulcatalog"),
        ("http://up.test/x", 308, "up@consulcatalog"),
        ("down.test", 503, "down@consulcatalog"),
        ("http://plain.test", 200, "plain@consulcatalog"),
        ("https://plain.test", 404, None),
        ("https://nomad.rec1.demo.cloud.test/v1/jobs", 200, "nomad@internal"),
        ("https://nobody.test", 404, None),
    ],
)
def test_explain(configuration: Configuration, url: str, status: int, router: str | None) -> None:
    answer = explain(url, configuration)
    assert (answer["status"], answer["router"] and answer["router"]["name"]) == (status, router)
    assert answer["why"]


def test_explain_hints_where_it_would_match(configuration: Configuration) -> None:
    assert "plain@consulcatalog matches on web only" in explain("https://plain.test", configuration)["elsewhere"]


@pytest.mark.parametrize("url", ["", "ftp://x", "https://[", "https:///x"])
def test_explain_refuses_what_is_no_url(configuration: Configuration, url: str) -> None:
    with pytest.raises(BadInput):
        explain(url, configuration)


def test_the_page_escapes_what_tenants_write(configuration: Configuration, plan: Plan) -> None:
    text = page.dashboard(
        views.overview(configuration, plan, []),
        views.routers(configuration, plan),
        views.services(configuration, plan),
        [],
        search='"><script>',
    )
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "up@consulcatalog" in text


def test_what_stands_in_for_an_add_on_is_no_problem(configuration: Configuration, plan: Plan) -> None:
    shapes = {one["name"]: one for one in views.routers(configuration, plan)}
    assert {shapes[name]["status"] for name in shapes if name.endswith("@internal")} <= {"enabled"}


async def test_a_programs_token_is_remembered_for_a_moment() -> None:
    now_s = 0.0
    asked: list[str] = []

    async def verify(secret: str) -> Principal | None:
        asked.append(secret)
        return Principal("a", "a", "management") if secret == "right" else None

    access = PanelAccess(SignIn(ALONE, verify, here="", title="", cookie="c"), verify, lambda: now_s)

    def request(secret: str) -> Any:
        return falcon.testing.create_asgi_req(headers={"X-Nomad-Token": secret} if secret else {})

    for secret in ("wrong", ""):
        with pytest.raises(Unauthenticated):
            await access.require(request(secret))
    await access.require(request("right"))
    await access.require(request("right"))
    assert asked == ["wrong", "right"]
    now_s = 60.0
    await access.require(request("right"))
    assert asked == ["wrong", "right", "right"]


async def test_certificates_are_made_kept_and_renewed(tmp_path: Path) -> None:
    authority = new_authority("test", utc_now())
    signed: list[list[str]] = []
    away = True

    async def sign(request: bytes, names: Any) -> bytes:
        if away:
            raise Unavailable("no server answers")
        signed.append(list(names))
        return issue(authority, request, names, utc_now())

    def store() -> CertificateStore:
        files = HaproxyFiles(tmp_path / "haproxy", tmp_path / "run")
        return CertificateStore(files, Authority(new_key_and_request, sign, due), ["vip.test", "nomad.test"])

    first = store()
    await first.want({"a.test", "*.b.test", "10.0.0.1"}, 0.05)
    assert set(first.failures) == {"", "a.test", "*.b.test"}
    away = False
    ready = asyncio.Event()
    first.on_ready = ready.set
    while len(first.have()) < 2:
        await asyncio.wait_for(ready.wait(), 30)
        ready.clear()
    await first.want({"a.test", "*.b.test"}, 30)
    assert not first.failures
    installed = {one.name: one for one in first.take_ready()}
    assert set(installed) == {"", "a.test", "*.b.test"}
    assert first.take_ready() == []
    assert "\n\n" not in installed["a.test"].pem
    await first.close()
    count = len(signed)
    second = store()
    await second.want({"a.test", "*.b.test"}, 30)
    assert len(signed) == count
    await second.want({"a.test", "c.test"}, 30)
    assert set(second.have()) == {"a.test", "c.test"}
    await second.close()
    shape = certificate(second.path_of("").read_bytes(), datetime.now(UTC))
    assert shape["sans"] == ["nomad.test", "vip.test"]
    assert shape["status"] == "enabled"
    assert certificate(second.path_of("").read_bytes(), datetime.now(UTC) + timedelta(days=28))["status"] == "warning"
    assert certificate(second.path_of("").read_bytes(), datetime.now(UTC) + timedelta(days=31))["status"] == "expired"


async def test_a_name_that_returns_gets_its_certificate_again(tmp_path: Path) -> None:
    """A job is purged, HAProxy forgets its certificate, and the job is run again: the file is handed out once more."""
    authority = new_authority("test", utc_now())
    signing = asyncio.Event()
    go_on = asyncio.Event()
    go_on.set()
    signed = 0

    async def sign(request: bytes, names: Any) -> bytes:
        nonlocal signed
        signed += 1
        signing.set()
        await go_on.wait()
        return issue(authority, request, names, utc_now())

    files = HaproxyFiles(tmp_path / "haproxy", tmp_path / "run")
    store = CertificateStore(files, Authority(new_key_and_request, sign, due), ["vip.test"])
    await store.want({"a.test"}, 30)
    assert {one.name for one in store.take_ready()} == {"", "a.test"}
    await store.want(set(), 30)
    assert store.have() == {}
    assert store.take_ready() == []
    await store.want({"a.test"}, 30)
    assert [one.name for one in store.take_ready()] == ["a.test"]
    assert signed == 2, "the file on disk is used again"

    go_on.clear()
    signing.clear()
    await store.want({"b.test"}, 0)
    await asyncio.wait_for(signing.wait(), 30)
    await store.want(set(), 0)  # it goes while its certificate is being signed
    go_on.set()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "certificate b.test"))
    assert store.take_ready() == []
    await store.want({"b.test"}, 30)
    assert [one.name for one in store.take_ready()] == ["b.test"]
    await store.close()
