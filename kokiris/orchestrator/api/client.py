"""`/v1/client`: passed through to the worker that runs the allocation, without buffering."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import aiohttp

from kokiris.http.app import read_body, while_connected
from kokiris.kernel.errors import BadInput, KokirisError, NotFound, Unavailable
from kokiris.orchestrator.api.allocations import found_alloc
from kokiris.orchestrator.api.call import ANSWERED, EMPTY, Call
from kokiris.orchestrator.api.errors import NotImplementedHere
from kokiris.orchestrator.api.streams import UntilGone
from kokiris.orchestrator.model.node import Node

_FS_NEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "ls": (),
    "stat": (),
    "cat": (("path", "must provide a file name"),),
    "readat": (("path", "must provide a file name"), ("offset", "error parsing offset: missing value")),
    "stream": (("path", "must provide a file name"),),
    "logs": (("task", "must provide task name"),),
}
_PASSED_HEADERS = ("Content-Type", "Content-Encoding")


class Relayed(KokirisError):
    """The worker's own refusal, in its words and with its status."""

    code = "worker"

    def __init__(self, status: int, text: str, next_step: str = "") -> None:
        super().__init__(text.removesuffix(next_step).rstrip(), next_step=next_step or None)
        self.http_status = status


async def fs(call: Call) -> Any:
    """GET /v1/client/fs/{ls,stat,cat,readat,stream,logs}/:alloc."""
    verb = call.params["verb"]
    if verb not in _FS_NEEDS:
        raise NotFound(f"{call.req.path} is not an endpoint", next_step="Use one of: " + ", ".join(_FS_NEEDS) + ".")
    node = node_of_alloc(call)
    for name, text in _FS_NEEDS[verb]:
        if not call.query(name):
            raise BadInput(text)
    if verb == "logs" and call.query("type") not in {"stdout", "stderr"}:
        raise BadInput("must provide log type (stdout/stderr)")
    if call.query("origin", "start") not in {"start", "end"}:
        raise BadInput("origin must be start or end")
    call.flag("follow")
    call.flag("plain")
    return await relay(call, node, f"/v1/client/fs/{verb}/{call.params['alloc_id']}")


async def alloc_read(call: Call) -> Any:
    """GET /v1/client/allocation/:alloc/stats."""
    return await relay(call, node_of_alloc(call), f"/v1/client/allocation/{call.params['alloc_id']}/stats")


async def restart(call: Call) -> Any:
    """POST or PUT /v1/client/allocation/:alloc/restart."""
    return await relay(call, node_of_alloc(call), f"/v1/client/allocation/{call.params['alloc_id']}/restart")


async def signal(call: Call) -> Any:
    """POST or PUT /v1/client/allocation/:alloc/signal."""
    return await relay(call, node_of_alloc(call), f"/v1/client/allocation/{call.params['alloc_id']}/signal")


async def alloc_gc(call: Call) -> Any:
    """GET /v1/client/allocation/:alloc/gc: workers collect ended allocations by themselves."""
    node_of_alloc(call)
    return EMPTY


async def absent(call: Call) -> None:
    """Pause, snapshot, identity, metadata."""
    raise NotImplementedHere(f"{call.req.method} {call.req.path} is not part of this version")


async def node_stats(call: Call) -> Any:
    """GET /v1/client/stats?node_id=…."""
    return await relay(call, _node_of_query(call), "/v1/client/stats")


async def node_gc(call: Call) -> Any:
    """GET /v1/client/gc?node_id=…: workers collect ended allocations by themselves."""
    _node_of_query(call)
    return EMPTY


def node_of_alloc(call: Call) -> Node:
    """The node that runs the allocation the path names. Raises NotFound ('Unknown allocation "<id>"'), Unavailable."""
    call.params["alloc_id"] = call.params["alloc_id"].lower()
    if not call.params["alloc_id"]:
        raise BadInput("must provide a valid alloc id")
    alloc = found_alloc(call, f'Unknown allocation "{call.params["alloc_id"]}"')
    node = call.state.nodes.get(alloc.NodeID)
    if node is None:
        raise NotFound(f'Unknown node "{alloc.NodeID}"')
    return node


def _node_of_query(call: Call) -> Node:
    """The node of `?node_id=`; with one node only, that one. Raises BadInput, NotFound ('Unknown node "<id>"')."""
    node_id = call.query("node_id").lower()
    if not node_id:
        if len(call.state.nodes) == 1:
            return next(iter(call.state.nodes.values()))
        raise BadInput("No local Node and node_id not provided")
    node = call.state.nodes.get(node_id)
    if node is None:
        raise NotFound(f'Unknown node "{node_id}"')
    return node


async def relay(call: Call, node: Node, path: str) -> Any:
    """Passes the call to the node's API and its answer back, chunk by chunk. Raises Relayed, Unavailable."""
    body = None if call.req.method == "GET" else await read_body(call.req)
    stack = AsyncExitStack()
    try:
        opened = call.context.dialer.request(node, call.req.method, quote(path), _query(call), body)
        answer = await while_connected(call.req, stack.enter_async_context(opened))
        if answer.status >= 400:
            text = (await answer.text(errors="replace")).strip()
            step = answer.headers.get("X-Kokiris-Next-Step", "")
            raise Relayed(answer.status, text or f'node "{node.Name}" answered {answer.status}', step)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        await stack.aclose()
        raise _silent(node) from error
    except BaseException:
        await stack.aclose()
        raise
    for name in _PASSED_HEADERS:
        if name in answer.headers:
            call.resp.set_header(name, answer.headers[name])
    call.resp.stream = UntilGone(call.req, _chunks(stack, answer))
    return ANSWERED


def _silent(node: Node) -> Unavailable:
    return Unavailable(
        f'node "{node.Name}" ({node.ID}) does not answer on its node API',
        next_step="Look at the worker's log on that node; `kokiris node status` shows whether it is ready.",
    )


async def _chunks(stack: AsyncExitStack, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with stack:
        async for chunk in answer.content.iter_any():
            yield chunk


def _query(call: Call) -> dict[str, str]:
    """The query as it came, without what is addressed to this server."""
    dropped = {"token", "namespace", "region", "node_id", "pretty", "stale", "ws_handshake"}
    found: dict[str, str] = {}
    for name, value in call.req.params.items():
        if name not in dropped:
            found[name] = value[-1] if isinstance(value, list) else value
    return found
