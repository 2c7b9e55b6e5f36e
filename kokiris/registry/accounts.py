"""Accounts, logins, settings, last clean-up in memory, fed by the store's watch; and the writes that change them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.errors import BadInput, Busy, Conflict, NotFound
from kokiris.kernel.ids import new_id
from kokiris.kernel.keys import parts
from kokiris.kernel.units import HOUR_NS
from kokiris.registry.model import RESERVED_NAMES, Account, CleanUp, Grant, Keys, RefreshToken, Settings, Use
from kokiris.store.contract import Condition, Event, Range, Store

REFRESH_LIFE_NS = 90 * 24 * HOUR_NS
REFRESH_PER_ACCOUNT = 50
"""Logins kept per account; the oldest gives way."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_NEVER = "0" * 64
"""Compared with when nobody has the name, so that timing tells nothing."""


def hash_secret(secret: str) -> str:
    """Hex SHA-256, as stored: our secrets are random, not chosen."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Accounts:
    """A view for a `store.follow.Follower`: give it `root`, `load`, `apply`."""

    def __init__(self, keys: Keys, now_ns: NowNs = wall_ns) -> None:
        self.keys = keys
        self.root = keys.root
        self.settings = Settings()
        self.settings_revision = 0
        self.last_cleanup = CleanUp()
        self.uses: dict[str, Use] = {}
        self._now_ns = now_ns
        self._accounts: dict[str, Account] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._by_hash: dict[str, RefreshToken] = {}

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot`."""
        self._accounts.clear()
        self._refresh.clear()
        self._by_hash.clear()
        self.settings, self.settings_revision = Settings(), 0
        self.last_cleanup = CleanUp()
        self.uses.clear()
        self.apply(
            snapshot.revision,
            [Event(item.key, item.value, item.create_revision, item.mod_revision) for item in snapshot.items],
        )

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        del revision
        for event in events:
            kind, name = parts(event.key, self.root)
            if kind == "account":
                self._apply_account(name, event)
            elif kind == "refresh":
                self._apply_refresh(name, event)
            elif kind == "settings":
                self.settings = msgspec.msgpack.decode(event.value, type=Settings) if event.value else Settings()
                self.settings_revision = event.mod_revision if event.value else 0
            elif kind == "use":
                self._apply_use(name, event)
            elif kind == "cleanup":
                self.last_cleanup = msgspec.msgpack.decode(event.value, type=CleanUp) if event.value else CleanUp()

    def _apply_account(self, name: str, event: Event) -> None:
        if event.value is None:
            self._accounts.pop(name, None)
            return
        account = msgspec.msgpack.decode(event.value, type=Account)
        account.CreateIndex, account.ModifyIndex = event.create_revision, event.mod_revision
        self._accounts[name] = account

    def _apply_refresh(self, token_id: str, event: Event) -> None:
        before = self._refresh.pop(token_id, None)
        if before is not None:
            self._by_hash.pop(before.SecretSHA256, None)
        if event.value is not None:
            token = msgspec.msgpack.decode(event.value, type=RefreshToken)
            self._refresh[token_id] = token
            self._by_hash[token.SecretSHA256] = token

    def _apply_use(self, name: str, event: Event) -> None:
        self.uses.pop(name, None)
        if event.value is not None:
            self.uses[name] = msgspec.msgpack.decode(event.value, type=Use)

    def all(self) -> list[Account]:
        """By name."""
        return [self._accounts[name] for name in sorted(self._accounts)]

    def get(self, name: str) -> Account | None:
        """By name."""
        return self._accounts.get(name)

    def authenticate(self, name: str, secret: str) -> Account | None:
        """The account of this name and secret; None when there is none, or it has expired. Constant-time."""
        account = self._accounts.get(name)
        expected = account.SecretSHA256 if account is not None else _NEVER
        same = hmac.compare_digest(expected, hash_secret(secret))
        return account if account is not None and same and self.is_valid(account) else None

    def is_valid(self, account: Account) -> bool:
        """Whether it has not expired."""
        return not account.ExpirationTime or account.ExpirationTime > self._now_ns()

    def refresh_token(self, secret: str) -> RefreshToken | None:
        """The stored token of this secret; None when unknown or expired. Whether its account still is, look there."""
        digest = hash_secret(secret)
        token = self._by_hash.get(digest)
        if token is None or not hmac.compare_digest(token.SecretSHA256, digest):
            return None
        return token if token.ExpirationTime > self._now_ns() else None

    def refresh_tokens_of(self, name: str) -> list[RefreshToken]:
        """Oldest first."""
        return sorted((one for one in self._refresh.values() if one.Account == name), key=lambda one: one.CreateTime)


