"""The servers' side of certificates and tokens on the internal API (docs/architecture.md)."""

from __future__ import annotations

import asyncio

import falcon.asgi
import msgspec

from kokiris.access.authority import KeyPair, expires, issue, utc_now
from kokiris.http.app import read_json, send_json
from kokiris.http.tokens import Authenticator
from kokiris.infra.config import Layout
from kokiris.kernel.clock import rfc3339
from kokiris.kernel.errors import Unauthenticated, Unavailable


class CertificateRequest(msgspec.Struct, kw_only=True):
    """`CSR` in PEM; the certificate will carry exactly `Names`."""

    CSR: str
    Names: list[str]


class CertificateAnswer(msgspec.Struct, kw_only=True):
    """`Certificate` is PEM, leaf first, then the authority."""

    Certificate: str
    NotAfter: str


class Certificates:
    """`POST /internal/v1/certificates`. Reads the authority's key from disk each time: it stays out of memory dumps."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Signs. Raises BadInput for what cannot be signed, Unavailable on a node without the authority's key."""
        wanted = await read_json(req, CertificateRequest)
        pem = await asyncio.to_thread(self._issue, wanted)
        not_after_ns = int(expires(pem).timestamp()) * 1_000_000_000
        send_json(req, resp, CertificateAnswer(Certificate=pem.decode(), NotAfter=rfc3339(not_after_ns)))

    def _issue(self, wanted: CertificateRequest) -> bytes:
        try:
            authority = KeyPair((self._layout.tls / "ca.key").read_bytes(), (self._layout.tls / "ca.pem").read_bytes())
        except FileNotFoundError as error:
            raise Unavailable("this server does not hold the infra's certificate authority") from error
        return issue(authority, wanted.CSR.encode(), wanted.Names, utc_now())


class TokenQuestion(msgspec.Struct, kw_only=True):
    """A secret somebody presented to another door of the infra."""

    Secret: str


class TokenAnswer(msgspec.Struct, kw_only=True):
    """Whose it is."""

    AccessorID: str
    Name: str
    Kind: str
    Policies: list[str]


class TokenCheck:
    """`POST /internal/v1/token`: for doors that run in other processes, such as the routing panel."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Raises Unauthenticated for a secret that opens nothing."""
        question = await read_json(req, TokenQuestion)
        principal = self._authenticator.authenticate(question.Secret)
        if principal is None:
            raise Unauthenticated("ACL token not found")
        send_json(
            req,
            resp,
            TokenAnswer(
                AccessorID=principal.accessor_id,
                Name=principal.name,
                Kind=principal.kind,
                Policies=list(principal.policies),
            ),
        )
