"""The internal API as a worker calls it: mutual TLS, several servers, one after the other when one does not answer."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from kokiris.kernel.errors import Forbidden, KokirisError, NotFound, Unavailable
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.model.node import Node

T = TypeVar("T")

CALL_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 3.0
BLOCK_S = 60.0


class Assignment(msgspec.Struct, kw_only=True):
    """An allocation of this node; fetched when its index is new."""

    AllocID: str
    AllocModifyIndex: int = 0


class AssignmentList(msgspec.Struct, kw_only=True):
    """All allocations of this node that are not collected."""

    Index: int = 0
    Assignments: list[Assignment] | None = None


class AssignedAllocation(msgspec.Struct, kw_only=True):
    """An allocation in full."""

    Allocation: Allocation
    AllocModifyIndex: int = 0


class Registered(msgspec.Struct, kw_only=True):
    """The next heartbeat is due within `HeartbeatTTLSeconds`."""

    HeartbeatTTLSeconds: float = 10.0


class CatalogEntry(msgspec.Struct, kw_only=True):
    """One healthy instance of a service, as templates see it."""

    Name: str = ""
    ID: str = ""
    Address: str = ""
    Port: int = 0
    Node: str = ""
    NodeAddress: str = ""
    Tags: list[str] = msgspec.field(default_factory=list)
    Meta: dict[str, str] = msgspec.field(default_factory=dict)


class TaskVariable(msgspec.Struct, kw_only=True):
    """A variable in clear: never logged."""

    Namespace: str = ""
    Path: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0
    CreateTime: int = 0
    ModifyTime: int = 0
    Items: dict[str, str] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"TaskVariable({self.Path})"


class TaskVariableList(msgspec.Struct, kw_only=True):
    """`Readable` are the paths a task may read, `Variables` those of them that exist."""

    Index: int = 0
    Namespace: str = ""
    Readable: list[str] = msgspec.field(default_factory=list)
    Variables: list[TaskVariable] = msgspec.field(default_factory=list)


class RegistryCredential(msgspec.Struct, kw_only=True):
    """What pulls one image of the client's registry; `RegistryToken` "" when the image is not of it."""

    ServerAddress: str = ""
    RegistryToken: str = msgspec.field(default="")


class _HealthNode(msgspec.Struct, kw_only=True):
    Node: str = ""
    Address: str = ""


class _HealthService(msgspec.Struct, kw_only=True):
    ID: str = ""
    Service: str = ""
    Address: str = ""
    Port: int = 0
    Tags: list[str] | None = None
    Meta: dict[str, str] | None = None


class _Health(msgspec.Struct, kw_only=True):
    Node: _HealthNode
    Service: _HealthService


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    params: object
    body: bytes | None
    timeout_s: float


