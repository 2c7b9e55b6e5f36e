"""`/api/v1/use`: which images are used by which jobs. Another infra of the client says its own (its account, Basic)."""

from __future__ import annotations

import falcon.asgi

from kokiris.http.app import read_json, send_json
from kokiris.http.tokens import require_management
from kokiris.registry.api.token import basic_credentials
from kokiris.registry.service import RegistryService
from kokiris.registry.shared import UseReport, use_report
from kokiris.registry.tokenserver import LoginRefused


class Uses:
    """Each report takes the place of the infra's one before."""

    def __init__(self, service: RegistryService) -> None:
        self._service = service

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Of all infras, for the management token; jobs of other infras as "infra: namespace/job"."""
        require_management(req, self._service.infra_tokens)
        send_json(req, resp, use_report(self._service.users()))

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Returns once it is durable. Raises LoginRefused, Forbidden."""
        name, secret = basic_credentials(req.get_header("Authorization") or "")
        account = self._service.accounts.authenticate(name, secret)
        if account is None:
            raise LoginRefused("unauthorized: incorrect account or secret of an infra")
        await self._service.note_use(account, (await read_json(req, UseReport)).Images)
        send_json(req, resp, {})
