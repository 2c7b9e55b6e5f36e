"""`/v1/databases` and `/v1/database/…`: ours, beside Nomad's, with its tokens and its form of errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import falcon.asgi
import msgspec

from kokiris.databases.databases import Databases
from kokiris.databases.model import Backup, Database
from kokiris.databases.uses import Cluster, jobs_using
from kokiris.http.app import read_json, send_json
from kokiris.http.tokens import Authenticator, Principal, require_management
from kokiris.kernel.errors import BadInput, KokirisError, NotFound
from kokiris.kernel.names import PLATFORM
from kokiris.variables.model import database_path

App = falcon.asgi.App[Any, Any]


class CreateRequest(msgspec.Struct, kw_only=True):
    """`Namespace` of the jobs that will use it."""

    Namespace: str = "default"


class ScheduleRequest(msgspec.Struct, kw_only=True):
    """`Schedule` as cron's five fields, UTC; "": no backups by themselves. What is left out stays as it is."""

    Schedule: str | None = None
    Keep: int | None = None


class RestoreRequest(msgspec.Struct, kw_only=True):
    """A backup's file name; "": the newest."""

    File: str = ""


class DatabaseAnswer(msgspec.Struct, kw_only=True):
    """A database as people see it. `SizeBytes` -1: MariaDB does not answer. `Jobs`: ids of those that use it."""

    Database: Database
    Variable: str
    Jobs: list[str]
    SizeBytes: int = -1
    Backups: int = 0


class BackupAnswer(msgspec.Struct, kw_only=True):
    """A backup without its tables' digests."""

    File: str
    At: int
    SizeBytes: int
    Tables: int
    Rows: int


def _backup(one: Backup) -> BackupAnswer:
    rows = sum(table.Rows for table in one.Tables.values())
    return BackupAnswer(File=one.File, At=one.At, SizeBytes=one.SizeBytes, Tables=len(one.Tables), Rows=rows)


Handler = Callable[["DatabaseDoor", falcon.asgi.Request, falcon.asgi.Response, str], Awaitable[Any]]


class DatabaseDoor:
    """What the resources share."""

    def __init__(self, databases: Databases, authenticator: Authenticator, cluster: Cluster) -> None:
        self.databases = databases
        self.authenticator = authenticator
        self._cluster = cluster

    def check_namespace(self, name: str, principal: Principal) -> None:
        """Raises NotFound unless there is such a namespace for that token."""
        if name not in self._cluster.namespaces or (name == PLATFORM and not principal.is_operator):
            raise NotFound(
                f'namespace "{name[:60]}" not found', next_step="Leave -namespace out for the namespace default."
            )

    def shown(self, database: Database, size_bytes: int = -1) -> DatabaseAnswer:
        return DatabaseAnswer(
            Database=database,
            Variable=database_path(database.Name),
            Jobs=jobs_using(database.Name, database.Namespace, self._cluster.jobs.values()),
            SizeBytes=size_bytes,
            Backups=len(self.databases.backups.all(database.Name)),
        )

    async def listed(self) -> list[DatabaseAnswer]:
        """With sizes while MariaDB answers, without them otherwise."""
        found = self.databases.all()
        try:
            sizes = await self.databases.sizes_bytes() if found else {}
        except KokirisError:
            return [self.shown(one) for one in found]
        return [self.shown(one, sizes.get(one.Name, 0)) for one in found]


async def _list(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp, name
    return await door.listed()


async def _read(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp
    return door.shown(door.databases.get(name))


async def _create(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del resp
    wanted = await read_json(req, CreateRequest)
    door.check_namespace(wanted.Namespace, require_management(req, door.authenticator))
    return door.shown(await door.databases.create(name, wanted.Namespace))


async def _drop(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp
    await door.databases.drop(name)
    return {}


async def _rotate(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp
    return door.shown(await door.databases.rotate(name))


async def _backups(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp
    door.databases.get(name)
    return [_backup(one) for one in door.databases.backups.all(name)]


async def _back_up(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp
    return _backup(await door.databases.backup(name))


async def _drill(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del req, resp
    return await door.databases.drill(name)


async def _schedule(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    del resp
    wanted = await read_json(req, ScheduleRequest)
    return door.shown(await door.databases.schedule(name, wanted.Schedule, wanted.Keep))


async def _restore(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    """A backup by name (JSON), or the dump that is sent (`application/sql`). Answers the backup of what was there."""
    del resp
    if (req.content_type or "").partition(";")[0].strip() == "application/sql":
        return _backup(await door.databases.restore_upload(name, _sent(req)))
    wanted = await read_json(req, RestoreRequest)
    return _backup(await door.databases.restore(name, wanted.File))


async def _sent(req: falcon.asgi.Request) -> AsyncIterator[bytes]:
    """The body, of any size. Raises BadInput for one that breaks off."""
    if req.content_length is None:
        raise BadInput("a dump is sent with its Content-Length", next_step="Without it, a cut could not be seen.")
    received = 0
    async for chunk in req.stream:
        received += len(chunk)
        yield chunk
    if received != req.content_length:
        raise BadInput(f"the dump broke off after {received} of {req.content_length} bytes")


_DUMPED = object()


async def _dump(door: DatabaseDoor, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> Any:
    """Streams. A dump that fails on its way breaks the connection off: it never looks whole."""
    del req
    resp.content_type = "application/sql"
    resp.stream = door.databases.dump(name)
    return _DUMPED


class _Resource:
    """Handlers by method; each needs a management token."""

    def __init__(self, door: DatabaseDoor, **handlers: Handler) -> None:
        for method, handler in handlers.items():
            setattr(self, f"on_{method}", _responder(door, handler))


def _responder(door: DatabaseDoor, handler: Handler) -> Callable[..., Awaitable[None]]:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str = "") -> None:
        require_management(req, door.authenticator)
        answer = await handler(door, req, resp, name)
        if answer is not _DUMPED:
            send_json(req, resp, answer)

    return respond


def add_database_routes(app: App, databases: Databases, authenticator: Authenticator, cluster: Cluster) -> None:
    """Mounts everything on the public API."""
    door = DatabaseDoor(databases, authenticator, cluster)
    app.add_route("/v1/databases", _Resource(door, get=_list))
    app.add_route("/v1/database/{name}", _Resource(door, get=_read, put=_create, delete=_drop))
    for verb, handlers in {
        "rotate": {"put": _rotate},
        "dump": {"get": _dump},
        "backups": {"get": _backups},
        "backup": {"put": _back_up},
        "drill": {"put": _drill},
        "schedule": {"put": _schedule},
        "restore": {"put": _restore},
    }.items():
        app.add_route(f"/v1/database/{{name}}/{verb}", _Resource(door, **handlers))
