"""`/api/v1/use`: another infra of the client says which images its jobs use. For its account (Basic)."""

from __future__ import annotations

import falcon.asgi

from kokiris.http.app import read_json, send_json
from kokiris.registry.api.token import basic_credentials
from kokiris.registry.service import RegistryService
from kokiris.registry.shared import UseReport
from kokiris.registry.tokenserver import LoginRefused


class Uses:
    """Each report takes the place of the one before."""

    def __init__(self, service: RegistryService) -> None:
        self._service = service

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Returns once it is durable. Raises LoginRefused, Forbidden."""
        name, secret = basic_credentials(req.get_header("Authorization") or "")
        account = self._service.accounts.authenticate(name, secret)
        if account is None:
            raise LoginRefused("unauthorized: incorrect account or secret of an infra")
        await self._service.note_use(account, (await read_json(req, UseReport)).Images)
        send_json(req, resp, {})
