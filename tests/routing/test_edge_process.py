"""The edge role with a real HAProxy: what clients of the VIP see."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from typing import Any

import aiohttp
import pytest

from tests.engines.files import contents

pytestmark = pytest.mark.engine

TAGS = ["traefik.enable=true", "traefik.http.routers.web.rule=Host(`site.test`)"]


@pytest.fixture
async def running(node: Any, rpc: Any, edge_process: Any, client: Any, wait_for: Any) -> Any:
    """HAProxy and the edge, with the platform's routes in place. Gives the edge's process."""
    node.start_haproxy()
    process = edge_process()

    async def ready() -> bool:
        try:
            return bool((await client.get(node.config.addresses.vip))[0] == 200)
        except aiohttp.ClientError:
            return False

    await wait_for(ready, "the VIP's own page")
    return process


@pytest.fixture
def answers(client: Any, wait_for: Any) -> Any:
    """Waits until a host is answered with a status (and a text)."""

    async def wait(host: str, status: int, text: str | None = None, path: str = "/", **options: Any) -> Any:
        async def ready() -> Any:
            try:
                got = await client.get(host, path, **options)
            except aiohttp.ClientError:
                return None
            return got if got[0] == status and (text is None or text in got[1]) else None

        return await wait_for(ready, f"{host}{path} answers {status} {text or ''}")

    return wait


async def test_an_instance_becomes_reachable_by_its_host(
    running: Any, node: Any, rpc: Any, client: Any, instance: Any, answers: Any
) -> None:
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200, "one /x?y=1", "/x?y=1")
    status, _, headers = await client.get("site.test", "/x?y=1", https=False)
    assert (status, headers["Location"]) == (308, f"https://site.test:{node.https_port}/x?y=1")
    assert (await client.get("other.test"))[:2] == (404, "404 page not found")
    assert one.last_headers["Host"] == "site.test"
    claimed = [
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-Forwarded-Server",
        "x-real-ip",
        "Forwarded",
        "X-Forwarded-Prefix",
    ]
    await client.get("site.test", headers=dict.fromkeys(claimed, "forged"))
    names = ("x-real-ip", "forwarded", "x-forwarded-")
    told = {name.lower(): value for name, value in one.last_headers.items() if name.lower().startswith(names)}
    assert told == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-port": str(node.https_port),
        "x-forwarded-host": "site.test",
        "x-real-ip": "127.0.0.1",
    }
    assert (await client.get("x.test", headers={"Host": "a" * 301}))[0] == 400


async def test_a_known_router_without_instances_says_so(
    running: Any, rpc: Any, client: Any, instance: Any, answers: Any
) -> None:
    rpc.declared["web"] = TAGS
    await rpc.touch()
    _, text, headers = await answers("site.test", 503)
    assert "no healthy instance" in text
    assert int(headers["Retry-After"]) > 0
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS, status="critical")
    assert (await client.get("site.test"))[0] == 503
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    await rpc.put("web", "i1", one.port, TAGS, status="critical")
    await answers("site.test", 503)


async def test_entry_points(running: Any, rpc: Any, client: Any, instance: Any, answers: Any) -> None:
    one = await instance("one")
    for name, entry_points in (("plain", "web"), ("both", "web,websecure"), ("tls", "websecure"), ("bad", "nope")):
        rule = f"traefik.http.routers.{name}.rule=Host(`{name}.test`)"
        listening = f"traefik.http.routers.{name}.entrypoints={entry_points}"
        await rpc.put(name, f"i-{name}", one.port, ["traefik.enable=true", rule, listening])
    await answers("tls.test", 200)
    await answers("plain.test", 200, https=False)
    await answers("both.test", 200)
    seen = {
        (name, https): (await client.get(f"{name}.test", https=https))[0]
        for name in ("plain", "both", "tls", "bad")
        for https in (True, False)
    }
    assert seen == {
        ("plain", True): 404, ("plain", False): 200, ("both", True): 200, ("both", False): 200,
        ("tls", True): 200, ("tls", False): 404, ("bad", True): 404, ("bad", False): 404,
    }  # fmt: skip


async def load(client: Any, host: str, stop: asyncio.Event, failures: list[Any], path: str = "/") -> int:
    """Steady requests until told to stop; whatever is not 200 is a failure."""
    count = 0
    while not stop.is_set():
        try:
            status, text, _ = await client.get(host, path)
            if status != 200:
                failures.append((status, text))
        except (aiohttp.ClientError, OSError) as error:
            failures.append(error)
        count += 1
    return count


async def test_instances_come_and_go_under_load_without_a_failed_request(
    running: Any, rpc: Any, client: Any, instance: Any, answers: Any, wait_for: Any
) -> None:
    current = await instance("first", delay_s=0.02)
    await rpc.put("web", "i0", current.port, TAGS)
    await answers("site.test", 200)
    stop, failures = asyncio.Event(), []
    workers = [asyncio.create_task(load(client, "site.test", stop, failures)) for _ in range(8)]
    for number in range(1, 9):
        fresh = await instance(f"number {number}", delay_s=0.02)
        await rpc.put("web", f"i{number}", fresh.port, TAGS)
        await wait_for(lambda fresh=fresh: fresh.served, "the new instance serves")
        index = await rpc.remove("web", f"i{number - 1}")

        def released(index: int = index, gone: str = f"i{number - 1}") -> bool:
            last = rpc.reports[-1] if rpc.reports else {"Applied": {}, "Draining": []}
            return bool(last["Applied"].get("web", 0) >= index and gone not in last["Draining"])

        await wait_for(released, "the edge releases the old instance")
        await current.stop()
        current = fresh
    stop.set()
    counts = await asyncio.gather(*workers)
    assert not failures, failures[:3]
    assert sum(counts) > 100


async def test_a_draining_instance_finishes_its_requests(
    running: Any, rpc: Any, client: Any, instance: Any, answers: Any, wait_for: Any
) -> None:
    slow, other = await instance("slow"), await instance("other")
    await rpc.put("web", "slow", slow.port, TAGS)
    await answers("site.test", 200)
    slow.open.clear()
    pending = asyncio.create_task(client.get("site.test", "/slow"))
    await wait_for(lambda: slow.served >= 2, "the slow request is under way")
    await rpc.put("web", "other", other.port, TAGS)
    index = await rpc.remove("web", "slow")
    await wait_for(lambda: rpc.reports[-1]["Applied"].get("web", 0) >= index, "the removal is applied")
    assert rpc.reports[-1]["Draining"] == ["slow"]
    for _ in range(5):
        assert (await client.get("site.test"))[1].startswith("other")
    slow.open.set()
    assert (await pending)[:2] == (200, "slow /slow")
    await wait_for(lambda: not rpc.reports[-1]["Draining"], "nothing drains any more")


async def test_kill_9_of_the_edge_loses_nothing(
    running: Any, rpc: Any, client: Any, instance: Any, answers: Any, edge_process: Any
) -> None:
    one, two = await instance("one"), await instance("two")
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    stop, failures = asyncio.Event(), []
    worker = asyncio.create_task(load(client, "site.test", stop, failures))
    running.send_signal(signal.SIGKILL)
    running.wait()
    await rpc.put("web", "i2", two.port, TAGS)
    await rpc.remove("web", "i1")
    await rpc.put("late", "i3", two.port, ["traefik.enable=true", "traefik.http.routers.late.rule=Host(`late.test`)"])
    edge_process()
    await answers("late.test", 200)
    await answers("site.test", 200, "two")
    stop.set()
    await worker
    assert not failures, failures[:3]


async def test_kill_9_of_haproxy_is_made_good(
    running: Any, node: Any, rpc: Any, client: Any, instance: Any, answers: Any
) -> None:
    one, two = await instance("one"), await instance("two")
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    node.kill_haproxy()
    await rpc.put("web", "i2", two.port, TAGS)
    await rpc.remove("web", "i1")
    await rpc.put("late", "i3", two.port, ["traefik.enable=true", "traefik.http.routers.late.rule=Host(`late.test`)"])
    node.start_haproxy()
    await answers("late.test", 200)
    await answers("site.test", 200, "two")


async def test_the_servers_may_be_away(
    running: Any, node: Any, rpc: Any, client: Any, instance: Any, answers: Any, edge_process: Any
) -> None:
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    await rpc.stop()
    running.send_signal(signal.SIGKILL)
    running.wait()
    edge_process()
    for _ in range(20):
        assert (await client.get("site.test"))[0] == 200
        await asyncio.sleep(0.05)
    await rpc.start()
    await rpc.put("late", "i3", one.port, ["traefik.enable=true", "traefik.http.routers.late.rule=Host(`late.test`)"])
    await answers("late.test", 200)
    assert (await client.get("site.test"))[0] == 200


async def test_a_bad_router_takes_nothing_down_and_keeps_its_last_good_version(
    running: Any, node: Any, rpc: Any, client: Any, instance: Any, answers: Any, edge_process: Any, wait_for: Any
) -> None:
    one = await instance("one")
    good = ["traefik.enable=true", "traefik.http.routers.good.rule=Host(`good.test`)"]
    await rpc.put("web", "i1", one.port, TAGS)
    await rpc.put("good", "i2", one.port, good)
    await answers("site.test", 200)
    await answers("good.test", 200)
    await rpc.put("web", "i1", one.port, ["traefik.enable=true", "traefik.http.routers.web.rule=Host(site.test"])
    await rpc.put("good", "i2", one.port, [good[0], "traefik.http.routers.good.rule=Host(`better.test`)"])
    await answers("better.test", 200)
    await answers("good.test", 404)
    assert (await client.get("site.test"))[0] == 200
    async with aiohttp.ClientSession(headers={"X-Nomad-Token": "right-secret"}) as session:
        url = f"http://127.0.0.1:{node.config.ports.panel}/api/http/routers/web@consulcatalog"

        async def refused() -> Any:
            async with session.get(url) as response:
                shown = await response.json()
            return shown if shown["status"] == "disabled" else None

        router = await wait_for(refused, "the panel says that it is disabled")
    assert "column 6" in router["error"][0]
    assert router["lastGood"]["rule"] == "Host(`site.test`)"
    running.send_signal(signal.SIGKILL)
    running.wait()
    edge_process()
    await rpc.put("good", "i2", one.port, good)
    await answers("good.test", 200)
    assert (await client.get("site.test"))[0] == 200, "a restarted edge still knows it"


def served_certificate(node: Any, name: str | None) -> tuple[Any, ...]:
    """Names on the certificate that a client asking for `name` is shown, verified against the infra's authority."""
    context = ssl.create_default_context(cafile=str(node.layout.tls / "ca.pem"))
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", node.https_port), 60) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        certificate = secure.getpeercert()
        assert certificate is not None
        names: Any = certificate["subjectAltName"]
        return tuple(value for _, value in names)