class Servers:
    """The infra's servers. Every method raises Unavailable when none answers; the next call begins with another.

    `tls` is asked for a fresh context whenever a new connection pool is made: certificates are renewed while we run.
    """

    def __init__(
        self, addresses: Sequence[str], tls: Callable[[], ssl.SSLContext] | None, node_id: str, secret_id: str
    ) -> None:
        self._addresses = list(addresses)
        self._tls = tls
        self._node_id = node_id
        self._secret_id = secret_id
        self._first = 0
        self._session: aiohttp.ClientSession | None = None

    async def register(self, node: Node) -> float:
        """Registers or updates; the heartbeat's time to live in s."""
        body = {"Node": node, "SecretID": self._secret_id}
        answer = await self._call("PUT", f"/internal/v1/node/{self._node_id}", Registered, body=body)
        return answer.HeartbeatTTLSeconds

    async def heartbeat(self) -> float:
        """The heartbeat's time to live in s. Raises NotFound when the node must register (again)."""
        body = {"SecretID": self._secret_id}
        answer = await self._call("PUT", f"/internal/v1/node/{self._node_id}/heartbeat", Registered, body=body)
        return answer.HeartbeatTTLSeconds

    async def assignments(self, index: int) -> AssignmentList:
        """Returns when they are newer than `index`, or after a minute."""
        params = {"index": str(index), "wait": f"{BLOCK_S:.0f}s"}
        path = f"/internal/v1/node/{self._node_id}/assignments"
        return await self._call("GET", path, AssignmentList, params=params, timeout_s=BLOCK_S * 1.25)

    async def allocations(self, ids: Sequence[str]) -> list[AssignedAllocation]:
        """In full. Those that are gone meanwhile are left out."""
        body = {"NodeID": self._node_id, "AllocIDs": list(ids)}
        return await self._call("POST", "/internal/v1/assignments", list[AssignedAllocation], body=body)

    async def report(self, updates: Sequence[AllocClient]) -> None:
        """Returns once they are durable."""
        path = f"/internal/v1/node/{self._node_id}/allocs"
        await self._call("PUT", path, object, body={"Updates": list(updates)})

    async def registry_auth(self, image: str) -> dict[str, str] | None:
        """For the Docker Engine: this node's own right to pull `image`; None when it is of another registry."""
        body = {"NodeID": self._node_id, "Image": image}
        found = await self._call("POST", "/internal/v1/registry/credential", RegistryCredential, body=body)
        if not found.RegistryToken:
            return None
        return {"serveraddress": found.ServerAddress, "registrytoken": found.RegistryToken}

    async def released(self, instances: Sequence[str], wait_s: float) -> None:
        """Returns when no edge sends requests to `instances` any more, or after `wait_s`."""
        params = [("instance", one) for one in instances] + [("wait", f"{wait_s:.0f}s")]
        await self._call("GET", "/internal/v1/released", object, params=params, timeout_s=wait_s + 5)

    async def healthy_instances(self, service: str, index: int, wait_s: float) -> tuple[int, list[CatalogEntry]]:
        """(index, instances that pass), by a blocking query of the catalog."""
        params = {"passing": "1", "index": str(index), "wait": f"{wait_s:.0f}s"}
        request = _Request("GET", f"/v1/health/service/{quote(service, safe='')}", params, None, wait_s * 1.25 + 5)
        answer, found = await self._send(request)
        entries = [_entry(one) for one in msgspec.json.decode(found, type=list[_Health])]
        return int(answer.get("X-Consul-Index", "0")), entries

    async def task_variables(self, alloc_id: str, task: str, index: int, wait_s: float) -> TaskVariableList:
        """What the task may read, by a blocking query. Raises NotFound for an allocation that is not this node's."""
        params = {"alloc": alloc_id, "task": task, "index": str(index), "wait": f"{wait_s:.0f}s"}
        path = f"/internal/v1/node/{self._node_id}/variables"
        return await self._call("GET", path, TaskVariableList, params=params, timeout_s=wait_s * 1.25 + 5)

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def renew_connections(self) -> None:
        """After a certificate's renewal: new connections use the new one."""
        old, self._session = self._session, None
        if old is not None:
            await old.close()

    async def _call(
        self,
        method: str,
        path: str,
        answer_type: type[T],
        *,
        params: object = None,
        body: object = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> T:
        raw = msgspec.json.encode(body) if body is not None else None
        _, answer = await self._send(_Request(method, path, params, raw, timeout_s))
        return msgspec.json.decode(answer or b"{}", type=answer_type)

    async def _send(self, request: _Request) -> tuple[Mapping[str, str], bytes]:
        """(headers, whatever their case; body) of the first server that answers; it is asked first the next time."""
        problem: KokirisError = Unavailable("no server is configured")
        for step in range(len(self._addresses)):
            at = (self._first + step) % len(self._addresses)
            try:
                answer = await self._ask(self._addresses[at], request)
            except Unavailable as error:
                problem = error
            else:
                self._first = at
                return answer
        self._first = (self._first + 1) % max(1, len(self._addresses))
        raise problem

    async def _ask(self, address: str, request: _Request) -> tuple[Mapping[str, str], bytes]:
        scheme = "https" if self._tls is not None else "http"
        try:
            async with self._pool().request(
                request.method,
                f"{scheme}://{address}{request.path}",
                params=request.params,  # type: ignore[arg-type]  # str pairs or a dict of them
                data=request.body,
                headers={"X-Node-Secret": self._secret_id, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            ) as answer:
                raw = await answer.read()
                if answer.status >= 400:
                    raise _refused(answer.status, raw.decode(errors="replace"))
                return answer.headers, raw
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"server {address} does not answer: {error or type(error).__name__}") from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = self._tls() if self._tls is not None else None
            connector = aiohttp.TCPConnector(ssl=context if context is not None else True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _refused(status: int, message: str) -> KokirisError:
    text = message.strip()[:500] or f"status {status}"
    if status == 404:
        return NotFound(text)
    if status in {401, 403}:
        return Forbidden(text)
    if status >= 500 or status == 429:
        return Unavailable(text)
    return KokirisError(text)


def _entry(found: _Health) -> CatalogEntry:
    service, node = found.Service, found.Node
    return CatalogEntry(
        Name=service.Service,
        ID=service.ID,
        Address=service.Address or node.Address,
        Port=service.Port,
        Node=node.Node,
        NodeAddress=node.Address,
        Tags=service.Tags or [],
        Meta=service.Meta or {},
    )
