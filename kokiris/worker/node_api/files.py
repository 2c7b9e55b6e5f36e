"""`GET /v1/client/fs/{logs,ls,stat,cat,readat,stream}/<alloc>`."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import falcon.asgi
import msgspec

from kokiris.http.app import TEXT_TYPE, send_json
from kokiris.kernel.clock import rfc3339
from kokiris.kernel.errors import BadInput, NotFound
from kokiris.worker.allocations import Allocations
from kokiris.worker.allocs.runner import AllocRunner
from kokiris.worker.logs.files import STREAMS, indexes
from kokiris.worker.node_api.frames import HEARTBEAT, StreamFrame, encode
from kokiris.worker.node_api.paths import HIDDEN, open_file, resolve
from kokiris.worker.node_api.streams import CHUNK_BYTES, stream_file, stream_logs

READ_LIMIT_BYTES = 64 * 1024 * 1024
OCTETS = "application/octet-stream"


class AllocFileInfo(msgspec.Struct, kw_only=True):
    """A file or folder, as `alloc fs` lists it."""

    Name: str
    IsDir: bool
    Size: int
    FileMode: str
    ModTime: str
    ContentType: str = ""


class Files:
    """One resource for all verbs."""

    def __init__(self, allocations: Allocations) -> None:
        self._allocations = allocations

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, verb: str, alloc_id: str) -> None:
        """Raises NotFound for an unknown allocation, file or verb; BadInput for a path that leaves the folder."""
        runner = self._allocations.find(alloc_id)
        act = {
            "ls": self._list,
            "stat": self._stat,
            "cat": self._cat,
            "readat": self._read_at,
            "stream": self._stream,
            "logs": self._logs,
        }.get(verb)
        if act is None:
            raise NotFound("Invalid URL")
        await act(req, resp, runner)

    async def _list(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, runner: AllocRunner) -> None:
        path = req.get_param("path", default="/") or "/"
        real = resolve(runner.folders.root, path)
        if not real.is_dir():
            raise BadInput(f"{path} is not a directory")
        below_task = real.parent == runner.folders.root.resolve() and real.name != "alloc"
        names = sorted(one.name for one in real.iterdir() if not (below_task and one.name in HIDDEN[1:]))
        send_json(req, resp, [_info(real / name) for name in names])

    async def _stat(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, runner: AllocRunner) -> None:
        send_json(req, resp, _info(resolve(runner.folders.root, req.get_param("path", default="/") or "/")))

    async def _cat(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, runner: AllocRunner) -> None:
        descriptor = open_file(runner.folders.root, _path(req))
        resp.content_type = OCTETS
        resp.stream = _bytes_of(descriptor, 0, os.fstat(descriptor).st_size)

    async def _read_at(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, runner: AllocRunner) -> None:
        offset, limit = _number(req, "offset", 0), _number(req, "limit", READ_LIMIT_BYTES)
        descriptor = open_file(runner.folders.root, _path(req))
        resp.content_type = OCTETS
        resp.stream = _bytes_of(descriptor, offset, limit)

    async def _stream(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, runner: AllocRunner) -> None:
        path, origin = _path(req), _origin(req)
        follow = req.get_param_as_bool("follow", default=True)
        descriptor = open_file(runner.folders.root, path)
        real = Path(f"/proc/self/fd/{descriptor}").readlink()  # noqa: ASYNC240 - the kernel's memory, no disk
        frames = stream_file(descriptor, real, path.lstrip("/"), origin, _number(req, "offset", 0), follow=bool(follow))
        _send_frames(req, resp, frames)

    async def _logs(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, runner: AllocRunner) -> None:
        task, stream = req.get_param("task", default="") or "", req.get_param("type", default="") or ""
        if not task:
            raise BadInput("must provide task name")
        if stream not in STREAMS:
            raise BadInput("log type must be stdout or stderr")
        if task not in runner.tasks:
            raise NotFound(f'unknown task name "{task}"', next_step=f"Tasks: {', '.join(sorted(runner.tasks))}.")
        if not indexes(runner.folders.logs, task, stream):
            raise NotFound(
                f'task "{task}" not started yet. No logs available',
                next_step="`alloc status` shows the task's events.",
            )
        one = runner.tasks[task]
        frames = stream_logs(
            runner.folders.logs,
            task,
            stream,
            _origin(req),
            _number(req, "offset", 0),
            follow=bool(req.get_param_as_bool("follow", default=False)),
            ended=one.dead.is_set,
        )
        _send_frames(req, resp, frames)


def _send_frames(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, frames: AsyncIterator[StreamFrame | None]
) -> None:
    plain = bool(req.get_param_as_bool("plain", default=False))
    resp.content_type = TEXT_TYPE if plain else "application/json"
    resp.stream = _until_gone(req, _wire(frames, plain=plain))


async def _wire(frames: AsyncIterator[StreamFrame | None], *, plain: bool) -> AsyncIterator[bytes]:
    async for frame in frames:
        if plain:
            if frame is not None and frame.Data:
                yield frame.Data
        else:
            yield HEARTBEAT if frame is None else encode(frame)


async def _until_gone(req: falcon.asgi.Request, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Ends when the client is gone: the server itself drops what is sent to nobody, for ever."""
    gone = asyncio.ensure_future(_disconnected(req.scope["kokiris.receive"]))
    iterator = aiter(chunks)
    try:
        while True:
            coming = asyncio.ensure_future(anext(iterator, None))
            await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                return
            chunk = coming.result()
            if chunk is None:
                return
            yield chunk
    finally:
        gone.cancel()
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _bytes_of(descriptor: int, offset: int, limit: int) -> AsyncIterator[bytes]:
    try:
        while limit > 0 and (data := os.pread(descriptor, min(CHUNK_BYTES, limit), offset)):
            offset += len(data)
            limit -= len(data)
            yield data
    finally:
        os.close(descriptor)


def _info(path: Path) -> AllocFileInfo:
    status = path.lstat()
    folder = stat.S_ISDIR(status.st_mode)
    return AllocFileInfo(
        Name=path.name,
        IsDir=folder,
        Size=status.st_size,
        FileMode=stat.filemode(status.st_mode),
        ModTime=rfc3339(status.st_mtime_ns),
        ContentType="" if folder else (mimetypes.guess_type(path.name)[0] or OCTETS),
    )


def _path(req: falcon.asgi.Request) -> str:
    path = req.get_param("path", default="") or ""
    if not path:
        raise BadInput("must provide a file name")
    return path


def _origin(req: falcon.asgi.Request) -> str:
    origin = req.get_param("origin", default="start") or "start"
    if origin not in {"start", "end"}:
        raise BadInput("origin must be start or end")
    return origin


def _number(req: falcon.asgi.Request, name: str, default: int) -> int:
    raw = req.get_param(name, default="") or ""
    if not raw:
        return default
    if not raw.isdigit():
        raise BadInput(f'error parsing {name}: "{raw}" is not a number of bytes')
    return int(raw)
