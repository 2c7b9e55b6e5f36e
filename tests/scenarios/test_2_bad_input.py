"""Bad input: a clear error with the next step, and everything stays as it was."""

from __future__ import annotations

import socket

import pytest

from tests.scenarios.infra import KOKIRIS, Infra, run, until

pytestmark = pytest.mark.scenario


@pytest.fixture(autouse=True)
def _unchanged(infra: Infra):  # a generator fixture, used by no one directly
    """Whatever the test does, the sample site and the jobs are as before."""
    before = infra.containers(), [(job["ID"], job["ModifyIndex"]) for job in infra.nomad("/v1/jobs")]
    yield
    assert infra.curl("https://www.site.localhost/").status == 200
    assert (infra.containers(), [(job["ID"], job["ModifyIndex"]) for job in infra.nomad("/v1/jobs")]) == before
    assert "Traceback" not in infra.log_text()


def test_broken_hcl_shows_file_line_column_and_the_line(infra: Infra) -> None:
    text = infra.site_job("broken").replace("count = 2", "count = = 2")
    done = infra.run_job(text, check=False)
    assert done.returncode == 1
    assert "count = = 2" in done.stderr
    line = text.splitlines().index("    count = = 2") + 1
    assert f"stdin:{line}" in done.stderr or f"line {line}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_block_is_named(infra: Infra) -> None:
    done = infra.run_job(infra.site_job("typo").replace("resources {", "resorces {"), check=False)
    assert done.returncode == 1
    assert "resorces" in done.stderr
    assert "resources" in done.stderr, "the nearest known block is offered"


def test_what_is_not_acted_on_is_refused_by_name(infra: Infra) -> None:
    text = infra.site_job("vaulted").replace('driver = "docker"', 'driver = "docker"\n vault { role = "x" }')
    done = infra.run_job(text, check=False)
    assert done.returncode == 1
    assert "vault" in done.stderr
    plan = infra.kokiris("job", "plan", "-", stdin=text, check=False)
    assert plan.returncode == 255
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "vault {" in one)
    assert f'* stdin:{line},2: group "web" task "httpd": block "vault"' in plan.stderr


def test_a_namespace_is_made_before_it_is_used_and_not_deleted_while_it_holds_something(infra: Infra) -> None:
    text = infra.site_job("roomy").replace('job "roomy" {', 'job "roomy" {\n namespace = "tests-2"')
    plan = infra.kokiris("job", "plan", "-", stdin=text, check=False)
    assert plan.returncode == 255
    assert "kokiris namespace apply tests-2" in plan.stderr
    infra.kokiris("namespace", "apply", "-description", "for a test", "tests-2")
    assert "for a test" in infra.kokiris("namespace", "list").stdout
    assert infra.kokiris("job", "plan", "-", stdin=text, check=False).returncode == 1
    infra.kokiris("var", "put", "-namespace", "tests-2", "a/b", "c=d")
    held = infra.kokiris("namespace", "delete", "tests-2", check=False)
    assert held.returncode == 1
    assert 'namespace "tests-2" has variables: a/b' in held.stderr
    infra.kokiris("var", "purge", "-namespace", "tests-2", "a/b")
    infra.kokiris("namespace", "delete", "tests-2")
    assert "tests-2" not in infra.kokiris("namespace", "list").stdout


def test_wrong_tags_are_reported_with_tag_and_fix(infra: Infra) -> None:
    text = infra.site_job("tagged").replace("Host(`tagged.localhost`)", "Hots(`tagged.localhost`)")
    plan = infra.kokiris("job", "plan", "-", stdin=text, check=False)
    assert plan.returncode == 1, plan.stderr
    assert "Hots" in plan.stdout
    assert "Host" in plan.stdout.replace("Hots", "")
    assert "traefik.http.routers.tagged.rule" in plan.stdout


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '"x"', '{"Job": 7}', '{"Job": {"ID": 5}}', "\x01\x02", '{"Job": null}']
)
def test_garbage_bodies_are_refused(infra: Infra, body: str) -> None:
    reply = infra.curl(
        infra.exports["NOMAD_ADDR"] + "/v1/jobs",
        "-H",
        f"X-Nomad-Token: {infra.token}",
        "-X",
        "PUT",
        "--data-binary",
        body,
    )
    assert 400 <= reply.status <= 500
    assert reply.body.strip()
    assert "internal error" not in reply.body


