"""The log search on a whole infra: what happens to a job, what it prints, and who asked it, each once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from typing import Any

import msgspec
import pytest

from kokiris.logs.times import iso
from tests.scenarios.infra import KOKIRIS, Infra, run, site_image, until
from tests.scenarios.load import Load

pytestmark = pytest.mark.scenario

STORES = ("sqlite",)

TALKER = """
  }
  group "talk" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "talker" {
      driver = "docker"
      config {
        image      = "@IMAGE@"
        entrypoint = ["/bin/busybox", "sh", "/local/talk.sh"]
      }
      template {
        destination = "local/talk.sh"
        data        = <<EOT
echo '{"severity":"WARNING","msg":"slow","took":{"ms":310},"job":"another"}'
/bin/busybox cat >&2 <<TRACE
Traceback (most recent call last):
  File "/app/shop.py", line 3, in main
KeyError: 'sku'
2026-11-23 10:00:00 ERROR com.shop.Cart - cannot add
java.lang.IllegalStateException: closed
\tat com.shop.Cart.add(Cart.java:42)
Caused by: java.io.IOException: pipe
\t... 2 more
panic: boom

goroutine 1 [running]:
main.main()
\t/app/main.go:9 +0x1d
INFO after all
TRACE
exit 3
EOT
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
"""


def entries(infra: Infra, query: str) -> list[dict[str, Any]]:
    done = infra.kokiris("logs", query, "-since", "1h", "-n", "5000", "-json", check=False)
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []


def messages(infra: Infra, query: str) -> list[str]:
    return [str(entry["message"]) for entry in entries(infra, query)]


def kill_logs(infra: Infra) -> None:
    before = infra.pid("logs")
    os.kill(before, signal.SIGKILL)
    until(lambda: infra.pid("logs") not in {0, before}, "the agent starts the logs role again")


def test_a_jobs_events_requests_and_output(infra: Infra, job: str) -> None:
    infra.run_job(infra.site_job(job, count=1))
    address = f"https://{job}.localhost/"
    asked = ["--resolve", f"{job}.localhost:443:{infra.config.vip_address}"]
    until(lambda: infra.curl(address, *asked).status == 200, "routed")
    (request,) = until(lambda: entries(infra, f"job:{job} and stream:access and status:200"), "the request is there")
    assert (request["router"], request["service"], request["status"]) == (job, job, 200)
    kill_logs(infra)  # what happens while it is away is told all the same
    text = infra.site_job(job, count=1, extra=TALKER.replace("@IMAGE@", site_image()))
    infra.run_job(text, "-detach")
    infra.run_job(text.replace(f'image = "{site_image()}"', 'image = "no-such-image:1"'), "-detach")
    mine = f"job:{job} and stream:event"
    for wanted in (
        f"Job {job} is registered as version 0: 1 instance of web",
        f"Job {job} is registered as version 1: 1 instance of web, 1 instance of talk",
        f"Deployment of job {job} version 0 succeeded",
        f"Task httpd of {job}.web[0] started",
        f"Task talker of {job}.talk[0] ended with exit code 3",
        f"Allocation {job}.talk[0] has failed: Failed tasks",
    ):
        until(lambda message=wanted: message in messages(infra, mine), wanted)
    failed = until(lambda: entries(infra, f'{mine} and event.type:"DriverFailure"'), "the pull has failed")[0]
    assert 'Failed to pull image "no-such-image:1"' in failed["message"]
    assert (failed["level"], failed["task"], failed["namespace"], len(failed["alloc"])) == (
        "error", "httpd", "default", 36,
    )  # fmt: skip
    until(lambda: infra.curl(address, *asked).status == 503, "nothing answers any more")
    until(lambda: entries(infra, f"job:{job} and status >= 500"), "what nobody answered is the job's too")
    kill_logs(infra)
    until(lambda: len(entries(infra, mine)) > 5, "searching again")
    told = Counter(
        (one["@timestamp"], one["message"], one.get("alloc")) for one in until(lambda: entries(infra, mine), "all")
    )
    assert [one for one, times in told.items() if times > 1] == []

    started = f'stream:event and alloc:"{request["alloc"]}" and event.type:Started'
    until(lambda: entries(infra, started), "an instance's events are found by what the request names")

    (slow,) = until(lambda: entries(infra, f"job:{job} and task:talker and stream:stdout"), "the JSON line")
    assert (slow["level"], slow["message"], slow["took"], slow["app"]) == (
        "warn", "slow", {"ms": 310}, {"job": "another"},
    )  # fmt: skip
    found = until(
        lambda: len(said := messages(infra, f"job:{job} and task:talker and stream:stderr")) >= 4 and said, "stderr"
    )
    assert [one.splitlines()[-1].strip() for one in found] == [
        "KeyError: 'sku'", "... 2 more", "/app/main.go:9 +0x1d", "INFO after all",
    ]  # fmt: skip


def test_a_line_for_every_request_whatever_becomes_of_the_log_search(infra: Infra) -> None:
    host, began = "www.site.localhost", time.time_ns() // 1_000_000 * 1000
    with Load(infra, host, clients=4, pause_s=0.1) as load:

        def goes_on() -> None:
            good = load.good
            until(lambda: load.good > good + 20, "requests go on")

        goes_on()
        hanging = infra.pid("logs")
        os.kill(hanging, signal.SIGSTOP)
        goes_on()
        agent = infra.pid("agent")
        os.kill(agent, signal.SIGKILL)
        until(lambda: infra.pid("agent") == 0, "the agent is gone")
        os.kill(hanging, signal.SIGKILL)
        goes_on()
        run([KOKIRIS, "up", "-client", "demo", "-infra", "rec1", "-store", infra.store])
        until(lambda: infra.pid("logs") not in {0, hanging}, "the logs role is back")
        goes_on()
    assert load.failures == []
    query = f'stream:access and host:"{host}" and @timestamp >= "{iso(began)}"'
    until(lambda: len(entries(infra, query)) == load.good, "a line for every request, each once")


def test_following_events(infra: Infra, job: str) -> None:
    with subprocess.Popen(
        [KOKIRIS, "logs", f"job:{job} and stream:event", "--since", "1h", "-f"],
        env={**os.environ, **infra.exports},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        try:
            infra.run_job(infra.site_job(job, count=1), "-detach")
            line = next(line for line in following.stdout if " started" in line and "Task" in line)
        finally:
            following.terminate()
    assert line.rstrip().endswith(f"event: Task httpd of {job}.web[0] started")
