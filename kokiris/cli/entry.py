"""The `kokiris` program. It imports nothing before an interruption can be told as one."""

from __future__ import annotations

import sys


def main() -> None:
    """The process; see `kokiris.cli.main.main`. Ctrl-C ends it with 130, also while it is still starting."""
    try:
        from kokiris.cli.main import main as run  # noqa: PLC0415 - takes most of the start: an interruption falls in it

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
