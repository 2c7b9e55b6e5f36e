"""The registry of another infra of the client, as our servers use it: rights to pull, and telling what is used."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence

import aiohttp
import msgspec

from kokiris.kernel.errors import KokirisError, Unavailable
from kokiris.registry.images import ImageName
from kokiris.registry.model import UsedImage
from kokiris.registry.sharing import Share

log = logging.getLogger(__name__)

LOOK_S = 5.0
REPEAT_S = 600.0
"""How long the same is not said again."""
ANSWER_S = 4.0
"""Two of them within what a node waits for its servers."""

Users = Callable[[], Mapping[ImageName, Sequence[str]]]


class UseReport(msgspec.Struct, kw_only=True):
    """All images of the registry that jobs of an infra name."""

    Images: list[UsedImage]


def use_report(users: Mapping[ImageName, Sequence[str]]) -> UseReport:
    """In an order that stays the same."""
    return UseReport(
        Images=[
            UsedImage(Repository=one.repository, Tag=one.tag, Digest=one.digest, Jobs=list(jobs))
            for one, jobs in sorted(users.items(), key=lambda item: str(item[0]))
        ]
    )


class SharedRegistry:
    """`read` gives the present account, which may be replaced at any time; `users` the images that jobs of this infra
    use. Raises Unavailable when the other infra does not answer, or refuses."""

    def __init__(self, read: Callable[[], Share], users: Users) -> None:
        self._read, self._users = read, users
        self._share = read()
        self._session: aiohttp.ClientSession | None = None
        self._said: tuple[UseReport, float] | None = None
        self._saying = asyncio.Lock()

    async def pull_token(self, repository: str) -> str:
        """For a node to pull one repository. That it is used has been said by then: it is not cleaned away."""
        await self.report()
        params = {"service": self._share.Server, "scope": f"repository:{repository}:pull"}
        raw = await self._request("GET", "/token", params=params)
        return str(msgspec.json.decode(raw)["token"])

    async def report(self) -> None:
        """Says what is used, when that has changed or has not been said for a while."""
        async with self._saying:
            report = use_report(self._users())
            now_s = time.monotonic()
            if self._said is not None and self._said[0] == report and now_s - self._said[1] < REPEAT_S:
                return
            await self._request("PUT", "/api/v1/use", body=msgspec.json.encode(report))
            self._said = report, now_s

    async def run(self) -> None:
        """Reports for ever; on the leader only."""
        failing = False
        while True:
            try:
                await self.report()
                failing = False
            except KokirisError as error:
                if not failing:
                    log.warning("%s", error.message)
                failing = True
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        client = await self._client()
        server = self._share.Server
        try:
            async with client.request(
                method, f"https://{server}{path}", params=params, data=body, allow_redirects=False
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the client's registry {server}, which another infra holds, does not answer: {error}"
            ) from error
        if answer.status == 200:
            return raw
        hint = f"Take in a new file: `kokiris registry share {self._share.Account}` there, `kokiris up -registry` here."
        said = raw[:200].decode(errors="replace")
        raise Unavailable(
            f"the client's registry {server}, which another infra holds, answers {answer.status}: {said}",
            next_step=hint if answer.status in {401, 403} else None,
        )

    async def _client(self) -> aiohttp.ClientSession:
        share = self._read()
        if share != self._share:
            await self.close()
            self._share = share
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=self._share.Authority)),
                headers={"Authorization": aiohttp.encode_basic_auth(self._share.Account, self._share.Secret)},
                timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            )
        return self._session
