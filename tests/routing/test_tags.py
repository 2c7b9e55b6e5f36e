"""Tags → routers and services; what is wrong is named with the tag and the fix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.names import Addresses, parse_infra
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.service import Service
from kokiris.routing.advice import tag_warnings
from kokiris.routing.configuration import Configuration, configure
from kokiris.routing.model import CatalogService, Instance, Severity
from kokiris.routing.plan import Compiler, assign_slots
from kokiris.routing.platform import platform_of
from kokiris.routing.tags import TagSet, read_tags

ENABLE = "traefik.enable=true"
ADDRESSES = Addresses(parse_infra("demo", "rec1"), "cloud.test")
PLATFORM = platform_of(ADDRESSES)


def read(*tags: str, service: str = "my_web") -> TagSet:
    return read_tags(tags, service, "rec1.demo.cloud.test")


def configured(*services: CatalogService, previous: Configuration | None = None) -> Configuration:
    return configure({one.name: one for one in services}, PLATFORM, previous or Configuration())


def service(name: str, *tags: str, healthy: bool = True, created: int = 1, port: int = 80) -> CatalogService:
    one = Instance(f"i-{name}", "10.0.0.1", port, tags, healthy, created)
    return CatalogService(name, tags, (one,))


def test_defaults() -> None:
    asked = read(ENABLE)
    assert [(one.name, one.rule, one.service) for one in asked.routers] == [
        ("my-web", "Host(`my-web.rec1.demo.cloud.test`)", "my-web")
    ]
    assert [one.name for one in asked.services] == ["my-web"]


def test_nothing_without_enable_but_a_word_about_it() -> None:
    asked = read("traefik.http.routers.a.rule=Host(`a`)")
    assert not asked.enabled
    assert "traefik.enable" in str(asked.problems[0])
    assert read("other=1") == TagSet(enabled=False)
    assert read("traefik.enable=false", "traefik.http.routers.a.rule=x") == TagSet(enabled=False)


def test_keys_without_regard_to_case() -> None:
    asked = read(
        "Traefik.Enable=TRUE", "TRAEFIK.HTTP.Routers.Site.RULE=Host(`a.test`)", "traefik.http.routers.site.Priority=7"
    )
    assert [(one.name, one.rule, one.priority, one.problems) for one in asked.routers] == [
        ("Site", "Host(`a.test`)", 7, [])
    ]


def test_priority_is_the_length_in_bytes() -> None:
    assert read(ENABLE, "traefik.http.routers.a.rule=Path(`/é`)").routers[0].priority == 11
    assert read(ENABLE, "traefik.http.routers.a.priority=-5").routers[0].priority == -5


@pytest.mark.parametrize(
    ("tag", "severity", "said"),
    [
        ("traefik.http.routers.a.middlewares=auth", "error", "Remove it"),
        ("traefik.http.routers.a.midlewares=auth", "error", "traefik.http.routers.a.middlewares"),
        ("traefik.http.routers.a.tls.options=x", "error", "TLS"),
        ("traefik.http.routers.a.tls.certresolver=le", "warning", "authority"),
        ("traefik.http.routers.a.tls.domains[0].main=a", "warning", "authority"),
        ("traefik.http.routers.a.rulesyntax=v2", "error", "version 3"),
        ("traefik.http.routers.a.entrypoints=https", "error", "websecure"),
        ("traefik.http.routers.a.priority=high", "error", "number"),
        ("traefik.http.routers.a.tls=maybe", "error", "true or false"),
        ("traefik.http.routers.a.service=nope", "error", "Services are"),
        ("traefik.http.routers.a.rule=Host(`vip.rec1.demo.cloud.test`)", "error", "address of the platform"),
        ("traefik.http.routers.a.rule=ClientIP(`1.2.3.4`)", "error", "ClientIP"),
        ("traefik.http.services.a.loadbalancer.sticky.cookie.name=x", "error", "sessions"),
        ("traefik.http.services.a.loadbalancer.server.port=0", "error", "out of range"),
        ("traefik.http.services.a.loadbalancer.server.scheme=ftp", "error", "h2c"),
        ("traefik.http.services.a.loadbalancer.passhostheader=false", "error", "Host header"),
        ("traefik.http.services.a.loadbalancer.strategy=p2c", "warning", "wrr"),
        ("traefik.http.services.a.loadbalancer.healthcheck.path=/", "warning", "check block"),
        ("traefik.http.services.a.weighted.services[0].name=b", "error", "loadBalancer"),
        ("traefik.tcp.routers.a.rule=HostSNI(`*`)", "error", "HTTP routers"),
        ("traefik.udp.routers.a.entrypoints=dns", "error", "UDP"),
    ],
)
def test_what_is_not_acted_on_is_named_on_its_router(tag: str, severity: str, said: str) -> None:
    tags = [ENABLE, tag]
    if not tag.startswith("traefik.http.routers.a.rule=") and ".http." in tag:
        tags.append("traefik.http.routers.a.rule=Host(`a.test`)")
    routers = [one for one in configured(service("web", *tags)).routers.values() if one.source == "web"]
    found = [problem for one in routers for problem in one.problems]
    assert [str(problem.severity) for problem in found] == [severity]
    assert found[0].tag == tag.partition("=")[0]
    assert said in str(found[0])


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("traefik.http.router.a.rule=x", "traefik.http.routers.a.rule"),
        ("traefik.enabled=true", "traefik.enable"),
        ("traefik.flag", 'has no "="'),
        ("traefik.http.middlewares.a.basicauth.users=x", "not applied"),
    ],
)
def test_what_belongs_to_no_router_is_named_too(tag: str, said: str) -> None:
    assert said in str(read(ENABLE, tag).problems[0])


@given(
    st.lists(
        st.text(alphabet="traefik.httproutersevlb=[]0*`~% é", max_size=50).map(lambda text: f"traefik.{text}"),
        max_size=6,
    )
)
def test_garbage_tags_never_raise(tags: list[str]) -> None:
    configured(service("web", ENABLE, *tags))
    tag_warnings(Job(TaskGroups=[TaskGroup(Name="g", Services=[Service(Name="web", Tags=tags)])]))


def test_several_services_need_a_name() -> None:
    tags = [ENABLE, *(f"traefik.http.services.{name}.loadbalancer.server.port=80" for name in ("a", "b"))]
    asked = read(*tags, "traefik.http.routers.r.rule=Host(`a`)")
    assert "several services (a, b)" in str(asked.routers[0].problems[0])
    named = read(*tags, "traefik.http.routers.r.rule=Host(`a`)", "traefik.http.routers.r.service=b")
    assert named.routers[0].problems == []


def test_a_bad_router_keeps_its_last_good_version_and_harms_no_other() -> None:
    good = configured(service("web", ENABLE, "traefik.http.routers.r.rule=Host(`a.test`)"), service("other", ENABLE))
    bad = configured(
        service("web", ENABLE, "traefik.http.routers.r.rule=Host(a"), service("other", ENABLE), previous=good
    )
    assert bad.routers["r@consulcatalog"].refused
    assert bad.serving["r@consulcatalog"].rule == "Host(`a.test`)"
    assert not bad.routers["other@consulcatalog"].problems
    assert "r@consulcatalog" not in configured(service("web", ENABLE, "traefik.http.routers.r.rule=Host(a")).serving
    assert "r@consulcatalog" not in configured(service("other", ENABLE), previous=bad).serving


def test_the_newest_deployments_tags_win_with_a_warning() -> None:
    old, new = ((ENABLE, f"traefik.http.routers.r.rule=Host(`{name}.test`)") for name in ("old", "new"))
    instances = (Instance("a", "10.0.0.1", 80, old, True, 5), Instance("b", "10.0.0.2", 80, new, True, 9))
    configuration = configured(CatalogService("web", old, instances))
    router = configuration.routers["r@consulcatalog"]
    assert router.rule == "Host(`new.test`)"
    assert [problem.severity for problem in router.problems] == [Severity.WARNING]
    assert len(configuration.services["web@consulcatalog"].servers) == 2
    unhealthy = (instances[0], Instance("b", "10.0.0.2", 80, new, False, 9))
    assert configured(CatalogService("web", old, unhealthy)).routers["r@consulcatalog"].rule == "Host(`old.test`)"


def test_one_router_name_in_two_services_is_the_newest_and_told() -> None:
    rule = "traefik.http.routers.r.rule=Host(`{}.test`)"
    both = configured(
        service("a", ENABLE, rule.format("a"), created=1), service("b", ENABLE, rule.format("b"), created=2)
    )
    router = both.routers["r@consulcatalog"]
    assert router.rule == "Host(`b.test`)"
    assert "is defined by a too" in str(router.problems[0])


def test_a_declared_service_keeps_its_router_without_instances() -> None:
    configuration = configured(CatalogService("web", (ENABLE, "traefik.http.routers.r.rule=Host(`a.test`)")))
    assert configuration.serving["r@consulcatalog"].service == "web@consulcatalog"
    assert configuration.services["web@consulcatalog"].servers == ()


def test_shadowed_routers_are_found_and_the_platform_cannot_be_shadowed() -> None:
    configuration = configured(
        service(
            "wide", ENABLE, "traefik.http.routers.wide.rule=PathPrefix(`/`)", "traefik.http.routers.wide.priority=9999"
        ),
        service("narrow", ENABLE, "traefik.http.routers.narrow.rule=Host(`a.test`)"),
    )
    plan = Compiler().plan(configuration, {})
    assert plan.shadowed == {"narrow@consulcatalog"}
    assert plan.tables["websecure"].host[ADDRESSES.nomad] == "nomad"


def test_slots_are_kept_and_busy_ones_avoided() -> None:
    services = configured(*(service(name, ENABLE) for name in ("a", "b", "c"))).services
    first = assign_slots(services, {}, ())
    assert sorted(first.values()) == [0, 1, 2]
    assert assign_slots(services, {"b@consulcatalog": 7}, [0])["b@consulcatalog"] == 7
    assert 0 not in assign_slots(services, {"b@consulcatalog": 7}, [0]).values()


def test_advice_names_group_and_service_and_leaves_interpolations_alone() -> None:
    tags = [ENABLE, "traefik.http.routers.${NOMAD_JOB_NAME}.rule=Host(`${meta.host}`)", "traefik.http.routers.x.rul=y"]
    job = Job(TaskGroups=[TaskGroup(Name="front", Services=[Service(Name="web", Tags=tags)])])
    assert tag_warnings(job, ADDRESSES) == [
        'group "front", service "web": traefik.http.routers.x.rul: is not a tag of Traefik. '
        "Did you mean traefik.http.routers.x.rule?"
    ]
