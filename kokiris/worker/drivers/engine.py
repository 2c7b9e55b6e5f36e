"""The Docker Engine API as the worker uses it: typed calls over aiodocker, errors in the worker's words."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
import aiohttp
import msgspec
from aiodocker.stream import Stream

from kokiris.kernel.errors import Conflict, HostError, KokirisError, NotFound, Unavailable

log = logging.getLogger(__name__)

API_VERSION = "v1.41"
"""dockerd 20.10 (Debian 12) speaks it, and every later one."""

UNREACHABLE = 900
"""aiodocker's status for "could not connect"."""

_FOR_EVER = aiohttp.ClientTimeout(total=None, sock_read=None)


class EngineError(KokirisError):
    """The engine refused; its own words are in the message."""

    code = "docker"
    default_next_step = "Look at the task's events and at dockerd's log."


class Engine:
    """One Docker Engine behind a unix socket. Raises Unavailable while it does not answer."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._docker: aiodocker.Docker | None = None
        self._connector: aiohttp.UnixConnector | None = None

    def _client(self) -> aiodocker.Docker:
        if self._docker is None:
            self._connector = aiohttp.UnixConnector(self.socket_path, limit=0)  # two parked calls a container
            self._docker = aiodocker.Docker(
                url="unix://localhost",
                connector=self._connector,
                api_version=API_VERSION,
                timeout=aiohttp.ClientTimeout(total=120),
            )
        return self._docker

    async def close(self) -> None:
        """Idempotent."""
        if self._docker is not None:
            await self._docker.close()
            self._docker = None
        if self._connector is not None:
            await self._connector.close()
            self._connector = None

    async def json(self, method: str, path: str, *, params: dict[str, Any] | None = None, body: Any = None) -> Any:
        """The decoded answer; None when it has no body. Raises NotFound, Conflict, Unavailable, EngineError."""
        async with self.response(method, path, params=params, body=body) as answer:
            raw = await answer.read()
        return msgspec.json.decode(raw) if raw.strip() else None

    @asynccontextmanager
    async def response(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: Any = None,
        raw: Any = None,
        headers: dict[str, str] | None = None,
        endless: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, to be streamed."""
        data = raw if raw is not None else (msgspec.json.encode(body) if body is not None else None)
        kept: dict[str, str | int | bool] = dict(headers or {})
        try:
            async with self._client()._query(
                path,
                method,
                params=params,
                data=data,
                headers=kept,
                **({"timeout": _FOR_EVER} if endless else {}),  # type: ignore[arg-type]  # one optional argument
            ) as answer:
                try:
                    yield answer
                finally:
                    answer.close() if endless else answer.release()
        except aiodocker.DockerError as error:
            raise translated(error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"docker at {self.socket_path} does not answer: {error}") from error

    async def version(self) -> dict[str, Any]:
        """`docker version`, the server's part."""
        found: dict[str, Any] = await self.json("GET", "version")
        return found

    async def inspect(self, container: str) -> dict[str, Any]:
        """By name or id. Raises NotFound."""
        found: dict[str, Any] = await self.json("GET", f"containers/{container}/json")
        return found

    async def create(self, name: str, body: dict[str, Any]) -> str:
        """The new container's id. Raises Conflict when the name is taken, NotFound when the image is not there."""
        made = await self.json("POST", "containers/create", params={"name": name}, body=body)
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """Of one that runs: nothing happens."""
        await self.json("POST", f"containers/{container}/start")

    async def wait(self, container: str) -> int:
        """Its exit code, once it has ended."""
        async with self.response(
            "POST", f"containers/{container}/wait", params={"condition": "not-running"}, endless=True
        ) as answer:
            return int(msgspec.json.decode(await answer.read())["StatusCode"])

    async def kill(self, container: str, signal: str) -> None:
        """Sends a signal. Raises Conflict when it does not run."""
        await self.json("POST", f"containers/{container}/kill", params={"signal": signal})

    async def remove(self, container: str) -> None:
        """Kills and removes with its anonymous volumes; of one that is gone: nothing happens."""
        try:
            await self.json("DELETE", f"containers/{container}", params={"force": "1", "v": "1"})
        except NotFound:
            return
        except Conflict:  # its removal is under way
            log.debug("container %s is being removed", container)

    async def containers(self, label: str) -> list[dict[str, Any]]:
        """All, running or not, with `label` ("name=value")."""
        filters = msgspec.json.encode({"label": [label]}).decode()
        found: list[dict[str, Any]] = await self.json("GET", "containers/json", params={"all": "1", "filters": filters})
        return found

    async def has_image(self, reference: str) -> bool:
        """Whether it is on this node."""
        try:
            await self.json("GET", f"images/{reference}/json")
        except NotFound:
            return False
        return True

    async def pull(self, reference: str, auth: dict[str, str] | None, timeout_s: float) -> None:
        """Raises EngineError with the registry's reason."""
        repository, tag = split_reference(reference)
        headers = {"X-Registry-Auth": base64.urlsafe_b64encode(msgspec.json.encode(auth)).decode()} if auth else None
        params = {"fromImage": repository, "tag": tag}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self.response("POST", "images/create", params=params, headers=headers, endless=True) as answer,
            ):
                async for line in answer.content:
                    step = msgspec.json.decode(line) if line.strip() else {}
                    if "error" in step:
                        raise EngineError(str(step["error"]))
        except TimeoutError:
            raise EngineError(f"not pulled within {timeout_s:.0f} s (image_pull_timeout)") from None

    async def import_image(self, reference: str, tar: bytes) -> None:
        """As `docker import -`: one layer from a tar."""
        repository, tag = split_reference(reference)
        params = {"fromSrc": "-", "repo": repository, "tag": tag}
        headers = {"Content-Type": "application/x-tar"}
        async with self.response("POST", "images/create", params=params, raw=tar, headers=headers) as answer:
            if b'"error"' in await answer.read():
                raise HostError(f"docker could not import the image {reference}")

    async def load_image(self, tar: bytes) -> None:
        """As `docker load`."""
        headers = {"Content-Type": "application/x-tar"}
        async with self.response("POST", "images/load", params={"quiet": "1"}, raw=tar, headers=headers) as answer:
            if b'"error"' in await answer.read():
                raise EngineError("docker could not load the image archive")

    async def stats(self, container: str) -> dict[str, Any]:
        """One sample, at once (the engine's "one-shot")."""
        found: dict[str, Any] = await self.json(
            "GET", f"containers/{container}/stats", params={"stream": "0", "one-shot": "1"}
        )
        return found

    async def exec_create(self, container: str, body: dict[str, Any]) -> str:
        """The exec's id."""
        made = await self.json("POST", f"containers/{container}/exec", body=body)
        return str(made["Id"])

    def exec_start(self, exec_id: str, *, tty: bool) -> Stream:
        """The attached stream; entered by the caller."""
        execution = self._client().containers.exec(exec_id)
        execution._tty = tty
        stream = execution.start(detach=False)
        if not isinstance(stream, Stream):
            raise EngineError("docker started the command without a stream")
        return stream

    async def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        """Running, ExitCode…"""
        found: dict[str, Any] = await self.json("GET", f"exec/{exec_id}/json")
        return found

    async def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        """Sets the terminal's size."""
        await self.json("POST", f"exec/{exec_id}/resize", params={"h": str(height), "w": str(width)})

    async def bridge_gateway(self) -> str:
        """The address of this machine on docker's default bridge; "" when there is none."""
        try:
            network = await self.json("GET", "networks/bridge")
        except NotFound:
            return ""
        for config in (network.get("IPAM") or {}).get("Config") or ():
            if config.get("Gateway"):
                return str(config["Gateway"])
            if config.get("Subnet"):  # a fresh dockerd names only the subnet; its bridge has the first address
                return str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
        return ""


def translated(error: aiodocker.DockerError) -> KokirisError:
    """aiodocker's error in our tree."""
    message = str(error.message)
    if error.status == 404:
        return NotFound(message)
    if error.status == 409:
        return Conflict(message)
    if error.status == UNREACHABLE:
        return Unavailable(f"docker does not answer: {message}")
    return EngineError(message)


def split_reference(reference: str) -> tuple[str, str]:
    """(repository, tag or digest) of an image reference; without either, "latest"."""
    repository, at, digest = reference.partition("@")
    if at:
        return repository, digest
    head, colon, tag = reference.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return reference, "latest"


def registry_of(reference: str) -> str:
    """Where an image would be pulled from."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "docker.io"
