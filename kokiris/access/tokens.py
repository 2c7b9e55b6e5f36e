"""Tokens: made once, shown once, known afterwards by their hash only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from kokiris.access.model import TokenRecord
from kokiris.http.tokens import Principal
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.ids import new_id
from kokiris.store.contract import Event, Range


@dataclass(frozen=True, slots=True)
class NewToken:
    """`secret` is shown to its owner now and never again."""

    secret: str
    record: TokenRecord


def new_token(name: str, kind: str, now_ns: int) -> NewToken:
    """A token whose secret is a random UUID, the form every Nomad and Consul client accepts."""
    secret = new_id()
    record = TokenRecord(AccessorID=new_id(), Name=name, Type=kind, SecretSHA256=hash_secret(secret), CreateTime=now_ns)
    return NewToken(secret, record)


def hash_secret(secret: str) -> str:
    """The hex SHA-256 of a secret, as stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenTable:
    """All tokens of the infra in memory, fed by the store's watch. The `Authenticator` of every API."""

    def __init__(self, root: bytes, now_ns: NowNs = wall_ns) -> None:
        self.root = root
        self._now_ns = now_ns
        self._by_accessor: dict[str, TokenRecord] = {}
        self._by_hash: dict[str, TokenRecord] = {}

    def authenticate(self, secret: str) -> Principal | None:
        """Whose secret this is; None when unknown or expired.

        The look-up is by hash, so its timing says nothing about the secret; the last comparison is constant-time.
        """
        digest = hash_secret(secret)
        record = self._by_hash.get(digest)
        if record is None or not hmac.compare_digest(record.SecretSHA256, digest):
            return None
        if record.ExpirationTime and record.ExpirationTime <= self._now_ns():
            return None
        return Principal(record.AccessorID, record.Name, record.Type, tuple(record.Policies))

    def tokens(self) -> Sequence[TokenRecord]:
        """All of them, oldest first."""
        return sorted(self._by_accessor.values(), key=lambda record: record.CreateIndex)

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot`."""
        self._by_accessor.clear()
        self._by_hash.clear()
        self.apply(
            snapshot.revision,
            [Event(item.key, item.value, item.create_revision, item.mod_revision) for item in snapshot.items],
        )

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        del revision  # a token is found whatever the revision
        for event in events:
            accessor_id = event.key.rsplit(b"/", 1)[1].decode()
            before = self._by_accessor.pop(accessor_id, None)
            if before is not None:
                self._by_hash.pop(before.SecretSHA256, None)
            if event.value is not None:
                record = msgspec.msgpack.decode(event.value, type=TokenRecord)
                record.CreateIndex, record.ModifyIndex = event.create_revision, event.mod_revision
                self._by_accessor[accessor_id] = record
                self._by_hash[record.SecretSHA256] = record
