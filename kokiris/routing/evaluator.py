"""The reference: which router a request matches, by the whole rule language, in order of priority. Pure.

HAProxy answers from compiled tables; tests compare those answers with these, and `explain` shows them to users.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote_to_bytes

from kokiris.routing.rules import And, Expression, Matcher, Not, Or

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
_ALLOWED = "!$&'()*+,-./:;=@_~%"
"""What a path may hold unquoted (RFC 3986), besides letters and digits."""


@dataclass(frozen=True, slots=True)
class Request:
    """As a client sends it. `host` is the Host header, `path` the path as written, without the query."""

    host: str
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    client_ip: str = "127.0.0.1"


class Prioritised(Protocol):
    """What can be put in order."""

    @property
    def name(self) -> str: ...
    @property
    def priority(self) -> int: ...


P = TypeVar("P", bound=Prioritised)


def by_priority(routers: Iterable[P]) -> list[P]:
    """Highest priority first, ties by name: the order in which routers are asked."""
    return sorted(routers, key=lambda router: (-router.priority, router.name))


def canonical_host(header: str) -> str:
    """Lower case, without port and closing dots."""
    return header.partition(":")[0].lower().rstrip(".")


def wildcard_of(host: str) -> str:
    """The one wildcard that matches a host: `a.b.c` → `*.b.c`. A name without a dot has none: ""."""
    _, dot, rest = host.partition(".")
    return f"*.{rest}" if dot else ""


def host_matches(pattern: str, host: str) -> bool:
    """Whether a canonical host fits the argument of `Host`."""
    return pattern in {"*", host} or (pattern.startswith("*.") and pattern == wildcard_of(host))


def routing_path(path: str) -> str:
    """The path rules are compared with: unreserved characters unquoted, `.`, `..` and `//` resolved."""
    decoded = _PERCENT.sub(_unquote_unreserved, path)
    if "//" not in decoded and "/." not in decoded:
        return decoded
    closing = "/" if decoded.endswith(("/", "/.", "/..")) else ""
    cleaned = normpath("/" + decoded.lstrip("/"))
    return cleaned if cleaned.endswith("/") else cleaned + closing


def _unquote_unreserved(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if code in _UNRESERVED else match[0].upper()


def path_key(path: str) -> str:
    """A rule's path as requests spell it: what may not stand in a URL is quoted."""
    return quote(path, safe=_ALLOWED)


def matches(expression: Expression, request: Request) -> bool:
    """Whether the rule accepts the request."""
    match expression:
        case Not(operand):
            return not matches(operand, request)
        case And(operands):
            return all(matches(operand, request) for operand in operands)
        case Or(operands):
            return any(matches(operand, request) for operand in operands)
        case Matcher(name, arguments):
            return _MATCHERS[name](arguments, request)


def _header_values(name: str, request: Request) -> tuple[str, ...]:
    return next((values for key, values in request.headers.items() if key.lower() == name.lower()), ())


def _query(arguments: tuple[str, ...], request: Request) -> bool:
    return (arguments[1] if len(arguments) > 1 else "") in request.query.get(arguments[0], ())


def _query_regexp(arguments: tuple[str, ...], request: Request) -> bool:
    if len(arguments) == 1:
        return _query(arguments, request)
    return any(re.search(arguments[1], value) for value in request.query.get(arguments[0], ()))


def _client_ip(arguments: tuple[str, ...], request: Request) -> bool:
    try:
        return ipaddress.ip_address(request.client_ip) in ipaddress.ip_network(arguments[0], strict=False)
    except ValueError:
        return False


_MATCHERS: dict[str, Callable[[tuple[str, ...], Request], bool]] = {
    "Host": lambda a, r: host_matches(a[0], canonical_host(r.host)),
    "HostRegexp": lambda a, r: re.search(a[0], canonical_host(r.host)) is not None,
    "Path": lambda a, r: routing_path(r.path) == path_key(a[0]),
    "PathPrefix": lambda a, r: routing_path(r.path).startswith(path_key(a[0])),
    "PathRegexp": lambda a, r: re.search(a[0], _readable(routing_path(r.path))) is not None,
    "Method": lambda a, r: r.method.upper() == a[0].upper(),
    "Header": lambda a, r: a[1] in _header_values(a[0], r),
    "HeaderRegexp": lambda a, r: any(re.search(a[1], value) for value in _header_values(a[0], r)),
    "Query": _query,
    "QueryRegexp": _query_regexp,
    "ClientIP": _client_ip,
}


def _readable(path: str) -> str:
    return unquote_to_bytes(path).decode("utf-8", "replace")
