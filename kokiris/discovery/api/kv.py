"""/v1/kv/…: key/value pairs, locks."""

from __future__ import annotations

import base64
from typing import Any

import falcon

from kokiris.discovery import locks
from kokiris.discovery.api.call import ANSWERED, Call, respond_to
from kokiris.discovery.api.context import ApiContext
from kokiris.discovery.model import KvEntry
from kokiris.discovery.writer import Change
from kokiris.http.app import read_body
from kokiris.kernel.errors import BadInput, TooLarge

VALUE_LIMIT_BYTES = 512 * 1024
PREFIX = "/v1/kv/"
MAX_DELETES_AT_ONCE = 2000
METHODS = ("GET", "PUT", "DELETE", "OPTIONS")


def wire_entry(entry: KvEntry) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "LockIndex": entry.LockIndex,
        "Key": entry.Key,
        "Flags": entry.Flags,
        "Value": base64.b64encode(entry.Value).decode() if entry.Value else None,
    }
    if entry.Session:
        shape["Session"] = entry.Session
    return {**shape, "CreateIndex": entry.CreateIndex, "ModifyIndex": entry.ModifyIndex}


class KvDoor:
    """A Falcon sink: keys hold slashes, which a route's parts do not."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    async def __call__(self, req: Any, resp: Any, **_: Any) -> None:
        call = Call(self._context, req, resp, {"key": req.path[len(PREFIX) :]})
        if req.method == "GET":
            await respond_to(call, _get, "key:read")
        elif req.method == "PUT":
            await respond_to(call, _put, "key:write")
        elif req.method == "DELETE":
            await respond_to(call, _delete, "key:write")
        else:
            raise falcon.HTTPMethodNotAllowed(METHODS)


def _missing(call: Call) -> Any:
    call.resp.status = falcon.HTTP_404
    call.resp.data = b""
    return ANSWERED


async def _get(call: Call) -> Any:
    name = call.params["key"]
    if call.has("keys"):
        return await _keys(call, name)
    if call.has("recurse"):
        await call.block(call.catalog.kv_prefix_topic(name))
        found = call.catalog.kv.under(name)
        return [wire_entry(entry) for entry in found] if found else _missing(call)
    if not name:
        raise BadInput("Missing key name")
    await call.block(("kv", name))
    entry = call.catalog.kv.entries.get(name)
    if entry is None:
        return _missing(call)
    if call.has("raw"):
        call.resp.content_type = "text/plain; charset=utf-8"
        call.resp.set_header("X-Content-Type-Options", "nosniff")
        call.resp.set_header("Content-Security-Policy", "sandbox")
        call.resp.data = entry.Value
        return ANSWERED
    return [wire_entry(entry)]


async def _keys(call: Call, prefix: str) -> Any:
    separator = call.query("separator")
    await call.block(call.catalog.kv_prefix_topic(prefix))
    found = call.catalog.kv.keys_under(prefix)
    if not found:
        return _missing(call)
    if not separator:
        return list(found)
    cut: dict[str, None] = {}
    for name in found:
        at = name.find(separator, len(prefix))
        cut[name if at < 0 else name[: at + len(separator)]] = None
    return list(cut)


def _refuse_together(call: Call, *names: str) -> None:
    given = [name for name in names if call.has(name)]
    if len(given) > 1:
        raise BadInput("Conflicting flags: " + call.req.query_string)


async def _put(call: Call) -> Any:
    name, keys = call.params["key"], call.context.writer.keys
    if not name:
        raise BadInput("Missing key name")
    _refuse_together(call, "cas", "acquire", "release")
    flags = call.unsigned("flags") or 0
    cas = call.unsigned("cas") if call.has("cas") else None
    session_id = call.query("acquire") or call.query("release")
    size_bytes = call.req.content_length or 0
    if size_bytes > VALUE_LIMIT_BYTES:
        raise _too_large(size_bytes)
    try:
        value = await read_body(call.req, VALUE_LIMIT_BYTES)
    except TooLarge as error:
        raise _too_large(VALUE_LIMIT_BYTES + 1) from error

    wanted = KvEntry(Key=name, Value=value, Flags=flags)

    def decide() -> Change[bool]:
        draft = locks.KvDraft(call.catalog, keys)
        if call.has("acquire"):
            done = draft.acquire(wanted, session_id)
        elif call.has("release"):
            done = draft.release(wanted, session_id)
        else:
            done = draft.set(wanted, cas)
        return draft.change.giving(done)

    return (await call.context.writer.change(decide)).result


def _too_large(size_bytes: int) -> TooLarge:
    return TooLarge(
        f"Request body({size_bytes} bytes) too large, max size: {VALUE_LIMIT_BYTES} bytes. "
        "Store large values elsewhere and a reference to them here."
    )


async def _delete(call: Call) -> Any:
    name, keys = call.params["key"], call.context.writer.keys
    _refuse_together(call, "recurse", "cas")
    if call.has("recurse"):
        return await _delete_tree(call, name)
    if not name:
        raise BadInput("Missing key name")
    cas = call.unsigned("cas") if call.has("cas") else None

    def decide() -> Change[bool]:
        draft = locks.KvDraft(call.catalog, keys)
        return draft.change.giving(draft.delete(name, cas))

    return (await call.context.writer.change(decide)).result


async def _delete_tree(call: Call, prefix: str) -> Any:
    """Atomic up to 2,000 keys; more go in several commits."""
    keys = call.context.writer.keys

    def decide() -> Change[bool]:
        found = call.catalog.kv.keys_under(prefix)[:MAX_DELETES_AT_ONCE]
        return Change(bool(found), deletes=[keys.kv(name) for name in found])

    while (await call.context.writer.change(decide)).result:
        pass
    return True
