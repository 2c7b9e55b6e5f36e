"""What an add-on is. A package that brings one (registry, databases) gives an `AddOn` and names it in `registered`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kokiris.infra.config import Config, Layout
from kokiris.kernel.names import Addresses

NAMESPACE = "platform"
"""Of every add-on's job; tenants' tokens neither see nor touch it."""

Say = Callable[[str], None]
"""Shows one line of progress."""


class Answered(Protocol):
    """A decoded body of the Nomad API, and the index it stands for."""

    @property
    def data(self) -> Any: ...

    @property
    def index(self) -> int: ...


class Api(Protocol):
    """The Nomad API with the operator token (`kokiris.cli.client.Client`). Raises KokirisError for all but 200."""

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answered: ...

    def put(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Answered: ...

    def request(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Answered: ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where an add-on is put up: handed to its hooks."""

    config: Config
    layout: Layout
    data: Path
    """`<data_dir>/addons/<name>`: the add-on's own folder on this node; exists, mode 0711, owned by root."""
    api: Api
    say: Say
    api_at: Callable[[str], Api]
    """The API at another of the infra's host names, with the operator token."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder below `Site.data`, made before the job starts, for a process of the image with that uid and gid.

    An existing one keeps its contents; owner and mode are set anew.
    """

    path: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o750


def _nothing(site: Site) -> None:
    del site


def _no_variables(site: Site) -> Mapping[str, str]:
    del site
    return {}


def _nobody(site: Site) -> Sequence[str]:
    del site
    return ()


def _no_host(addresses: Addresses) -> str:
    del addresses
    return ""


@dataclass(frozen=True, slots=True)
class AddOn:
    """One add-on: `platform/<name>.nomad.hcl`, its images, and what has to be done around the job.

    `enable` is: `check` → requirements enabled → images present → `folders` made → `prepare` → job submitted (with the
    image variables, `data`, and `variables`) → deployment healthy → `host` answers below 500 → `after`. Every hook must
    be idempotent: `enable` is run again on every `make up`. A hook raises KokirisError to refuse, in words for the
    operator.
    """

    name: str
    """Also the job's id, and the word in `kokiris addon enable <name>`."""
    title: str
    """For people: "Docker registry"."""
    images: Mapping[str, str]
    """Job variable → image recipe (`platform/images/<recipe>`): `{"image": "registry"}`."""
    host: Callable[[Addresses], str] = _no_host
    """Host name it answers at through the VIP; "" for one that only other jobs reach (MariaDB)."""
    probe: str = "/"
    """Path that is asked on `host` to know that it answers; any status below 500 will do (401 is an answer)."""
    requires: tuple[str, ...] = ()
    """Add-ons that are enabled before, and that may not be disabled while this one is."""
    folders: tuple[Folder, ...] = ()
    variables: Callable[[Site], Mapping[str, str]] = _no_variables
    """More variables of the job file. No secrets: a job can be read. Put those in a file below `data`, 0600."""
    check: Callable[[Site], None] = _nothing
    """First of all: raises KokirisError where the add-on may not be enabled."""
    prepare: Callable[[Site], None] = _nothing
    """Before the job is submitted: configuration and secret files below `data`, keys, certificates."""
    after: Callable[[Site], None] = _nothing
    """Once it answers."""
    used_by: Callable[[Site], Sequence[str]] = _nobody
    """The jobs that need it now, in words for the operator, sorted: what `disable` asks about. Asked while it is
    enabled only."""
    removed: Callable[[Site], None] = _nothing
    """After `disable -purge` stopped the job, before `data` is deleted."""

    @property
    def job_file(self) -> str:
        """Below the folder `platform/`."""
        return f"{self.name}.nomad.hcl"


@dataclass(frozen=True, slots=True)
class Status:
    """How an add-on is, for `kokiris addon list`."""

    name: str
    title: str
    state: str
    """disabled, starting, running, failing."""
    address: str = ""
    detail: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
