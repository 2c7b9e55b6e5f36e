"""Who may answer for the platform's addresses: instances of its own jobs, and nobody who only says so."""

from __future__ import annotations

import pytest

from kokiris.discovery.api.shapes import catalog_service, service
from kokiris.discovery.model import NAMESPACE_META, NodeEntry, ServiceInstance
from kokiris.kernel.names import Addresses, parse_infra
from kokiris.routing.api.views import routers
from kokiris.routing.compiler import look_up
from kokiris.routing.configuration import Configuration, configure
from kokiris.routing.feed import instances_of
from kokiris.routing.haproxy.config import NOWHERE
from kokiris.routing.haproxy.files import slot_name
from kokiris.routing.model import CatalogService, Instance
from kokiris.routing.plan import Compiler
from kokiris.routing.platform import platform_of

ADDRESSES = Addresses(parse_infra("demo", "rec1"), "example.test")
PLATFORM = platform_of(ADDRESSES)
ENABLE = "traefik.enable=true"
REGISTRY = f"traefik.http.routers.registry.rule=Host(`{ADDRESSES.registry}`)"


def instance(name: str, *tags: str, platform: bool = False, created: int = 1) -> Instance:
    return Instance(name, "10.0.0.1", 5000, (ENABLE, *tags), healthy=True, created=created, platform=platform)


def answers(host: str, *instances: Instance, name: str = "registry") -> list[str]:
    """The instances behind `host`; ["addon"] when the platform itself says that it is not enabled."""
    tags = tuple(sorted({tag for one in instances for tag in one.tags}))
    configuration = configure({name: CatalogService(name, tags, instances)}, PLATFORM, Configuration())
    plan = Compiler().plan(configuration, {})
    target = look_up(plan.tables["websecure"], host, "/v2/", NOWHERE)
    number = next((number for number in plan.servers if target == slot_name(number)), None)
    return [target] if number is None else sorted(plan.instances[one] for one in plan.servers[number])


def test_without_an_instance_the_address_says_that_it_is_not_enabled() -> None:
    assert answers(ADDRESSES.registry) == ["addon"]


@pytest.mark.parametrize("host", [ADDRESSES.registry, ADDRESSES.pma])
def test_an_add_ons_instance_answers(host: str) -> None:
    tag = f"traefik.http.routers.mine.rule=Host(`{host}`)"
    assert answers(host, instance("ours", tag, platform=True)) == ["ours"]
    assert answers(host, instance("theirs", tag)) == ["addon"]


@pytest.mark.parametrize("host", sorted({*ADDRESSES.hosts()} - {ADDRESSES.registry, ADDRESSES.pma}))
def test_the_other_addresses_are_nobodys(host: str) -> None:
    ours = instance("ours", f"traefik.http.routers.mine.rule=Host(`{host}`)", platform=True)
    assert answers(host, ours) != ["ours"]


def test_the_panel_tells_of_an_enabled_add_on_without_alarm_and_in_numbers_that_go_clients_read() -> None:
    ours = instance("ours", REGISTRY, platform=True)
    catalog = {"registry": CatalogService("registry", ours.tags, (ours,))}
    configuration = configure(catalog, PLATFORM, Configuration())
    shapes = routers(configuration, Compiler().plan(configuration, {}))
    assert {shape["status"] for shape in shapes} == {"enabled"}
    assert max(shape["priority"] for shape in shapes) <= 2**63 - 1


def test_a_tenants_instances_of_the_same_service_name_never_mix_with_ours() -> None:
    theirs = instance("theirs", REGISTRY, "traefik.http.routers.registry.priority=9000000000", created=9)
    ours = instance("ours", REGISTRY, platform=True)
    assert answers(ADDRESSES.registry, ours, theirs) == ["ours"]
    own_site = "traefik.http.routers.registry.rule=Host(`www.test`)"
    assert answers("www.test", ours, instance("theirs", own_site)) == ["theirs"]
    assert answers(ADDRESSES.registry, ours, instance("theirs", own_site)) == ["ours"]


@pytest.mark.parametrize("rule", ["PathPrefix(`/`)", "HostRegexp(`.+`)", "Host(`*`) || PathPrefix(`/v2`)"])
def test_a_rule_for_any_host_does_not_take_an_add_ons_address(rule: str) -> None:
    greedy = instance(
        "theirs", f"traefik.http.routers.greedy.rule={rule}", f"traefik.http.routers.greedy.priority={2**63 - 2}"
    )
    assert answers(ADDRESSES.registry, greedy) == ["addon"]
    assert answers(ADDRESSES.registry, instance("ours", REGISTRY, platform=True), greedy) == ["ours"]


def test_a_tenant_cannot_borrow_an_add_ons_service() -> None:
    borrowing = instance(
        "theirs",
        "traefik.http.routers.mine.rule=Host(`mine.test`)",
        "traefik.http.routers.mine.service=registry@platform",
    )
    assert answers("mine.test", instance("ours", REGISTRY, platform=True), borrowing) == [NOWHERE]


def test_who_is_ours_is_said_by_the_orchestrator_only() -> None:
    forged = {NAMESPACE_META: "platform", "version": "1"}
    for namespace, expected in (("", False), ("default", False), ("platform", True)):
        one = ServiceInstance(ID="i", Service="registry", Node="n", Meta=forged, Namespace=namespace, Port=1)
        (read,) = instances_of([{"Service": service(one), "Node": {"Address": "10.0.0.1"}, "Checks": []}])
        assert read.platform is expected
        shown = catalog_service(one, NodeEntry(Node="n"))["ServiceMeta"]
        assert shown == ({**forged} if expected else {"version": "1"})
