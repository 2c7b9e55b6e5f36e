"""What the registry stores, and under which keys (`/<client>/registry/…`: one registry per client, not per infra)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from kokiris.kernel.keys import key, prefix

TOKEN_USER = "token"  # noqa: S105 - the name of an account, not a secret
"""The user name under which a management token of the infra is a password."""

NODE_USER = "node"
"""The subject of what nodes pull with; nobody may be called so."""

RESERVED_NAMES = frozenset({TOKEN_USER, NODE_USER, "anonymous"})

ACTIONS = ("pull", "push", "delete")

DEFAULT_SCHEDULE = "@daily"


class Grant(msgspec.Struct, kw_only=True, frozen=True):
    """Rights on the repositories that `Repository` matches: "*" is any text without "/", "**" any text."""

    Repository: str
    Actions: list[str]
    """Of pull, push, delete."""


class Account(msgspec.Struct, kw_only=True):
    """A user (a person) or robot (a pipeline) at rest: its secret is only here as a hash."""

    Name: str
    Kind: str
    """user, robot, or infra: another infra of the client that uses this registry."""
    SecretSHA256: str
    """Hex. Secrets are 256 random bits, so that one round of SHA-256 cannot be searched."""
    Grants: list[Grant] = msgspec.field(default_factory=list)
    CreateTime: int = 0
    """Unix ns."""
    ExpirationTime: int = 0
    """Unix ns; 0: never."""
    CreateIndex: int = 0
    ModifyIndex: int = 0


class RefreshToken(msgspec.Struct, kw_only=True):
    """What `docker login` keeps instead of the password. It ends with its account's secret."""

    ID: str
    Account: str
    """An account's name, or `TOKEN_USER`."""
    ProofSHA256: str
    """The hash of the secret it was given for: once that is rotated, this token opens nothing."""
    SecretSHA256: str
    ClientID: str = ""
    CreateTime: int = 0
    ExpirationTime: int = 0


class RetentionRule(msgspec.Struct, kw_only=True, frozen=True):
    """In each repository that matches, the newest `KeepLast` tags stay, and whatever a job uses."""

    Repository: str
    KeepLast: int


class Settings(msgspec.Struct, kw_only=True):
    """Of the whole registry. The first retention rule that matches a repository counts."""

    QuotaBytes: int = 0
    """0: none."""
    Retention: list[RetentionRule] = msgspec.field(default_factory=list)
    AnonymousPull: list[str] = msgspec.field(default_factory=list)
    """Patterns of repositories that anybody may pull from."""
    Schedule: str = DEFAULT_SCHEDULE
    """Cron, UTC, of the clean-up; "": it does not run by itself."""
    ScheduledFrom: int = 0
    """Unix ns; when the schedule was set; 0: never changed."""


class CleanUp(msgspec.Struct, kw_only=True):
    """A scheduled run of retention and garbage collection, and what came of it."""

    At: int = 0
    """Unix ns; when it began; 0: there was none yet."""
    EndedAt: int = 0
    """Unix ns; 0 while it runs, and for ever if the server ended under way."""
    TagsDeleted: int = 0
    BlobsFreed: int = 0
    BytesFreed: int = 0
    Error: str = ""
    """Why it did not finish."""


class UsedImage(msgspec.Struct, kw_only=True, frozen=True):
    """An image of the registry that jobs of another infra name."""

    Repository: str
    Tag: str = ""
    Digest: str = ""
    Jobs: list[str] = msgspec.field(default_factory=list)
    """namespace/job."""


class Use(msgspec.Struct, kw_only=True):
    """What another infra last said it uses. It holds for as long as its account exists: an infra that is silent may
    still run all that."""

    At: int = 0
    """Unix ns."""
    Images: list[UsedImage] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of every stored object of the registry."""

    client: str

    @property
    def root(self) -> bytes:
        return prefix(self.client, "registry")

    def account(self, name: str) -> bytes:
        """`Account`."""
        return key(self.client, "registry", "account", name)

    def refresh(self, token_id: str) -> bytes:
        """`RefreshToken`."""
        return key(self.client, "registry", "refresh", token_id)

    def use(self, account: str) -> bytes:
        """`Use`, by the infra's account."""
        return key(self.client, "registry", "use", account)

    @property
    def settings(self) -> bytes:
        """`Settings`."""
        return key(self.client, "registry", "settings", "all")

    @property
    def cleanup(self) -> bytes:
        """`CleanUp`: the last one."""
        return key(self.client, "registry", "cleanup", "last")