class AccountWrites:
    """Changes of what `Accounts` shows; each returns once the view has it. Raises StoreError."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        wait_for: Callable[[int], Awaitable[None]],
        now_ns: NowNs = wall_ns,
    ) -> None:
        self._store, self._accounts, self._wait_for, self._now_ns = store, accounts, wait_for, now_ns
        self._keys = accounts.keys

    async def add(self, name: str, kind: str, grants: Sequence[Grant], expires_ns: int = 0) -> str:
        """A new account's secret, shown now and never again. Raises BadInput, Conflict when the name is taken."""
        if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
            reason = "is reserved" if name in RESERVED_NAMES else "is not a name"
            raise BadInput(
                f'account "{name[:100]}" {reason}',
                next_step="Use 1 to 64 lower-case letters, digits, dots, hyphens and underscores.",
            )
        if kind not in {"user", "robot", "infra"}:
            raise BadInput(f'kind "{kind[:100]}" of account "{name}" is unknown', next_step="Use user or robot.")
        secret = new_secret()
        account = Account(
            Name=name,
            Kind=kind,
            SecretSHA256=hash_secret(secret),
            Grants=list(grants),
            CreateTime=self._now_ns(),
            ExpirationTime=expires_ns,
        )
        key = self._keys.account(name)
        if not await self._commit([Condition(key, 0)], {key: account}):
            raise Conflict(
                f'account "{name}" exists already', next_step="Choose another name, or remove that account first."
            )
        return secret

    async def rotate(self, name: str) -> str:
        """A new secret for an account; the old one and the logins made with it open nothing any more."""
        account = self._existing(name)
        secret = new_secret()
        changed = msgspec.structs.replace(account, SecretSHA256=hash_secret(secret))
        await self._change(account, changed)
        return secret

    async def remove(self, name: str) -> None:
        """Removes an account with its logins, and what it said it uses. Raises NotFound."""
        account = self._existing(name)
        key = self._keys.account(account.Name)
        logins = [self._keys.refresh(token.ID) for token in self._accounts.refresh_tokens_of(name)]
        await self._commit([], {}, [key, self._keys.use(account.Name), *logins])

    async def add_refresh(self, account: str, proof_sha256: str, client_id: str) -> str:
        """A new refresh token's secret. Expired ones and those over the limit go at the same time."""
        now_ns = self._now_ns()
        secret = new_secret()
        token = RefreshToken(
            ID=new_id(),
            Account=account,
            ProofSHA256=proof_sha256,
            SecretSHA256=hash_secret(secret),
            ClientID=client_id[:100],
            CreateTime=now_ns,
            ExpirationTime=now_ns + REFRESH_LIFE_NS,
        )
        present = self._accounts.refresh_tokens_of(account)
        over = present[: max(0, len(present) + 1 - REFRESH_PER_ACCOUNT)]
        gone = {one.ID for one in over} | {one.ID for one in present if one.ExpirationTime <= now_ns}
        await self._commit([], {self._keys.refresh(token.ID): token}, [self._keys.refresh(one) for one in gone])
        return secret

    async def set_settings(self, settings: Settings) -> None:
        """Replaces the settings as they are in the view. Raises Busy when somebody else changed them meanwhile."""
        key = self._keys.settings
        if not await self._commit([Condition(key, self._accounts.settings_revision)], {key: settings}):
            raise Busy("the registry's settings have just been changed by somebody else")

    async def note_use(self, account: Account, use: Use) -> None:
        """What an infra uses. Raises Busy when its account has just been changed or removed."""
        condition = Condition(self._keys.account(account.Name), account.ModifyIndex)
        if not await self._commit([condition], {self._keys.use(account.Name): use}):
            raise Busy(f'account "{account.Name}" has just been changed by somebody else')

    async def note_cleanup(self, cleanup: CleanUp) -> None:
        """Takes the place of the one before."""
        await self._commit([], {self._keys.cleanup: cleanup})

    def _existing(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            raise NotFound(
                f'account "{name[:100]}" does not exist', next_step="`kokiris registry user list` shows all accounts."
            )
        return account

    async def _change(self, before: Account, after: Account) -> None:
        key = self._keys.account(before.Name)
        if not await self._commit([Condition(key, before.ModifyIndex)], {key: after}):
            raise Busy(f'account "{before.Name}" has just been changed by somebody else')

    async def _commit(
        self, conditions: Sequence[Condition], puts: dict[bytes, Any], deletes: Sequence[bytes] = ()
    ) -> bool:
        encoded = {key: msgspec.msgpack.encode(value) for key, value in puts.items()}
        result = await self._store.commit(conditions, encoded, list(deletes))
        if result.succeeded:
            await self._wait_for(result.revision)
        return result.succeeded


def new_secret() -> str:
    """256 random bits, safe in a shell and in a URL."""
    return secrets.token_urlsafe(32)
