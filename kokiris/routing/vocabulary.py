"""Every Traefik tag there is, and what this version does about it. Data, and the search for what was meant."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from kokiris.routing.model import Severity

ACTED_ON = None
"""A tag whose value `tags` reads."""


@dataclass(frozen=True, slots=True)
class NotActedOn:
    """A tag that is known and does nothing here. An error keeps its router out of service."""

    severity: Severity
    fix: str


def _refused(fix: str) -> NotActedOn:
    return NotActedOn(Severity.ERROR, fix)


def _ignored(fix: str) -> NotActedOn:
    return NotActedOn(Severity.WARNING, fix)


_CERTIFICATES = _ignored("Remove it: the infra's own authority makes a certificate for every host name of a rule.")
_CHECKS = _ignored("Remove it and write a check block in the job's service: only passing instances get requests.")
_OBSERVABILITY = _ignored("Remove it.")
_STICKY = _refused("Remove it: sessions are not pinned to an instance yet; keep them in a shared store.")
_KIND = _refused("Remove it and use a loadBalancer service.")
_MIDDLEWARE = _refused(
    "Remove it: middlewares are not applied yet, and serving the route without them would be unsafe."
)
_NO_TCP = _refused("Remove it: only HTTP routers are served yet.")
_NO_UDP = _refused("Remove it: UDP is not served yet.")

_ROUTER = "http.routers.*."
_SERVICE = "http.services.*."
_BALANCER = _SERVICE + "loadbalancer."

TAGS: dict[str, NotActedOn | None] = {
    "enable": ACTED_ON,
    _ROUTER + "rule": ACTED_ON,
    _ROUTER + "rulesyntax": ACTED_ON,
    _ROUTER + "entrypoints": ACTED_ON,
    _ROUTER + "priority": ACTED_ON,
    _ROUTER + "service": ACTED_ON,
    _ROUTER + "tls": ACTED_ON,
    _ROUTER + "middlewares": _MIDDLEWARE,
    _ROUTER + "tls.certresolver": _CERTIFICATES,
    _ROUTER + "tls.options": _refused("Remove it: TLS 1.2 and 1.3 are offered, without other options."),
    _ROUTER + "tls.domains.main": _CERTIFICATES,
    _ROUTER + "tls.domains.sans": _CERTIFICATES,
    _ROUTER + "observability.accesslogs": _OBSERVABILITY,
    _ROUTER + "observability.metrics": _OBSERVABILITY,
    _ROUTER + "observability.tracing": _OBSERVABILITY,
    _ROUTER + "observability.traceverbosity": _OBSERVABILITY,
    _BALANCER + "server.port": ACTED_ON,
    _BALANCER + "server.scheme": ACTED_ON,
    _BALANCER + "server.weight": ACTED_ON,
    _BALANCER + "server.url": _refused("Remove it: requests go to the instances of the catalog."),
    _BALANCER + "server.preservepath": _ignored("Remove it."),
    _BALANCER + "passhostheader": ACTED_ON,
    _BALANCER + "strategy": ACTED_ON,
    _BALANCER + "serverstransport": _refused("Remove it: HTTPS instances are reached without checking their names."),
    _BALANCER + "responseforwarding.flushinterval": _ignored("Remove it: answers are passed on as they come."),
    _BALANCER + "sticky": _STICKY,
    **{
        f"{_BALANCER}sticky.cookie{part}": _STICKY
        for part in ("", ".name", ".secure", ".httponly", ".samesite", ".maxage", ".path", ".domain")
    },
    **{
        f"{_BALANCER}healthcheck.{part}": _CHECKS
        for part in (
            "path", "port", "scheme", "mode", "method", "status", "interval", "unhealthyinterval", "timeout",
            "hostname", "followredirects", "headers.*",
        )
    },
    _BALANCER + "passivehealthcheck.failurewindow": _CHECKS,
    _BALANCER + "passivehealthcheck.maxfailedattempts": _CHECKS,
    _SERVICE + "weighted.**": _KIND,
    _SERVICE + "mirroring.**": _KIND,
    _SERVICE + "failover.**": _KIND,
    _SERVICE + "highestrandomweight.**": _KIND,
    "http.middlewares.*.**": _ignored("Remove it: middlewares are not applied yet."),
    "tcp.routers.*.**": _NO_TCP,
    "tcp.services.*.**": _NO_TCP,
    "tcp.middlewares.*.**": _NO_TCP,
    "udp.routers.*.**": _NO_UDP,
    "udp.services.*.**": _NO_UDP,
    "tls.stores.**": _CERTIFICATES,
    "consulcatalog.connect": _ignored("Remove it: there is no service mesh; nodes of the infra are trusted."),
    "consulcatalog.canary": _ignored("Remove it: canaries are served with the others."),
    "nomad.canary": _ignored("Remove it: canaries are served with the others."),
    "docker.network": _ignored("Remove it: the address of the catalog is used."),
    "docker.lbswarm": _ignored("Remove it."),
}  # fmt: skip
"""After "traefik.", in lower case. `*` is one name of the user's, `**` any rest."""

_INDEX = re.compile(r"\[\d+\]")


def _pattern(known: str) -> re.Pattern[str]:
    parts = known.split(".")
    return re.compile(r"\.".join({"*": r"[^.]+", "**": r".+"}.get(part, re.escape(part)) for part in parts))


_PATTERNS = [(_pattern(known), known) for known in TAGS]


def known_tag(key: str) -> str | None:
    """The entry of TAGS that `key` (without "traefik.", lower case) falls under; None for an unknown tag."""
    plain = _INDEX.sub("", key)
    return next((known for pattern, known in _PATTERNS if pattern.fullmatch(plain)), None)


def did_you_mean(key: str) -> str | None:
    """The known tag nearest to `key`, with the user's own names in it; None when nothing is near."""
    parts = key.split(".")
    candidates = []
    for known in TAGS:
        spelled = known.removesuffix(".**").split(".")
        if "*" in spelled and len(parts) > spelled.index("*"):
            spelled[spelled.index("*")] = parts[spelled.index("*")]
        candidates.append(".".join(spelled))
    close = difflib.get_close_matches(key, candidates, n=1, cutoff=0.75)
    return close[0] if close else None
