"""Images as jobs name them, and which of them are the registry's. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kokiris.orchestrator.model.job import Job

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:(?=localhost/|[^/]*[.:]){_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/)?"
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"{_HOST}{_WORD}(?:/{_WORD})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@[a-z0-9]+:[0-9a-fA-F]{{32,}})?", re.ASCII
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class DockerTask:
    """What a task of a job would pull, and as whom; "" for as the node."""

    name: str
    image: str
    username: str = ""
    password: str = field(default="", repr=False)


def docker_tasks(job: Job) -> Iterator[DockerTask]:
    """Those whose image is known before it is placed. One with `load` brings its own."""
    for group in job.TaskGroups or ():
        for task in group.Tasks or ():
            config = task.Config or {}
            image = config.get("image")
            if task.Driver == "docker" and isinstance(image, str) and "${" not in image and not config.get("load"):
                yield DockerTask(task.Name, image, *_login(config.get("auth")))


def _login(auth: object) -> tuple[str, str]:
    blocks = [one for one in (auth if isinstance(auth, list) else [auth]) if isinstance(one, dict)]
    block = {key: each for one in blocks for key, each in one.items()}
    name, secret = str(block.get("username") or ""), str(block.get("password") or "")
    return ("", "") if "${" in name + secret else (name, secret)


def name_problem(image: str) -> str:
    """Why no engine would take it for an image's name; "" when it would."""
    if not image or _REFERENCE.fullmatch(image):
        return ""
    return "is not the name of an image: write [HOST[:PORT]/]REPOSITORY[:TAG], the repository in lower case"


def is_digest(text: str) -> bool:
    """Whether the registry could have it."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ImageName:
    """A repository of our registry with a tag or a digest."""

    repository: str
    tag: str = ""
    digest: str = ""


def parse_image(reference: str, server: str) -> ImageName | None:
    """The image meant by `server/repository[:tag][@digest]`; None for one of another registry."""
    prefix = f"{server}/"
    if not reference.startswith(prefix):
        return None
    rest, _, digest = reference.removeprefix(prefix).partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = rest, ""
    if not repository:
        return None
    return ImageName(repository, tag if tag or digest else "latest", digest)


def images_of(job: Job, server: str) -> set[ImageName]:
    """Those of our registry that its tasks name."""
    found = set()
    for group in job.TaskGroups or ():
        for task in group.Tasks or ():
            image = (task.Config or {}).get("image")
            name = parse_image(image, server) if isinstance(image, str) else None
            if name is not None:
                found.add(name)
    return found


def users_of_images(jobs: Iterable[Job], server: str) -> dict[ImageName, list[str]]:
    """Image → the jobs that use it, as "namespace/job", sorted. The same job may come in several versions."""
    users: dict[ImageName, set[str]] = {}
    for job in jobs:
        for image in images_of(job, server):
            users.setdefault(image, set()).add(f"{job.Namespace}/{job.ID}")
    return {image: sorted(names) for image, names in users.items()}
