"""Signing in to a door's pages with a token of the infra: a form, a session, and back to the page that was asked for.

The token comes in the body of the form, is checked once and kept nowhere; the cookie holds a random id.
"""

from __future__ import annotations

import hashlib
import html
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

import falcon
import falcon.asgi

from kokiris.http.app import read_body
from kokiris.http.pages import Frame, Markup, escaped, note
from kokiris.http.tokens import Principal
from kokiris.kernel.errors import KokirisError

SESSION_S = 8 * 3600
MAX_SESSIONS = 1000
FORM_LIMIT_BYTES = 8 * 1024
WRONG_TOKEN = "This token opens nothing here."  # noqa: S105 - a text for people

Verify = Callable[[str], Awaitable[Principal | None]]
"""Whose token it is; None for one that does not open this door. Raises KokirisError when nobody can tell."""


@dataclass(frozen=True, slots=True)
class _Session:
    principal: Principal
    ends_at_s: float


class Sessions:
    """Who is signed in. Ids are random; only their hash is kept, in memory: a restart signs everybody out."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._by_hash: OrderedDict[str, _Session] = OrderedDict()

    def open(self, principal: Principal) -> str:
        """A new session's id. Of too many, the oldest ends."""
        session_id = secrets.token_urlsafe(32)
        self._by_hash[hashed(session_id)] = _Session(principal, self._clock_s() + SESSION_S)
        while len(self._by_hash) > MAX_SESSIONS:
            self._by_hash.popitem(last=False)
        return session_id

    def principal(self, session_id: str) -> Principal | None:
        """Whose it is, until it ends."""
        session = self._by_hash.get(hashed(session_id))
        if session is None:
            return None
        if session.ends_at_s < self._clock_s():
            self.close(session_id)
            return None
        return session.principal

    def close(self, session_id: str) -> None:
        """Idempotent."""
        self._by_hash.pop(hashed(session_id), None)


def hashed(secret: str) -> str:
    """What is kept in place of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def local_target(asked: str, otherwise: str) -> str:
    """Where to go after signing in: a path of this door, as it was asked for; anything else is `otherwise`."""
    safe = asked.startswith("/") and asked[1:2] not in {"/", "\\"} and asked.isascii() and asked.isprintable()
    return asked if safe else otherwise


def set_cookie(resp: falcon.asgi.Response, name: str, value: str, *, path: str = "/") -> None:
    """A session's cookie. "Lax": a link in a mail leads who is signed in to the page; no GET changes anything."""
    resp.set_cookie(name, value, max_age=SESSION_S, path=path, secure=True, http_only=True, same_site="Lax")


async def read_form(req: falcon.asgi.Request) -> dict[str, str]:
    """The last value of each field of a posted form. Raises TooLarge."""
    body = await read_body(req, FORM_LIMIT_BYTES)
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}


def token_form(infra: str, action: str, to: str, *, problem: str = "", about: str = "") -> Markup:
    """The form that asks for the token. The hidden name lets password managers tell one infra from another."""
    hint = "The token is <code>NOMAD_TOKEN</code> of the file that <code>kokiris status</code> names on the node."
    return Markup(
        f'{note(problem)}<p>{escaped(about)}</p><form class="line" method="post" action="{html.escape(action)}">'
        f'<input type="text" name="username" value="{html.escape(infra)}" autocomplete="username" hidden>'
        f'<input type="hidden" name="to" value="{html.escape(to)}"><label for="token">Token</label>'
        '<input type="password" id="token" name="token" autocomplete="current-password" required autofocus>'
        f'<button>Sign in</button></form><p class="soft">{hint}</p>'
    )


class SignIn:
    """The way in to one door's pages."""

    def __init__(
        self, frame: Frame, verify: Verify, *, here: str, title: str, cookie: str, path: str = "/ui/",
        sessions: Sessions | None = None,
    ) -> None:  # fmt: skip
        """`path`: where the pages are; `here`: the door's word in `frame`."""
        self.frame = frame
        self.path = path
        self.sign_out_path = f"{path}sign-out"
        self._here, self._title, self._cookie = here, title, cookie
        self._verify = verify
        self._sessions = sessions or Sessions()

    def add_routes(self, app: falcon.asgi.App[Any, Any]) -> None:
        """`<path>sign-in` (form and its target) and `<path>sign-out`."""
        app.add_route(f"{self.path}sign-in", _Form(self))
        app.add_route(self.sign_out_path, _SignOut(self))

    def principal(self, req: falcon.asgi.Request) -> Principal | None:
        """Whoever is signed in with this request's cookie."""
        return self._sessions.principal((req.cookies or {}).get(self._cookie, ""))

    def require(self, req: falcon.asgi.Request) -> Principal:
        """The signed-in principal. Raises a redirect to the form, which leads back to the page."""
        principal = self.principal(req)
        if principal is None:
            asked = req.path + (f"?{req.query_string}" if req.query_string else "")
            to = "" if asked == self.path else f"?to={quote(asked, safe='')}"
            raise falcon.HTTPSeeOther(f"{self.path}sign-in{to}")
        return principal

    def send(self, resp: falcon.asgi.Response, title: str, content: Markup) -> None:
        """A page of this door, for somebody who is signed in."""
        self.frame.send(resp, self._here, title, content, sign_out=self.sign_out_path)

    def send_form(self, resp: falcon.asgi.Response, to: str, problem: str = "") -> None:
        form = token_form(self.frame.infra, f"{self.path}sign-in", to, problem=problem)
        self.frame.send(resp, self._here, self._title, form)

    async def enter(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Takes the form: a session and the page that was asked for, or the form again with what is wrong."""
        form = await read_form(req)
        secret, to = form.get("token", "").strip(), local_target(form.get("to", ""), self.path)
        try:
            principal, problem = (await self._verify(secret) if secret else None), WRONG_TOKEN
            status = falcon.HTTP_403
        except KokirisError as error:
            principal, problem = None, f"{error.message}. {error.next_step}"
            status = falcon.HTTP_503
        if principal is None:
            resp.status = status
            self.send_form(resp, to, problem)
            return
        set_cookie(resp, self._cookie, self._sessions.open(principal))
        resp.status = falcon.HTTP_303
        resp.set_header("Location", to)

    def leave(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Ends the session."""
        self._sessions.close((req.cookies or {}).get(self._cookie, ""))
        resp.unset_cookie(self._cookie, path="/")
        resp.status = falcon.HTTP_303
        resp.set_header("Location", f"{self.path}sign-in")


class _Form:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        to = local_target(req.get_param("to", default="") or "", self._sign_in.path)
        self._sign_in.send_form(resp, to)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await self._sign_in.enter(req, resp)


class _SignOut:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sign_in.leave(req, resp)
