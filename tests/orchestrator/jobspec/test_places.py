"""Where in a job file stands what a refusal names."""

from __future__ import annotations

import pytest

from kokiris.orchestrator.jobspec import canonical, parse_hcl, unsupported, with_places

JOB = """\
job "j" {
  periodic { crons = ["@daily"] }
  type = "sysbatch"
  group "g" {
    ephemeral_disk { sticky = true }
    network {
      mode = "cni/x"
      port "http" { host_network = "public" }
    }
    volume "data" {
      type   = "csi"
      source = "s"
    }
    dynamic "service" {
      for_each = ["a"]
      content {
        name = service.value
        port = "http"
        connect { native = true }
      }
    }
    task "t" {
      driver = "docker"
      vault {}
      config {
        image    = "i"
        volumes  = ["/etc:/etc"]
        port_map { db = 1 }
        mount {
          type   = "bind"
          source = "/x"
          target = "/y"
        }
      }
      template {
        data        = "{{ key `x` }}"
        destination = "${NOMAD_TASK_DIR}/a"
      }
      template {
        data          = "x"
        destination   = "local/b"
        change_mode   = "script"
        change_script { command = "/x" }
      }
      resources {
        network { port "db" {} }
      }
      service {
        name = "one"
        check {
          name     = "c"
          type     = "script"
          command  = "/x"
          interval = "5s"
          timeout  = "1s"
        }
      }
    }
  }
  task "alone" {
    driver = "java"
  }
}
"""


def place_of(text: str) -> tuple[int, int]:
    before = JOB[: JOB.index(text)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize(
    ("named", "at"),
    [
        ('block "periodic"', "periodic {"),
        ('type "sysbatch"', 'type = "sysbatch"'),
        ('"ephemeral_disk.sticky"', "sticky"),
        ('network mode "cni/x"', "mode ="),
        ('"port.host_network"', "host_network"),
        ('volume type "csi"', 'type   = "csi"'),
        ('block "connect"', 'dynamic "service"'),
        ('block "vault"', "vault"),
        ('"port_map"', "port_map"),
        ('volume "/etc:/etc"', "volumes"),
        ('mount source "/x"', 'source = "/x"'),
        ('function "key"', "template {"),
        ('template change_mode "script"', "change_mode"),
        ('"resources.network"', 'network { port "db"'),
        ('check type "script"', 'type     = "script"'),
        ('driver "java"', 'driver = "java"'),
    ],
)
def test_each_refusal_has_the_line_of_what_it_names(named: str, at: str) -> None:
    refused = unsupported(canonical(parse_hcl(JOB, filename="j.hcl")))
    message = "400 (not supported by this version:\n" + "\n".join(f"* {one}" for one in refused) + ")"
    line = next(one for one in with_places(message, JOB, "j.hcl").split("\n") if named in one)
    number, column = place_of(at)
    assert line.startswith(f"* j.hcl:{number},{column}: ")


@pytest.mark.parametrize(
    ("message", "source"),
    [
        ("Permission denied", JOB),
        ('* group "g": block "x"', "not a job {"),
        ('* group "g": block "x"', 'variable "a" {}'),
        ('* port label "http" referenced by services a does not exist', JOB),
    ],
)
def test_other_messages_stay_as_they_are(message: str, source: str) -> None:
    assert with_places(message, source, "j.hcl") == message


def test_an_unknown_place_is_given_by_the_block_around_it() -> None:
    line, column = place_of('group "g"')
    assert (
        with_places('\t* group "g" task "gone": block "x"', JOB, "j")
        == f'\t* j:{line},{column}: group "g" task "gone": block "x"'
    )
    assert with_places('* group "nope" service "a b": x', JOB, "j").startswith("* j:")
