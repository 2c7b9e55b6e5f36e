"""What a client wants checked, as it sends it and as it is kept with the check. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.discovery.model import CRITICAL, PASSING, WARNING, CheckState
from kokiris.kernel.errors import BadInput, NotSupported
from kokiris.kernel.units import SECOND_NS, format_duration, parse_duration_ns

INTERVAL_MIN_NS = SECOND_NS
DEFAULT_TIMEOUT_NS = 10 * SECOND_NS
STATUSES = frozenset({PASSING, WARNING, CRITICAL})

Duration = str | int | float
"""A duration's text, or nanoseconds."""


class CheckBody(msgspec.Struct, kw_only=True):
    """A check as /v1/agent/check/register and service definitions take it."""

    ID: str = ""
    CheckID: str = ""
    Name: str = ""
    Notes: str = ""
    ServiceID: str = ""
    Status: str = ""
    TTL: Duration = ""
    HTTP: str = ""
    Method: str = ""
    Header: dict[str, list[str]] = msgspec.field(default_factory=dict)
    Body: str = ""
    TLSSkipVerify: bool = False
    DisableRedirects: bool = False
    TCP: str = ""
    Interval: Duration = ""
    Timeout: Duration = ""
    DeregisterCriticalServiceAfter: Duration = ""
    SuccessBeforePassing: int = 0
    FailuresBeforeCritical: int = 0
    FailuresBeforeWarning: int = 0
    UDP: str = ""
    GRPC: str = ""
    H2PING: str = ""
    OSService: str = ""
    Args: list[str] = msgspec.field(default_factory=list)
    ScriptArgs: list[str] = msgspec.field(default_factory=list)
    Script: str = ""
    DockerContainerID: str = ""
    AliasNode: str = ""
    AliasService: str = ""


class Definition(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is run for a check. Kept as `CheckState.Definition`, durations in Go's form."""

    TTL: str = ""
    HTTP: str = ""
    Method: str = ""
    Header: str = ""
    """JSON of name → values."""
    Body: str = ""
    TLSSkipVerify: str = ""
    """"true" or "", as `DisableRedirects`."""
    DisableRedirects: str = ""
    TCP: str = ""
    Interval: str = ""
    Timeout: str = ""
    DeregisterCriticalServiceAfter: str = ""
    SuccessBeforePassing: str = ""
    FailuresBeforeCritical: str = ""

    @property
    def kind(self) -> str:
        """ttl, http, tcp, or "" for none."""
        return "ttl" if self.TTL else "http" if self.HTTP else "tcp" if self.TCP else ""


def definition_of(check: CheckState) -> Definition | None:
    """None for a check that others run."""
    return None if check.Definition is None else msgspec.convert(check.Definition, Definition)


def seconds(duration: str, default_ns: int = 0) -> float:
    """Of a stored duration."""
    return (parse_duration_ns(duration) if duration else default_ns) / SECOND_NS


def check_state(body: CheckBody, check_id: str, default_name: str) -> CheckState:
    """A new check, before its first result. Raises BadInput as Consul words it, NotSupported for kinds not run here."""
    _refuse_unsupported(body)
    definition = _definition(body)
    if body.Status and body.Status not in STATUSES:
        raise BadInput("Bad check status", next_step="Use passing, warning or critical.")
    return CheckState(
        CheckID=check_id,
        Name=body.Name or default_name,
        Status=body.Status or CRITICAL,
        Notes=body.Notes,
        Type=definition.kind,
        Interval=definition.Interval,
        Timeout=definition.Timeout,
        Definition=msgspec.to_builtins(definition),
    )


def _refuse_unsupported(body: CheckBody) -> None:
    if body.Args or body.ScriptArgs or body.Script or body.DockerContainerID:
        raise BadInput(
            "Scripts are disabled on this agent; use an HTTP, TCP or TTL check",
            next_step="Run the script where the service runs and report with a TTL check.",
        )
    for kind in ("UDP", "GRPC", "H2PING", "OSService", "AliasNode", "AliasService"):
        if getattr(body, kind):
            raise NotSupported(f"check kind {kind} is not run here", next_step="Use an HTTP, TCP or TTL check.")


def _definition(body: CheckBody) -> Definition:
    kinds = [kind for kind in ("TTL", "HTTP", "TCP") if getattr(body, kind)]
    if len(kinds) != 1:
        raise BadInput(
            "Invalid check: TTL must be > 0 or one of HTTP, TCP be given with an Interval"
            if not kinds
            else f"Invalid check: {' and '.join(kinds)} exclude each other"
        )
    ttl, interval, timeout = _text("TTL", body.TTL), _text("Interval", body.Interval), _text("Timeout", body.Timeout)
    if kinds != ["TTL"]:
        if not interval or parse_duration_ns(interval) <= 0:
            raise BadInput("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks")
        interval = format_duration(max(INTERVAL_MIN_NS, parse_duration_ns(interval)))
    return Definition(
        TTL=ttl,
        HTTP=body.HTTP,
        Method=body.Method,
        Header=msgspec.json.encode(body.Header).decode() if body.Header else "",
        Body=body.Body,
        TLSSkipVerify="true" if body.TLSSkipVerify else "",
        DisableRedirects="true" if body.DisableRedirects else "",
        TCP=body.TCP,
        Interval=interval,
        Timeout=timeout,
        DeregisterCriticalServiceAfter=_text("DeregisterCriticalServiceAfter", body.DeregisterCriticalServiceAfter),
        SuccessBeforePassing=str(body.SuccessBeforePassing or ""),
        FailuresBeforeCritical=str(body.FailuresBeforeCritical or ""),
    )


def _text(name: str, given: Duration) -> str:
    if given in {"", 0}:
        return ""
    nanoseconds = parse_duration_ns(given) if isinstance(given, str) else int(given)
    if nanoseconds < 0:
        raise BadInput(f"Invalid {name}: {given} is negative")
    return format_duration(nanoseconds) if nanoseconds else ""


def without_underscores(raw: Any) -> Any:
    """Consul's agent also reads `tagged_addresses` for TaggedAddresses: of the object itself, not of what is in it."""
    return {key.replace("_", ""): value for key, value in raw.items()} if isinstance(raw, dict) else raw
