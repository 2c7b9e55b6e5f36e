"""The panel's door on a gated address (phpMyAdmin's): a form that asks for the infra's token, and a session for it."""

from __future__ import annotations

import falcon
import falcon.asgi

from kokiris.http.pages import Frame, Markup
from kokiris.http.signin import WRONG_TOKEN, Verify, local_target, read_form, set_cookie, token_form
from kokiris.kernel.errors import KokirisError
from kokiris.routing.gate import COOKIE, DOOR, Gate

HERE, TITLE = "pma", "Databases"
ABOUT = (
    "phpMyAdmin opens to people of this infra. It asks for the account of your database next: "
    "`kokiris var get kokiris/db/NAME` shows it."
)

_LOGGED_OUT = Markup(
    "<p>You are logged out of the database, and still signed in to the infra.</p>"
    '<p><a href="/">Back to phpMyAdmin</a></p>'
)


class GateSignIn:
    """`/.kokiris/sign-in`."""

    def __init__(self, frame: Frame, gate: Gate, verify: Verify) -> None:
        self._frame = frame
        self._gate = gate
        self._verify = verify

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The form."""
        self._form(resp, 401, local_target(req.get_param("to", default="") or "", "/"))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The token comes in the body, never in a URL."""
        form = await read_form(req)
        secret, to = form.get("token", "").strip(), local_target(form.get("to", ""), "/")
        try:
            opens = bool(secret) and await self._verify(secret) is not None
        except KokirisError as error:
            self._form(resp, 503, to, f"{error.message}. {error.next_step}")
            return
        if not opens:
            self._form(resp, 403, to, WRONG_TOKEN)
            return
        set_cookie(resp, COOKIE, await self._gate.open())
        resp.status = falcon.HTTP_303
        resp.set_header("Location", to)

    def _form(self, resp: falcon.asgi.Response, status: int, to: str, problem: str = "") -> None:
        form = token_form(self._frame.infra, f"{DOOR}sign-in", to, problem=problem, about=ABOUT)
        self._frame.send(resp, HERE, TITLE, form)
        resp.status = status


class GateSignOut:
    """`/.kokiris/sign-out`."""

    def __init__(self, frame: Frame, gate: Gate) -> None:
        self._frame = frame
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """phpMyAdmin leads here when somebody has logged out of it."""
        del req
        self._frame.send(resp, HERE, TITLE, _LOGGED_OUT, sign_out=f"{DOOR}sign-out")

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Ends the session for HAProxy too."""
        await self._gate.close((req.cookies or {}).get(COOKIE, ""))
        resp.unset_cookie(COOKIE, path="/")
        resp.status = falcon.HTTP_303
        resp.set_header("Location", f"{DOOR}sign-in")
