"""Who may see the panel: a token in a header, or a session opened with one by a form."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable

import falcon.asgi

from kokiris.http.tokens import secret_of
from kokiris.kernel.errors import Unauthenticated

SESSION_S = 8 * 3600.0
TOKEN_REMEMBERED_S = 30.0
"""A token is asked about again after this: a revoked one closes within it."""
MAX_SESSIONS = 1000
COOKIE = "kokiris_panel"

Verify = Callable[[str], Awaitable[bool]]
"""Whether a token opens the panel. Raises Unavailable when nobody can tell."""


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class SignIn:
    """Sessions live in memory: after a restart of the edge one signs in again. Neither tokens nor session ids are kept
    in clear."""

    def __init__(self, verify: Verify, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._verify = verify
        self._clock_s = clock_s
        self._sessions: dict[str, float] = {}
        self._tokens: dict[str, float] = {}

    async def open(self, secret: str) -> str | None:
        """A new session for a valid token, else None."""
        if not secret or not await self._valid(secret):
            return None
        self._prune()
        session = secrets.token_urlsafe(32)
        self._sessions[_hashed(session)] = self._clock_s() + SESSION_S
        return session

    def close(self, session: str) -> None:
        """Ends a session; unknown ones are none."""
        self._sessions.pop(_hashed(session), None)

    async def require(self, req: falcon.asgi.Request) -> None:
        """Raises Unauthenticated unless the request carries a session or a valid token."""
        session = req.cookies.get(COOKIE, "")
        if session and self._sessions.get(_hashed(session), 0.0) > self._clock_s():
            return
        secret = secret_of(req)
        if not secret:
            raise Unauthenticated("Permission denied", next_step="Send X-Nomad-Token, or sign in at /dashboard/.")
        if not await self._valid(secret):
            raise Unauthenticated("ACL token not found")

    async def _valid(self, secret: str) -> bool:
        hashed = _hashed(secret)
        if self._tokens.get(hashed, 0.0) > self._clock_s():
            return True
        if not await self._verify(secret):
            self._tokens.pop(hashed, None)
            return False
        self._prune()
        self._tokens[hashed] = self._clock_s() + TOKEN_REMEMBERED_S
        return True

    def _prune(self) -> None:
        now = self._clock_s()
        for kept in (self._sessions, self._tokens):
            for key in [key for key, until in kept.items() if until <= now]:
                del kept[key]
            while len(kept) >= MAX_SESSIONS:
                del kept[next(iter(kept))]
