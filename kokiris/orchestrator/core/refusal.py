"""What the orchestrator refuses."""

from __future__ import annotations

from kokiris.kernel.errors import Conflict


class Refused(Conflict):
    """A write that the present state does not allow; nothing was changed. Nomad answers these with 500, so do we."""

    code = "refused"
    http_status = 500
    default_next_step = (
        "Look at its present state (`kokiris job status`, `kokiris deployment status`) and send what fits."
    )