def test_an_oversized_body_is_refused(infra: Infra, tmp_path) -> None:  # pytest's own fixture
    big = tmp_path / "big"
    big.write_bytes(b'{"Job":"' + b"x" * 5_000_000 + b'"}')
    reply = infra.curl(
        infra.exports["NOMAD_ADDR"] + "/v1/jobs",
        "-H",
        f"X-Nomad-Token: {infra.token}",
        "-X",
        "PUT",
        "--data-binary",
        f"@{big}",
    )
    assert reply.status == 413
    assert "limit" in reply.body


def test_a_wrong_token_explains_itself(infra: Infra) -> None:
    done = run([KOKIRIS, "job", "status"], env={**infra.exports, "NOMAD_TOKEN": "wrong"}, check=False)
    assert done.returncode == 1
    assert "403" in done.stderr
    assert "kokiris env" in done.stderr


def test_a_taken_port_is_named_with_its_owner_before_anything_changes(infra: Infra) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        doors = ["http", "https", "nomad", "consul", "dns", "rpc", "node", "panel", "logs", "registry"]
        ports = [f"-port={door}={12000 + number}" for number, door in enumerate(doors) if door != "consul"]
        done = run([KOKIRIS, "up", "-client", "other", "-infra", "rec1", *ports, f"-port=consul={port}"], check=False)
    assert done.returncode == 1
    assert f"port {port} (consul) is already taken" in done.stderr
    assert "python" in done.stderr or "pytest" in done.stderr
    assert not infra.layout.root.parent.parent.joinpath("other").exists()


def test_a_rule_is_named_before_anything_changes(infra: Infra) -> None:
    done = run([KOKIRIS, "up", "-client", "other", "-infra", "prd1"], check=False)
    assert done.returncode == 1
    assert 'rule "three nodes"' in done.stderr
    assert not infra.layout.root.parent.parent.joinpath("other").exists()


def test_a_mistyped_command_offers_the_nearest(infra: Infra) -> None:
    done = infra.kokiris("jbo", check=False)
    assert done.returncode == 1
    assert 'Did you mean "job"?' in done.stderr


class TestUnplaced:
    """Jobs that are accepted and cannot run: the reason is where users look."""

    @pytest.fixture(autouse=True)
    def _unchanged(self) -> None:
        """These register a job, so the job list changes."""

    def test_an_impossible_constraint_says_which(self, infra: Infra, job: str) -> None:
        constraint = 'constraint {\n attribute = "${attr.kernel.name}"\n value = "plan9"\n }'
        done = infra.run_job(infra.site_job(job, extra=constraint), check=False)
        assert done.returncode == 2
        assert "attr.kernel.name" in done.stdout
        assert "plan9" in done.stdout

    def test_too_much_memory_says_so(self, infra: Infra, job: str) -> None:
        done = infra.run_job(infra.site_job(job).replace("memory = 24", "memory = 9000000"), check=False)
        assert done.returncode == 2
        assert "memory" in done.stdout

    def test_a_taken_static_port_says_so(self, infra: Infra, job: str) -> None:
        text = infra.site_job(job, count=2).replace("{ to = 8080 }", "{\n static = 23456\n to = 8080\n }")
        done = infra.run_job(text, check=False)
        assert done.returncode == 2
        assert "23456" in done.stdout or "port" in done.stdout

    def test_an_unknown_image_says_which_and_why(self, infra: Infra, job: str) -> None:
        infra.run_job(infra.site_job(job, count=1, image="kokiris-no-such-image:9"), "-detach")

        def described() -> str:
            stubs = infra.nomad(f"/v1/job/{job}/allocations")
            if not stubs:
                return ""
            text = infra.kokiris("alloc", "status", stubs[0]["ID"]).stdout
            return text if "Driver Failure" in text else ""

        assert "kokiris-no-such-image:9" in until(described, "the driver failure is shown")
