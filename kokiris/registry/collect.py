"""Removing garbage while the registry serves, without ever breaking an image.

The registry keeps no cache of what is there (`layout.distribution_config`), so that it sees every step at once:

1. Links of manifests go, then links of layers: from now on a push is told to bring such a layer again.
2. After a moment everything is read again. A manifest that came in meanwhile gets its links back.
3. Blobs that still nothing names are set aside by renaming. After another moment everything is read once more: what
   somebody refers to now is put back, the rest is deleted.

A run that was cut short leaves nothing but blobs set aside: the next run puts back or deletes those first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from kokiris.kernel.errors import Busy
from kokiris.registry.storage import (
    Storage,
    blob_path,
    layer_link,
    manifest_link,
    read_size_bytes,
    read_storage,
    repository_path,
    tag_path,
)
from kokiris.registry.sweep import (
    GRACE_S,
    Garbage,
    Links,
    find_garbage,
    layers_to_restore,
    manifests_to_restore,
    needed_blobs,
)

log = logging.getLogger(__name__)

SETTLE_S = 3.0
"""Longer than the registry takes from looking for a manifest's layers to writing it."""

CLOCK_MARGIN_S = 0.011
"""File times lag behind the clock by a tick of the kernel."""

Pinned = Mapping[str, Collection[str]]


@dataclass(slots=True)
class Collected:
    """What a run removed, or would remove."""

    manifests: int = 0
    layers: int = 0
    uploads: int = 0
    repositories: int = 0
    blobs: int = 0
    size_bytes: int = 0
    dry_run: bool = False


