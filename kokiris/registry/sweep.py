"""What may go from the registry's storage: mark everything that is needed, the rest is garbage. Pure.

Needed in a repository are its tagged manifests, those a job names by digest, young ones, the children of what is
needed, and whatever has a needed manifest as its subject. A blob is needed while any repository has a link to it, or
while it is young: a push brings its layers first and its manifest last, and must find them all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kokiris.registry.storage import Repository, Storage

GRACE_S = 7200.0
"""How long nothing that was just written is touched; as Harbor and zot have it."""


@dataclass(slots=True)
class Garbage:
    """What may be removed, in the order in which it has to be."""

    manifests: list[tuple[str, str]] = field(default_factory=list)
    """(repository, digest): links of manifests."""
    layers: list[tuple[str, str]] = field(default_factory=list)
    """(repository, digest): links of layers."""
    uploads: list[tuple[str, str]] = field(default_factory=list)
    """(repository, id): uploads that nobody goes on with."""
    repositories: list[str] = field(default_factory=list)
    """Empty ones, after the above."""
    blobs: list[str] = field(default_factory=list)
    size_bytes: int = 0
    """Of `blobs` and `uploads`."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Of one repository."""

    manifests: frozenset[str]
    blobs: frozenset[str]
    certain: bool
    """False: a needed manifest cannot be read; then nothing of the repository may go."""


def mark(
    repository: Repository, storage: Storage, now_s: float, grace_s: float, pinned: Collection[str] = ()
) -> Marked:
    """What one repository needs. `pinned` are digests in use by jobs."""
    manifests = storage.manifests
    young = {digest for digest, written in repository.revisions.items() if now_s - written < grace_s}
    live: set[str] = set()
    waiting = [*repository.tags.values(), *young, *(one for one in pinned if one in repository.revisions)]
    referrers = _referrers(repository, storage)
    while waiting:
        digest = waiting.pop()
        if digest in live:
            continue
        live.add(digest)
        manifest = manifests.get(digest)
        waiting.extend(manifest.children if manifest is not None else ())
        waiting.extend(referrers.get(digest, ()))
    known = [manifests.get(digest) for digest in live]
    needed = frozenset(blob for one in known if one is not None for blob in one.blobs)
    certain = all(one.readable for one in known if one is not None)
    return Marked(frozenset(live), needed, certain)


def _referrers(repository: Repository, storage: Storage) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for digest in repository.revisions:
        manifest = storage.manifests.get(digest)
        if manifest is not None and manifest.subject:
            found.setdefault(manifest.subject, []).append(digest)
    return found


def find_garbage(
    storage: Storage,
    now_s: float,
    *,
    grace_s: float = GRACE_S,
    pinned: Mapping[str, Collection[str]] | None = None,
) -> Garbage:
    """What nothing needs and nobody wrote within `grace_s`. `pinned`: repository → digests in use by jobs."""
    garbage = Garbage()
    held: set[str] = set()
    for repository in storage.repositories.values():
        marked = mark(repository, storage, now_s, grace_s, (pinned or {}).get(repository.name, ()))
        gone = [one for one in repository.revisions if one not in marked.manifests and marked.certain]
        layers = [
            digest
            for digest, written in repository.layers.items()
            if marked.certain and digest not in marked.blobs and now_s - written >= grace_s
        ]
        uploads = [one for one, changed in repository.uploads.items() if now_s - changed >= grace_s]
        garbage.manifests += [(repository.name, one) for one in sorted(gone)]
        garbage.layers += [(repository.name, one) for one in sorted(layers)]
        garbage.uploads += [(repository.name, one) for one in sorted(uploads)]
        garbage.size_bytes += sum(repository.upload_bytes.get(one, 0) for one in uploads)
        held |= marked.manifests | marked.blobs | (repository.layers.keys() - set(layers))
        held |= repository.revisions.keys() - set(gone)
        nothing_left = not repository.tags and len(gone) == len(repository.revisions)
        if nothing_left and len(layers) == len(repository.layers) and len(uploads) == len(repository.uploads):
            garbage.repositories.append(repository.name)
    garbage.blobs = sorted(
        digest for digest, blob in storage.blobs.items() if digest not in held and now_s - blob.changed_at >= grace_s
    )
    garbage.size_bytes += sum(storage.blobs[digest].size_bytes for digest in garbage.blobs)
    return garbage


Links = list[tuple[str, str]]
"""(repository, digest) pairs."""


def manifests_to_restore(storage: Storage, removed: Links, now_s: float) -> Links:
    """Links of manifests that were removed and turn out to be needed: tagged again, or in an index that just came.

    `storage` has been read after the links were removed. What a restored manifest needs is known once it is read again.
    """
    live = {
        repository: mark(storage.repositories[repository], storage, now_s, GRACE_S).manifests
        for repository in {repository for repository, _ in removed}
        if repository in storage.repositories
    }
    return [
        (repository, digest)
        for repository, digest in removed
        if digest in live.get(repository, ()) and digest not in storage.repositories[repository].revisions
    ]


def layers_to_restore(storage: Storage, removed: Links, now_s: float) -> Links:
    """Links of layers that were removed and turn out to be needed: a manifest came in at the same moment.

    Its push looked for the layers before the links went. `storage` has been read after the links were removed.
    """
    needed = {
        repository: mark(storage.repositories[repository], storage, now_s, GRACE_S).blobs
        for repository in {repository for repository, _ in removed}
        if repository in storage.repositories
    }
    return [
        (repository, digest)
        for repository, digest in removed
        if digest in needed.get(repository, ()) and digest not in storage.repositories[repository].layers
    ]


def needed_blobs(storage: Storage) -> set[str]:
    """Every blob that some link or some linked manifest names: the last word before a file goes."""
    found: set[str] = set()
    for repository in storage.repositories.values():
        found |= repository.layers.keys() | repository.revisions.keys() | set(repository.tags.values())
    for digest in {one for repository in storage.repositories.values() for one in repository.revisions}:
        manifest = storage.manifests.get(digest)
        if manifest is not None:
            found |= manifest.blobs | manifest.children
    return found
