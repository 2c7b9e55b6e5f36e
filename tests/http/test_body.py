"""Bodies that are too large: refused, once they have been taken."""

from __future__ import annotations

import asyncio

import falcon.asgi
import pytest

from kokiris.http.app import asgi, make_app, read_body
from kokiris.http.serve import HttpServer

LIMIT = 1000


class Door:
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.text = str(len(await read_body(req, LIMIT)))


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_refusal_comes_after_the_body(chunked: bool) -> None:
    app = make_app()
    app.add_route("/", Door())
    http = HttpServer(asgi(app))
    await http.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    half = b"x" * 100_000
    head = b"transfer-encoding: chunked" if chunked else b"content-length: 200000"

    def framed(part: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(part), part) if chunked else part

    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n" + framed(half))
    await writer.drain()
    answer = asyncio.create_task(reader.readline())
    done, _ = await asyncio.wait([answer], timeout=0.3)
    assert not done, "the other half is waited for"
    writer.write(framed(half) + (b"0\r\n\r\n" if chunked else b""))
    assert b"413" in await asyncio.wait_for(answer, 60)
    await asyncio.wait_for(reader.readuntil(b"over the limit of 1000 bytes"), 60)
    writer.close()
    await http.stop()


async def test_a_body_within_the_limit_is_read() -> None:
    app = make_app()
    app.add_route("/", Door())
    http = HttpServer(asgi(app))
    await http.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n" + b"x" * 1000)
    assert (await reader.read()).endswith(b"\r\n\r\n1000")
    writer.close()
    await http.stop()