class Collector:
    """One storage folder. Runs do not overlap: a second one is refused with Busy."""

    def __init__(
        self,
        root: Path,
        *,
        settle_s: float = SETTLE_S,
        now_s: Callable[[], float] = time.time,
        grace_s: float = GRACE_S,
    ) -> None:
        self._root = root
        self._aside = root / "set-aside"
        self._settle_s, self._now_s = settle_s, now_s
        self.grace_s = grace_s
        self._running = False

    async def plan(self, pinned: Pinned, grace_s: float | None = None) -> Garbage:
        """What a run would remove now."""
        storage = await asyncio.to_thread(read_storage, self._root)
        return self._find(storage, pinned, grace_s)

    async def run(self, pinned: Callable[[], Pinned], grace_s: float | None = None) -> Collected:
        """Removes what is garbage. `pinned` is asked again before each step."""
        if self._running:
            raise Busy("garbage of the registry is being collected already", next_step="Wait until that run is over.")
        self._running = True
        try:
            return await self._run(pinned, grace_s)
        finally:
            self._running = False

    async def _run(self, pinned: Callable[[], Pinned], grace_s: float | None) -> Collected:
        done = Collected()
        await self._settle_aside(done)
        started_s = self._now_s()
        garbage = await self.plan(pinned(), grace_s)
        await asyncio.to_thread(self._remove_links, garbage, started_s, done)
        await asyncio.sleep(self._settle_s)
        await asyncio.to_thread(self._restore_links, garbage)
        storage = await asyncio.to_thread(read_storage, self._root)
        again = set(self._find(storage, pinned(), grace_s).blobs) - needed_blobs(storage)
        for digest in garbage.blobs:
            if digest in again:
                await asyncio.to_thread(self._set_aside, digest)
        await asyncio.sleep(self._settle_s)
        await self._settle_aside(done)
        await asyncio.to_thread(self._remove_repositories, garbage, done)
        return done

    def _find(self, storage: Storage, pinned: Pinned, grace_s: float | None) -> Garbage:
        wanted = self.grace_s if grace_s is None else grace_s
        return find_garbage(storage, self._now_s(), grace_s=wanted, pinned=pinned)

    def _remove_links(self, garbage: Garbage, started_s: float, done: Collected) -> None:
        """Without those that were written again since everything was read."""
        for repository, digest in garbage.manifests:
            done.manifests += _remove_link(manifest_link(self._root, repository, digest), started_s)
        for repository, digest in garbage.layers:
            done.layers += _remove_link(layer_link(self._root, repository, digest), started_s)
        for repository, upload in garbage.uploads:
            folder = repository_path(self._root, repository) / "_uploads" / upload
            size_bytes = read_size_bytes(folder)
            if _remove_folder(folder):
                done.uploads += 1
                done.size_bytes += size_bytes

    def _restore_links(self, garbage: Garbage) -> None:
        """Manifests first, an index before its children: only what is linked again can be read."""
        storage = read_storage(self._root)
        while back := manifests_to_restore(storage, garbage.manifests, self._now_s()):
            self._write_links(back, [manifest_link(self._root, *one) for one in back])
            storage = read_storage(self._root)
        back = layers_to_restore(storage, garbage.layers, self._now_s())
        self._write_links(back, [layer_link(self._root, *one) for one in back])

    def _write_links(self, names: Links, paths: list[Path]) -> None:
        for (repository, digest), link in zip(names, paths, strict=True):
            log.info("registry: %s in %s is needed again", digest, repository)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.write_text(digest)
            _own_like(link, repository_path(self._root, repository))

    def _set_aside(self, digest: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._aside.mkdir(mode=0o700, exist_ok=True)
            blob_path(self._root, digest).replace(self._aside / digest)

    async def _settle_aside(self, done: Collected) -> None:
        """Blobs that were set aside go back if anybody refers to them, and are deleted otherwise."""
        aside = await asyncio.to_thread(_names, self._aside)
        if not aside:
            return
        needed = needed_blobs(await asyncio.to_thread(read_storage, self._root))
        for digest in aside:
            await asyncio.to_thread(self._decide_aside, digest, digest in needed, done)

    def _decide_aside(self, digest: str, needed: bool, done: Collected) -> None:
        path, home = self._aside / digest, blob_path(self._root, digest)
        if needed and not home.exists():
            log.info("registry: %s is needed again", digest)
            home.parent.mkdir(parents=True, exist_ok=True)
            _own_like(home.parent, self._root)
            path.replace(home)
            return
        done.blobs += 1
        done.size_bytes += path.stat().st_size
        path.unlink()
        with contextlib.suppress(OSError):  # the folder of its content, unless somebody just wrote there
            home.parent.rmdir()

    def _remove_repositories(self, garbage: Garbage, done: Collected) -> None:
        """Empty ones vanish from the registry's catalog; one that lies around other repositories keeps those.

        Only empty folders are removed, so that a push that begins at this moment loses nothing.
        """
        for name in sorted(garbage.repositories, reverse=True):
            folder = repository_path(self._root, name)
            for part in folder.glob("_*"):
                for inner, _, _ in os.walk(part, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(inner).rmdir()
            done.repositories += not any(folder.glob("_*"))
            base = repository_path(self._root, "")
            with contextlib.suppress(OSError):
                while folder != base:
                    folder.rmdir()
                    folder = folder.parent


def delete_tag(root: Path, repository: str, tag: str) -> bool:
    """Removes a tag in one step; its manifest stays until garbage is collected. Whether it was there."""
    folder = tag_path(root, repository, tag)
    if not (folder / "current" / "link").exists():
        return False
    doomed = root / f".tag-{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return False
    shutil.rmtree(doomed)
    return True


def _remove_link(link: Path, started_s: float) -> bool:
    """Unless it was written since `started_s`."""
    try:
        if link.stat().st_mtime > started_s - CLOCK_MARGIN_S:
            return False
    except FileNotFoundError:
        return False
    return _remove_folder(link.parent)


def _remove_folder(folder: Path) -> bool:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return False
    return True


def _names(folder: Path) -> list[str]:
    try:
        return sorted(one.name for one in folder.iterdir())
    except FileNotFoundError:
        return []


def _own_like(path: Path, model: Path) -> None:
    """Gives what root made to the registry's user."""
    if os.geteuid() == 0:
        status = model.stat()
        for one in (path, path.parent):
            os.chown(one, status.st_uid, status.st_gid)
