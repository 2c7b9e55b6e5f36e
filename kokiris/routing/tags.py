"""Tags of one service → the routers and services they ask for, and what is wrong with them. Pure.

As Traefik's consulcatalog provider reads them: keys without regard to case, `traefik.enable=true` needed, a service and
a router by default, a router without `service` joined to the only one. What is known but not acted on is named as a
problem of the router it belongs to; nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from kokiris.kernel.errors import BadInput
from kokiris.routing.model import ENTRY_POINTS, Problem, error, warning
from kokiris.routing.rules import Expression, not_acted_on, parse
from kokiris.routing.vocabulary import TAGS, did_you_mean, known_tag

PREFIX = "traefik."
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})
MAX_PRIORITY = 2**63 - 1 - 1000
SCHEMES = ("http", "https", "h2c")
MAX_WEIGHT = 256


@dataclass(slots=True)
class RouterTags:
    """A router as its tags ask for it. `service` "" is the only one there is; `entry_points` None: no tag."""

    name: str
    rule: str = ""
    expression: Expression | None = None
    priority: int = 0
    entry_points: tuple[str, ...] = ()
    service: str = ""
    tls: bool = False
    middlewares: tuple[str, ...] = ()
    protocol: str = "http"
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class ServiceTags:
    """A service as its tags ask for it. `port` 0: that of the instance."""

    name: str
    port: int = 0
    scheme: str = "http"
    weight: int = 1
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TagSet:
    """What one set of tags asks for. `problems` belong to no router in particular."""

    enabled: bool
    routers: tuple[RouterTags, ...] = ()
    services: tuple[ServiceTags, ...] = ()
    problems: tuple[Problem, ...] = ()


def normalize(name: str) -> str:
    """Every run of anything but letters and digits becomes one hyphen, as Traefik names things."""
    return re.sub(r"[^\w]+|_+", "-", name).strip("-")


@lru_cache(maxsize=20_000)
def read_tags(tags: tuple[str, ...], service: str, default_domain: str) -> TagSet:
    """What `tags` of the catalog's service `service` ask for. Never raises: what is wrong is in `problems`.

    Without a `rule`, the default is ``Host(`<service>.<default_domain>`)``.
    """
    reader = _Reader(service, default_domain)
    for tag in tags:
        reader.add(tag)
    return reader.finish()


class _Reader:
    """Collects tags one by one, then fills in what is left to defaults."""

    def __init__(self, service: str, default_domain: str) -> None:
        self._source = service
        self._domain = default_domain
        self._enabled: bool | None = None
        self._routers: dict[str, RouterTags] = {}
        self._services: dict[str, ServiceTags] = {}
        self._problems: list[Problem] = []
        self._seen: dict[str, str] = {}
        self._others = False

    def add(self, tag: str) -> None:
        if tag[: len(PREFIX)].lower() != PREFIX:
            return
        written, equals, value = tag.partition("=")
        key = written.strip()[len(PREFIX) :]
        lower = key.lower()
        if not equals:
            self._problems.append(warning(tag, 'has no "=" and is ignored', f"Write {written}=value."))
            return
        if self._seen.setdefault(lower, value) != value:
            self._problems.append(
                warning(written, "is given twice with different values; the first counts", "Keep one.")
            )
            return
        known = known_tag(lower)
        if known is None:
            self._unknown(written, key)
            return
        self._known(known, written, key, value.strip())

    def _unknown(self, written: str, key: str) -> None:
        near = did_you_mean(key.lower())
        fix = f"Did you mean {PREFIX}{near}?" if near else "Remove it; docs/compatibility.md lists the tags there are."
        place = self._place(key)
        # A misspelt option of a router could be the one that protects it: such a router is not served.
        report = warning if place is self._problems else error
        place.append(report(written, "is not a tag of Traefik", fix))

    def _place(self, key: str) -> list[Problem]:
        """The problems of the router or service that `key` names, else those of the whole set."""
        parts = key.split(".")
        if len(parts) >= 3 and parts[0].lower() in {"http", "tcp", "udp"}:
            if parts[1].lower() == "routers":
                return self._router(parts[2], parts[0].lower()).problems
            if parts[1].lower() == "services" and parts[0].lower() == "http":
                return self._service(parts[2]).problems
        return self._problems

    def _router(self, name: str, protocol: str = "http") -> RouterTags:
        return self._routers.setdefault(f"{protocol}.{name.lower()}", RouterTags(name, protocol=protocol))

    def _service(self, name: str) -> ServiceTags:
        return self._services.setdefault(name.lower(), ServiceTags(name))

    def _known(self, known: str, written: str, key: str, value: str) -> None:
        verdict = TAGS[known]
        if key.lower().startswith(("tcp.", "udp.")):
            self._others = True
        if verdict is not None:
            self._place(key).append(Problem(verdict.severity, written, "is not acted on by this version", verdict.fix))
            if known.endswith(".middlewares"):
                router = self._router(key.split(".")[2])
                router.middlewares = tuple(part.strip() for part in value.split(",") if part.strip())
        elif known == "enable":
            self._enabled = self._boolean(written, value, self._problems)
        elif known.startswith("http.routers."):
            self._router_tag(self._router(key.split(".")[2]), known.rpartition("*.")[2], written, value)
        else:
            self._service_tag(self._service(key.split(".")[2]), known.rpartition("*.loadbalancer.")[2], written, value)

    def _router_tag(self, router: RouterTags, option: str, written: str, value: str) -> None:
        match option:
            case "rule":
                router.rule = value
                _parse_rule(router, written)
            case "rulesyntax":
                if value.lower() != "v3":
                    router.problems.append(
                        error(
                            written,
                            f'rule syntax "{value[:40]}" is not served',
                            "Write the rule in version 3 and remove it.",
                        )
                    )
            case "entrypoints":
                router.entry_points = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
                for name in router.entry_points:
                    if name not in ENTRY_POINTS:
                        router.problems.append(
                            error(
                                written,
                                f'there is no entry point "{name[:60]}"',
                                f"There are {' and '.join(ENTRY_POINTS)}.",
                            )
                        )
            case "priority":
                router.priority = _number(written, value, -MAX_PRIORITY, MAX_PRIORITY, router.problems) or 0
            case "service":
                router.service = value
            case "tls":
                router.tls = self._boolean(written, value, router.problems) or False

    def _service_tag(self, service: ServiceTags, option: str, written: str, value: str) -> None:
        match option:
            case "server.port":
                service.port = _number(written, value, 1, 65535, service.problems) or 0
            case "server.weight":
                service.weight = _number(written, value, 0, MAX_WEIGHT, service.problems) or 0
            case "server.scheme":
                service.scheme = value.lower()
                if service.scheme not in SCHEMES:
                    service.problems.append(
                        error(written, f'scheme "{value[:40]}" is unknown', f"Write one of {', '.join(SCHEMES)}.")
                    )
            case "passhostheader":
                if self._boolean(written, value, service.problems) is False:
                    service.problems.append(
                        error(written, "instances always get the client's Host header", "Remove it.")
                    )
            case "strategy":
                if value.lower() != "wrr":
                    service.problems.append(
                        warning(
                            written, f'strategy "{value[:40]}" is not offered; instances take turns (wrr)', "Remove it."
                        )
                    )

    @staticmethod
    def _boolean(written: str, value: str, problems: list[Problem]) -> bool | None:
        if value.lower() in _TRUE:
            return True
        if value.lower() not in _FALSE:
            problems.append(error(written, f'"{value[:40]}" is not true or false', "Write true or false."))
        return False if value.lower() in _FALSE else None

    def finish(self) -> TagSet:
        if not self._enabled:
            if self._enabled is None and self._seen and "enable" not in self._seen:
                self._problems.append(
                    warning(
                        "traefik.enable",
                        "is missing, so that no tag of this service is acted on",
                        "Add traefik.enable=true.",
                    )
                )
            return TagSet(enabled=False, problems=tuple(self._problems))
        http = [router for router in self._routers.values() if router.protocol == "http"]
        if not self._services and not (self._others and not http):
            self._service(normalize(self._source))
        if not http and not self._others:
            self._router(normalize(self._source))
        for router in self._routers.values():
            if router.protocol == "http":
                self._complete(router)
        return TagSet(
            enabled=True,
            routers=tuple(self._routers.values()),
            services=tuple(self._services.values()),
            problems=tuple(self._problems),
        )

    def _complete(self, router: RouterTags) -> None:
        prefix = f"{PREFIX}http.routers.{router.name}"
        if not router.rule and f"http.routers.{router.name.lower()}.rule" not in self._seen:
            router.rule = f"Host(`{normalize(self._source).lower()}.{self._domain}`)"
            _parse_rule(router, f"{prefix}.rule")
        elif not router.rule:
            router.problems.append(error(f"{prefix}.rule", "is empty", "Write for example Host(`www.example.org`)."))
        if not router.priority:
            router.priority = len(router.rule.encode())
        if router.tls and router.entry_points == ("web",):
            router.problems.append(
                warning(
                    f"{prefix}.tls", "web is served in clear", f"Remove it, or add websecure to {prefix}.entrypoints."
                )
            )
        if not router.service:
            if len(self._services) == 1:
                router.service = next(iter(self._services.values())).name
            else:
                names = ", ".join(sorted(service.name for service in self._services.values()))
                router.problems.append(
                    error(f"{prefix}.service", f"is needed: there are several services ({names})", "Name one of them.")
                )


def _parse_rule(router: RouterTags, written: str) -> None:
    try:
        expression = parse(router.rule)
    except BadInput as problem:
        router.problems.append(error(written, problem.message, problem.next_step))
        return
    missing = not_acted_on(expression)
    if missing:
        router.problems.append(
            error(
                written,
                f"{', '.join(missing)} in a rule is not acted on by this version",
                "Use Host, Path and PathPrefix.",
            )
        )
        return
    router.expression = expression


def _number(written: str, value: str, least: int, most: int, problems: list[Problem]) -> int | None:
    try:
        number = int(value)
    except ValueError:
        problems.append(error(written, f'"{value[:40]}" is not a number', "Write a whole number."))
        return None
    if not least <= number <= most:
        problems.append(error(written, f"{number} is out of range", f"Write a number from {least} to {most}."))
        return None
    return number


def any_routing(tags: Iterable[str]) -> bool:
    """Whether a service is worth watching: some tag is Traefik's."""
    return any(tag[: len(PREFIX)].lower() == PREFIX for tag in tags)