async def test_certificates_by_server_name(
    running: Any, node: Any, rpc: Any, client: Any, instance: Any, answers: Any, edge_process: Any, wait_for: Any
) -> None:
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS)
    wild = ["traefik.enable=true", "traefik.http.routers.w.rule=Host(`*.wild.test`)"]
    await rpc.put("wild", "i2", one.port, wild)
    await answers("site.test", 200)
    await answers("a.wild.test", 200)

    async def serves(name: str | None, certified: set[str]) -> bool:
        """No route waits more than a moment for its certificate."""
        with contextlib.suppress(ssl.SSLError):
            return set(await asyncio.to_thread(served_certificate, node, name)) == certified
        return False

    await wait_for(lambda: serves("site.test", {"site.test"}), "a certificate")
    await wait_for(lambda: serves("b.wild.test", {"*.wild.test"}), "one for all names below")
    platform = set(node.config.addresses.hosts())
    await wait_for(lambda: serves("unknown.test", platform), "the platform's, for who asks for another name")
    await wait_for(lambda: serves(None, platform), "the platform's, for who asks for none")
    await rpc.remove("web", "i1")
    await answers("site.test", 404)
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    await wait_for(lambda: serves("site.test", {"site.test"}), "that of a name that comes back")
    folder = node.layout.haproxy / "certificates"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    signed = len(rpc.signed)
    await rpc.remove("wild", "i2")  # a job purged and run again

    async def forgotten() -> bool:
        return set(await asyncio.to_thread(served_certificate, node, "b.wild.test")) == platform

    await wait_for(forgotten, "the certificate of a name that nobody serves is forgotten")
    await rpc.put("wild", "i2", one.port, wild)
    await answers("a.wild.test", 200)
    assert await asyncio.to_thread(served_certificate, node, "b.wild.test") == ("*.wild.test",)
    running.terminate()
    running.wait()
    node.kill_haproxy()
    node.start_haproxy()
    edge_process()
    await answers("site.test", 200)
    await wait_for(lambda: serves("site.test", {"site.test"}), "the certificate again")
    assert len(rpc.signed) == signed, "certificates on disk are used again"


