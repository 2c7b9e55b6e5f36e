"""Which image an add-on runs, and getting it into the engine. `python -m kokiris.addons.images` builds them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kokiris.addons.build import CACHE, cached, ensure, tag_of
from kokiris.addons.model import Say
from kokiris.addons.recipe import read_recipe, recipe_names, reference
from kokiris.infra.config import Config
from kokiris.kernel.errors import BadInput, HostError, KokirisError

LOAD_TIMEOUT_S = 300.0


def check_configured(config: Config) -> None:
    """Raises BadInput for an image that the configuration names and no add-on has."""
    unknown = sorted(config.addons.images.keys() - set(recipe_names()))
    if unknown:
        raise BadInput(
            f'config.toml: [addons.images] names "{unknown[0]}", which is no image of an add-on',
            next_step=f"Images are: {', '.join(recipe_names())}.",
        )


def chosen(config: Config, recipe_name: str, cache: Path = CACHE) -> str:
    """The image that would run: the operator's own of the configuration, or the built one; "" when it is not built."""
    upstream = config.addons.images.get(recipe_name, "")
    if upstream:
        return upstream
    recipe = read_recipe(recipe_name)
    archive = cached(recipe, cache)
    return reference(recipe_name, tag_of(recipe, archive)) if archive is not None else ""


def provide(config: Config, recipe_name: str, say: Say, *, cache: Path = CACHE) -> str:
    """Makes the image present on this node's engine and returns its name.

    One of the configuration is left to the engine to pull. Raises HostError when it cannot be built or loaded.
    """
    upstream = config.addons.images.get(recipe_name, "")
    if upstream:
        return upstream
    recipe = read_recipe(recipe_name)
    archive = ensure(recipe, say, cache=cache)
    name = reference(recipe_name, tag_of(recipe, archive))
    if not _present(config, name):
        say(f"loading image {name}")
        _docker(config, ["load", "--quiet", "--input", str(archive)])
    return name


def _present(config: Config, name: str) -> bool:
    return _engine(config, ["image", "inspect", "--format", "{{.Id}}", name]).returncode == 0


def _docker(config: Config, arguments: Sequence[str]) -> None:
    done = _engine(config, arguments)
    if done.returncode:
        raise HostError(
            f"docker {arguments[0]}: {done.stderr.strip()[-500:]}",
            next_step="Look at `kokiris status`: does the engine run, is its disk full?",
        )


def _engine(config: Config, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "--host", f"unix://{config.docker.socket}", *arguments],
        capture_output=True, text=True, check=False, timeout=LOAD_TIMEOUT_S,
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Builds the recipes named, or all; with `-renew` also those that are there."""
    renew = bool({"-renew", "--renew"} & set(arguments))
    named = [one for one in arguments if not one.startswith("-")]
    try:
        for name in named or recipe_names():
            ensure(read_recipe(name), _say, renew=renew)
    except KokirisError as error:
        sys.stderr.write(f"Error: {error.message}\nNext: {error.next_step}\n")
        return error.exit_code
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
