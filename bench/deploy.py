"""From `job run` to the first answer through the VIP, from healthy to routed, and what an idle infra weighs.

Brings up a whole infra; run it through `make bench`, on a machine of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from bench.idle import idle
from bench.table import Report, Row, main, median_and_p99
from tests.scenarios.infra import Infra, site_image
from tests.scenarios.infra import run as command

DEPLOYS = 9
ROUTE_CHANGES = 150
PORT = 18080


async def run(report: Report) -> None:
    """Needs root and nothing listening on the usual ports."""
    report.progress("bringing an infra up")
    infra = await asyncio.to_thread(Infra.bring_up, "sqlite")
    try:
        await idle(report, infra)
        context = ssl.create_default_context(cafile=str(infra.layout.tls / "ca.pem"))
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            await _deploys(report, infra, session)
            await _routing(report, infra, session)
    finally:
        await asyncio.to_thread(command, ["make", "down", "PURGE=1"])


async def _status(session: aiohttp.ClientSession, infra: Infra, host: str) -> int:
    url = f"https://{infra.config.vip_address}:{infra.config.ports.https}/"
    try:
        async with session.get(url, headers={"Host": host}, server_hostname=infra.config.addresses.vip) as answer:
            await answer.read()
            return answer.status
    except aiohttp.ClientError:
        return 0


async def _deploys(report: Report, infra: Infra, session: aiohttp.ClientSession) -> None:
    image = await asyncio.to_thread(site_image)
    bare_ms, ours_ms = [], []
    for number in range(DEPLOYS):
        bare_ms.append(await _bare_docker(session, image))
        ours_ms.append(await _job_run(session, infra, f"bench{number}", image))
        await asyncio.to_thread(infra.stop_job, f"bench{number}")
    bare, bare_p99 = median_and_p99(bare_ms)
    ours, ours_p99 = median_and_p99(ours_ms)
    shares = [one - bare for one in ours_ms]
    share, share_p99 = median_and_p99(shares)
    report.add(
        Row(
            "docker run -> first 200",
            bare,
            "ms",
            DEPLOYS,
            bare,
            bare_p99,
            conditions="image present, published port",
        )
    )
    report.add(
        Row("job run -> first 200 through the VIP", ours, "ms", DEPLOYS, ours, ours_p99, ours / bare, "vs docker run")
    )
    report.add(
        Row("  the platform's own share", share, "ms", DEPLOYS, share, share_p99, conditions="difference; aim < 500 ms")
    )


async def _bare_docker(session: aiohttp.ClientSession, image: str) -> float:
    began = time.perf_counter()
    started = await asyncio.to_thread(
        command, ["docker", "run", "-d", "--rm", "-p", f"127.0.0.1:{PORT}:8080", "--memory", "24m", image]
    )
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://127.0.0.1:{PORT}/health") as answer:
                if answer.status == 200:
                    break
        await asyncio.sleep(0.002)
    took_ms = 1000 * (time.perf_counter() - began)
    await asyncio.to_thread(command, ["docker", "rm", "-f", started.stdout.strip()])
    return took_ms


async def _job_run(session: aiohttp.ClientSession, infra: Infra, job: str, image: str) -> float:
    """The job is parsed and submitted by the command line, as a user does it."""
    text = infra.site_job(job, count=1, image=image)
    began = time.perf_counter()
    await asyncio.to_thread(infra.run_job, text, "-detach")
    while await _status(session, infra, f"{job}.localhost") != 200:
        await asyncio.sleep(0.002)
    return 1000 * (time.perf_counter() - began)


async def _routing(report: Report, infra: Infra, session: aiohttp.ClientSession) -> None:
    """An instance is registered healthy through the Consul API, then taken away. A local server answers for it."""
    routed_ms, stopped_ms = [], []
    async with _local_server() as port:
        for number in range(ROUTE_CHANGES):
            host, service = f"r{number}.localhost", f"route{number}"
            body = {
                "ID": service, "Name": service, "Address": "127.0.0.1", "Port": port,
                "Tags": ["traefik.enable=true", f"traefik.http.routers.{service}.rule=Host(`{host}`)"],
            }  # fmt: skip
            routed_ms.append(await _change(session, infra, "register", body, host, wanted=True))
            stopped_ms.append(await _change(session, infra, f"deregister/{service}", None, host, wanted=False))
    for name, samples in (("healthy -> routed", routed_ms), ("stopped -> no new request", stopped_ms)):
        median, p99 = median_and_p99(samples)
        conditions = "Consul API call -> answer through the VIP; aim: p99 < 300 ms"
        report.add(Row(name, p99, "ms (p99)", len(samples), median, p99, conditions=conditions))


async def _change(
    session: aiohttp.ClientSession, infra: Infra, verb: str, body: object, host: str, *, wanted: bool
) -> float:
    url = f"http://{infra.config.bind_address}:{infra.config.ports.consul}/v1/agent/service/{verb}"
    began = time.perf_counter()
    headers = {"X-Consul-Token": infra.token}
    async with session.put(url, data=msgspec.json.encode(body) if body else b"", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    while (await _status(session, infra, host) == 200) != wanted:
        pass
    return 1000 * (time.perf_counter() - began)


@contextlib.asynccontextmanager
async def _local_server() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


if __name__ == "__main__":
    main(run)
