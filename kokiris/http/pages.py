"""Plain signed-in pages for people: a sign-in form, sessions in memory, HTML that cannot be broken out of.

No script at all; the web console comes on top of the same APIs.
"""

from __future__ import annotations

import html
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import falcon
import falcon.asgi

from kokiris.http.app import read_body
from kokiris.http.tokens import Authenticator, Principal

SESSION_S = 12 * 3600.0
MAX_SESSIONS = 1000
FORM_LIMIT_BYTES = 4096

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1d2330 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem } th { font-weight: 600; color: #5b6472 }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #e3e6eb; vertical-align: top }
.passing, .running, .ready { color: #14713d } .warning, .pending { color: #8a6100 }
.critical, .failed, .down { color: #b3261e; font-weight: 600 }
header { display: flex; justify-content: space-between; align-items: baseline }
input, button { font: inherit; padding: .4rem .7rem } .none { color: #5b6472 }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


class Markup(str):
    """HTML that is meant as such; every other text is escaped."""

    __slots__ = ()


def escaped(value: object) -> str:
    """`value` as HTML text."""
    return value if isinstance(value, Markup) else html.escape(str(value))


def marked(word: str) -> Markup:
    """A state word in its colour."""
    return Markup(f'<span class="{html.escape(word)}">{html.escape(word)}</span>')


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; cells are escaped unless they are Markup. Without rows it says so."""
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return Markup('<p class="none">none</p>')
    titles = "".join(f"<th>{escaped(title)}</th>" for title in head)
    return Markup(f"<table><tr>{titles}</tr>{body}</table>")


def section(title: str, content: Markup) -> Markup:
    return Markup(f"<h2>{escaped(title)}</h2>{content}")


def send_page(resp: falcon.asgi.Response, title: str, content: Markup, *, sign_out: str = "") -> None:
    """Sends a whole page, uncached. `sign_out` is where its button posts to."""
    button = (
        f'<form method="post" action="{html.escape(sign_out)}"><button>Sign out</button></form>' if sign_out else ""
    )
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")
    resp.text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escaped(title)}</title><style>{_STYLE}</style>'
        '<meta name="viewport" content="width=device-width">'
        f"<header><h1>{escaped(title)}</h1>{button}</header>{content}"
    )


@dataclass(slots=True)
class _Session:
    principal: Principal
    ends_at_s: float


class SignIn:
    """Who is signed in to one door. Sessions are random ids in memory: a restart signs everybody out."""

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        title: str,
        path: str = "/ui/",
        cookie: str = "kokiris_session",
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticator = authenticator
        self._title = title
        self.path = path
        self.sign_out_path = f"{path}sign-out"
        self._cookie = cookie
        self._clock_s = clock_s
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def principal(self, req: falcon.asgi.Request) -> Principal | None:
        """Whoever is signed in with this request's cookie."""
        session_id = (req.cookies or {}).get(self._cookie, "")
        session = self._sessions.get(session_id)
        if session is None:
            return None
        if session.ends_at_s < self._clock_s():
            del self._sessions[session_id]
            return None
        return session.principal

    def add_routes(self, app: falcon.asgi.App[Any, Any]) -> None:
        """`<path>sign-in` (form and its target) and `<path>sign-out`."""
        app.add_route(f"{self.path}sign-in", _SignInPage(self))
        app.add_route(self.sign_out_path, _SignOut(self))

    def require(self, req: falcon.asgi.Request) -> Principal:
        """The signed-in principal. Raises a redirect to the form."""
        principal = self.principal(req)
        if principal is None:
            raise falcon.HTTPSeeOther(f"{self.path}sign-in")
        return principal

    def send_form(self, resp: falcon.asgi.Response, message: str = "") -> None:
        said = f'<p class="critical">{escaped(message)}</p>' if message else ""
        form = Markup(
            f'{said}<form method="post" action="{html.escape(self.path)}sign-in"><p><label>Token '
            '<input type="password" name="token" autocomplete="current-password" autofocus required size="40"></label> '
            "<button>Sign in</button></p></form><p>The token is in the file that <code>kokiris up</code> has named.</p>"
        )
        send_page(resp, self._title, form)

    def open_session(self, resp: falcon.asgi.Response, secret: str) -> bool:
        """Signs in, or not."""
        principal = self._authenticator.authenticate(secret) if secret else None
        if principal is None:
            return False
        session_id = secrets.token_urlsafe(32)
        self._sessions[session_id] = _Session(principal, self._clock_s() + SESSION_S)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        resp.set_cookie(
            self._cookie, session_id, max_age=int(SESSION_S), path="/", secure=True, http_only=True, same_site="Strict"
        )
        return True

    def close_session(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sessions.pop((req.cookies or {}).get(self._cookie, ""), None)
        resp.unset_cookie(self._cookie, path="/")


class _SignInPage:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sign_in.send_form(resp)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        body = await read_body(req, FORM_LIMIT_BYTES)
        secret = parse_qs(body.decode(errors="replace")).get("token", [""])[0].strip()
        if self._sign_in.open_session(resp, secret):
            resp.status = falcon.HTTP_303
            resp.set_header("Location", self._sign_in.path)
            return
        resp.status = falcon.HTTP_403
        self._sign_in.send_form(resp, "This token opens nothing here.")


class _SignOut:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sign_in.close_session(req, resp)
        resp.status = falcon.HTTP_303
        resp.set_header("Location", self._sign_in.path)
