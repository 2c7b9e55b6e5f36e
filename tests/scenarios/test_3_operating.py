"""Operating jobs: logs, a terminal, limits, drivers, stopping, and an infra that goes down and comes back."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from kokiris.access.exports import parse_exports
from tests.scenarios.infra import KOKIRIS, Infra, run, site_image, until
from tests.scenarios.load import Load

pytestmark = pytest.mark.scenario

SCRIPT = """
job "@JOB@" {
  type = "@TYPE@"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    @RESCHEDULE@
    task "t" {
      driver = "@DRIVER@"
      config {
        @CONFIG@
      }
      @MORE@
      resources {
        cpu    = 50
        memory = @MEMORY@
      }
    }
  }
}
"""


def script(job: str, command: str, *, kind: str = "batch", more: str = "", memory: int = 20, config: str = "") -> str:
    """A job of one docker task that runs a shell command in the site's image."""
    shell = 'entrypoint = ["/bin/busybox", "sh", "-c"]'
    settings = f'image = "{site_image()}"\n {shell}\n args = [<<EOS\n{command}\nEOS\n]\n{config}'
    return _fill(job, kind=kind, driver="docker", config=settings, more=more, memory=memory)


def _fill(job: str, *, kind: str, driver: str, config: str, more: str = "", memory: int = 20) -> str:
    text = SCRIPT.replace("@JOB@", job).replace("@TYPE@", kind).replace("@DRIVER@", driver)
    reschedule = "" if kind == "system" else "reschedule {\n attempts = 0\n unlimited = false\n }"
    text = text.replace("@RESCHEDULE@", reschedule)
    return text.replace("@CONFIG@", config).replace("@MORE@", more).replace("@MEMORY@", str(memory))


def ended(infra: Infra, job: str) -> dict:  # the API's own JSON
    """The job's only allocation, once it has ended."""

    def one() -> dict | None:  # as above
        stubs = infra.nomad(f"/v1/job/{job}/allocations")
        return stubs[0] if stubs and stubs[0]["ClientStatus"] in {"complete", "failed"} else None

    return until(one, f"the allocation of {job} ends")


def test_logs_of_both_streams_survive_the_container(infra: Infra, job: str) -> None:
    infra.run_job(script(job, "echo out-1; echo err-1 >&2; echo out-2"), "-detach")
    alloc = ended(infra, job)
    assert alloc["ClientStatus"] == "complete"
    assert infra.kokiris("alloc", "logs", alloc["ID"]).stdout == "out-1\nout-2\n"
    assert infra.kokiris("alloc", "logs", "-stderr", alloc["ID"][:8]).stdout == "err-1\n"
    assert infra.kokiris("alloc", "logs", "-tail", "-n", "1", alloc["ID"]).stdout == "out-2\n"


def test_logs_are_followed_while_they_are_written(infra: Infra, job: str) -> None:
    infra.run_job(script(job, "i=0; while true; do i=$((i+1)); echo line $i; /bin/busybox sleep 0.1; done"), "-detach")
    alloc = until(lambda: infra.allocs(job), "it runs")[0]["ID"]
    with subprocess.Popen(
        [KOKIRIS, "alloc", "logs", "-f", alloc], env={**os.environ, **infra.exports}, stdout=subprocess.PIPE, text=True
    ) as follow:
        assert follow.stdout is not None
        lines = [follow.stdout.readline() for _ in range(30)]
        follow.terminate()
    assert lines == [f"line {number}\n" for number in range(1, 31)]


def test_exec_gives_output_and_exit_code(infra: Infra) -> None:
    done = infra.kokiris(
        "alloc", "exec", "-job", "site", "/bin/busybox", "sh", "-c", "echo hi; echo no >&2; exit 7", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "hi\n", "no\n")
    piped = infra.kokiris("alloc", "exec", "-job", "site", "/bin/busybox", "cat", stdin="through the pipe")
    assert piped.stdout == "through the pipe"


