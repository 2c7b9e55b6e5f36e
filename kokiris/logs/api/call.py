"""One request of the Elasticsearch API, and the form of its answers and errors."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

import falcon.asgi
import msgspec

from kokiris.http.app import read_body
from kokiris.http.tokens import Principal, secret_of
from kokiris.kernel.errors import BadInput, KokirisError, TooLarge
from kokiris.logs.query.tree import QueryError

BODY_LIMIT_BYTES = 64 * 1024 * 1024
_COMPATIBLE = re.compile(r"application/vnd\.elasticsearch\+(?:json|x-ndjson)\s*;\s*compatible-with=(\d+)")


class TokenCheck(Protocol):
    """Knows whose a secret is; None when it opens nothing. Raises Unavailable when that cannot be found out."""

    async def check(self, secret: str) -> Principal | None: ...


class EsError(KokirisError):
    """An error with Elasticsearch's own name for it (`type`)."""

    def __init__(self, status: int, kind: str, reason: str, *, next_step: str | None = None) -> None:
        super().__init__(reason, next_step=next_step)
        self.http_status = status
        self.kind = kind


@dataclass(slots=True)
class Call:
    """`parts`: what the route's pattern holds (index, id, name). `body` is decompressed."""

    method: str
    path: str
    parts: dict[str, str]
    params: dict[str, str]
    body: bytes
    principal: Principal

    def json(self) -> Any:
        """The body, {} when empty. Raises EsError."""
        if not self.body.strip():
            return {}
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EsError(400, "parsing_exception", f"the body is not JSON: {error}") from None

    def flag(self, name: str) -> bool:
        """`?name` or `?name=true`."""
        return self.params.get(name, "false").lower() not in {"false", "0", "no"}


@dataclass(frozen=True, slots=True)
class Reply:
    """`body`: encoded as compact JSON, or text as it is."""

    body: Any
    status: int = 200


async def body_of(req: falcon.asgi.Request) -> bytes:
    """The request's body, decompressed. Raises TooLarge, BadInput."""
    body = await read_body(req, BODY_LIMIT_BYTES)
    encoding = (req.get_header("Content-Encoding") or "identity").strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise BadInput(f"content encoding [{encoding}] is not supported", next_step="Send gzip, or none.")
    inflater = zlib.decompressobj(47)
    try:
        inflated = inflater.decompress(body, BODY_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise BadInput(f"the body is not {encoding}: {error}") from None
    if len(inflated) > BODY_LIMIT_BYTES:
        raise TooLarge(f"the decompressed body is over the limit of {BODY_LIMIT_BYTES} bytes")
    if not inflater.eof:
        raise BadInput(f"the body ends before its {encoding} stream does")
    return inflated


def secret_in(req: falcon.asgi.Request) -> str:
    """The token: `ApiKey base64(id:token)`, `Basic base64(anything:token)`, `Bearer`, `X-Nomad-Token`; "" if none."""
    scheme, _, rest = (req.get_header("Authorization") or "").partition(" ")
    if scheme.lower() not in {"apikey", "basic"}:
        return secret_of(req)
    try:
        decoded = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return rest.strip()
    _, colon, secret = decoded.partition(":")
    return secret if colon else rest.strip()


def params_of(req: falcon.asgi.Request) -> dict[str, str]:
    """The query parameters; a bare `?name` is "true"."""
    found = parse_qs(req.query_string, keep_blank_values=True)
    return {name: values[-1] or "true" for name, values in found.items()}


def write_reply(req: falcon.asgi.Request, resp: falcon.asgi.Response, reply: Reply) -> None:
    """Compact JSON; indented on `?pretty`, trimmed by `?filter_path`; in the client's own media type."""
    params = params_of(req)
    resp.status = reply.status
    resp.set_header("X-Elastic-Product", "Elasticsearch")
    if isinstance(reply.body, str):
        resp.content_type, resp.text = "text/plain; charset=UTF-8", reply.body
        return
    body = reply.body
    if "filter_path" in params:
        body = filtered(body, [one.split(".") for one in params["filter_path"].split(",")])
    encoded = msgspec.json.encode({} if body is None else body)
    if params.get("pretty", "false") != "false":
        encoded = msgspec.json.format(encoded, indent=2) + b"\n"
    compatible = _COMPATIBLE.search(f"{req.get_header('Accept') or ''} {req.get_header('Content-Type') or ''}")
    resp.content_type = (
        f"application/vnd.elasticsearch+json;compatible-with={compatible[1]}" if compatible else "application/json"
    )
    resp.data = encoded


def filtered(body: Any, paths: list[list[str]]) -> Any:
    """The parts of `body` named by `filter_path`; lists are looked through. None: nothing left."""
    if any(not path for path in paths):
        return body
    if isinstance(body, list):
        found = [one for one in (filtered(inner, paths) for inner in body) if one is not None]
        return found or None
    if isinstance(body, msgspec.Raw):
        return filtered(msgspec.json.decode(body), paths)
    if not isinstance(body, dict):
        return None
    kept: dict[str, Any] = {}
    for name, inner in body.items():
        below = [path[1:] for path in paths if re.fullmatch(path[0].replace("*", ".*"), name)]
        below += [path for path in paths if path[0] == "**"]
        if below and (one := filtered(inner, below)) is not None:
            kept[name] = one
    return kept or None


def error_body(error: KokirisError) -> dict[str, Any]:
    """Elasticsearch's form of an error. A query's has the position of the fault."""
    kind = error.kind if isinstance(error, EsError) else _KINDS.get(error.http_status, "exception")
    cause: dict[str, Any] = {"type": kind, "reason": error.message}
    if isinstance(error, QueryError):
        cause = {"type": "parsing_exception", "reason": error.message}
        if error.position:
            cause |= {"line": 1, "col": error.position}
    if error.next_step != type(error).default_next_step:
        cause["next_step"] = error.next_step
    return {"error": {"root_cause": [cause], **cause}, "status": error.http_status}


_KINDS = {
    400: "illegal_argument_exception",
    401: "security_exception",
    403: "security_exception",
    404: "resource_not_found_exception",
    413: "content_too_long_exception",
    429: "es_rejected_execution_exception",
    503: "unavailable_exception",
}


def write_error(resp: falcon.asgi.Response, error: KokirisError) -> None:
    """Falcon's error writer of this API."""
    resp.status = error.http_status
    resp.set_header("X-Elastic-Product", "Elasticsearch")
    if error.http_status == 401:
        resp.set_header("WWW-Authenticate", 'Basic realm="security" charset="UTF-8"')
    resp.content_type = "application/json"
    resp.data = msgspec.json.encode(error_body(error))
