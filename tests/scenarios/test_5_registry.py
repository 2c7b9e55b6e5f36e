"""The client's registry: images are pushed through the VIP with the real `docker`, and jobs run from it."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from kokiris.cli.session import parse_exports
from kokiris.infra.config import Layout
from kokiris.registry.sharing import Share
from tests.scenarios.infra import KOKIRIS, Completed, Infra, run, site_image, until

pytestmark = pytest.mark.scenario

STORES = ("sqlite",)

SHOW = ("/bin/busybox", "sh", "-c", "/bin/busybox env; /bin/busybox cat /proc/1/environ")
CONFIGS = Path(os.environ.get("KOKIRIS_SCRATCH", "/nowhere")) / "docker-logins"


@pytest.fixture(scope="module")
def registry(infra: Infra) -> str:
    """The registry's name; the add-on is enabled."""
    infra.kokiris("addon", "enable", "registry")
    return infra.config.addresses.registry


def docker(infra: Infra, login: str, *arguments: str, stdin: str = "", check: bool = True) -> Completed:
    """`docker` with a login of its own."""
    environment = {"DOCKER_CONFIG": str(CONFIGS / login), "DOCKER_HOST": f"unix://{infra.config.docker.socket}"}
    return run(["docker", *arguments], env=environment, stdin=stdin, check=check)


def log_in(infra: Infra, registry: str, name: str, secret: str) -> None:
    """`docker login`."""
    docker(infra, name, "login", "-u", name, "--password-stdin", registry, stdin=secret)


def new_user(infra: Infra, registry: str, name: str, *scopes: str, kind: str = "user") -> str:
    """An account that is logged in; its secret."""
    options = [word for scope in scopes for word in ("-scope", scope)]
    infra.kokiris("registry", "user", "remove", name, check=False)
    secret = infra.kokiris("registry", kind, "add", name, *options).stdout.strip()
    log_in(infra, registry, name, secret)
    return secret


def pushed(infra: Infra, registry: str, login: str, name: str) -> str:
    """The site's image under a name of the registry, pushed."""
    image = f"{registry}/{name}"
    docker(infra, login, "tag", site_image(), image)
    docker(infra, login, "push", image)
    return image


def test_push_through_the_vip_and_run_from_there(infra: Infra, registry: str, job: str) -> None:
    new_user(infra, registry, "alice", "shop/**:pull,push")
    image = pushed(infra, registry, "alice", "shop/web:1")
    docker(infra, "alice", "rmi", image)
    infra.run_job(infra.site_job(job, count=1, image=image))
    until(lambda: infra.curl(f"https://{job}.localhost/", "-k").status == 200, "routed")
    events = str(infra.allocs(job)[0]["TaskStates"])
    assert f"Downloading image {image}" in events
    listed = infra.kokiris("registry", "repo", "list").stdout
    assert re.search(rf"shop/web +1 +[0-9a-f]{{12}} .*default/{job}", listed), listed
    refused = infra.kokiris("registry", "tag", "delete", "shop/web:1", check=False)
    assert refused.returncode == 1
    assert f"used by default/{job}" in refused.stderr
    refused = infra.kokiris("addon", "disable", "registry", check=False)
    assert refused.returncode == 1
    assert f'add-on "registry" is left as it is: it is used by default/{job}' in refused.stderr


def test_a_nodes_right_to_pull_stays_hidden(infra: Infra, registry: str, job: str) -> None:
    new_user(infra, registry, "walt", "**:pull,push")
    image = pushed(infra, registry, "walt", "shop/secret:1")
    docker(infra, "walt", "rmi", image)
    infra.run_job(infra.site_job(job, count=1, image=image))
    (alloc,) = infra.allocs(job)
    shown = str(infra.nomad(f"/v1/allocation/{alloc['ID']}")) + infra.log_text()
    inside = infra.kokiris("alloc", "exec", alloc["ID"], *SHOW).stdout
    (container,) = infra.containers(job)
    inspected = docker(infra, "walt", "inspect", container).stdout
    for text in (shown, inside, inspected):
        assert "eyJ0eXAi" not in text, "an access token"
        assert "registrytoken" not in text.lower()