def read_until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows, up to `wanted`, or what came within a minute."""
    seen = b""
    deadline = time.monotonic() + 60
    while wanted not in seen and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096)
    return seen


def test_exec_with_a_terminal_is_one(infra: Infra) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execve(  # noqa: S606 - the child of a real terminal
            KOKIRIS,
            [str(KOKIRIS), "alloc", "exec", "-t", "-job", "site", "/bin/busybox", "sh"],
            {**os.environ, **infra.exports},
        )
    try:
        seen = read_until(terminal, b"# ")
        os.write(terminal, b"/bin/busybox tty; echo typed-$((6*7))\n")
        seen += read_until(terminal, b"typed-42")
        os.write(terminal, b"exit 3\n")
        while True:
            try:
                if not os.read(terminal, 4096):
                    break
            except OSError:  # the terminal is gone with its process
                break
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert b"/dev/pts/" in seen, seen
    assert b"typed-42" in seen
    assert os.waitstatus_to_exitcode(status) == 3


def test_the_memory_limit_holds(infra: Infra, job: str) -> None:
    infra.run_job(script(job, "x=a; while true; do x=$x$x; done", memory=24), "-detach")
    alloc = ended(infra, job)
    assert alloc["ClientStatus"] == "failed"
    text = infra.kokiris("alloc", "status", alloc["ID"]).stdout
    assert "OOM" in text or "137" in text


def test_a_failing_batch_job_says_how_it_ended(infra: Infra, job: str) -> None:
    infra.run_job(script(job, "exit 5"), "-detach")
    alloc = ended(infra, job)
    assert alloc["ClientStatus"] == "failed"
    assert "Exit Code: 5" in infra.kokiris("alloc", "status", alloc["ID"]).stdout


def test_raw_exec_runs_on_the_node(infra: Infra, job: str) -> None:
    """For the platform's own jobs: it is root on the node, so that tenants are refused."""
    config = 'command = "/bin/sh"\n args = ["-c", "echo alloc $NOMAD_ALLOC_ID in $NOMAD_JOB_NAME"]'
    text = _fill(job, kind="batch", driver="raw_exec", config=config)
    refused = infra.run_job(text, check=False)
    assert refused.returncode == 1
    assert 'driver "raw_exec" is only allowed in the namespace "platform"' in refused.stderr
    operator = parse_exports(infra.layout.operator_file)

    def as_operator(*arguments: str, stdin: str | None = None) -> str:
        return run([KOKIRIS, *arguments], env=operator, stdin=stdin).stdout

    as_operator("job", "run", "-detach", "-", stdin=text)
    try:
        until(lambda: "complete" in as_operator("job", "status", job), "it ends")
        (alloc,) = msgspec.json.decode(as_operator("job", "allocs", "-json", job))
        assert as_operator("alloc", "logs", alloc["ID"]) == f"alloc {alloc['ID']} in {job}\n"
    finally:
        as_operator("job", "stop", "-purge", job)


def test_a_system_job_runs_once_on_every_node(infra: Infra, job: str) -> None:
    infra.run_job(script(job, "/bin/busybox sleep 1000", kind="system"), "-detach")
    assert len(until(lambda: infra.allocs(job), "it runs")) == len(infra.nomad("/v1/nodes"))


def test_a_template_follows_the_services_it_names(infra: Infra, job: str) -> None:
    template = """
      template {
        destination = "local/peers"
        change_mode = "noop"
        splay       = "0s"
        data        = <<EOT
{{ range service "site" }}{{ .Address }}:{{ .Port }}
{{ end }}
EOT
      }
    """
    infra.run_job(script(job, "/bin/busybox sleep 1000", kind="service", more=template), "-detach")
    alloc = until(lambda: infra.allocs(job), "it runs")[0]["ID"]

    def peers() -> set[str]:
        return set(infra.kokiris("alloc", "fs", alloc, "t/local/peers").stdout.split())

    wanted = {f"{address}:{port}" for address, port in infra.instances("site")}
    assert len(wanted) == 2
    until(lambda: peers() == wanted, "the template lists the site's instances")


def test_two_tasks_of_a_bridge_group_share_localhost(infra: Infra, job: str) -> None:
    request, nc = "GET /health HTTP/1.0\\r\\n\\r", "/bin/busybox nc 127.0.0.1 8080"
    more = f"""
    task "asker" {{
      driver = "docker"
      lifecycle {{
        hook    = "poststart"
        sidecar = true
      }}
      config {{
        image      = "{site_image()}"
        entrypoint = ["/bin/busybox", "sh", "-c"]
        args       = ["while ! echo -e '{request}' | {nc}; do /bin/busybox sleep 0.2; done; /bin/busybox sleep 1000"]
      }}
      resources {{
        cpu    = 20
        memory = 20
      }}
    }}
    """
    infra.run_job(infra.site_job(job, count=1, extra=more), "-detach")
    alloc = until(lambda: infra.allocs(job), "it runs")[0]["ID"]
    until(
        lambda: "200 OK" in infra.kokiris("alloc", "logs", alloc, "asker").stdout, "the neighbour answers on localhost"
    )


