"""HAProxy's command line. Apart from `launch`, so that the agent need not load what preparing takes."""

from __future__ import annotations

from kokiris.infra.config import Layout
from kokiris.routing.haproxy.files import HaproxyFiles


def haproxy_command(layout: Layout, program: str = "haproxy") -> list[str]:
    """The argument list. Runs in the foreground; SIGUSR1 ends it softly, SIGTERM at once."""
    files = HaproxyFiles.of(layout)
    # -q: a line per slot at each reload ("proxy stopped") helps nobody; alerts of a start are shown all the same.
    control = ["-W", "-q", "-S", f"{files.master_socket},mode,600"]
    # Debian's build marks every object for debugging and has no pool between a thread's cache and malloc. Both off:
    # nearly 2 us a request (docs/decisions/0020-cost-of-the-vip.md).
    control.append("-dMglobal,no-tag")
    return [program, *control, "-f", str(files.config), "-f", str(files.slots)]
