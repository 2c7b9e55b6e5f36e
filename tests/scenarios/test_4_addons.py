"""Add-ons on a whole infra: jobs of namespace "platform" at the platform's addresses, closed to the client's token."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kokiris.access.exports import parse_exports
from tests.scenarios.infra import Infra, run, until

pytestmark = pytest.mark.scenario

STORES = ("sqlite",)

ADD_ON = "registry"


@pytest.fixture(scope="module")
def enabled(infra: Infra) -> Infra:
    """The infra with the registry enabled."""
    infra.kokiris("addon", "enable", ADD_ON)
    return infra


@pytest.fixture
def kept_data(enabled: Infra, tmp_path: Path) -> Iterator[Path]:
    """The add-on's folder; it is left with what was in it, since other scenarios push to it."""
    data = enabled.layout.addons / ADD_ON
    run(["cp", "-a", data, tmp_path])
    yield data
    run(["rm", "-rf", data])
    run(["cp", "-a", tmp_path / ADD_ON, data.parent])
    enabled.kokiris("addon", "enable", ADD_ON)


def state(infra: Infra) -> str:
    found = msgspec.json.decode(infra.kokiris("addon", "status", "-json", ADD_ON, check=False).stdout)
    return str(found["state"])


def operators_jobs(infra: Infra) -> set[str]:
    exports = parse_exports(infra.layout.operator_file)
    answer = infra.curl(
        f"{exports['NOMAD_ADDR']}/v1/jobs?namespace=platform", "-H", f"X-Nomad-Token: {exports['NOMAD_TOKEN']}"
    )
    return {job["ID"] for job in msgspec.json.decode(answer.body)}


def test_an_add_on_is_enabled_once_and_answers_at_its_address(enabled: Infra) -> None:
    address = f"https://{enabled.config.addresses.registry}/v2/"
    assert enabled.curl(address).status == 401
    assert state(enabled) == "running"
    assert "nothing to change" in enabled.kokiris("addon", "enable", ADD_ON).stdout
    listed = enabled.kokiris("addon", "list").stdout
    assert re.search(rf"^{ADD_ON} +running +https://{enabled.config.addresses.registry}/", listed, re.MULTILINE)


def test_the_clients_token_neither_sees_nor_stops_it(enabled: Infra) -> None:
    assert ADD_ON in operators_jobs(enabled)
    assert "No running jobs" in enabled.kokiris("job", "status", "-namespace", "platform").stdout
    assert ADD_ON not in {job["ID"] for job in enabled.nomad("/v1/jobs?namespace=*")}
    assert {alloc["Namespace"] for alloc in enabled.nomad("/v1/allocations?namespace=*")} <= {"default"}
    refused = enabled.kokiris("job", "stop", "-namespace", "platform", "-purge", ADD_ON, check=False)
    assert refused.returncode != 0
    reply = enabled.curl(
        f"{enabled.exports['NOMAD_ADDR']}/v1/job/{ADD_ON}?namespace=platform&purge=true", "-X", "DELETE",
        "-H", f"X-Nomad-Token: {enabled.token}",
    )  # fmt: skip
    assert reply.status == 403
    assert state(enabled) == "running"


def test_a_tenants_job_does_not_get_the_address(enabled: Infra, job: str) -> None:
    host = enabled.config.addresses.registry
    before = enabled.curl(f"https://{host}/v2/").status
    text = enabled.site_job(job, count=1).replace(f"Host(`{job}.localhost`)", f"Host(`{host}`)")
    assert host in text
    done = enabled.run_job(text, "-detach")
    assert "address of the platform" in done.stdout
    until(lambda: enabled.instances(job), "the tenant's instance is in the catalog")
    assert enabled.curl(f"https://{host}/v2/").status == before


def test_the_operator_token_is_the_nodes_own_secret(infra: Infra) -> None:
    assert stat.S_IMODE(infra.layout.operator_file.stat().st_mode) == 0o600
    secret = parse_exports(infra.layout.operator_file)["NOMAD_TOKEN"]
    assert secret not in infra.up_output
    assert secret != infra.token
    assert {token["Name"] for token in infra.nomad("/v1/acl/tokens")} == {f"{infra.config.name} management"}
    for path in infra.layout.logs.iterdir():
        assert secret not in path.read_text(errors="replace"), path
    assert infra.layout.addons.stat().st_uid == os.getuid()


def test_disable_keeps_the_data_and_purge_asks_first(enabled: Infra, kept_data: Path) -> None:
    blob = kept_data / "blobs" / "kept"
    blob.write_text("a blob")
    said = enabled.kokiris("addon", "disable", "-yes", ADD_ON).stdout
    assert str(blob.parent.parent) in said
    assert (state(enabled), blob.read_text()) == ("disabled", "a blob")
    assert operators_jobs(enabled).isdisjoint({ADD_ON})
    reply = until(
        lambda: (one := enabled.curl(f"https://{enabled.config.addresses.registry}/v2/")).status == 503 and one,
        "the address has no instance any more",
    )
    assert "not enabled" in reply.body
    enabled.kokiris("addon", "enable", ADD_ON)
    assert blob.read_text() == "a blob"
    unconfirmed = enabled.kokiris("addon", "disable", "-purge", ADD_ON, check=False)
    assert unconfirmed.returncode == 1
    assert "-yes" in unconfirmed.stderr
    assert (state(enabled), blob.exists()) == ("running", True)
    enabled.kokiris("addon", "disable", "-purge", "-yes", ADD_ON)
    assert (state(enabled), blob.exists()) == ("disabled", False)


@pytest.mark.parametrize(("arguments", "said"), [
    (("enable", "shop"), "Add-ons are: "), (("disable", "shop"), 'no add-on "shop"'), (("enable",), "Missing argument"),
    (("disable", "mariadb"), "is required by phpmyadmin"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(infra: Infra, arguments: tuple[str, ...], said: str) -> None:
    done = infra.kokiris("addon", *arguments, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
