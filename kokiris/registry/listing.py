"""Repositories as people want to see them: tags, digests, sizes, and what uses them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from kokiris.kernel.clock import rfc3339
from kokiris.kernel.units import SECOND_NS
from kokiris.registry.images import ImageName
from kokiris.registry.storage import Repository, Storage


class TagEntry(msgspec.Struct, kw_only=True):
    """A tag. `SizeBytes` counts its layers, configuration and children, each once."""

    Tag: str
    Digest: str
    SizeBytes: int
    PushedAt: str
    UsedBy: list[str]


class RepositoryEntry(msgspec.Struct, kw_only=True):
    """A repository. `SizeBytes` counts each of its blobs once, also those that other repositories share."""

    Name: str
    SizeBytes: int
    Tags: list[TagEntry]


def list_repositories(storage: Storage, users: Mapping[ImageName, Sequence[str]]) -> list[RepositoryEntry]:
    """By name. A repository that has nothing but unfinished uploads is not there yet, and is not listed."""
    used = _used(users)
    return [
        RepositoryEntry(
            Name=repository.name,
            SizeBytes=_size(storage, repository.layers.keys() | repository.revisions.keys()),
            Tags=[_tag(storage, repository, tag, used) for tag in sorted(repository.tags)],
        )
        for repository in sorted(storage.repositories.values(), key=lambda one: one.name)
        if repository.tags or repository.revisions
    ]


def used_by(repository: Repository, users: Mapping[ImageName, Sequence[str]]) -> tuple[set[str], set[str]]:
    """(tags, digests) of a repository that jobs name; the digests of used tags are among them."""
    tags = {image.tag for image in users if image.repository == repository.name and image.tag and not image.digest}
    digests = {image.digest for image in users if image.repository == repository.name and image.digest}
    return tags, digests | {repository.tags[tag] for tag in tags if tag in repository.tags}


def pinned_digests(users: Mapping[ImageName, Sequence[str]]) -> dict[str, set[str]]:
    """Repository → digests that jobs name."""
    found: dict[str, set[str]] = {}
    for image in users:
        if image.digest:
            found.setdefault(image.repository, set()).add(image.digest)
    return found


def _used(users: Mapping[ImageName, Sequence[str]]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for image, jobs in users.items():
        found.setdefault((image.repository, image.digest or image.tag), set()).update(jobs)
    return found


def _tag(storage: Storage, repository: Repository, tag: str, used: Mapping[tuple[str, str], set[str]]) -> TagEntry:
    digest = repository.tags[tag]
    jobs = used.get((repository.name, tag), set()) | used.get((repository.name, digest), set())
    return TagEntry(
        Tag=tag,
        Digest=digest,
        SizeBytes=_size(storage, _closure(storage, digest)),
        PushedAt=rfc3339(int(repository.tagged_at.get(tag, 0.0)) * SECOND_NS),
        UsedBy=sorted(jobs),
    )


def _closure(storage: Storage, digest: str) -> set[str]:
    found: set[str] = set()
    waiting = [digest]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        manifest = storage.manifests.get(one)
        if manifest is not None:
            waiting.extend(manifest.children)
            found |= manifest.blobs
    return found


def _size(storage: Storage, digests: set[str]) -> int:
    return sum(storage.blobs[one].size_bytes for one in digests if one in storage.blobs)
