"""Signal names as job files write them. Pure."""

from __future__ import annotations

import signal

from kokiris.kernel.errors import BadInput

NAMES: tuple[str, ...] = tuple(sorted({one.name for one in signal.Signals if one.name.startswith("SIG")}))
"""As the attribute `os.signals` lists them."""


def number(name: str) -> int:
    """SIGHUP, HUP, hup or 1. Raises BadInput ("invalid signal") for anything else."""
    wanted = name.strip().upper()
    if wanted.isdigit():
        try:
            return int(signal.Signals(int(wanted)))
        except ValueError:
            raise BadInput(f'invalid signal "{name}"') from None
    if not wanted.startswith("SIG"):
        wanted = f"SIG{wanted}"
    try:
        return int(signal.Signals[wanted])
    except KeyError:
        raise BadInput(f'invalid signal "{name}"', next_step="Use a name such as SIGHUP or SIGTERM.") from None
