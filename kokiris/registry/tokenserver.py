"""The token endpoint: who asks, what for, and the answer. Decisions here; HTTP in `api/token.py`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kokiris.http.tokens import Authenticator
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.errors import KokirisError
from kokiris.kernel.ids import new_id
from kokiris.kernel.units import SECOND_NS
from kokiris.registry.accounts import Accounts, AccountWrites
from kokiris.registry.claims import (
    LIMITED_LIFE_S,
    LIMITED_RENEW_S,
    NODE_TOKEN_LIFE_S,
    TOKEN_LIFE_S,
    TokenAnswer,
    claims_for,
    issued_at,
)
from kokiris.registry.model import NODE_USER, TOKEN_USER, Grant
from kokiris.registry.scopes import Rights, Scope, format_scope, granted, without_action
from kokiris.registry.signing import SigningKeys

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Room:
    """Whether there is a quota, and why nothing may be pushed now, as a sentence; "" when something may."""

    limited: bool = False
    refusal: str = ""


QuotaState = Callable[[], Awaitable[Room]]


class LoginRefused(KokirisError):
    """Wrong name or secret; which of both is not said."""

    code = "unauthorized"
    http_status = 401
    default_next_step = "Log in with `docker login`; `kokiris registry user list` shows the users."


class PushRefused(KokirisError):
    """The account may push, but there is no room."""

    code = "denied"
    http_status = 403
    default_next_step = "Delete tags, then run `kokiris registry gc`; or have it raised: `kokiris registry quota set`."


@dataclass(frozen=True, slots=True)
class Identity:
    """Who was let in. `proof_sha256` is the hash of the secret that proved it; "" for anonymous."""

    subject: str
    rights: Rights
    proof_sha256: str = ""
    pull_life_s: int = TOKEN_LIFE_S


@dataclass(frozen=True, slots=True)
class Issuing:
    """Names that the registry and its tokens agree on."""

    service: str
    """The registry's host name (with its port when that is not the usual one)."""
    issuer: str


async def no_quota() -> Room:
    """There is always room."""
    return Room()


class TokenServer:
    """Issues access tokens. The infra's management token, as password of user "token", may do everything.

    `token_lives` tells by its accessor id whether a management token still opens doors: logins end with it.
    """

    def __init__(
        self,
        issuing: Issuing,
        keys: SigningKeys,
        *,
        accounts: Accounts,
        writes: AccountWrites,
        infra_tokens: Authenticator,
        token_lives: Callable[[str], bool],
        quota: QuotaState = no_quota,
        now_ns: NowNs = wall_ns,
    ) -> None:
        self._issuing, self._keys = issuing, keys
        self._accounts, self._writes = accounts, writes
        self._infra_tokens, self._token_lives = infra_tokens, token_lives
        self._quota, self._now_ns = quota, now_ns

    @property
    def service(self) -> str:
        return self._issuing.service

    @property
    def enabled(self) -> bool:
        """Whether there is a registry to issue tokens for."""
        return self.enabled_at_ns > 0

    @property
    def enabled_at_ns(self) -> int:
        """Since when this node has signed for a registry (Unix ns): the age of its present key; 0: it does not."""
        try:
            return (self._keys.folder / "current").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def anonymous(self) -> Identity:
        """Whoever gives no credentials: pulls where it is configured, nothing else."""
        patterns = self._accounts.settings.AnonymousPull
        return Identity("", Rights(tuple(Grant(Repository=one, Actions=["pull"]) for one in patterns)))

    def by_password(self, name: str, secret: str) -> Identity:
        """Raises LoginRefused."""
        if name == TOKEN_USER:
            principal = self._infra_tokens.authenticate(secret)
            if principal is None or not principal.is_management:
                raise LoginRefused("unauthorized: incorrect username or password")
            return Identity(TOKEN_USER, Rights(everything=True), principal.accessor_id)
        account = self._accounts.authenticate(name, secret)
        if account is None:
            raise LoginRefused("unauthorized: incorrect username or password")
        life_s = NODE_TOKEN_LIFE_S if account.Kind == "infra" else TOKEN_LIFE_S  # handed on to a node of it
        return Identity(account.Name, Rights(tuple(account.Grants)), account.SecretSHA256, life_s)

    def may_pull(self, name: str, secret: str, repository: str) -> bool:
        """Whether somebody who logs in so may pull from a repository."""
        try:
            return "pull" in self.by_password(name, secret).rights.on(repository)
        except LoginRefused:
            return False

    def by_refresh_token(self, secret: str) -> Identity:
        """Raises LoginRefused."""
        token = self._accounts.refresh_token(secret)
        if token is None:
            raise LoginRefused("unauthorized: the login has expired or was withdrawn")
        if token.Account == TOKEN_USER:
            if not self._token_lives(token.ProofSHA256):
                raise LoginRefused("unauthorized: the token of this login was withdrawn")
            return Identity(TOKEN_USER, Rights(everything=True), token.ProofSHA256)
        account = self._accounts.get(token.Account)
        if account is None or account.SecretSHA256 != token.ProofSHA256 or not self._accounts.is_valid(account):
            raise LoginRefused("unauthorized: the login has expired or was withdrawn")
        return Identity(account.Name, Rights(tuple(account.Grants)), account.SecretSHA256)

    async def answer(
        self, identity: Identity, scopes: Sequence[Scope], *, offline: bool, client_id: str = ""
    ) -> TokenAnswer:
        """The token. With `offline`, a refresh token as well (not for anonymous).

        Raises PushRefused when a granted right to push meets a full registry: this is the only place where the
        pusher can be told why in words. Who asks for "*", as for deleting, gets the rest. While there is a quota,
        clients are made to come back every few seconds.
        """
        access = granted(identity.rights, scopes)
        pushes = any("push" in scope.actions for scope in access)
        room = await self._quota() if pushes else Room()
        if room.refusal:
            if any("push" in scope.actions for scope in granted(identity.rights, without_action(scopes, "*"))):
                raise PushRefused(room.refusal)
            access = without_action(access, "push")
        life_s = LIMITED_LIFE_S if room.limited else TOKEN_LIFE_S if pushes else identity.pull_life_s
        renew_s = LIMITED_RENEW_S if room.limited else life_s
        token, now_ns = self._signed(identity.subject, access, life_s)
        refresh = ""
        if offline and identity.subject:
            refresh = await self._writes.add_refresh(identity.subject, identity.proof_sha256, client_id)
        return TokenAnswer(
            token=token,
            access_token=token,
            expires_in=life_s,
            issued_at=issued_at(now_ns - (life_s - renew_s) * SECOND_NS),
            refresh_token=refresh,
            scope=" ".join(format_scope(one) for one in access),
        )

    def node_token(self, repository: str) -> str:
        """For a node to pull one repository; it is given to the Docker Engine with the pull and never stored."""
        access = granted(Rights(everything=True), [Scope("repository", repository, ("pull",))])
        return self._signed(NODE_USER, access, NODE_TOKEN_LIFE_S)[0]

    def _signed(self, subject: str, access: Sequence[Scope], life_s: int) -> tuple[str, int]:
        now_ns = self._now_ns()
        claims = claims_for(
            issuer=self._issuing.issuer,
            service=self._issuing.service,
            subject=subject,
            access=access,
            token_id=new_id(),
            now_ns=now_ns,
            life_s=life_s,
        )
        return self._keys.signer().sign(claims), now_ns