def test_several_logins_push_at_once(infra: Infra, registry: str) -> None:
    names = [f"team{number}" for number in range(4)]
    for name in names:
        new_user(infra, registry, name, f"{name}/*:pull,push")
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda name: pushed(infra, registry, name, f"{name}/web:1"), names))
        pulled = list(pool.map(lambda at: docker(infra, names[at], "pull", images[at]), range(4)))
    assert [one.returncode for one in pulled] == [0] * 4


def test_wrong_password_and_too_little_scope(infra: Infra, registry: str) -> None:
    wrong = docker(infra, "bob", "login", "-u", "bob", "--password-stdin", registry, stdin="nonsense", check=False)
    assert wrong.returncode != 0
    assert "incorrect username or password" in wrong.stderr
    new_user(infra, registry, "carol", "shop/*:pull", kind="robot")
    image = f"{registry}/shop/other:1"
    docker(infra, "carol", "tag", site_image(), image)
    refused = docker(infra, "carol", "push", image, check=False)
    assert refused.returncode != 0
    assert "denied" in refused.stderr


def test_an_image_that_is_not_there_is_told_in_plan_and_status(infra: Infra, registry: str, job: str) -> None:
    image = f"{registry}/shop/never-pushed:1"
    text = infra.site_job(job, count=1, image=image)
    plan = infra.kokiris("job", "plan", "-", stdin=text, check=False)
    assert f"image {image} is not in the registry" in plan.stdout + plan.stderr
    infra.run_job(text, "-detach")

    def told() -> bool:
        states = [str(alloc["TaskStates"]) for alloc in infra.nomad(f"/v1/job/{job}/allocations")]
        return any(f'Failed to pull image "{image}" from {registry}' in one for one in states)

    until(told, "the allocation says which image, from where and why")
    allocs = infra.nomad(f"/v1/job/{job}/allocations")
    shown = "\n".join(infra.kokiris("alloc", "status", alloc["ID"]).stdout for alloc in allocs)
    assert f'Failed to pull image "{image}" from {registry}' in shown
    assert "not found" in shown or "unknown" in shown, shown


def test_quota_retention_and_garbage(infra: Infra, registry: str) -> None:
    new_user(infra, registry, "dave", "keep/**:pull,push,delete")
    for number in range(4):
        pushed(infra, registry, "dave", f"keep/app:{number}")
    infra.kokiris("registry", "retention", "set", "keep/*", "-keep", "2")
    would = infra.kokiris("registry", "retention", "run", "-dry-run").stdout.split()
    assert would == ["keep/app:0", "keep/app:1"]
    assert infra.kokiris("registry", "retention", "run").stdout.split() == would
    gone = docker(infra, "dave", "pull", f"{registry}/keep/app:0", check=False)
    assert gone.returncode != 0
    docker(infra, "dave", "pull", f"{registry}/keep/app:3")
    infra.kokiris("registry", "quota", "set", "10B")
    try:
        docker(infra, "dave", "tag", site_image(), f"{registry}/keep/over:1")
        refused = docker(infra, "dave", "push", f"{registry}/keep/over:1", check=False)
        assert refused.returncode != 0
        assert "quota is 10 B" in refused.stderr
    finally:
        infra.kokiris("registry", "quota", "set", "0")
    assert "would free" in infra.kokiris("registry", "gc", "-dry-run", "-grace", "0s").stdout
    assert "freed" in infra.kokiris("registry", "gc", "-grace", "0s").stdout
    assert "@daily (UTC), next 2" in infra.kokiris("registry", "schedule").stdout
    assert "30 3 * * 1 (UTC)" in infra.kokiris("registry", "schedule", "30 3 * * 1").stdout
    assert "= off" in infra.kokiris("registry", "schedule", "off").stdout
    docker(infra, "dave", "rmi", f"{registry}/keep/app:3")
    docker(infra, "dave", "pull", f"{registry}/keep/app:3")


