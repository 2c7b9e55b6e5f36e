"""What to do when an image cannot be pulled, from what the engine says. Pure."""

from __future__ import annotations

import re

from kokiris.worker.drivers.engine import registry_of

_ADVICE = (
    (r"servers gave no right", "Look at `kokiris status`, and `kokiris registry status` where the registry is."),
    (r"invalid reference format", "Write [HOST[:PORT]/]REPOSITORY[:TAG], the repository in lower case."),
    (r"x509|certificate", "Put the authority of its certificate into {folder}/ca.crt on this node."),
    (r"server gave HTTP response to HTTPS client", "The registry speaks no TLS there: check its port."),
    (r"unauthorized|denied|authentication required|no basic auth", "{login}"),
    (r"not found|manifest unknown|name unknown|no such image", "Check repository and tag, or push the image first."),
    (r"no matching manifest", "The image is not made for this node's kind of processor."),
    (r"no space left", "Free space on this node: the image does not fit."),
    (r"toomanyrequests|429", "The registry lets this node pull no more for a while."),
    (
        r"lookup|no such host|dial|connection refused|unreachable|timeout|not pulled within",
        "This node cannot reach {registry}: check the name, and that this node may go there.",
    ),
)  # fmt: skip
_OTHERWISE = "Check the image's name and tag, the registry's address, and `auth`."
_NO_HOST = (
    " It names no registry, so docker.io was asked; for one of your own write its address before it: HOST/{image}."
)


def pull_advice(reference: str, reason: str, *, logged_in: bool) -> str:
    """One or two sentences. `reason` is the engine's; `logged_in`: the task gives an `auth`."""
    registry = registry_of(reference)
    login = (
        "Check username and password in `auth`, and what they open."
        if logged_in
        else "There is no such repository, or it wants a login: give username and password in `auth`."
    )
    found = next((advice for pattern, advice in _ADVICE if re.search(pattern, reason)), _OTHERWISE)
    advice = found.format(registry=registry, folder=f"/etc/docker/certs.d/{registry}", login=login)
    elsewhere = registry == "docker.io" and not reference.startswith("docker.io/")
    return advice + (_NO_HOST.format(image=reference) if elsewhere else "")
