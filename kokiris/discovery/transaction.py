"""/v1/txn: operations that take place all or not at all. Pure but for what it is told of the catalog."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kokiris.discovery import catalogtransaction
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.catalogtransaction import CatalogOperation, CatalogResult, Failed
from kokiris.discovery.locks import InvalidSession, KvDraft
from kokiris.discovery.model import Keys, KvEntry
from kokiris.discovery.writer import Change
from kokiris.kernel.errors import BadInput, Conflict


class KvOperation(msgspec.Struct, kw_only=True):
    """`Value` is base64."""

    Verb: str
    Key: str = ""
    Value: str | None = None
    Flags: int = 0
    Index: int = 0
    Session: str = ""


Operation = KvOperation | CatalogOperation
Show = Callable[[CatalogOperation, Any], CatalogResult]
"""How what a catalog operation left looks on the wire."""


@dataclass(slots=True)
class Result:
    """Of one operation that has one: the entry, without its value for writes. `written`: the commit gives the index."""

    entry: KvEntry
    with_value: bool
    written: bool = False

    def wire(self, revision: int) -> dict[str, Any]:
        entry = self.entry
        value = base64.b64encode(entry.Value).decode() if self.with_value and entry.Value else None
        shape: dict[str, Any] = {"LockIndex": entry.LockIndex, "Key": entry.Key, "Flags": entry.Flags, "Value": value}
        if entry.Session:
            shape["Session"] = entry.Session
        created = revision if self.written and not entry.CreateIndex else entry.CreateIndex
        return {"KV": {**shape, "CreateIndex": created, "ModifyIndex": revision if self.written else entry.ModifyIndex}}


@dataclass(slots=True)
class Outcome:
    """`errors` holds {OpIndex, What}; with any, nothing is written."""

    results: list[Result | CatalogResult] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


def value_of(operation: KvOperation) -> bytes:
    """Raises BadInput for what is not base64."""
    try:
        return base64.b64decode(operation.Value or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f'value of key "{operation.Key}" is not base64: {error}') from error


def decide(catalog: Catalog, keys: Keys, operations: Sequence[Operation], show: Show) -> Change[Outcome]:
    """What the operations, in order, write; or, in the outcome, why none of it is written."""
    draft = KvDraft(catalog, keys)
    outcome = Outcome()
    for number, operation in enumerate(operations):
        try:
            if isinstance(operation, KvOperation):
                outcome.results += _decide_kv(draft, operation)
            else:
                left = _decide_catalog(catalog, keys, draft.change, operation)
                outcome.results += [show(operation, left)] if left is not None else []
        except (Failed, InvalidSession, Conflict) as error:
            outcome.errors.append({"OpIndex": number, "What": str(error)})
    return Change(outcome) if outcome.errors else draft.change.giving(outcome)


def _decide_kv(draft: KvDraft, operation: KvOperation) -> Sequence[Result]:
    verb = _VERBS.get(operation.Verb)
    if verb is None:
        raise Failed(f'unknown KV verb "{operation.Verb}"')
    return verb(draft, operation)


def _decide_catalog(catalog: Catalog, keys: Keys, change: Change[None], operation: CatalogOperation) -> Any:
    if operation.verb not in catalogtransaction.VERBS:
        raise Failed(f'unknown verb "{operation.verb}"')
    if isinstance(operation, catalogtransaction.NodeOperation):
        return catalogtransaction.decide_node(catalog, keys, change, operation)
    if isinstance(operation, catalogtransaction.ServiceOperation):
        return catalogtransaction.decide_service(catalog, keys, change, operation)
    return catalogtransaction.decide_check(catalog, keys, change, operation)


def _wanted(operation: KvOperation) -> KvEntry:
    return KvEntry(Key=operation.Key, Value=value_of(operation), Flags=operation.Flags)


def _written(draft: KvDraft, name: str) -> list[Result]:
    entry = draft.entry(name)
    return [Result(entry, with_value=False, written=draft.writes(name))] if entry is not None else []


def _set(draft: KvDraft, operation: KvOperation) -> list[Result]:
    draft.set(_wanted(operation))
    return _written(draft, operation.Key)


def _cas(draft: KvDraft, operation: KvOperation) -> list[Result]:
    if not draft.set(_wanted(operation), operation.Index):
        raise Failed(f'failed to set key "{operation.Key}", index is stale')
    return _written(draft, operation.Key)


def _lock(draft: KvDraft, operation: KvOperation) -> list[Result]:
    if not draft.acquire(_wanted(operation), operation.Session):
        raise Failed(f'failed to lock key "{operation.Key}", lock is already held')
    return _written(draft, operation.Key)


def _unlock(draft: KvDraft, operation: KvOperation) -> list[Result]:
    if not draft.release(_wanted(operation), operation.Session):
        raise Failed(f'failed to unlock key "{operation.Key}", lock isn\'t held, or is held by another session')
    return _written(draft, operation.Key)


def _existing(draft: KvDraft, operation: KvOperation) -> KvEntry:
    draft.require(operation.Key)
    entry = draft.entry(operation.Key)
    if entry is None:
        raise Failed(f'key "{operation.Key}" doesn\'t exist')
    return entry


def _get(draft: KvDraft, operation: KvOperation) -> list[Result]:
    return [Result(_existing(draft, operation), with_value=True)]


def _get_or_empty(draft: KvDraft, operation: KvOperation) -> list[Result]:
    draft.require(operation.Key)
    return [Result(draft.entry(operation.Key) or KvEntry(Key=operation.Key), with_value=True)]


def _get_tree(draft: KvDraft, operation: KvOperation) -> list[Result]:
    return [Result(entry, with_value=True) for entry in draft.under(operation.Key)]


def _check_index(draft: KvDraft, operation: KvOperation) -> list[Result]:
    entry = _existing(draft, operation)
    if entry.ModifyIndex != operation.Index:
        raise Failed(
            f'failed index check for key "{operation.Key}", '
            f"current modify index {entry.ModifyIndex} != {operation.Index}"
        )
    return [Result(entry, with_value=False)]


def _check_session(draft: KvDraft, operation: KvOperation) -> list[Result]:
    entry = _existing(draft, operation)
    if entry.Session != operation.Session:
        raise Failed(
            f'failed session check for key "{operation.Key}", '
            f'current session "{entry.Session}" != "{operation.Session}"'
        )
    return [Result(entry, with_value=False)]


def _check_not_exists(draft: KvDraft, operation: KvOperation) -> list[Result]:
    draft.require(operation.Key)
    if draft.entry(operation.Key) is not None:
        raise Failed(f'key "{operation.Key}" exists')
    return []


def _delete(draft: KvDraft, operation: KvOperation) -> list[Result]:
    draft.delete(operation.Key)
    return []


def _delete_tree(draft: KvDraft, operation: KvOperation) -> list[Result]:
    for entry in draft.under(operation.Key):
        draft.delete(entry.Key)
    return []


def _delete_cas(draft: KvDraft, operation: KvOperation) -> list[Result]:
    if not draft.delete(operation.Key, operation.Index):
        raise Failed(f'failed to delete key "{operation.Key}", index is stale')
    return []


_VERBS: dict[str, Callable[[KvDraft, KvOperation], list[Result]]] = {
    "set": _set,
    "cas": _cas,
    "lock": _lock,
    "unlock": _unlock,
    "get": _get,
    "get-or-empty": _get_or_empty,
    "get-tree": _get_tree,
    "check-index": _check_index,
    "check-session": _check_session,
    "check-not-exists": _check_not_exists,
    "delete": _delete,
    "delete-tree": _delete_tree,
    "delete-cas": _delete_cas,
}