@pytest.mark.parametrize(
    "host", ["site.test|/admin", "*|/", "*", "a\x01b", "site.test, other.test", "site.test/x", "\xff", "a b", "a\tb"]
)
async def test_forged_host_headers_are_refused(node: Any, host: str) -> None:
    node.start_haproxy()
    port = node.http_port

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 60) as one:
            one.sendall(b"GET / HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\nConnection: close\r\n\r\n")
            return one.makefile("rb").read()

    assert (await asyncio.to_thread(ask)).split(b" ")[1] == b"400"


async def test_two_host_headers_are_refused(node: Any) -> None:
    node.start_haproxy()

    def ask(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", node.http_port), 60) as one:
            one.sendall(request)
            return one.makefile("rb").read()

    twice = b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\nConnection: close\r\n\r\n"
    assert (await asyncio.to_thread(ask, twice)).split(b" ")[1] == b"400"
    none = b"GET / HTTP/1.0\r\n\r\n"
    assert (await asyncio.to_thread(ask, none)).split(b" ")[1] == b"404"


async def test_websockets_pass(running: Any, node: Any, rpc: Any, instance: Any, answers: Any) -> None:
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"https://127.0.0.1:{node.https_port}/ws", headers={"Host": "site.test"}, ssl=False) as sock,
    ):
        await sock.send_str("hello")
        assert (await sock.receive()).data == "one:hello"


