"""Image recipes: `platform/images/<name>/`, and the tag that their content gives. Reads files, writes none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kokiris.kernel.errors import BadInput

PLATFORM = Path(__file__).resolve().parents[2] / "platform"
"""Job files and recipes, beside the package."""

BASE_RECIPE = "base"
REPOSITORY = "kokiris"
"""Images are called `kokiris/<recipe>:<tag>`."""
DIGEST_LENGTH = 12


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a container of the image starts with, as in a Dockerfile."""

    entrypoint: list[str] = msgspec.field(default_factory=list)
    command: list[str] = msgspec.field(default_factory=list)
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    user: str = ""
    folder: str = "/"
    ports: list[str] = msgspec.field(default_factory=list)
    """`5000/tcp`."""
    stop_signal: str = ""


class RecipeFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`recipe.toml`. Beside it may lie `before.sh` and `setup.sh`, run inside around the installation, and `files/`,
    which is copied over the image before `setup.sh` runs."""

    title: str
    packages: list[str] = msgspec.field(default_factory=list)
    """Debian packages, without their recommendations."""
    settings: Settings = msgspec.field(default_factory=Settings)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe as read. `digest` names its content, the base's and the build script's: same digest, same image."""

    name: str
    folder: Path
    file: RecipeFile
    digest: str

    @property
    def is_base(self) -> bool:
        return self.name == BASE_RECIPE


def read_recipe(name: str, images: Path = PLATFORM / "images") -> Recipe:
    """Raises BadInput for a recipe that is not there, or whose `recipe.toml` is wrong."""
    folder = images / name
    path = folder / "recipe.toml"
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=RecipeFile)
    except FileNotFoundError as error:
        raise BadInput(f'there is no image recipe "{name}" in {images}') from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"image recipe {path}: {error}") from error
    parts = [images / BASE_RECIPE]
    if name != BASE_RECIPE:
        parts += [images / "layer.sh", folder]
    return Recipe(name=name, folder=folder, file=file, digest=_digest(parts))


def recipe_names(images: Path = PLATFORM / "images") -> list[str]:
    """All of them but the base, in alphabetical order."""
    return sorted(path.parent.name for path in images.glob("*/recipe.toml") if path.parent.name != BASE_RECIPE)


def reference(name: str, tag: str) -> str:
    """The image's name for the engine."""
    return f"{REPOSITORY}/{name}:{tag}"


def _digest(parts: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        files = [part] if part.is_file() else sorted(path for path in part.rglob("*") if path.is_file())
        for path in files:
            executable = path.stat().st_mode & 0o100
            digest.update(f"{path.relative_to(part.parent)}\0{executable}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:DIGEST_LENGTH]
