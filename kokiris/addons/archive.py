"""Docker image archives (what `docker load` reads), written without an engine: layers, configuration, names."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kokiris.addons.recipe import Settings

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")
_KEPT_ATTRIBUTES = ("security.capability",)
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's tar file and the SHA-256 (hex) of its bytes."""

    path: Path
    digest: str
    origin: str
    """For `docker history`."""


def hashed(path: Path, origin: str) -> Layer:
    """A layer of a tar file that is there."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return Layer(path, digest.hexdigest(), origin)


def write_layer(upper: Path, target: Path, origin: str) -> Layer:
    """The layer that an overlay's upper folder stands for: files as they are, removals as whiteouts.

    Sockets are left out. Names are ordered, so that the same folder gives the same tar but for times.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.dereference = False
        for path, name in _walk(upper, ""):
            _add(tar, path, name)
    return hashed(target, origin)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        name = f"{prefix}{entry.name}"
        yield Path(entry.path), name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/")


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        folder, _, last = name.rpartition("/")
        tar.addfile(_empty(f"{folder}/{WHITEOUT}{last}".lstrip("/")))
        return
    if stat.S_ISSOCK(status.st_mode):
        return
    member = tar.gettarinfo(str(path), name)
    member.uname = member.gname = ""
    kept = ((attribute, _attribute(path, attribute)) for attribute in _KEPT_ATTRIBUTES)
    member.pax_headers = {
        f"SCHILY.xattr.{attribute}": value.decode("utf-8", "surrogateescape") for attribute, value in kept if value
    }
    if member.isreg():
        with path.open("rb") as file:
            tar.addfile(member, file)
    else:
        tar.addfile(member)
    if member.isdir() and any(_attribute(path, one) == b"y" for one in _OPAQUE_ATTRIBUTES):
        tar.addfile(_empty(f"{name}/{OPAQUE}"))


def _empty(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = 0o600
    return member


def _attribute(path: Path, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def image_config(settings: Settings, layers: Sequence[Layer], architecture: str, created: str) -> dict[str, Any]:
    """The image's configuration document. Pure."""
    inner: dict[str, Any] = {
        "Env": [PATH, *(f"{name}={value}" for name, value in settings.environment.items())],
        "Entrypoint": settings.entrypoint or None,
        "Cmd": settings.command or None,
        "WorkingDir": settings.folder,
        "User": settings.user,
        "ExposedPorts": {port: {} for port in settings.ports} or None,
    }
    if settings.stop_signal:
        inner["StopSignal"] = settings.stop_signal
    return {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {name: value for name, value in inner.items() if value is not None},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
        "history": [{"created": created, "created_by": layer.origin} for layer in layers],
    }


def write_archive(target: Path, reference: str, config: dict[str, Any], layers: Sequence[Layer]) -> None:
    """Writes the archive beside `target` and moves it there: it is whole or not there."""
    raw = msgspec.json.encode(config)
    config_name = f"{hashlib.sha256(raw).hexdigest()}.json"
    names = [f"{layer.digest}/layer.tar" for layer in layers]
    manifest = msgspec.json.encode([{"Config": config_name, "RepoTags": [reference], "Layers": names}])
    partial = target.with_name(f".{target.name}.partial")
    try:
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in (("manifest.json", manifest), (config_name, raw)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            for layer, name in zip(layers, names, strict=True):
                tar.add(layer.path, name, recursive=False)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