async def test_the_pool_grows_without_a_failed_request(
    running: Any, node: Any, rpc: Any, client: Any, instance: Any, answers: Any
) -> None:
    one = await instance("one")
    await rpc.put("web", "i1", one.port, TAGS)
    await answers("site.test", 200)
    stop, failures = asyncio.Event(), []
    workers = [asyncio.create_task(load(client, "site.test", stop, failures)) for _ in range(4)]
    for number in range(150):
        rule = f"traefik.http.routers.r{number}.rule=Host(`r{number}.test`)"
        tags = ["traefik.enable=true", rule, f"traefik.http.routers.r{number}.entrypoints=web"]
        rpc.instances[f"s{number}"] = {}
        await rpc.put(f"s{number}", f"j{number}", one.port, tags)
    await answers("r149.test", 200, https=False)
    await answers("r0.test", 200, https=False)
    stop.set()
    await asyncio.gather(*workers)
    assert not failures, failures[:3]
    assert len(list((node.layout.haproxy / "slots").glob("*.cfg"))) > 1


async def test_platform_addresses(running: Any, node: Any, client: Any, instance: Any) -> None:
    names = node.config.addresses
    assert "VIP of infra rec1" in (await client.get(names.vip))[1]
    assert (await client.get(names.vip, https=False))[0] == 308
    assert (await client.get(names.pma))[0] == 303
    status, text, _ = await client.get(names.registry, "/v2/")
    assert status == 503
    assert "not enabled" in text
    status, _, headers = await client.get(names.traefikadmin)
    assert (status, headers["Location"]) == (302, "/dashboard/")
    status, _, headers = await client.get(names.traefikadmin, "/dashboard/")
    assert (status, headers["Location"]) == (303, "/dashboard/sign-in")
    assert (await client.get(names.traefikadmin, "/ping"))[:2] == (200, "OK")


async def test_a_restarting_server_is_waited_for(running: Any, node: Any, client: Any) -> None:
    """Nothing listens on the Nomad port yet: the request waits instead of failing."""
    pending = asyncio.create_task(client.get(node.config.addresses.nomad, "/v1/jobs"))
    await asyncio.sleep(0.3)
    assert not pending.done()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", node.config.ports.nomad)
    async with server:
        assert (await pending)[:2] == (200, "[]")


async def test_no_secret_in_logs(running: Any, node: Any, client: Any) -> None:
    panel = node.config.addresses.traefikadmin
    status, _, _ = await client.get(panel, "/api/overview", headers={"X-Nomad-Token": "wrong-secret"})
    assert status == 403
    status, _, headers = await client.get(panel, "/dashboard/sign-in", method="POST", data={"token": "right-secret"})
    assert status == 303
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    status, text, _ = await client.get(panel, "/dashboard/", headers={"Cookie": cookie.split(";")[0]})
    assert status == 200
    assert "nomad@internal" in text
    for path, content in contents(node.layout.root):
        assert b"right-secret" not in content, path
        assert b"wrong-secret" not in content, path
