"""Who may use the panel: a token in a header, or a session opened with one by its form."""

from __future__ import annotations

import time
from collections.abc import Callable

import falcon.asgi

from kokiris.http.signin import SignIn, Verify, hashed
from kokiris.http.tokens import secret_of
from kokiris.kernel.errors import Unauthenticated

TOKEN_REMEMBERED_S = 30.0
"""A token is asked about again after this: a revoked one closes within it."""
MAX_TOKENS = 1000


class PanelAccess:
    """Programs come with a token, people with the session of `sign_in`."""

    def __init__(self, sign_in: SignIn, verify: Verify, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.sign_in = sign_in
        self._verify = verify
        self._clock_s = clock_s
        self._tokens: dict[str, float] = {}

    async def require(self, req: falcon.asgi.Request) -> None:
        """Raises Unauthenticated unless the request carries a session or a valid token."""
        if self.sign_in.principal(req) is not None:
            return
        secret = secret_of(req)
        if not secret:
            raise Unauthenticated("Permission denied", next_step="Send X-Nomad-Token, or sign in at /dashboard/.")
        if not await self._opens(secret):
            raise Unauthenticated("ACL token not found")

    async def _opens(self, secret: str) -> bool:
        digest = hashed(secret)
        if self._tokens.get(digest, 0.0) > self._clock_s():
            return True
        if await self._verify(secret) is None:
            self._tokens.pop(digest, None)
            return False
        self._prune()
        self._tokens[digest] = self._clock_s() + TOKEN_REMEMBERED_S
        return True

    def _prune(self) -> None:
        now = self._clock_s()
        for key in [key for key, until in self._tokens.items() if until <= now]:
            del self._tokens[key]
        while len(self._tokens) >= MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
