"""What lies in the registry's storage, as a graph. Reading text into it is pure; walking the folders is `read_storage`.

The layout is CNCF Distribution's, below `docker/registry/v2`:

    blobs/sha256/<2>/<hex>/data
    repositories/<name>/_manifests/revisions/sha256/<hex>/link
    repositories/<name>/_manifests/tags/<tag>/current/link
    repositories/<name>/_layers/sha256/<hex>/link
    repositories/<name>/_uploads/<id>/…
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

VERSION_FOLDER = Path("docker/registry/v2")
MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024
"""As large as the registry accepts one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one manifest refers to. `readable` False: it is there, but we cannot tell what it needs."""

    blobs: frozenset[str] = frozenset()
    """Digests of its configuration and layers."""
    children: frozenset[str] = frozenset()
    """Manifests of an index."""
    subject: str = ""
    """The manifest that this one (a signature, an SBOM) is about."""
    size_bytes: int = 0
    """Its configuration's and layers' sizes, as it states them."""
    media_type: str = ""
    readable: bool = True


UNREADABLE = Manifest(readable=False)


@dataclass(slots=True)
class Repository:
    """Links of one repository; each digest with the time (unix s) its link was written."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    """Tag → digest."""
    tagged_at: dict[str, float] = field(default_factory=dict)
    """Tag → when it was last pushed (unix s)."""
    revisions: dict[str, float] = field(default_factory=dict)
    layers: dict[str, float] = field(default_factory=dict)
    uploads: dict[str, float] = field(default_factory=dict)
    """Unfinished uploads by id, with the time of their last change."""
    upload_bytes: dict[str, int] = field(default_factory=dict)
    """Size of each on disk."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of content."""

    size_bytes: int
    changed_at: float


@dataclass(slots=True)
class Storage:
    """Everything at about one moment: pushes go on while it is read. `manifests` by digest, of all repositories."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(blob.size_bytes for blob in self.blobs.values())


def parse_manifest(raw: bytes) -> Manifest:
    """Any of the forms there are: Docker schema 2, OCI manifest, list and index, schema 1, OCI artifact. Pure.

    Anything else is UNREADABLE: then nothing may be concluded from what it does not mention.
    """
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UNREADABLE
    if not isinstance(document, dict):
        return UNREADABLE
    try:
        blobs, sizes = _blobs(document)
        children = frozenset(_digest(one) for one in _list(document, "manifests"))
        subject = document.get("subject")
        if not blobs and not children and "manifests" not in document and "layers" not in document:
            return UNREADABLE
        return Manifest(
            blobs=blobs,
            children=children,
            subject=_digest(subject) if subject is not None else "",
            size_bytes=sizes,
            media_type=str(document.get("mediaType", "")),
        )
    except (TypeError, ValueError, KeyError):
        return UNREADABLE


def _blobs(document: Mapping[str, Any]) -> tuple[frozenset[str], int]:
    descriptors = [*_list(document, "layers"), *_list(document, "blobs")]
    if document.get("config") is not None:
        descriptors.append(document["config"])
    found = {_digest(one): int(one.get("size", 0)) for one in descriptors}
    old = {str(one["blobSum"]): 0 for one in _list(document, "fsLayers")}
    return frozenset({**found, **old}), sum(found.values())


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise TypeError(name)
    return found


def _digest(descriptor: Any) -> str:
    digest = descriptor["digest"]
    if not isinstance(digest, str) or ":" not in digest:
        raise ValueError("digest")
    return digest


def read_storage(root: Path) -> Storage:
    """Walks the whole storage. What disappears meanwhile is left out; an empty folder is an empty registry."""
    storage = Storage()
    base = root / VERSION_FOLDER
    for algorithm in _folders(base / "blobs"):
        for shard in _folders(algorithm):
            for folder in _folders(shard):
                with contextlib.suppress(FileNotFoundError):
                    status = (folder / "data").stat()
                    storage.blobs[f"{algorithm.name}:{folder.name}"] = Blob(status.st_size, status.st_mtime)
    for folder in _repositories(base / "repositories"):
        name = folder.relative_to(base / "repositories").as_posix()
        storage.repositories[name] = _read_repository(folder, name)
    for digest in {one for repository in storage.repositories.values() for one in repository.revisions}:
        manifest = _read_manifest(root, digest)
        if manifest is not None:
            storage.manifests[digest] = manifest
    return storage


def read_size_bytes(root: Path) -> int:
    """All blobs and unfinished uploads together: what a quota counts."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _read_repository(folder: Path, name: str) -> Repository:
    found = Repository(name)
    found.revisions = dict(_links(folder / "_manifests" / "revisions"))
    found.layers = dict(_links(folder / "_layers"))
    for tag in _folders(folder / "_manifests" / "tags"):
        link = tag / "current" / "link"
        with contextlib.suppress(FileNotFoundError):
            found.tags[tag.name] = link.read_text().strip()
            found.tagged_at[tag.name] = link.stat().st_mtime
    for upload in _folders(folder / "_uploads"):
        with contextlib.suppress(FileNotFoundError):  # it has just ended: nothing of it is left to collect
            times = [upload.stat().st_mtime, *(one.stat().st_mtime for one in _files(upload))]
            found.uploads[upload.name] = max(times)
            found.upload_bytes[upload.name] = read_size_bytes(upload)
    return found


def _links(folder: Path) -> Iterator[tuple[str, float]]:
    for algorithm in _folders(folder):
        for entry in _folders(algorithm):
            with contextlib.suppress(FileNotFoundError):
                yield f"{algorithm.name}:{entry.name}", (entry / "link").stat().st_mtime


def _read_manifest(root: Path, digest: str) -> Manifest | None:
    path = blob_path(root, digest)
    try:
        if path.stat().st_size > MANIFEST_LIMIT_BYTES:
            return UNREADABLE
        return parse_manifest(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError:
        return UNREADABLE


def blob_path(root: Path, digest: str) -> Path:
    """The file of a blob's content."""
    algorithm, _, text = digest.partition(":")
    return root / VERSION_FOLDER / "blobs" / algorithm / text[:2] / text / "data"


def repository_path(root: Path, name: str) -> Path:
    """The folder of a repository's links."""
    return root / VERSION_FOLDER / "repositories" / name


def manifest_link(root: Path, repository: str, digest: str) -> Path:
    """The link that makes a manifest part of a repository."""
    algorithm, _, text = digest.partition(":")
    return repository_path(root, repository) / "_manifests" / "revisions" / algorithm / text / "link"


def layer_link(root: Path, repository: str, digest: str) -> Path:
    """The link that makes a blob part of a repository."""
    algorithm, _, text = digest.partition(":")
    return repository_path(root, repository) / "_layers" / algorithm / text / "link"


def tag_path(root: Path, repository: str, tag: str) -> Path:
    """The folder of a tag."""
    return repository_path(root, repository) / "_manifests" / "tags" / tag


def _repositories(base: Path) -> Iterator[Path]:
    """Folders that hold `_manifests`, `_layers` or `_uploads`, at any depth: repositories lie within repositories."""
    waiting = [base]
    while waiting:
        folder = waiting.pop()
        names = {one.name: one for one in _folders(folder)}
        if any(name.startswith("_") for name in names):
            yield folder
        waiting.extend(path for name, path in names.items() if not name.startswith("_"))


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(one.path) for one in entries if one.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(one.path) for one in entries if one.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
