"""The panel's door on a gated address (phpMyAdmin's): a form that asks for the infra's token, and a session for it."""

from __future__ import annotations

import falcon.asgi
from falcon import uri

from kokiris.http.app import read_body
from kokiris.kernel.errors import KokirisError
from kokiris.routing.api import page
from kokiris.routing.api.signin import Verify
from kokiris.routing.gate import COOKIE, DOOR, SESSION_S, Gate

LIMIT_BYTES = 8192


class GateSignIn:
    """`/.kokiris/sign-in`."""

    def __init__(self, infra: str, gate: Gate, verify: Verify) -> None:
        self._infra = infra
        self._gate = gate
        self._verify = verify

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The form."""
        del req
        self._form(resp, 401)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The token comes in the body, never in a URL."""
        body = (await read_body(req, LIMIT_BYTES)).decode("utf-8", "replace")
        secret = uri.parse_query_string(body, keep_blank=True).get("token", "")
        try:
            opens = isinstance(secret, str) and bool(secret.strip()) and await self._verify(secret.strip())
        except KokirisError as error:
            self._form(resp, 503, f"{error.message}. {error.next_step}")
            return
        if not opens:
            self._form(resp, 403, "This token opens nothing here.")
            return
        resp.set_cookie(
            COOKIE, await self._gate.open(), max_age=SESSION_S, http_only=True, secure=True, same_site="Lax", path="/"
        )
        resp.status = 303
        resp.location = "/"

    def _form(self, resp: falcon.asgi.Response, status: int, problem: str = "") -> None:
        page.send(resp, page.gate_sign_in(self._infra, f"{DOOR}sign-in", problem))
        resp.status = status


class GateSignOut:
    """`/.kokiris/sign-out`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Ends the session for HAProxy too."""
        await self._gate.close((req.cookies or {}).get(COOKIE, ""))
        resp.unset_cookie(COOKIE, path="/")
        resp.status = 303
        resp.location = f"{DOOR}sign-in"
