"""`/api/v1/…` of the registry: for the infra's management token, wherever Nomad's and Consul's clients put it."""

from __future__ import annotations

import falcon.asgi
import msgspec

from kokiris.http.app import read_json, send_json
from kokiris.http.tokens import require_management
from kokiris.kernel.clock import parse_rfc3339_ns, rfc3339, wall_ns
from kokiris.kernel.errors import BadInput, Conflict
from kokiris.registry.cleanup import next_cleanup_ns
from kokiris.registry.model import Account, CleanUp, Grant, RetentionRule, Use
from kokiris.registry.scopes import parse_grant
from kokiris.registry.service import RegistryService


class AccountEntry(msgspec.Struct, kw_only=True):
    """An account without its secret."""

    Name: str
    Kind: str
    Grants: list[Grant]
    CreateTime: str
    ExpirationTime: str


class AccountRequest(msgspec.Struct, kw_only=True):
    """`Scopes` as `pattern:actions`; `ExpirationTime` in RFC 3339, empty for never."""

    Name: str
    Kind: str = "user"
    Scopes: list[str] = msgspec.field(default_factory=list)
    ExpirationTime: str = ""


class SecretAnswer(msgspec.Struct, kw_only=True):
    """Shown once."""

    Name: str
    Secret: str
    Server: str


class SharingInfra(msgspec.Struct, kw_only=True):
    """Another infra of the client that uses the registry."""

    Name: str
    ReportedAt: int
    """Unix ns; when it last said what it uses; 0: never."""
    Images: int


class SettingsAnswer(msgspec.Struct, kw_only=True):
    """Present settings, and how much is stored."""

    Server: str
    SizeBytes: int
    QuotaBytes: int
    Retention: list[RetentionRule]
    AnonymousPull: list[str]
    Schedule: str
    NextCleanUp: int
    """Unix ns; 0: none is to come."""
    LastCleanUp: CleanUp
    SharedWith: list[SharingInfra]


class ScheduleRequest(msgspec.Struct, kw_only=True):
    """`Schedule` as cron's five fields, UTC; "": no clean-up by itself."""

    Schedule: str


class QuotaRequest(msgspec.Struct, kw_only=True):
    """0: none."""

    QuotaBytes: int


class RetentionRequest(msgspec.Struct, kw_only=True):
    """`KeepLast` 0 removes the pattern's rule."""

    Repository: str
    KeepLast: int


class AnonymousRequest(msgspec.Struct, kw_only=True):
    """Patterns of repositories."""

    Repositories: list[str]


class RunRequest(msgspec.Struct, kw_only=True):
    """`GraceSeconds` None: the default."""

    DryRun: bool = False
    GraceSeconds: float | None = None


class _Guarded:
    def __init__(self, service: RegistryService) -> None:
        self._service = service

    def _check(self, req: falcon.asgi.Request) -> RegistryService:
        require_management(req, self._service.infra_tokens)
        if self._service.shared is not None:
            raise Conflict(
                f"the registry {self._service.server} is another infra's, which this one uses",
                next_step="Run it with the environment of the infra that holds it.",
            )
        return self._service


class Accounts(_Guarded):
    """`/api/v1/accounts`."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """All accounts."""
        send_json(req, resp, [_entry(one) for one in self._check(req).accounts.all()])

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Makes one; the answer holds its secret."""
        service = self._check(req)
        wanted = await read_json(req, AccountRequest)
        grants = [parse_grant(one) for one in wanted.Scopes]
        try:
            expires_ns = parse_rfc3339_ns(wanted.ExpirationTime)
        except ValueError as error:
            raise BadInput(f"ExpirationTime: {error}") from error
        secret = await service.writes.add(wanted.Name, wanted.Kind, grants, expires_ns)
        send_json(req, resp, SecretAnswer(Name=wanted.Name, Secret=secret, Server=service.server))


class OneAccount(_Guarded):
    """`/api/v1/account/<name>`."""

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Removes it."""
        await self._check(req).writes.remove(name)
        send_json(req, resp, {})

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """A new secret."""
        service = self._check(req)
        send_json(req, resp, SecretAnswer(Name=name, Secret=await service.writes.rotate(name), Server=service.server))


class Repositories(_Guarded):
    """`/api/v1/repositories`."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """With tags, digests, sizes, users."""
        send_json(req, resp, await self._check(req).repositories())


class Tag(_Guarded):
    """`/api/v1/tag?repository=…&tag=…&force=true`."""

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Deletes one."""
        repository, tag = req.get_param("repository", default=""), req.get_param("tag", default="")
        force = req.get_param("force", default="") == "true"
        await self._check(req).delete_tag(repository or "", tag or "", force=force)
        send_json(req, resp, {})


class Settings(_Guarded):
    """`/api/v1/settings`."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """As they are."""
        service = self._check(req)
        settings = service.accounts.settings
        answer = SettingsAnswer(
            Server=service.server,
            SizeBytes=await service.size_bytes(),
            QuotaBytes=settings.QuotaBytes,
            Retention=settings.Retention,
            AnonymousPull=settings.AnonymousPull,
            Schedule=settings.Schedule,
            NextCleanUp=next_cleanup_ns(
                settings, service.accounts.last_cleanup, enabled_at_ns=service.tokens.enabled_at_ns, now_ns=wall_ns()
            ),
            LastCleanUp=service.accounts.last_cleanup,
            SharedWith=_sharing(service),
        )
        send_json(req, resp, answer)


class Quota(_Guarded):
    """`/api/v1/quota`."""

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Sets it."""
        service = self._check(req)
        await service.set_quota((await read_json(req, QuotaRequest)).QuotaBytes)
        send_json(req, resp, {})


class Anonymous(_Guarded):
    """`/api/v1/anonymous`."""

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Sets the patterns."""
        service = self._check(req)
        await service.set_anonymous((await read_json(req, AnonymousRequest)).Repositories)
        send_json(req, resp, {})


class Retention(_Guarded):
    """`/api/v1/retention`."""

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Sets or removes a rule."""
        service = self._check(req)
        wanted = await read_json(req, RetentionRequest)
        await service.set_retention(wanted.Repository, wanted.KeepLast)
        send_json(req, resp, {})

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Runs the rules."""
        service = self._check(req)
        wanted = await read_json(req, RunRequest)
        send_json(req, resp, {"Deleted": await service.run_retention(dry_run=wanted.DryRun)})


class Schedule(_Guarded):
    """`/api/v1/schedule`."""

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Sets when the clean-up runs."""
        service = self._check(req)
        await service.set_schedule((await read_json(req, ScheduleRequest)).Schedule)
        send_json(req, resp, {})


class Garbage(_Guarded):
    """`/api/v1/gc`."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Collects, and answers when it is done."""
        service = self._check(req)
        wanted = await read_json(req, RunRequest)
        send_json(req, resp, await service.collect(dry_run=wanted.DryRun, grace_s=wanted.GraceSeconds))


def _sharing(service: RegistryService) -> list[SharingInfra]:
    names = [one.Name for one in service.accounts.all() if one.Kind == "infra"]
    uses = {name: service.accounts.uses.get(name, Use()) for name in names}
    return [SharingInfra(Name=name, ReportedAt=use.At, Images=len(use.Images)) for name, use in uses.items()]


def _entry(account: Account) -> AccountEntry:
    return AccountEntry(
        Name=account.Name,
        Kind=account.Kind,
        Grants=account.Grants,
        CreateTime=rfc3339(account.CreateTime),
        ExpirationTime=rfc3339(account.ExpirationTime) if account.ExpirationTime else "",
    )
