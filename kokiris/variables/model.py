"""What a variable is: on the wire as Nomad's, at rest sealed; its path's rules, and who may read it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from kokiris.kernel.errors import BadInput, KokirisError, TooLarge
from kokiris.kernel.keys import key, parts, prefix
from kokiris.kernel.topics import Topics

LIMIT_BYTES = 64 * 1024
"""Of a variable's keys and values together, before encryption."""
PLATFORM = "kokiris"
"""The top-level folder that only the platform writes."""
DATABASES = f"{PLATFORM}/db"
"""`kokiris/db/<name>`: credentials of a database."""
DATABASE_META = "database"
"""The meta key of a job, group or task by which it names the databases (comma-separated) it gets credentials of."""

_PATH = re.compile(r"[a-zA-Z0-9-_~/]{1,128}")
_NOMAD_FOLDERS = ("nomad/jobs", "nomad/job-templates", "nomad/sentinel")


class VariableLock(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`TTL` and `LockDelay` are durations as Go writes them; `ID` is known to the holder only."""

    ID: str = ""
    TTL: str = ""
    LockDelay: str = ""


class VariableMetadata(msgspec.Struct, kw_only=True):
    """Everything but the items. Times are Unix ns. `Lock` UNSET: not locked."""

    Namespace: str
    Path: str
    CreateIndex: int = 0
    ModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0
    Lock: VariableLock | msgspec.UnsetType = msgspec.UNSET


class Variable(VariableMetadata, kw_only=True):
    """A variable in clear: never logged."""

    Items: dict[str, str]

    def __repr__(self) -> str:
        return f"Variable({self.Namespace}, {self.Path})"


class SealedVariable(msgspec.Struct, kw_only=True):
    """A variable at rest."""

    KeyID: str
    Sealed: bytes
    """Nonce and AES-256-GCM ciphertext of the items as msgpack; the store key is its associated data."""
    CreateTime: int
    ModifyTime: int
    LockIDSHA256: str = ""
    """Hex; "": not locked. The holder's id itself is not kept."""
    LockTTLNs: int = 0
    LockDelayNs: int = 0
    LockExpiresNs: int = 0
    """Unix ns; each renewal moves it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of every stored variable (`/<client>/<infra>/variables/<namespace>/<path>`)."""

    client: str
    infra: str

    @property
    def root(self) -> bytes:
        return prefix(self.client, self.infra, "variables")

    def variable(self, namespace: str, path: str) -> bytes:
        """`SealedVariable`."""
        return key(self.client, self.infra, "variables", namespace, path)

    def name(self, stored: bytes) -> tuple[str, str]:
        """(namespace, path) of a key below `root`."""
        namespace, path = parts(stored, self.root)
        return namespace, path


class VariableConflict(KokirisError):
    """A check-and-set failed, or the variable is locked; `conflict` is the variable as it stands (or an empty one)."""

    code = "variable_conflict"
    http_status = 409
    default_next_step = "Read the variable again and retry with its present ModifyIndex."

    def __init__(self, conflict: Variable) -> None:
        super().__init__(f'variable "{conflict.Path}" has changed meanwhile or is locked')
        self.conflict = conflict


class VariableReader(Protocol):
    """The read side (`table.VariableTable`)."""

    @property
    def topics(self) -> Topics:
        """("variables",): any; ("variable", namespace, path): one."""
        ...

    def get(self, namespace: str, path: str) -> Variable | None:
        """Decrypted. Raises Unavailable when this server does not hold the key it was sealed with."""
        ...

    def metadata(self, namespace: str, path_prefix: str) -> Sequence[VariableMetadata]:
        """By path, in order; namespace "*" means all."""
        ...


class Variables(VariableReader, Protocol):
    """Both sides (`writer.VariableWriter`). Changes return when they are durable and visible."""

    async def put(self, wanted: Variable, *, cas: int | None = None, lock_id: str = "") -> Variable: ...

    async def delete(self, namespace: str, path: str, *, cas: int | None = None, lock_id: str = "") -> int:
        """The index of the deletion; deleting what does not exist is no error."""
        ...

    async def acquire(self, wanted: Variable, *, cas: int | None = None) -> Variable:
        """With `Lock.ID` in the answer."""
        ...

    async def renew(self, namespace: str, path: str, lock_id: str) -> VariableMetadata: ...

    async def release(self, namespace: str, path: str, lock_id: str) -> Variable: ...


def check_path(path: str) -> str:
    """`path`, if a variable may have it. Raises BadInput with Nomad's texts."""
    if not path:
        raise BadInput("missing variable path", next_step="Name it: /v1/var/<path>.")
    if not _PATH.fullmatch(path):
        shown = "".join(char if char.isprintable() else "?" for char in path[:140])
        raise BadInput(
            f'invalid path "{shown}"', next_step="Use up to 128 letters, digits, and any of - _ ~ / in the path."
        )
    top = path.split("/", maxsplit=1)[0]
    if top == "nomad" and not any(path == one or path.startswith(f"{one}/") for one in _NOMAD_FOLDERS):
        raise BadInput(
            'only paths at "nomad/jobs" or "nomad/job-templates" and below are valid paths under the top-level "nomad" '
            "directory",
            next_step='Use "nomad/jobs/<job>" or a folder of your own.',
        )
    return path


def check_not_reserved(path: str) -> None:
    """Raises BadInput for a path that only the platform writes."""
    if path.split("/", maxsplit=1)[0] == PLATFORM:
        raise BadInput(
            f'path "{path}" is written by the platform only',
            next_step="Use another folder; `kokiris db rotate` changes a database's password.",
        )


def check_items(items: Mapping[str, str] | None) -> dict[str, str]:
    """The items. Raises BadInput when there are none, TooLarge over 64 KiB."""
    if not items:
        raise BadInput("variable missing required Items object", next_step='Send {"Items": {"name": "text"}}.')
    size_bytes = sum(len(name.encode()) + len(text.encode()) for name, text in items.items())
    if size_bytes > LIMIT_BYTES:
        raise TooLarge(f"variables are limited to 64KiB in total size; this one has {size_bytes} bytes")
    return dict(items)


def database_path(database: str) -> str:
    """Where a database's credentials are."""
    return f"{DATABASES}/{database}"


def readable_paths(job: str, group: str, task: str, metas: Iterable[Mapping[str, str] | None]) -> list[str]:
    """All paths, in the allocation's own namespace, that a task may read: its own four, and the databases it names.

    `metas` are the meta blocks of job, group and task, each of which may name databases.
    """
    own = ["nomad/jobs"]
    for name in (job, group, task):
        own.append(f"{own[-1]}/{name}")
    return own + sorted(database_path(one) for one in named_databases(metas))


def named_databases(metas: Iterable[Mapping[str, str] | None]) -> set[str]:
    """The databases that meta blocks name."""
    named = (one.strip() for meta in metas for one in (meta or {}).get(DATABASE_META, "").split(","))
    return {one for one in named if one}
