"""`/token`: where `docker`, `podman`, `skopeo` and buildx get their access tokens."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import parse_qs

import falcon.asgi
import msgspec

from kokiris.http.app import JSON_TYPE, read_body
from kokiris.kernel.errors import KokirisError
from kokiris.registry.claims import TokenAnswer
from kokiris.registry.scopes import parse_scopes
from kokiris.registry.tokenserver import Identity, LoginRefused, TokenServer

FORM_LIMIT_BYTES = 64 * 1024
_SHOWS_WORDS_OF_401_ONLY = re.compile(r"(?:skopeo|libpod|buildah|cri-o|containers)/", re.IGNORECASE)
"""What the clients made of containers/image call themselves. Of a token endpoint's answer they read the body of a 401;
of any other they show the bare status."""


class TokenEndpoint:
    """GET with Basic (or without: anonymous), POST with a form as OAuth 2 has it."""

    def __init__(self, server: TokenServer) -> None:
        self._server = server

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Parameters: service, scope (repeated, or with spaces), offline_token, client_id; account is ignored."""
        query = parse_qs(req.query_string, keep_blank_values=True)
        try:
            identity = self._identity(req)
            self._check_service(_one(query, "service"))
            answer = await self._server.answer(
                identity,
                parse_scopes(query.get("scope", [])),
                offline=_one(query, "offline_token").lower() in {"true", "1"},
                client_id=_one(query, "client_id"),
            )
        except KokirisError as error:
            _refuse(req, resp, error)
            return
        answer.scope = None
        _send(resp, answer)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """`grant_type` refresh_token or password."""
        form = parse_qs((await read_body(req, FORM_LIMIT_BYTES)).decode(errors="replace"), keep_blank_values=True)
        kind = _one(form, "grant_type")
        try:
            if kind == "refresh_token":
                identity = self._server.by_refresh_token(_one(form, "refresh_token"))
            elif kind == "password":
                identity = self._server.by_password(_one(form, "username"), _one(form, "password"))
            else:
                resp.status = 400
                resp.content_type = JSON_TYPE
                resp.data = msgspec.json.encode({"error": "unsupported_grant_type"})
                return
            self._check_service(_one(form, "service"))
            offline = kind == "password" and _one(form, "access_type") == "offline"
            scopes = parse_scopes(form.get("scope", []))
            answer = await self._server.answer(identity, scopes, offline=offline, client_id=_one(form, "client_id"))
        except KokirisError as error:
            _refuse(req, resp, error)
            return
        if kind == "refresh_token":
            answer.refresh_token = _one(form, "refresh_token")
        _send(resp, answer)

    def _identity(self, req: falcon.asgi.Request) -> Identity:
        header = req.get_header("Authorization")
        if not header:
            return self._server.anonymous()
        name, secret = basic_credentials(header)
        return self._server.by_password(name, secret)

    def _check_service(self, service: str) -> None:
        if service and service != self._server.service:
            raise LoginRefused(f'unauthorized: tokens for service "{service[:200]}" are not issued here')


def basic_credentials(header: str) -> tuple[str, str]:
    """(name, secret) of an Authorization header. Raises LoginRefused when it is not well-formed Basic."""
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error):
        raise LoginRefused("unauthorized: the Authorization header is not Basic credentials") from None
    return name, secret


def _one(values: dict[str, list[str]], name: str) -> str:
    return values.get(name, [""])[0]


def _send(resp: falcon.asgi.Response, answer: TokenAnswer) -> None:
    resp.content_type = JSON_TYPE
    resp.set_header("Cache-Control", "no-store")
    resp.data = msgspec.json.encode(answer)


def _refuse(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: KokirisError) -> None:
    """In the registry's own form: `docker` prints `details`, others code and message."""
    resp.status = error.http_status
    if error.http_status == 403 and _SHOWS_WORDS_OF_401_ONLY.match(req.get_header("User-Agent") or ""):
        resp.status = 401
    resp.content_type = JSON_TYPE
    resp.set_header("Cache-Control", "no-store")
    if error.http_status == 401:
        resp.set_header("WWW-Authenticate", 'Basic realm="kokiris registry"')
    message = error.message.removeprefix("unauthorized: ")
    details = message
    if error.http_status == 403:
        message = details = f"{message}. {error.next_step}"
    resp.data = msgspec.json.encode({"errors": [{"code": error.code.upper(), "message": message}], "details": details})
