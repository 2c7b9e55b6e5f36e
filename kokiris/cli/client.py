"""The command line's HTTP client: the public API and nothing else, with the environment Nomad's clients read."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec

from kokiris.kernel.errors import BadInput, KokirisError, NotFound, Unauthenticated, Unavailable

TIMEOUT_S = 30.0
BLOCKING_TIMEOUT_S = 330.0


class ApiError(KokirisError):
    """An answer other than 200, in the form Nomad's command line prints it."""

    code = "api"

    def __init__(self, status: int, body: str, next_step: str | None = None) -> None:
        super().__init__(
            f"Unexpected response code: {status} ({body.strip()})", next_step=next_step or step_after(status)
        )
        self.status = status
        self.body = body.strip()


_ENVIRONMENT = 'Run `eval "$(kokiris env)"` on the node.'


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is a number that a port can have; none is one too."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _step_without_answer(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "NOMAD_CACERT must name the authority of this infra, `tls/ca.pem` in its data folder. " + _ENVIRONMENT
    return "Check NOMAD_ADDR, and `kokiris status` on the node."


def step_after(status: int) -> str:
    """What whoever holds a token can do after an answer that gave no step of its own. Pure."""
    if status == 429:
        return "Wait a moment and try again."
    if status < 500:
        return "Correct what is named above and try again."
    return "Try again; if it stays so, whoever runs the infra sees with `kokiris status` on its node what is not well."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API is and how to get in. The token is a secret: it is never printed."""

    address: str
    token: str = ""
    ca_file: str = ""
    namespace: str = ""
    region: str = ""

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> Endpoint:
        """`NOMAD_ADDR`, `NOMAD_TOKEN`, `NOMAD_CACERT`, `NOMAD_NAMESPACE`, `NOMAD_REGION`."""
        address = environment.get("NOMAD_ADDR", "")
        if not address:
            raise BadInput(
                "NOMAD_ADDR is not set",
                next_step='Run `eval "$(kokiris env)"` on the node, or export NOMAD_ADDR and NOMAD_TOKEN.',
            )
        return Endpoint(
            address,
            environment.get("NOMAD_TOKEN", ""),
            environment.get("NOMAD_CACERT", ""),
            environment.get("NOMAD_NAMESPACE", ""),
            environment.get("NOMAD_REGION", ""),
        )

    def tls_context(self) -> ssl.SSLContext:
        """Checks the server against the infra's own authority, or the system's when no file is given.

        Raises BadInput for a file that cannot be used.
        """
        if self.ca_file and not Path(self.ca_file).exists():
            raise BadInput(f"NOMAD_CACERT {self.ca_file} does not exist", next_step=_ENVIRONMENT)
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            why = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate (PEM)"
            raise BadInput(f"NOMAD_CACERT {self.ca_file} cannot be used: {why}", next_step=_ENVIRONMENT) from error
        if os.environ.get("NOMAD_SKIP_VERIFY", "").lower() in {"1", "true"}:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded body and the index it stands for."""

    data: Any
    index: int


def connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    """A TCP connection; names under .localhost are this machine, as in browsers and curl (RFC 6761)."""
    parts = urlsplit(endpoint.address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        return socket.create_connection((host, port), timeout_s)
    except OSError:
        if host != "localhost" and not host.endswith(".localhost"):
            raise
        return socket.create_connection(("127.0.0.1", port), timeout_s)


class Client:
    """One connection, kept between requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._parts = urlsplit(endpoint.address)
        if self._parts.scheme not in {"http", "https"} or not self._parts.hostname or not _has_port(self._parts):
            raise BadInput(
                f'NOMAD_ADDR "{endpoint.address}" is not an http or https address',
                next_step='Run `eval "$(kokiris env)"` on the node, or write https://HOST or https://HOST:PORT.',
            )
        if any(character < " " for character in endpoint.token):  # the value itself stays out of every message
            raise BadInput("NOMAD_TOKEN has a line break or another control character", next_step=_ENVIRONMENT)
        self._connection: http.client.HTTPConnection | None = None

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        connection = http.client.HTTPConnection(host, self._parts.port or 443, timeout=timeout_s)
        raw = connect(self.endpoint, timeout_s)
        if self._parts.scheme == "https":
            raw = self.endpoint.tls_context().wrap_socket(raw, server_hostname=host)
        connection.sock = raw
        return connection

    def _send(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: Any, timeout_s: float
    ) -> http.client.HTTPResponse:
        query = {name: str(one) for name, one in (params or {}).items() if one not in ("", None)}
        if self.endpoint.namespace and "namespace" not in query:
            query["namespace"] = self.endpoint.namespace
        if self.endpoint.region:
            query["region"] = self.endpoint.region
        target = path + ("?" + urlencode(query) if query else "")
        payload = None if body is None else msgspec.json.encode(body)
        headers = {"Host": self._parts.netloc, "Accept": "application/json"}
        if self.endpoint.token:
            headers["X-Nomad-Token"] = self.endpoint.token
        for fresh in (self._connection is None, True):
            try:
                if fresh or self._connection is None:
                    self._connection = self._connect(timeout_s)
                if self._connection.sock is not None:
                    self._connection.sock.settimeout(timeout_s)
                self._connection.request(method, target, body=payload, headers=headers)
                return self._connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh:
                    raise Unavailable(
                        f"{self.endpoint.address} does not answer: {error}", next_step=_step_without_answer(error)
                    ) from error
        raise AssertionError("unreachable")

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """The decoded answer. Raises ApiError (or Unauthenticated, NotFound) for anything but 200."""
        answer = self._send(method, path, params, body, timeout_s)
        raw = answer.read()
        if answer.status not in {200, 204}:
            raise self._error(answer, raw)
        index = int(answer.getheader("X-Nomad-Index") or "0")
        return Answer(msgspec.json.decode(raw) if raw.strip() else None, index)

    def get(self, path: str, params: Mapping[str, Any] | None = None, **settings: Any) -> Answer:
        """GET."""
        return self.request("GET", path, params, **settings)

    def put(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Answer:
        """PUT, as the Go client writes."""
        return self.request("PUT", path, params, {} if body is None else body)

    def upload(self, path: str, file: IO[bytes], content_type: str, *, timeout_s: float = TIMEOUT_S) -> Answer:
        """PUT of a file's bytes from where it stands; its length is told, so that a cut is seen."""
        at = file.tell()
        size_bytes = file.seek(0, os.SEEK_END) - at
        file.seek(at)
        headers = {
            "Host": self._parts.netloc,
            "Content-Type": content_type,
            "Content-Length": str(size_bytes),
            "X-Nomad-Token": self.endpoint.token,
        }
        self.close()
        try:
            connection = self._connection = self._connect(timeout_s)
            connection.request("PUT", path, body=file, headers=headers)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unavailable(f"{self.endpoint.address} broke the upload off: {error}") from error
        if answer.status != 200:
            raise self._error(answer, raw)
        return Answer(msgspec.json.decode(raw) if raw.strip() else None, 0)

    def stream(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """The chunks of an endless or long answer, as they come."""
        answer = self._send("GET", path, params, None, BLOCKING_TIMEOUT_S)
        if answer.status != 200:
            raise self._error(answer, answer.read())
        try:
            while chunk := answer.read1(65536):
                yield chunk
        finally:
            self.close()

    def _error(self, answer: http.client.HTTPResponse, raw: bytes) -> KokirisError:
        body, step = _parted(raw.decode(errors="replace"), answer.getheader("X-Kokiris-Next-Step"))
        if answer.status == 403:
            return Unauthenticated(f"Unexpected response code: 403 ({body})", next_step=step)
        if answer.status == 404:
            return NotFound(f"Unexpected response code: 404 ({body})", next_step=step)
        return ApiError(answer.status, body, step)

    def close(self) -> None:
        """Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parted(body: str, step: str | None) -> tuple[str, str | None]:
    """(what went wrong, the next step) of an answer that holds both; its header has the step in ASCII only. Pure."""
    lines = [line for line in body.splitlines() if line.strip()]
    if step and len(lines) > 1 and lines[-1].encode("ascii", "replace").decode() == step:
        step = lines.pop()
    return "\n".join(lines), step


def segment(identifier: str) -> str:
    """An id as one path segment (job ids may hold slashes)."""
    return quote(identifier, safe="")
