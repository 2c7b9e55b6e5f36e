"""`/ui/`: a plain signed-in page of jobs and allocations. The console of a later part replaces it.

Signing in exchanges the token for a random session id, kept in memory with an end; the cookie never holds the token,
and no page ever shows it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, quote

import falcon.asgi

from kokiris.http.app import read_body
from kokiris.orchestrator.api.context import ApiContext
from kokiris.orchestrator.api.derived import job_now
from kokiris.orchestrator.api.tenancy import TenantView
from kokiris.orchestrator.model.alloc import Alloc

COOKIE = "kokiris_session"
SESSION_S = 8 * 3600.0
MAX_SESSIONS = 1000
MAX_ALLOCATIONS = 500
FORM_LIMIT_BYTES = 8 * 1024

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1d2733}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #dde3ea}"
    "code{font-size:.9em}.bad{color:#b3261e}header{display:flex;justify-content:space-between;align-items:baseline}"
)
_POLICY = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-{digest}'"


class Sessions:
    """Who is signed in. Ids are random; only their hash is kept. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[bytes, float] = {}

    def open(self) -> str:
        """A new session's id."""
        now = self._clock()
        self._ends = {key: end for key, end in self._ends.items() if end > now}
        while len(self._ends) >= MAX_SESSIONS:
            del self._ends[next(iter(self._ends))]
        session_id = secrets.token_urlsafe(32)
        self._ends[_digest(session_id)] = now + SESSION_S
        return session_id

    def is_open(self, session_id: str) -> bool:
        """Whether it was opened and has not ended."""
        return self._ends.get(_digest(session_id), 0.0) > self._clock()

    def close(self, session_id: str) -> None:
        """Idempotent."""
        self._ends.pop(_digest(session_id), None)


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()


class Home:
    """`/` leads to `/ui/`."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.status = 307
        resp.set_header("Location", "/ui/")


class Page:
    """`/ui/` and everything below it. The token is checked again at each sign-in, never kept."""

    def __init__(self, context: ApiContext, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, **_: str) -> None:
        if self._signed_in(req):
            _send(resp, "Jobs", _overview(self._context), signed_in=True)
        else:
            _send(resp, "Sign in", _sign_in(""))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, **_: str) -> None:
        form = parse_qs((await read_body(req, FORM_LIMIT_BYTES)).decode(errors="replace"))
        if form.get("action") == ["sign-out"]:
            self._sessions.close(_session_id(req))
            _cookie(resp, "", max_age=0)
            _see_other(resp)
            return
        secret = (form.get("token") or [""])[0].strip()
        principal = self._context.authenticator.authenticate(secret) if secret else None
        if principal is None or not principal.is_management:
            resp.status = 403
            _send(resp, "Sign in", _sign_in("This token opens nothing here."))
            return
        _cookie(resp, self._sessions.open(), max_age=int(SESSION_S))
        _see_other(resp)

    def _signed_in(self, req: falcon.asgi.Request) -> bool:
        session_id = _session_id(req)
        return bool(session_id) and self._sessions.is_open(session_id)


def _session_id(req: falcon.asgi.Request) -> str:
    return req.cookies.get(COOKIE, "")


def _cookie(resp: falcon.asgi.Response, value: str, max_age: int) -> None:
    resp.set_cookie(COOKIE, value, max_age=max_age, path="/ui", secure=True, http_only=True, same_site="Strict")


def _see_other(resp: falcon.asgi.Response) -> None:
    resp.status = 303
    resp.set_header("Location", "/ui/")


def _send(resp: falcon.asgi.Response, title: str, body: str, *, signed_in: bool = False) -> None:

    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    sign_out = (
        '<form method="post" action="/ui/"><button name="action" value="sign-out">Sign out</button></form>'
        if signed_in
        else ""
    )
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", _POLICY.format(digest=digest))
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")
    resp.text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · kokiris</title>'
        f"<style>{_STYLE}</style></head><body><header><h1>{escape(title)}</h1>{sign_out}</header>{body}</body></html>"
    )


def _sign_in(problem: str) -> str:
    note = f'<p class="bad">{escape(problem)}</p>' if problem else ""
    return (
        f'{note}<form method="post" action="/ui/"><label>Token of this infra<br>'
        '<input type="password" name="token" autocomplete="current-password" required autofocus size="42"></label> '
        "<button>Sign in</button></form><p>The token is in the file that <code>kokiris status</code> names.</p>"
    )


def _overview(context: ApiContext) -> str:
    state = TenantView(context.state)
    jobs = [job_now(state, context.encodings, job) for _, job in sorted(state.jobs.items())]
    rows = [
        f"<tr><td>{escape(now.job.Namespace)}</td><td>{_api('job', now.job.ID, now.job.Namespace)}</td>"
        f"<td>{escape(now.job.Type)}</td><td>{now.job.Version}</td>{_state(now.job.Status)}"
        f"<td>{sum(group.Running for group in (now.summary.Summary or {}).values())}</td></tr>"
        for now in jobs
    ]
    allocs = sorted(state.allocs.values(), key=_newest_first)[:MAX_ALLOCATIONS]
    lines = [_alloc_row(context, alloc) for alloc in allocs]
    return (
        "<h2>Jobs</h2>"
        + _table(("Namespace", "Job", "Type", "Version", "Status", "Running"), rows, "No job is registered.")
        + "<h2>Allocations</h2>"
        + _table(("Allocation", "Name", "Node", "Wanted", "Status", "Says"), lines, "Nothing has been placed.")
    )


def _newest_first(alloc: Alloc) -> tuple[int, str]:
    return (-alloc.CreateIndex, alloc.Name)


def _alloc_row(context: ApiContext, alloc: Alloc) -> str:
    node = context.state.nodes.get(alloc.NodeID)
    says = alloc.Client.ClientDescription if alloc.Client else ""
    return (
        f"<tr><td>{_api('allocation', alloc.ID)}</td><td>{escape(alloc.Name)}</td>"
        f"<td>{escape(node.Name if node else alloc.NodeID)}</td><td>{escape(alloc.DesiredStatus)}</td>"
        f"{_state(alloc.ClientStatus)}<td>{escape(says)}</td></tr>"
    )


def _state(status: str) -> str:
    bad = ' class="bad"' if status in {"failed", "lost", "dead", "unknown"} else ""
    return f"<td{bad}>{escape(status)}</td>"


def _api(kind: str, name: str, namespace: str = "") -> str:
    """The object's address on the API, which answers to whoever sends the token."""
    query = f"?namespace={quote(namespace, safe='')}" if namespace not in {"", "default"} else ""
    return f'<a href="/v1/{kind}/{escape(quote(name, safe=""))}{escape(query)}"><code>{escape(name)}</code></a>'


def _table(heads: tuple[str, ...], rows: list[str], empty: str) -> str:
    if not rows:
        return f"<p>{escape(empty)}</p>"
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
