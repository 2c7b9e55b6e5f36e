"""Building images from Debian packages: a base by mmdebstrap once, a layer on it for each add-on, files in a cache.

The machine's own apt sources are used. Everything is built in a folder of its own and moved into the cache when it is
whole; mounts live in a namespace that ends with the build.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kokiris.addons.archive import Layer, hashed, image_config, write_archive, write_layer
from kokiris.addons.model import Say
from kokiris.addons.recipe import BASE_RECIPE, PLATFORM, Recipe, Settings, read_recipe, reference
from kokiris.kernel.errors import HostError

CACHE = Path("/var/cache/kokiris/images")
"""`<recipe>-<tag>.tar`, readable by root only: images hold nothing secret, but the folder decides what runs."""

BUILD_TIMEOUT_S = 1800.0
_APT = Path("/etc/apt")


def cached(recipe: Recipe, cache: Path = CACHE) -> Path | None:
    """The newest archive built from exactly this recipe; None when there is none."""
    found = sorted(cache.glob(f"{recipe.name}-{recipe.digest}-*.tar"))
    return found[-1] if found else None


def tag_of(recipe: Recipe, archive: Path) -> str:
    """The tag of an archive of that recipe: its digest and when its packages were installed."""
    return archive.name.removeprefix(f"{recipe.name}-").removesuffix(".tar")


def ensure(recipe: Recipe, say: Say, *, renew: bool = False, cache: Path = CACHE) -> Path:
    """The archive of `recipe`, built unless it is in the cache; with `renew` anew, with today's package versions.

    Older archives of the same recipe name are removed. Raises HostError with the end of the build's output.
    """
    present = cached(recipe, cache)
    if present is not None and not renew:
        return present
    _check_machine(cache)
    with _locked(cache, say):
        present = cached(recipe, cache)
        if present is not None and not renew:
            return present
        with tempfile.TemporaryDirectory(prefix="build.", dir=cache) as scratch:
            path = _build(recipe, say, Path(scratch), cache)
        for old in cache.glob(f"{recipe.name}-{'?' * 12}-*.tar"):
            if old != path:
                old.unlink()
        return path


def _check_machine(cache: Path) -> None:
    if os.geteuid() != 0:
        raise HostError("building images needs root", next_step="Run it as root.")
    if shutil.which("mmdebstrap") is None:
        raise HostError("mmdebstrap is not installed", next_step="Run scripts/install.sh runtime.")
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)


@contextmanager
def _locked(cache: Path, say: Say) -> Iterator[None]:
    """One build at a time on this machine; the lock ends with its process."""
    with (cache / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, say: Say, scratch: Path, cache: Path) -> Path:
    started = time.monotonic()
    tag = f"{recipe.digest}-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    target = cache / f"{recipe.name}-{tag}.tar"
    apt_conf = _apt_configuration(scratch)
    base = _base(recipe, say, scratch, cache, apt_conf)
    if recipe.is_base:
        base.path.replace(target)
        size, what = target.stat().st_size, "base"
    else:
        say(f"image {recipe.name}: installing {', '.join(recipe.file.packages)}")
        layer = _layer(recipe, base, scratch, apt_conf)
        write_image(recipe.name, recipe.file.settings, [base, layer], target, tag)
        size, what = layer.path.stat().st_size, f"image {recipe.name}"
    say(f"{what}: {size / 1e6:.0f} MB in {time.monotonic() - started:.0f} s")
    return target


def write_image(name: str, settings: Settings, layers: Sequence[Layer], target: Path, tag: str) -> None:
    """Puts the archive of an image together."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    config = image_config(settings, layers, _output(["dpkg", "--print-architecture"]), created)
    write_archive(target, reference(name, tag), config, layers)


def _base(recipe: Recipe, say: Say, scratch: Path, cache: Path, apt_conf: Path) -> Layer:
    """The base's tar: from the cache, else made now and kept there for the next image."""
    base = recipe if recipe.is_base else read_recipe(BASE_RECIPE, recipe.folder.parent)
    present = None if recipe.is_base else cached(base, cache)
    if present is None:
        say("base: a minimal Debian by mmdebstrap, from this machine's package sources (once, about a minute)")
        present = _bootstrap(base, scratch, apt_conf)
        if not recipe.is_base:
            kept = cache / f"{base.name}-{base.digest}-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}.tar"
            for old in cache.glob(f"{base.name}-{'?' * 12}-*.tar"):
                old.unlink()
            present = present.replace(kept)
    return hashed(present, "mmdebstrap minbase")


def _bootstrap(base: Recipe, scratch: Path, apt_conf: Path) -> Path:
    target = scratch / "base.tar"
    dpkg = base.folder / "dpkg.cfg"
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--aptopt={apt_conf}"]
    command += [f"--include={','.join(base.file.packages)}", f"--dpkgopt={dpkg}"]
    command += [f"--customize-hook={base.folder / 'setup.sh'}"]
    command += [_codename(), str(target), *(str(path) for path in apt_sources())]
    _run(command, "the base of the images", scratch)
    return target


def apt_sources(apt: Path = _APT) -> list[Path]:
    """The machine's own source files. Raises HostError when it has none."""
    listed = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    listed += sorted((apt / "sources.list.d").glob("*.sources"))
    found = [path for path in listed if path.is_file() and _says_something(path)]
    if not found:
        raise HostError(f"{apt} names no package sources", next_step="Give the machine Debian's, as for apt-get.")
    return found


def _says_something(path: Path) -> bool:
    return any(line.strip() and not line.strip().startswith("#") for line in path.read_text().splitlines())


def _layer(recipe: Recipe, base: Layer, scratch: Path, apt_conf: Path) -> Layer:
    root, work = scratch / "base", scratch / "layer"
    root.mkdir()
    work.mkdir()
    _run(["tar", "--extract", "--numeric-owner", "--xattrs", "--file", str(base.path), "--directory", str(root)],
         f"image {recipe.name}", scratch)  # fmt: skip
    script = PLATFORM / "images" / "layer.sh"
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    command += [str(script), str(root), str(work), str(recipe.folder), str(apt_conf), *recipe.file.packages]
    _run(command, f"image {recipe.name}", scratch)
    return write_layer(work / "upper", scratch / "layer.tar", f"apt-get install {' '.join(recipe.file.packages)}")


def _apt_configuration(scratch: Path) -> Path:
    """How this machine reaches its sources (proxies, retries, checks), without its hooks."""
    path = scratch / "apt.conf"
    path.write_text(_output(["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"]) + "\n")
    path.chmod(0o644)
    return path


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    raise HostError("/etc/os-release names no Debian release", next_step="Images are built on Debian 12.")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _run(command: Sequence[str], what: str, scratch: Path) -> None:
    """Raises HostError with the last lines it wrote. Its whole session ends with it."""
    output = scratch / "output.log"
    with output.open("wb") as file:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, timeout=BUILD_TIMEOUT_S,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{what} was not built within {BUILD_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = "\n".join(output.read_text(errors="replace").strip().splitlines()[-12:])
        raise HostError(
            f"{what} could not be built:\n{last}",
            next_step="Check that `apt-get update` works on this machine, then run scripts/images.sh again.",
        )
