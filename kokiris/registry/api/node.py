"""What nodes ask on the rpc listener: a token to pull one image of the registry. No tenant ever sees it."""

from __future__ import annotations

from collections.abc import Callable

import falcon.asgi
import msgspec

from kokiris.http.app import read_json, send_json
from kokiris.registry.claims import NODE_TOKEN_LIFE_S
from kokiris.registry.images import parse_image
from kokiris.registry.service import RegistryService

SECRET_HEADER = "X-Node-Secret"  # noqa: S105 - the header's name, not a secret


class CredentialRequest(msgspec.Struct, kw_only=True):
    """Which image a node is about to pull."""

    NodeID: str
    Image: str


class CredentialAnswer(msgspec.Struct, kw_only=True):
    """`RegistryToken` "" for an image of another registry."""

    ServerAddress: str = ""
    RegistryToken: str = ""
    ExpiresInSeconds: int = 0


class NodeCredential:
    """`POST /internal/v1/registry/credential`. `check_secret` raises for a node that is not what it says."""

    def __init__(self, service: RegistryService, check_secret: Callable[[str, str], object]) -> None:
        self._service, self._check_secret = service, check_secret

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Raises Unavailable when the registry is not enabled, or another infra's does not answer."""
        wanted = await read_json(req, CredentialRequest)
        self._check_secret(wanted.NodeID, req.get_header(SECRET_HEADER) or "")
        image = parse_image(wanted.Image, self._service.server)
        answer = CredentialAnswer()
        if image is not None:
            token = await self._service.node_token(image.repository)
            answer = CredentialAnswer(
                ServerAddress=self._service.server, RegistryToken=token, ExpiresInSeconds=NODE_TOKEN_LIFE_S
            )
        send_json(req, resp, answer)