def test_a_crashed_instance_is_restarted_in_place(infra: Infra, job: str) -> None:
    extra = 'restart {\n attempts = 5\n interval = "10m"\n delay = "1s"\n mode = "fail"\n }'
    infra.run_job(infra.site_job(job, count=1, extra=extra))
    alloc = infra.allocs(job)[0]["ID"]
    infra.kokiris("alloc", "exec", alloc, "/bin/busybox", "kill", "-9", "-1", check=False)
    infra.kokiris("alloc", "signal", "-s", "SIGKILL", alloc, check=False)
    until(lambda: infra.nomad(f"/v1/allocation/{alloc}")["TaskStates"]["httpd"]["Restarts"] >= 1, "restarted")
    until(lambda: infra.curl(f"https://{job}.localhost/").status == 200, "answers again")
    assert [one["ID"] for one in infra.allocs(job)] == [alloc]


def test_a_failing_update_reverts_by_itself(infra: Infra, job: str) -> None:
    good = infra.site_job(job, count=2).replace(
        'healthy_deadline = "60s"', 'healthy_deadline = "60s"\n auto_revert = true'
    )
    infra.run_job(good)
    bad = good.replace('path     = "/health"', 'path     = "/missing"').replace(
        'healthy_deadline = "60s"', 'healthy_deadline = "5s"\n progress_deadline = "10s"'
    ).replace('SITE_TITLE = "one"', 'SITE_TITLE = "broken"')  # fmt: skip
    done = infra.run_job(bad, check=False)
    assert done.returncode == 1
    assert "rolling back to job version 0" in done.stdout

    def reverted() -> bool:
        job_now = infra.nomad(f"/v1/job/{job}")
        return (
            job_now["Version"] == 2
            and len(infra.allocs(job)) == 2
            and infra.curl(f"https://{job}.localhost/").status == 200
        )

    until(reverted, "the first version is back")
    assert "broken" not in infra.curl(f"https://{job}.localhost/").body


def test_stop_leaves_the_routing_and_purge_forgets(infra: Infra, job: str) -> None:
    infra.run_job(infra.site_job(job, count=1))
    until(lambda: infra.curl(f"https://{job}.localhost/").status == 200, "routed")
    infra.kokiris("job", "stop", job)
    until(lambda: infra.curl(f"https://{job}.localhost/", "-k").status == 404, "the route is gone")
    assert infra.nomad(f"/v1/job/{job}")["Status"] == "dead"
    infra.kokiris("job", "stop", "-purge", job)
    assert infra.kokiris("job", "status", job, check=False).returncode == 1


def test_status_names_what_does_not_run(infra: Infra) -> None:
    assert infra.kokiris("status").returncode == 0
    assert "2/2" in infra.kokiris("status").stdout


def test_an_update_takes_its_static_port_over(infra: Infra, job: str) -> None:
    text = infra.site_job(job, count=1).replace("{ to = 8080 }", "{\n static = 13457\n to = 8080\n }")
    infra.run_job(text)
    infra.run_job(text.replace('SITE_TITLE = "one"', 'SITE_TITLE = "two"'))
    (alloc,) = infra.allocs(job)
    state = infra.nomad(f"/v1/allocation/{alloc['ID']}")["TaskStates"]["httpd"]
    assert state["Restarts"] == 0, "the port was free when the container was made"
    until(lambda: "two" in infra.curl(f"https://{job}.localhost/").body, "the second one is routed")


CALLS = r"""
while true; do
  page=$(echo -e 'GET / HTTP/1.0\r\n\r' | /bin/busybox nc -w 5 @ADDRESS@)
  case $page in *allocation*) echo answered ;; *) echo lost ;; esac
  /bin/busybox usleep 50000
done
"""


