"""Signing in to a door, whichever: sessions, the page that was asked for, what the form says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import falcon
import falcon.asgi
import pytest
from yarl import URL

from kokiris.http.app import asgi, make_app
from kokiris.http.pages import Frame, Markup, table
from kokiris.http.serve import HttpServer
from kokiris.http.signin import MAX_SESSIONS, SESSION_S, Sessions, SignIn, local_target
from kokiris.http.tokens import Principal
from kokiris.kernel.errors import Unavailable
from kokiris.kernel.names import Addresses, parse_infra

ANN = Principal("a", "ann", "management")
FRAME = Frame.of(Addresses(parse_infra("demo", "rec1"), "cloud.test"), 8443)


@pytest.mark.parametrize("asked", ["/", "/ui/", "/?q=job%3Ashop&range=1h", "/index.php?route=/database"])
def test_the_page_that_was_asked_for_is_gone_to(asked: str) -> None:
    assert local_target(asked, "/ui/") == asked


@pytest.mark.parametrize(
    "asked",
    ["", "//evil.test/", "/\\evil.test", "https://evil.test/", "javascript:x", "/a\r\nSet-Cookie: x", "/\t/x", "/é"],
)
def test_nobody_is_led_elsewhere(asked: str) -> None:
    assert local_target(asked, "/ui/") == "/ui/"


def test_sessions_end() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    one = sessions.open(ANN)
    assert sessions.principal(one) == ANN
    assert sessions.principal("other") is None
    assert one not in repr(vars(sessions))
    now[0] = SESSION_S + 1
    assert sessions.principal(one) is None
    closed = sessions.open(ANN)
    sessions.close(closed)
    assert sessions.principal(closed) is None


def test_of_too_many_sessions_the_oldest_ends() -> None:
    sessions = Sessions()
    ids = [sessions.open(ANN) for _ in range(MAX_SESSIONS + 1)]
    assert [sessions.principal(one) for one in ids[:2]] == [None, ANN]


class _Page:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        principal = self._sign_in.require(req)
        self._sign_in.send(resp, "<Title>", table(("Who",), [(principal.name,), (Markup("<b>x</b>"),), ("<b>y</b>",)]))


@pytest.fixture
async def door() -> AsyncIterator[str]:
    async def verify(secret: str) -> Principal | None:
        if secret == "unlucky":
            raise Unavailable("no server answers", next_step="Wait.")
        return ANN if secret == "right" else None

    app = make_app()
    sign_in = SignIn(FRAME, verify, here="nomad", title="Door", cookie="c")
    sign_in.add_routes(app)
    app.add_route("/ui/", _Page(sign_in))
    server = HttpServer(asgi(app))
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def test_the_way_in_and_out(door: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def call(method: str, path: str, **given: object) -> aiohttp.ClientResponse:
            return await session.request(method, URL(door + path, encoded=True), allow_redirects=False, **given)

        asked = await call("GET", "/ui/?a=1&b=%2F")
        assert (asked.status, asked.headers["Location"]) == (303, "/ui/sign-in?to=%2Fui%2F%3Fa%3D1%26b%3D%252F")
        form = await (await call("GET", asked.headers["Location"])).text()
        (to,) = re.findall('name="to" value="([^"]*)"', form)
        assert to == "/ui/?a=1&amp;b=%2F"
        for secret, status, said in (("wrong", 403, "opens nothing"), ("unlucky", 503, "no server answers. Wait.")):
            refused = await call("POST", "/ui/sign-in", data={"token": secret, "to": "/ui/?a=1"})
            text = await refused.text()
            assert (refused.status, "Set-Cookie" in refused.headers) == (status, False)
            assert said in text
            assert 'value="/ui/?a=1"' in text
            assert secret not in text
        entered = await call("POST", "/ui/sign-in", data={"token": " right ", "to": "/ui/?a=1"})
        assert (entered.status, entered.headers["Location"]) == (303, "/ui/?a=1")
        cookie = entered.headers["Set-Cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=Lax"))
        mine = {"headers": {"Cookie": cookie.split(";")[0]}}
        page = await call("GET", "/ui/", **mine)
        text = await page.text()
        assert page.headers["Cache-Control"] == "no-store"
        assert "&lt;Title&gt;" in text
        assert text.count("<b>") == 2  # the cell that is meant so, and the infra's name
        assert '<a href="https://consul.rec1.demo.cloud.test:8443/ui/">' in text
        assert (await call("POST", "/ui/sign-out", **mine)).status == 303
        assert (await call("GET", "/ui/", **mine)).status == 303
