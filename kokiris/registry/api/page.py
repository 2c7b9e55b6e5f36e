"""`/` of the registry's address: what is here and how to use it. It says nothing that a token would be needed for."""

from __future__ import annotations

import falcon.asgi

from kokiris.http.pages import Frame, Markup, commands

HERE, TITLE = "registry", "Docker registry"


class RegistryPage:
    """One page without a sign-in. Docker itself speaks to `/v2/`."""

    def __init__(self, frame: Frame, address: str) -> None:
        """`address` as docker writes it: host, and port unless it is 443."""
        self._frame = frame
        self._content = _content(address)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        del req
        self._frame.send(resp, HERE, TITLE, self._content)


def _content(address: str) -> Markup:
    steps = commands(
        "Push an image, and run it",
        f"docker login -u token {address}      # password: the token (NOMAD_TOKEN), or: kokiris registry user add NAME",
        f"docker tag shop:1 {address}/shop:1",
        f"docker push {address}/shop:1",
        f'# in a job: image = "{address}/shop:1"; workers log in by themselves',
        shown=True,
    )
    look = commands(
        "See what is in it",
        'eval "$(kokiris env)"',
        "kokiris registry repo list      # sizes, tags, digests, and the jobs that use them",
        "kokiris registry -h",
        shown=True,
    )
    about = (
        "<p>The private registry of this client, shared by its infras. Docker speaks to it, not browsers. "
        "If it is answered 503, the add-on is not enabled: <code>kokiris addon enable registry</code>.</p>"
    )
    return Markup(f"{about}{steps}{look}")
