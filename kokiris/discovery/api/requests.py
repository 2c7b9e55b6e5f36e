"""Bodies of registrations, as clients send them."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.discovery.api.call import Call
from kokiris.discovery.definitions import CheckBody, check_state, without_underscores
from kokiris.discovery.model import CheckState, ServiceInstance
from kokiris.http.app import read_body
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, NotSupported


async def raw_body(call: Call) -> Any:
    """The JSON body. Raises BadInput."""
    data = await read_body(call.req)
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"Request decode failed: {error}", next_step="Send a JSON document.") from error


class WeightsBody(msgspec.Struct, kw_only=True):
    Passing: int = 1
    Warning: int = 1


class ServiceBody(msgspec.Struct, kw_only=True):
    """A service as /v1/agent/service/register takes it."""

    ID: str = ""
    Name: str = ""
    Service: str = ""
    """The name, in catalog registrations."""
    Tags: list[str] = msgspec.field(default_factory=list)
    Address: str = ""
    Port: int = 0
    Meta: dict[str, str] = msgspec.field(default_factory=dict)
    TaggedAddresses: dict[str, dict[str, str | int]] = msgspec.field(default_factory=dict)
    Weights: WeightsBody | None = None
    EnableTagOverride: bool = False
    Kind: str = ""
    Check: CheckBody | None = None
    Checks: list[CheckBody] = msgspec.field(default_factory=list)


def service_body(raw: Any) -> ServiceBody:
    """Raises BadInput."""
    named = without_underscores(raw)
    if isinstance(named, dict):
        for key, value in named.items():
            if key.lower() == "check":
                named[key] = without_underscores(value)
            elif key.lower() == "checks" and isinstance(value, list):
                named[key] = [without_underscores(one) for one in value]
    return wire.convert(named, ServiceBody)


def instance_of(body: ServiceBody, node: str) -> ServiceInstance:
    """Raises BadInput naming the field."""
    name = body.Name or body.Service
    if not name:
        raise BadInput("Missing service name")
    if body.Kind:
        raise NotSupported(f'service kind "{body.Kind}" is not supported: there is no mesh', next_step="Leave it out.")
    if not 0 <= body.Port < 1 << 16:
        raise BadInput(f'port {body.Port} of service "{name}" is not between 0 and 65535')
    if body.Address in {"0.0.0.0", "::", "[::]"}:
        raise BadInput("Invalid service address")
    weights = body.Weights or WeightsBody()
    if weights.Passing < 1 or weights.Warning < 0:
        raise BadInput(f'Invalid weights of service "{name}": Passing must be at least 1, Warning at least 0')
    return ServiceInstance(
        ID=body.ID or name,
        Service=name,
        Tags=body.Tags,
        Address=body.Address,
        Port=body.Port,
        Meta=body.Meta,
        TaggedAddresses=body.TaggedAddresses,
        Weights={"Passing": weights.Passing, "Warning": weights.Warning},
        EnableTagOverride=body.EnableTagOverride,
        Node=node,
    )


def checks_of(body: ServiceBody, instance: ServiceInstance) -> list[CheckState]:
    """The checks of a service definition, with Consul's ids: `service:<id>`, numbered when there are several."""
    bodies = [*([body.Check] if body.Check else []), *body.Checks]
    states = []
    for number, one in enumerate(bodies, start=1):
        default_id = f"service:{instance.ID}" + (f":{number}" if len(bodies) > 1 else "")
        states.append(check_state(one, one.CheckID or one.ID or default_id, f"Service '{instance.Service}' check"))
    return states
