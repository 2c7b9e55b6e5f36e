"""`python -m kokiris.agent.chores NAME CONFIG …`: what the agent does once in a while, and need not keep in memory."""

from __future__ import annotations

import sys
from pathlib import Path

from kokiris.access.node_certificate import renew
from kokiris.infra.config import Config, Layout, load
from kokiris.kernel.errors import KokirisError
from kokiris.routing.haproxy.launch import prepare


def certificate(config: Config, layout: Layout, _arguments: list[str]) -> str:
    """Renews the node's certificate if it is due."""
    return "the node's certificate was renewed" if renew(config, layout) else ""


def haproxy(config: Config, layout: Layout, arguments: list[str]) -> str:
    """Writes what HAProxy needs to start; the arguments are the descriptors of its listening sockets."""
    prepare(config, layout, bind_fds=[int(one) for one in arguments])
    return ""


CHORES = {"certificate": certificate, "haproxy": haproxy}


def main(argv: list[str]) -> int:
    """The exit code; what is worth telling is printed."""
    name, config_file, *arguments = argv
    try:
        config = load(Path(config_file))
        text = CHORES[name](config, Layout(config.data_dir), arguments)
    except (KokirisError, OSError) as error:
        print(error)  # noqa: T201 - the agent reads it
        return 1
    if text:
        print(text)  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
