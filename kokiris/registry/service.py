"""The registry of a client as a server knows it: accounts, tokens, what is stored, and what is done about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from kokiris.http.tokens import Authenticator
from kokiris.kernel.clock import wall_ns
from kokiris.kernel.errors import BadInput, Forbidden, NotFound
from kokiris.kernel.schedule import parse_schedule
from kokiris.kernel.units import format_size
from kokiris.orchestrator.model.job import Job
from kokiris.registry.accounts import Accounts, AccountWrites
from kokiris.registry.collect import Collected, Collector, delete_tag
from kokiris.registry.images import (
    DockerTask,
    ImageName,
    docker_tasks,
    is_digest,
    name_problem,
    parse_image,
    users_of_images,
)
from kokiris.registry.listing import RepositoryEntry, list_repositories, pinned_digests, used_by
from kokiris.registry.model import Account, RetentionRule, Use, UsedImage
from kokiris.registry.retention import tags_to_delete
from kokiris.registry.scopes import check_pattern, is_repository
from kokiris.registry.shared import SharedRegistry
from kokiris.registry.sharing import Share
from kokiris.registry.signing import SigningKeys
from kokiris.registry.storage import manifest_link, read_size_bytes, read_storage, tag_path
from kokiris.registry.tokenserver import Issuing, Room, TokenServer
from kokiris.store.contract import Store

MEASURE_EVERY_S = 5.0
"""How old the measured size may be when a push is allowed."""


class RegistryService:
    """Everything behind the registry's doors. `jobs` gives all jobs whose images must stay: present ones, and versions
    that still run. `token_lives` tells whether a management token (by accessor id) still opens doors."""

    def __init__(
        self,
        *,
        client: str,
        issuing: Issuing,
        keys: Path,
        storage: Path,
        store: Store,
        accounts: Accounts,
        wait_for: Callable[[int], Awaitable[None]],
        infra_tokens: Authenticator,
        token_lives: Callable[[str], bool],
        jobs: Callable[[], Iterable[Job]],
        share: Callable[[], Share] | None = None,
    ) -> None:
        """`share` reads the account for another infra's registry: then there is nothing here but the right to pull."""
        self._client, self._storage, self._jobs = client, storage, jobs
        self.server = issuing.service
        self.accounts = accounts
        self.writes = AccountWrites(store, accounts, wait_for)
        self.collector = Collector(storage)
        self.infra_tokens = infra_tokens
        self.shared = SharedRegistry(share, self._own_users) if share is not None else None
        self._measured = (0.0, 0)
        self._measuring = asyncio.Lock()
        self.tokens = TokenServer(
            issuing,
            SigningKeys(keys),
            accounts=accounts,
            writes=self.writes,
            infra_tokens=infra_tokens,
            token_lives=token_lives,
            quota=self.room,
        )

    def _own_users(self) -> dict[ImageName, list[str]]:
        return users_of_images(self._jobs(), self.server)

    def users(self) -> dict[ImageName, list[str]]:
        """Image → jobs that use it: "namespace/job", and "infra: namespace/job" of other infras."""
        found = self._own_users()
        for infra, use in sorted(self.accounts.uses.items()):
            for one in use.Images:
                image = ImageName(one.Repository, one.Tag, one.Digest)
                found.setdefault(image, []).extend(f"{infra}: {job}" for job in one.Jobs)
        return found

    async def note_use(self, account: Account, images: list[UsedImage]) -> None:
        """What another infra uses from now on. Raises Forbidden for an account that is no infra's."""
        if account.Kind != "infra":
            raise Forbidden(
                f'account "{account.Name}" is of kind {account.Kind}: only infras say what they use',
                next_step="Use an account made by `kokiris registry share`.",
            )
        await self.writes.note_use(account, Use(At=wall_ns(), Images=images))

    async def node_token(self, repository: str) -> str:
        """For a node of this infra to pull one repository. Raises Unavailable when there is no registry, or when the
        infra that holds it does not answer."""
        if self.shared is not None:
            return await self.shared.pull_token(repository)
        return self.tokens.node_token(repository)

    async def size_bytes(self) -> int:
        """What is stored, measured at most `MEASURE_EVERY_S` ago; unfinished uploads count."""
        async with self._measuring:
            measured_at, size = self._measured
            if not measured_at or time.monotonic() - measured_at > MEASURE_EVERY_S:
                size = await asyncio.to_thread(read_size_bytes, self._storage)
                self._measured = (time.monotonic(), size)
            return size

    async def room(self) -> Room:
        """Whether there is a quota, and whether it is reached."""
        quota_bytes = self.accounts.settings.QuotaBytes
        if not quota_bytes:
            return Room()
        size_bytes = await self.size_bytes()
        if size_bytes < quota_bytes:
            return Room(limited=True)
        stored, quota = format_size(size_bytes), format_size(quota_bytes)
        refusal = f'the registry of client "{self._client}" is full: {stored} are stored, its quota is {quota}'
        return Room(limited=True, refusal=refusal)

    async def repositories(self) -> list[RepositoryEntry]:
        """All, by name."""
        return list_repositories(await asyncio.to_thread(read_storage, self._storage), self.users())

    async def delete_tag(self, repository: str, tag: str, *, force: bool) -> None:
        """The content stays until garbage is collected. Raises NotFound, or BadInput when a job uses it."""
        if not _is_tag(tag) or not is_repository(repository):
            raise BadInput(f'"{repository[:100]}:{tag[:100]}" is not a tag')
        users = self.users().get(ImageName(repository, tag), [])
        if users and not force:
            raise BadInput(
                f"{repository}:{tag} is used by {', '.join(users)}", next_step="Stop these jobs first, or use -force."
            )
        if not await asyncio.to_thread(delete_tag, self._storage, repository, tag):
            raise NotFound(f"{repository}:{tag} does not exist", next_step="`kokiris registry repo list` shows tags.")

    async def set_quota(self, quota_bytes: int) -> None:
        """0: none. Raises BadInput for less than nothing."""
        if quota_bytes < 0:
            raise BadInput(f"a quota of {quota_bytes} bytes is not possible", next_step="Use 0 for no quota.")
        await self.writes.set_settings(msgspec.structs.replace(self.accounts.settings, QuotaBytes=quota_bytes))

    async def set_retention(self, pattern: str, keep_last: int) -> None:
        """Replaces the rule of this very pattern, or adds it after the others; 0 removes it."""
        check_pattern(pattern)
        if keep_last < 0:
            raise BadInput(f"{keep_last} tags cannot be kept", next_step="Use 0 to remove the rule.")
        before = list(self.accounts.settings.Retention)
        new = [RetentionRule(Repository=pattern, KeepLast=keep_last)] if keep_last else []
        at = next((number for number, rule in enumerate(before) if rule.Repository == pattern), len(before))
        rules = [*before[:at], *new, *before[at + 1 :]]
        await self.writes.set_settings(msgspec.structs.replace(self.accounts.settings, Retention=rules))

    async def set_anonymous(self, patterns: list[str]) -> None:
        """Who is nobody may pull from these repositories."""
        for pattern in patterns:
            check_pattern(pattern)
        await self.writes.set_settings(msgspec.structs.replace(self.accounts.settings, AnonymousPull=patterns))

    async def set_schedule(self, schedule: str) -> None:
        """When the clean-up runs: cron, UTC; "": never by itself. Raises BadInput."""
        if schedule:
            parse_schedule(schedule)
        settings = msgspec.structs.replace(self.accounts.settings, Schedule=schedule, ScheduledFrom=wall_ns())
        await self.writes.set_settings(settings)

    async def run_retention(self, *, dry_run: bool) -> list[str]:
        """Deletes surplus tags; "repository:tag" of each."""
        storage = await asyncio.to_thread(read_storage, self._storage)
        users, rules = self.users(), self.accounts.settings.Retention
        deleted = []
        for repository in storage.repositories.values():
            tags, digests = used_by(repository, users)
            for tag in tags_to_delete(repository, rules, tags, digests):
                if dry_run or await asyncio.to_thread(delete_tag, self._storage, repository.name, tag):
                    deleted.append(f"{repository.name}:{tag}")
        return deleted

    async def collect(self, *, dry_run: bool, grace_s: float | None) -> Collected:
        """Garbage collection, or what it would do."""
        if grace_s is not None and grace_s < 0:
            raise BadInput(f"a grace of {grace_s} s is not possible")
        if dry_run:
            found = await self.collector.plan(pinned_digests(self.users()), grace_s)
            return Collected(
                manifests=len(found.manifests),
                layers=len(found.layers),
                uploads=len(found.uploads),
                repositories=len(found.repositories),
                blobs=len(found.blobs),
                size_bytes=found.size_bytes,
                dry_run=True,
            )
        done = await self.collector.run(lambda: pinned_digests(self.users()), grace_s)
        self._measured = (0.0, 0)
        return done

    def image_warnings(self, job: Job) -> list[str]:
        """Sentences for a job's plan: images that cannot be pulled, as far as it can be known here."""
        found = []
        for task in docker_tasks(job):
            problem = name_problem(task.image) or self._pull_problem(task)
            if problem:
                found.append(f'task "{task.name}": image {task.image[:300]} {problem}')
        return found

    def _pull_problem(self, task: DockerTask) -> str:
        image = parse_image(task.image, self.server)
        if image is None or self.shared is not None:
            return ""
        if not self.tokens.enabled:
            return f"is of {self.server}, which is not enabled here: `kokiris addon enable registry`"
        if not self._has(image):
            return f"is not in the registry {self.server}: push it before the job runs"
        if task.username and not self.tokens.may_pull(task.username, task.password, image.repository):
            return f'may not be pulled from {self.server} with the `auth` of user "{task.username[:64]}"'
        return ""

    def _has(self, image: ImageName) -> bool:
        if not is_repository(image.repository):
            return False
        if image.digest:
            return is_digest(image.digest) and manifest_link(self._storage, image.repository, image.digest).exists()
        tag = tag_path(self._storage, image.repository, image.tag)
        return _is_tag(image.tag) and (tag / "current" / "link").exists()


def _is_tag(tag: str) -> bool:
    return bool(tag) and len(tag) <= 128 and tag[0] not in ".-" and all(one.isalnum() or one in "._-" for one in tag)
