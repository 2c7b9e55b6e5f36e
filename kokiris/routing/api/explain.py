"""Which router answers a URL, and why the others do not. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from kokiris.kernel.errors import BadInput
from kokiris.routing.configuration import Configuration
from kokiris.routing.evaluator import Request, by_priority, canonical_host, matches, routing_path
from kokiris.routing.model import Router
from kokiris.routing.plan import on_websecure
from kokiris.routing.rules import hosts

NEAREST = 20
"""Routers shown: those that match, and those that name the host."""


def explain(url: str, configuration: Configuration) -> dict[str, Any]:
    """The answer to a GET of `url`, and the routers considered, in the order they are asked. Raises BadInput."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError as error:
        raise BadInput(f'"{url[:100]}" is not a URL: {error}') from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(f'"{url[:100]}" is not a URL', next_step="Write for example https://www.example.org/path.")
    secure = parts.scheme == "https"
    request = Request(
        host=parts.hostname,
        path=parts.path or "/",
        query={key: tuple(values) for key, values in parse_qs(parts.query, keep_blank_values=True).items()},
    )
    considered = []
    winner: Router | None = None
    for router in by_priority(configuration.serving.values()):
        if router.expression is None or not _listens(router, secure):
            continue
        matching = matches(router.expression, request)
        if matching and winner is None:
            winner = router
        if matching or canonical_host(request.host) in hosts(router.expression):
            considered.append({**_short(router), "matches": matching, "wins": router is winner})
    answer = _answer(winner, configuration, secure)
    return {
        "url": url,
        "entryPoint": "websecure" if secure else "web",
        "host": canonical_host(request.host),
        "path": routing_path(request.path),
        "router": _short(winner) if winner else None,
        "service": winner.service if winner else None,
        **answer,
        "considered": considered[:NEAREST],
        "elsewhere": _elsewhere(request, configuration, secure) if winner is None else [],
    }


def _listens(router: Router, secure: bool) -> bool:
    return on_websecure(router) if secure else not router.entry_points or "web" in router.entry_points


def _short(router: Router) -> dict[str, Any]:
    return {"name": router.name, "rule": router.rule, "priority": router.priority}


def _answer(winner: Router | None, configuration: Configuration, secure: bool) -> dict[str, Any]:
    if winner is None:
        return {"status": 404, "why": "no router that is in service matches this host and path"}
    if not secure and "web" not in winner.entry_points:
        return {"status": 308, "why": "the router names no entry point: http is sent to https"}
    service = configuration.services[winner.service]
    if not service.backend and not service.servers:
        return {"status": 503, "why": f"service {service.name} has no healthy instance ({len(service.down)} are not)"}
    if service.backend:
        return {"status": 200, "why": "an address of the platform"}
    return {"status": 200, "why": f"one of {len(service.servers)} healthy instances answers"}


def _elsewhere(request: Request, configuration: Configuration, secure: bool) -> list[str]:
    """Hints: routers that would match, were they in service or on this entry point."""
    hints = []
    for router in by_priority(configuration.routers.values()):
        if router.expression is None or not matches(router.expression, request):
            continue
        if router.refused and router.name not in configuration.serving:
            hints.append(f"{router.name} would match, but is refused: {router.problems[0]}")
        elif not _listens(router, secure):
            hints.append(f"{router.name} matches on {' and '.join(router.entry_points)} only")
    return hints[:NEAREST]