def test_images_survive_the_registrys_restart_and_a_kill(infra: Infra, registry: str) -> None:
    new_user(infra, registry, "erin", "**:pull,push")
    image = pushed(infra, registry, "erin", "stays/web:1")
    infra.kokiris("addon", "disable", "-yes", "registry")
    infra.kokiris("addon", "enable", "registry")
    docker(infra, "erin", "pull", image)
    process = subprocess.run(
        ["docker", "ps", "-q", "--filter", "label=kokiris.task=distribution"],
        env={**os.environ, "DOCKER_HOST": f"unix://{infra.config.docker.socket}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    docker(infra, "erin", "kill", "-s", "KILL", *process.stdout.split())
    docker(infra, "erin", "rmi", image)
    until(lambda: docker(infra, "erin", "pull", image, check=False).returncode == 0, "it is served again")


DOORS = ("http", "https", "nomad", "consul", "dns", "rpc", "node", "panel", "logs", "registry")


def test_another_infra_of_the_client_uses_registry_and_log_search(
    infra: Infra, registry: str, job: str, tmp_path: Path
) -> None:
    """On this machine, on ports of its own: its job runs from an image of ours, which then stays."""
    new_user(infra, registry, "gina", "**:pull,push")
    image = pushed(infra, registry, "gina", "shared/web:1")
    docker(infra, "gina", "rmi", image)
    here, file = ("-client", "demo", "-infra", "rec2"), tmp_path / "rec2.json"
    infra.kokiris("registry", "share", "rec2", "-o", file)
    assert file.stat().st_mode & 0o777 == 0o600
    ports = [f"-port={door}={12200 + number}" for number, door in enumerate(DOORS)]
    authorization = tmp_path / "authorization"
    authorization.touch(0o600)
    authorization.write_text(f"Bearer {infra.token}\n")
    logs = ("-elasticsearch-url", f"https://{infra.config.addresses.kib}", "-elasticsearch-ca-file",
            infra.layout.tls / "ca.pem", "-elasticsearch-credentials-file", authorization)  # fmt: skip
    run([KOKIRIS, "up", *here, *ports, *logs, "-registry", file])
    layout = Layout("/var/lib/kokiris/demo/rec2")
    try:
        exports = parse_exports(layout.token_file)
        assert exports["KOKIRIS_REGISTRY"] == registry
        assert f"https://{registry}/" in run([KOKIRIS, "urls", *here]).stdout
        refused = run([KOKIRIS, "addon", "enable", *here, "registry"], check=False)
        assert refused.returncode == 1
        assert f"uses the registry {registry}, which another infra of the client holds" in refused.stderr
        elsewhere = run([KOKIRIS, "registry", "repo", "list"], env=exports, check=False)
        assert "another infra's" in elsewhere.stderr
        run([KOKIRIS, "job", "run", "-"], env=exports, stdin=infra.site_job(job, count=1, image=image))
        listed = infra.kokiris("registry", "repo", "list").stdout
        assert re.search(rf"shared/web +1 .*rec2: default/{job}", listed), listed
        assert "rec2 (1 images, said" in infra.kokiris("registry", "status").stdout
        kept = infra.kokiris("registry", "tag", "delete", "shared/web:1", check=False)
        assert f"used by rec2: default/{job}" in kept.stderr
        until(lambda: job in infra.kokiris("logs", "infra:rec2 and stream:event").stdout, "one log search has both")
        secret = msgspec.json.decode(file.read_bytes(), type=Share).Secret
        assert secret not in "".join(path.read_text(errors="replace") for path in layout.logs.iterdir())
    finally:
        run([KOKIRIS, "down", *here, "-purge"])
        infra.kokiris("registry", "user", "remove", "rec2")
    docker(infra, "gina", "pull", image)


def test_a_users_secrets_are_in_no_file_and_no_log(infra: Infra, registry: str) -> None:
    secret = new_user(infra, registry, "frank", "**:pull,push")
    kept = (CONFIGS / "frank" / "config.json").read_text()
    assert secret not in infra.log_text()
    assert secret not in kept
    assert infra.token not in kept