def test_dockerd_ends_and_returns_without_a_lost_request(infra: Infra, job: str) -> None:
    """dockerd takes all its port rules out when it starts, and the processes that carry connections between containers
    die with it: neither a request through the VIP nor one of a container to another notices."""
    address, port = min(infra.instances("site"))
    calls = CALLS.replace("@ADDRESS@", f"{address} {port}")
    infra.run_job(script(job, calls, kind="service", config='network_mode = "bridge"'), "-detach")
    caller = until(lambda: infra.allocs(job), "it runs")[0]["ID"]

    def called() -> Counter[str]:
        return Counter(infra.kokiris("alloc", "logs", caller).stdout.split())

    until(lambda: called()["answered"] > 10, "a container calls another")
    before = infra.containers()
    with Load(infra, "www.site.localhost") as load:
        until(lambda: load.good > 30, "load runs")
        for signal in ("KILL", "TERM"):
            victim = infra.pid("dockerd")
            run(["kill", f"-{signal}", str(victim)])
            until(lambda: infra.pid("dockerd") not in {0, victim}, "dockerd is back")  # noqa: B023 - called at once
            until(lambda: infra.kokiris("status", check=False).returncode == 0, "all is well again")
            assert until(infra.containers, "docker answers") == before
        good, answered = load.good, called()["answered"]
        until(lambda: load.good > good + 30 and called()["answered"] > answered, "requests go on")
    assert load.failures == []
    assert called()["lost"] == 0


def test_a_second_infra_beside_the_first_leaves_it_alone(infra: Infra) -> None:
    """On ports of its own, with the dockerd that runs already; `down` leaves dockerd and the containers of others."""
    doors = ["http", "https", "nomad", "consul", "dns", "rpc", "node", "panel", "logs", "registry"]
    ports = [f"-port={door}={12100 + number}" for number, door in enumerate(doors)]
    before, dockerd = infra.containers(), infra.pid("dockerd")
    run([KOKIRIS, "up", "-client", "other", "-infra", "rec2", *ports])
    try:
        names = Path("/etc/hosts").read_text()
        assert "nomad.rec2.other." in names
        assert "nomad.rec1.demo." in names

        def well() -> bool:
            health = run([KOKIRIS, "status", "-client", "other", "-infra", "rec2"]).stdout
            return (health.count("answers"), health.count("not enabled")) == (5, 2)

        until(well, "five doors answer, two are not enabled")
        assert infra.curl("https://www.site.localhost/").status == 200
    finally:
        run([KOKIRIS, "down", "-client", "other", "-infra", "rec2", "-purge"])
    assert not Path("/var/lib/kokiris/other/rec2").exists()
    assert infra.containers() == before
    assert infra.pid("dockerd") == dockerd
    assert infra.curl("https://www.site.localhost/").status == 200


def test_haproxy_killed_comes_back_with_all_routes(infra: Infra) -> None:
    victim = infra.pid("haproxy")
    run(["kill", "-9", str(victim)])
    until(lambda: infra.pid("haproxy") not in {0, victim}, "HAProxy is back")
    until(lambda: infra.curl("https://www.site.localhost/").status == 200, "the site answers")
    assert infra.curl(f"https://{infra.config.addresses.nomad}/v1/status/leader").status == 200


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""


def test_zz_down_and_up_again_brings_everything_back(infra: Infra) -> None:
    version = infra.nomad("/v1/job/site")["Version"]
    index = infra.curl(infra.exports["NOMAD_ADDR"] + "/v1/jobs", "-H", f"X-Nomad-Token: {infra.token}").headers
    run(["make", "down"])
    left = [process for process in Path("/proc").glob("[0-9]*/comm") if "httpd" in _text(process)]
    assert left == [], "no container is left"
    assert infra.pid("server") == infra.pid("haproxy") == infra.pid("agent") == 0
    with open("/etc/hosts") as hosts:  # noqa: PTH123 - the file itself is what is looked at
        assert "kokiris" not in hosts.read()
    assert run(["make", "down"]).stdout.startswith("nothing to stop")
    options = [] if infra.store == "sqlite" else ["-store", infra.store]
    output = run(["scripts/up.sh", "demo", "rec1", *options]).stdout
    assert infra.token not in output, "the token is as before and is not shown again"
    assert 'job "site" is as submitted before' in output
    assert infra.curl("https://www.site.localhost/").status == 200
    assert infra.nomad("/v1/job/site")["Version"] == version
    after = infra.curl(infra.exports["NOMAD_ADDR"] + "/v1/jobs", "-H", f"X-Nomad-Token: {infra.token}").headers
    assert int(after["x-nomad-index"]) >= int(index["x-nomad-index"]), "the revision never goes back"
    until(lambda: len(infra.allocs("site")) == 2, "both instances run")
