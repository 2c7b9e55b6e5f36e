"""The spine, on both stores: a job file goes in, a site answers through the VIP."""

from __future__ import annotations

import re
from pathlib import Path

import consul
import nomad
import pytest
import requests

from tests.engines.files import contents
from tests.scenarios.infra import KOKIRIS, Infra, run, until
from tests.scenarios.load import Load, with_scripts

pytestmark = pytest.mark.scenario


def test_up_prints_addresses_token_and_next_commands(infra: Infra) -> None:
    output = infra.up_output
    for host in infra.config.addresses.hosts():
        assert f"https://{host}" in output
    assert str(infra.layout.token_file) in output
    assert output.count(infra.token) == 1, "the token is shown once"
    after = output[output.index("Try next") :].strip().splitlines()[1:]
    assert len(after) == 3

    def all_work() -> bool:
        pasted = run(["bash", "-e"], stdin="\n".join(after)).stdout
        return all(said in pasted for said in ("It works", "Allocations", "GET www.site.localhost/ 200"))

    until(all_work, "the commands work as they are printed; a request is found within two seconds")


def test_the_site_answers_under_its_own_name(infra: Infra) -> None:
    reply = infra.curl("https://www.site.localhost/")
    assert reply.status == 200
    assert "It works" in reply.body
    seen = {re.search(r"allocation <code>(\w+)", infra.curl("https://www.site.localhost/").body)[1] for _ in range(30)}
    assert seen == {alloc["ID"][:8] for alloc in infra.allocs("site")}, "both instances answer"


def test_http_redirects_to_https(infra: Infra) -> None:
    reply = infra.curl("http://www.site.localhost/a?b=c")
    assert reply.status == 308
    assert reply.headers["location"] == "https://www.site.localhost/a?b=c"


def test_every_platform_name_resolves_and_answers_over_tls(infra: Infra) -> None:
    for host in infra.config.addresses.hosts():
        assert run(["getent", "hosts", host]).stdout.split()[0] == infra.config.vip_address
        assert infra.curl(f"https://{host}/").status in {200, 302, 303, 307, 308, 401, 403, 503}


def test_an_unknown_host_is_404_and_a_known_one_without_instances_503(infra: Infra, job: str) -> None:
    assert infra.curl("https://nobody.localhost/", "-k").status == 404
    infra.run_job(infra.site_job(job, count=1, image="kokiris-no-such-image:1"), "-detach")
    reply = until(
        lambda: (one := infra.curl(f"https://{job}.localhost/", "-k")).status != 404 and one, "the route is known"
    )
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) > 0


def test_a_second_up_changes_nothing(infra: Infra) -> None:
    before = infra.containers(), infra.pid("server"), infra.nomad("/v1/job/site")["Version"]
    options = [] if infra.store == "sqlite" else ["-store", infra.store]
    output = run(["scripts/up.sh", "demo", "rec1", *options]).stdout
    assert "nothing to change" in output.splitlines()[0]
    assert 'job "site" is as submitted before; nothing to change' in output
    assert infra.token not in output
    assert (infra.containers(), infra.pid("server"), infra.nomad("/v1/job/site")["Version"]) == before


def test_python_nomad_works_unchanged(infra: Infra) -> None:
    session = requests.Session()
    session.verify = infra.exports["NOMAD_CACERT"]
    client = nomad.Nomad(
        host=infra.config.addresses.nomad, port=443, secure=True, token=infra.token, timeout=30, session=session,
        verify=infra.exports["NOMAD_CACERT"],
    )  # fmt: skip
    assert "site" in [job["ID"] for job in client.jobs.get_jobs()]
    assert client.job.get_job("site")["TaskGroups"][0]["Count"] == 2
    assert [node["Status"] for node in client.nodes.get_nodes()] == ["ready"]
    evaluation = client.job.evaluate_job("site")["EvalID"]
    until(lambda: client.evaluation.get_evaluation(evaluation)["Status"] == "complete", "evaluation completes")
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        client.job.get_job("no-such-job")


