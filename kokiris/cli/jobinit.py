"""`kokiris job init`: a first job to change. README.md shows the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kokiris.cli.flags import Command, flag
from kokiris.cli.output import say
from kokiris.cli.suggestions import files
from kokiris.kernel.errors import BadInput

EXAMPLE = """\
job "hello" {
  group "web" {
    count = 2

    network {
      mode = "bridge"
      port "http" { to = 8080 }
    }

    service {
      name = "hello"
      port = "http"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.hello.rule=Host(`hello.localhost`)",
      ]
      check {
        type     = "http"
        path     = "/"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "web" {
      driver = "docker"
      config {
        image = "IMAGE"          # any image dockerd has, or can pull
        ports = ["http"]
      }
    }
  }
}
"""


@click.command("init", cls=Command, examples="kokiris job init\nkokiris job init hello.nomad.hcl")
@click.argument("file", metavar="[FILE]", required=False, default="example.nomad.hcl", shell_complete=files)
@flag("short", "Accepted; the example is short.")
def init_command(file: str, **given: Any) -> None:
    """Writes an example job file (example.nomad.hcl); a file that is there stays as it is."""
    del given
    try:
        with Path(file).open("x") as example:
            example.write(EXAMPLE)
    except FileExistsError as error:
        raise BadInput(f"{file} is there already", next_step="Name another file: `kokiris job init FILE`.") from error
    say(f"Example job file written to {file}\nPut an image in the place of IMAGE, then: kokiris job plan {file}")
