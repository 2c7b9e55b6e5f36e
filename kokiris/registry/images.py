"""Which images of the registry jobs use. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kokiris.orchestrator.model.job import Job


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
