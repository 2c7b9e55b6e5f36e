"""`python -m kokiris.agent.nursery SOCKET MODULE …`: imports the modules, then forks children that find them loaded."""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import os
import runpy
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from kokiris.agent.nursery.nursery import Nursery, OutdatedError, log

BACKLOG = 16


def _listen(path: Path) -> socket.socket:
    """For the owner only. Before the modules are loaded: who asks meanwhile waits instead of asking again."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    usual = os.umask(0o177)
    listener.bind(str(path))
    os.umask(usual)
    listener.listen(BACKLOG)
    return listener


def _load(modules: Sequence[str]) -> None:
    """One that cannot be imported is left to the child that needs it, whose log then says why."""
    gc.disable()  # a collection would leave holes, which children fill: each hole is a page that is no longer shared
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:  # whatever a module raises, the others are wanted
            log.exception("%s cannot be loaded in advance", module)
    gc.freeze()  # no collection of a child looks at, and thereby writes to, what is loaded here


def main() -> None:
    """Never returns in the nursery but when its code has changed; in a child, what its module does."""
    parser = argparse.ArgumentParser(prog="kokiris.agent.nursery")
    parser.add_argument("socket", type=Path)
    parser.add_argument("modules", nargs="*")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    listener = _listen(args.socket)
    _load(args.modules)
    nursery = Nursery(listener)
    try:
        child = nursery.serve()
    except OutdatedError:
        log.info("the code on disk has changed: making way for a nursery that loads it")
        return
    finally:
        nursery.close()
    child.settle()
    gc.enable()
    sys.argv = ["-m", *child.birth.argv[3:]]
    runpy.run_module(child.birth.argv[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