def test_py_consul_works_unchanged(infra: Infra) -> None:
    client = consul.Consul(
        host=infra.config.addresses.consul, port=443, scheme="https", token=infra.token,
        verify=infra.exports["CONSUL_CACERT"],
    )  # fmt: skip
    _, services = client.catalog.services()
    assert "site" in services
    index, instances = client.health.service("site", passing=True)
    assert len(instances) == 2
    assert int(index) > 0
    assert client.kv.put("shop/color", "blue")
    _, pair = client.kv.get("shop/color")
    assert pair["Value"] == b"blue"
    assert client.kv.delete("shop/color")


def test_dig_finds_healthy_instances_only(infra: Infra) -> None:
    dns = ["dig", f"@{infra.config.bind_address}", "-p", str(infra.config.ports.dns), "+short"]
    addresses = run([*dns, "site.service.consul", "A"]).stdout.split()
    services = run([*dns, "site.service.consul", "SRV"]).stdout.splitlines()
    instances = infra.instances("site")
    assert len(instances) == 2
    assert set(addresses) == {address for address, _ in instances}
    assert {int(line.split()[2]) for line in services} == {port for _, port in instances}
    assert run([*dns, "nobody.service.consul", "A"]).stdout == ""


def test_rolling_update_and_scale_down_lose_no_request(infra: Infra, job: str) -> None:
    infra.run_job(with_scripts(infra.site_job(job, count=3, title="first")))
    until(lambda: infra.curl(f"https://{job}.localhost/").status == 200, "routed")
    with Load(infra, f"{job}.localhost", scripts=True) as load:
        until(lambda: load.good > 50 and load.posted, "load runs")
        infra.run_job(with_scripts(infra.site_job(job, count=3, title="second")))
        infra.run_job(with_scripts(infra.site_job(job, count=1, title="second")))
        until(lambda: len(infra.allocs(job)) == 1 and not infra.allocs(job, "pending"), "one instance is left")
        good, posted, downloaded = load.good, load.posted, load.downloaded
        until(lambda: load.good > good + 50 and load.posted > posted, "the last instance answers")
        until(lambda: load.downloaded > downloaded, "a download ends")
    assert load.failures == []
    assert any("first" in body for body in load.bodies)
    assert any("second" in body for body in load.bodies)


@pytest.mark.parametrize("process", ["nursery", "server", "worker", "edge", "dns", "agent"])
def test_kill_9_of_any_process_loses_no_request(infra: Infra, process: str) -> None:
    before = infra.containers()
    with Load(infra, "www.site.localhost") as load:
        until(lambda: load.good > 30, "load runs")
        victim = infra.pid(process)
        assert victim
        run(["kill", "-9", str(victim)])
        if process == "agent":
            until(lambda: infra.pid("agent") == 0, "the agent is gone")
            run([KOKIRIS, "up", "-client", "demo", "-infra", "rec1", "-store", infra.store])
        until(lambda: infra.pid(process) not in {0, victim}, f"{process} is back")
        until(lambda: infra.kokiris("status", check=False).returncode == 0, "all is well again")
        good = load.good
        until(lambda: load.good > good + 30, "requests go on")
    assert load.failures == []
    assert infra.containers() == before, "containers were neither lost nor started twice"
    assert len(infra.allocs("site")) == 2


def test_the_token_is_in_one_file_only(infra: Infra) -> None:
    secret = infra.token.encode()
    holding = [path for path, content in contents(infra.layout.root, but="docker") if secret in content]
    assert holding == [infra.layout.token_file]
    assert infra.layout.token_file.stat().st_mode & 0o077 == 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert secret not in (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue


def test_nothing_opens_without_the_token(infra: Infra) -> None:
    names = infra.config.addresses
    doors = [
        f"https://{names.nomad}/v1/jobs",
        f"https://{names.consul}/v1/catalog/services",
        f"https://{names.consul}/v1/kv/x",
        f"https://{names.traefikadmin}/api/rawdata",
    ]
    for door in doors:
        for header in (
            [],
            ["-H", "X-Nomad-Token: 00000000-0000-0000-0000-000000000000"],
            ["-H", "X-Consul-Token: wrong"],
        ):
            reply = infra.curl(door, *header)
            assert reply.status in {401, 403}, (door, header, reply)
    assert "Permission denied" in infra.curl(doors[0]).body
