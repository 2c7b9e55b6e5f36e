"""The registry as an add-on: what `kokiris addon enable registry` does around its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kokiris.addons.model import AddOn, Folder, Site
from kokiris.kernel.errors import Conflict
from kokiris.kernel.names import Addresses
from kokiris.registry.layout import GROUP_ID, USER_ID, distrust_registry, prepare, trust_registry


def _host(addresses: Addresses) -> str:
    return addresses.registry


def _variables(site: Site) -> Mapping[str, str]:
    return {"host": site.config.addresses.registry}


def _check(site: Site) -> None:
    config = site.config
    if config.registry.server:
        raise Conflict(
            f"infra {config.name} uses the registry {config.registry.server}, which another infra of the client holds",
            next_step="Push there. To have its own, take [registry] out of config.toml while the infra is down.",
        )


def _prepare(site: Site) -> None:
    prepare(site.config, site.layout)
    if trust_registry(site.config, site.layout):
        site.say("this node's Docker Engine trusts the registry")


def _users(site: Site) -> Sequence[str]:
    """Jobs of this infra that are not stopped, and those of other infras that use the registry."""
    here = {
        f"{one['Namespace']}/{one['ID']}"
        for one in site.api.get("/v1/jobs", {"namespace": "*"}).data
        if not one["Stop"]
    }
    used = site.api_at(site.config.addresses.registry).get("/api/v1/use").data["Images"]
    jobs = {job for one in used for job in one["Jobs"]}
    return sorted(job for job in jobs if job in here or ": " in job)


def _removed(site: Site) -> None:
    distrust_registry(site.config, site.layout)


REGISTRY = AddOn(
    name="registry",
    title="Docker registry",
    images={"image": "registry"},
    host=_host,
    probe="/v2/",
    folders=(
        Folder("keys", 0, 0, 0o700),
        Folder("config", 0, GROUP_ID, 0o750),
        Folder("blobs", USER_ID, GROUP_ID, 0o750),
    ),
    variables=_variables,
    check=_check,
    prepare=_prepare,
    used_by=_users,
    removed=_removed,
)
