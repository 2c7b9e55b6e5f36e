"""What Prometheus asks of Nomad's API: `nomad_sd_configs` through HashiCorp's Go client, answers decoded as strictly as
Go does, and the metrics, read by Prometheus' own parser. (Debian's build leaves the Go client out.)"""

from __future__ import annotations

from typing import Any, TypeVar

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from kokiris.orchestrator.model.service import Service
from tests.contract.nomad.conftest import TOKEN
from tests.orchestrator.core.bed import job_spec, until

T = TypeVar("T")


class GoServiceStub(msgspec.Struct):
    ServiceName: str
    Tags: list[str]


class GoServiceListStub(msgspec.Struct):
    Namespace: str
    Services: list[GoServiceStub]


class GoRegistration(msgspec.Struct):
    ID: str
    ServiceName: str
    Namespace: str
    NodeID: str
    Datacenter: str
    JobID: str
    AllocID: str
    Tags: list[str] | None
    Address: str
    Port: int
    CreateIndex: int
    ModifyIndex: int


async def ask(base: str, path: str, as_type: type[T], query: str) -> T:
    """With the token as Prometheus' `authorization` sends it."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "gzip"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{base}{path}?{query}") as answer:
        body = await answer.read()
        assert answer.status == 200, body
        assert answer.headers["X-Nomad-Index"].isdigit()
        assert answer.headers["X-Nomad-LastContact"].isdigit()
        return msgspec.json.decode(body, type=as_type)


async def test_discovery_finds_healthy_instances(bed: Any, base: str, worker: Any) -> None:
    job = job_spec("shop", count=2)
    job.TaskGroups[0].Services = [
        Service(Name="shop", PortLabel="http", Provider="nomad", Tags=["metrics", "v1"]),
        Service(Name="hidden", PortLabel="http", Provider="consul"),
    ]
    await bed.core.register_job(job)
    await until(lambda: len(bed.catalog.instances_of("shop")) == 2, "instances")
    asked = "namespace=default&region=global&stale="
    (listed,) = await ask(base, "/v1/services", list[GoServiceListStub], asked)
    assert (listed.Namespace, [one.ServiceName for one in listed.Services]) == ("default", ["shop"])
    found = await ask(base, "/v1/service/shop", list[GoRegistration], asked)
    assert {(one.Address, one.Datacenter, tuple(one.Tags or ())) for one in found} == {
        ("10.0.0.1", "dc1", ("metrics", "v1"))
    }
    assert len({one.Port for one in found} - {0}) == 2


async def test_metrics_are_read_by_prometheus_own_parser(bed: Any, base: str, worker: Any) -> None:
    await bed.core.register_job(job_spec("shop", count=2))
    await until(lambda: len(bed.allocs("shop", ClientStatus="running")) == 2, "running")
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/plain;version=0.0.4;q=0.3,*/*;q=0.1"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{base}/v1/metrics", params={"format": "prometheus"}) as answer,
    ):
        assert answer.content_type == "text/plain"
        text = await answer.text()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.type == "gauge" for family in families.values())
    assert families["nomad_jobs"].samples[0].value == 1
    running = [one.value for one in families["nomad_allocations"].samples if one.labels == {"status": "running"}]
    assert running == [2]
