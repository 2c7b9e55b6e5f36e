"""What access stores, and under which keys (`/<client>/<infra>/access/…`)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from kokiris.kernel.keys import key, prefix


class TokenRecord(msgspec.Struct, kw_only=True):
    """A token at rest: its secret is only here as a hash."""

    AccessorID: str
    Name: str
    Type: str
    """management (the client's), operator (also sees namespace "platform"), or client."""
    SecretSHA256: str
    """Hex. Secrets are 128 random bits or more, so that one round of SHA-256 cannot be searched."""
    Policies: list[str] = msgspec.field(default_factory=list)
    CreateTime: int = 0
    """Unix ns."""
    ExpirationTime: int = 0
    """Unix ns; 0: never."""
    CreateIndex: int = 0
    ModifyIndex: int = 0


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of every stored object of access."""

    client: str
    infra: str

    @property
    def root(self) -> bytes:
        return prefix(self.client, self.infra, "access")

    def token(self, accessor_id: str) -> bytes:
        """`TokenRecord`."""
        return key(self.client, self.infra, "access", "token", accessor_id)
