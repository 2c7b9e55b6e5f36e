"""Putting an add-on up, taking it away, and how it is. Every step can be repeated; what is done already is skipped."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from kokiris.addons.images import chosen, provide
from kokiris.addons.model import NAMESPACE, AddOn, Api, Folder, Say, Site, Status
from kokiris.addons.recipe import PLATFORM
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import BadInput, Conflict, HostError, JobFileError, NotFound, Unavailable
from kokiris.orchestrator.jobspec import parse_hcl, render_error
from kokiris.orchestrator.telling import telling_event

Probe = Callable[[str, str], tuple[int, bytes]]
"""(host, path) → (status, body) through the VIP; raises OSError without an answer."""

HEALTHY_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 60.0
POLL_S = 0.2
_WHERE = {"namespace": NAMESPACE}
_ENDED = frozenset({"successful", "failed", "cancelled"})


def site_of(add_on: AddOn, config: Config, layout: Layout, api_at: Callable[[str], Api], say: Say) -> Site:
    """Where the add-on is put up on this node."""
    nomad = api_at(config.addresses.nomad)
    return Site(config=config, layout=layout, data=layout.addons / add_on.name, api=nomad, say=say, api_at=api_at)


def enable(add_on: AddOn, site: Site, probe: Probe) -> bool:
    """Returns once the add-on answers; False when nothing had to change. See `AddOn` for the steps.

    Raises Conflict when what it requires is not enabled, Unavailable when it does not become healthy or answer.
    """
    add_on.check(site)
    for name in add_on.requires:
        if job_of(site.api, name) is None:
            raise Conflict(
                f'add-on "{add_on.name}" requires "{name}", which is not enabled',
                next_step=f"Run `kokiris addon enable {name}` first.",
            )
    images = {variable: provide(site.config, recipe, site.say) for variable, recipe in add_on.images.items()}
    make_folders(add_on, site)
    add_on.prepare(site)
    changed = _submit(add_on, site, images)
    _until_healthy(add_on, site)
    _until_answering(add_on, site, probe)
    add_on.after(site)
    return changed


def make_folders(add_on: AddOn, site: Site) -> None:
    """The add-on's folder and those below it; contents stay. Raises HostError when one cannot be made."""
    try:
        for folder in (Folder("", mode=0o711), *add_on.folders):
            path = site.data / folder.path
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, folder.uid, folder.gid)
            path.chmod(folder.mode)
    except OSError as error:
        raise HostError(f"{error.filename or site.data} cannot be made: {error.strerror}") from error


def job_variables(add_on: AddOn, site: Site, images: Mapping[str, str]) -> dict[str, str]:
    """What the job file is parsed with."""
    host = add_on.host(site.config.addresses)
    given = {"data": str(site.data), "node": site.config.node_name, **({"host": host} if host else {})}
    return {**given, **images, **add_on.variables(site)}


def read_job(add_on: AddOn, variables: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """(the job as the API takes it, its source). Raises BadInput naming file and place."""
    path = PLATFORM / add_on.job_file
    source = path.read_text()
    try:
        raw = parse_hcl(
            source, filename=path.name, variables=dict(variables), var_files=[], environment={}, allow_files=False,
            base_dir=PLATFORM,
        )  # fmt: skip
    except JobFileError as error:
        raise BadInput(f"{path}: {render_error(source, error)}", next_step=error.next_step) from error
    return {**raw, "Namespace": NAMESPACE}, source


def _submit(add_on: AddOn, site: Site, images: Mapping[str, str]) -> bool:
    variables = job_variables(add_on, site, images)
    job, source = read_job(add_on, variables)
    plan = site.api.put(_path(add_on.name, "/plan"), {"Job": job, "Diff": True}, _WHERE).data
    updates = ((plan.get("Annotations") or {}).get("DesiredTGUpdates") or {}).values()
    acts = any(number for update in updates for name, number in update.items() if name != "Ignore")
    if (plan.get("Diff") or {}).get("Type") == "None" and not acts:
        return False
    site.say(f"submitting job {add_on.name}")
    submission = {"Source": source, "Format": "hcl2", "VariableFlags": variables, "Variables": ""}
    site.api.put("/v1/jobs", {"Job": job, "Submission": submission}, _WHERE)
    return True


def _until_healthy(add_on: AddOn, site: Site) -> None:
    """Of the version registered now: right after a change, deployment and allocation are still those of the last."""
    deadline = time.monotonic() + HEALTHY_TIMEOUT_S
    job = job_of(site.api, add_on.name)
    version = job["Version"] if job is not None else 0
    said: str | None = None
    while True:
        deployment = site.api.get(_path(add_on.name, "/deployment"), _WHERE).data
        status = deployment["Status"] if deployment and deployment["JobVersion"] == version else ""
        if status in {"successful", ""} and _running(site.api, add_on.name, version):
            return
        if status in {"failed", "cancelled"} or time.monotonic() > deadline:
            raise Unavailable(
                f'add-on "{add_on.name}" did not become healthy: {trouble_of(site.api, add_on.name)}',
                next_step=f"Run `kokiris addon status {add_on.name}`; the logs are those of its job.",
            )
        if said is None:
            site.say(f"waiting for {add_on.name} to be healthy")
        trouble = _telling(site.api, add_on.name, version)
        if trouble and trouble != said:
            site.say(trouble)
        said = trouble
        time.sleep(POLL_S)


def _until_answering(add_on: AddOn, site: Site, probe: Probe) -> None:
    host = add_on.host(site.config.addresses)
    if not host:
        return
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while problem := _problem(probe, host, add_on.probe):
        if time.monotonic() > deadline:
            raise Unavailable(f'add-on "{add_on.name}" is healthy, but {problem}')
        time.sleep(POLL_S)


def _problem(probe: Probe, host: str, path: str) -> str:
    try:
        status, body = probe(host, path)
    except OSError as error:
        return f"https://{host}{path} does not answer: {error}"
    return f"https://{host}{path} answers {status} {body[:100].decode(errors='replace')}" if status >= 500 else ""


def disable(
    add_on: AddOn, site: Site, others: Sequence[AddOn], *, purge: bool, agree: Callable[[Sequence[str]], None]
) -> bool:
    """Stops the job and forgets it; its data stay, unless `purge`. False when there was nothing to do.

    `agree` is called with what uses it before anything is done, and raises to leave everything as it is. Raises
    Conflict while another add-on that requires it is enabled.
    """
    needing = [one.name for one in others if add_on.name in one.requires and job_of(site.api, one.name) is not None]
    if needing:
        raise Conflict(
            f'add-on "{add_on.name}" is required by {", ".join(needing)}',
            next_step=f"Run `kokiris addon disable {needing[0]}` first.",
        )
    enabled = job_of(site.api, add_on.name) is not None
    agree(add_on.used_by(site) if enabled else ())
    if enabled:
        site.say(f"stopping job {add_on.name}")
        allocs = _allocs(site.api, add_on.name)
        site.api.request("DELETE", _path(add_on.name), {**_WHERE})
        _until_ended(site.api, [alloc["ID"] for alloc in allocs])
        site.api.request("DELETE", _path(add_on.name), {**_WHERE, "purge": "true"})
    present = site.data.exists()
    if purge and present:
        add_on.removed(site)
        site.say(f"removing {site.data}")
        shutil.rmtree(site.data)
    return enabled or (purge and present)


def _until_ended(api: Api, alloc_ids: Sequence[str]) -> None:
    """Containers must be gone before anything else uses their data."""
    deadline = time.monotonic() + HEALTHY_TIMEOUT_S
    for alloc_id in alloc_ids:
        while api.get(f"/v1/allocation/{alloc_id}", _WHERE).data["ClientStatus"] in {"running", "pending"}:
            if time.monotonic() > deadline:
                raise Unavailable(f"allocation {alloc_id} does not end")
            time.sleep(POLL_S)


def status_of(add_on: AddOn, site: Site) -> Status:
    """How the add-on is now."""
    address = add_on.host(site.config.addresses)
    job = job_of(site.api, add_on.name)
    images = {recipe: chosen(site.config, recipe) for recipe in add_on.images.values()}
    base = Status(name=add_on.name, title=add_on.title, state="disabled", address=address, images=images)
    if job is None:
        kept = site.data.exists() and any(site.data.iterdir())
        return _with(base, "disabled", f"data kept in {site.data}" if kept else "")
    if _running(site.api, add_on.name):
        return _with(base, "running", "")
    deployment = site.api.get(_path(add_on.name, "/deployment"), _WHERE).data
    waiting = deployment is not None and deployment["Status"] not in _ENDED
    return _with(base, "starting" if waiting else "failing", trouble_of(site.api, add_on.name))


def _with(status: Status, state: str, detail: str) -> Status:
    return Status(status.name, status.title, state, status.address, detail, status.images)


def job_of(api: Api, name: str) -> dict[str, Any] | None:
    """The add-on's job as it is registered; None when it is not, or is stopped."""
    try:
        job: dict[str, Any] = api.get(_path(name), _WHERE).data
    except NotFound:
        return None
    return None if job["Stop"] else job


def _running(api: Api, name: str, version: int | None = None) -> bool:
    """Whether an allocation (of that version of the job) runs and is healthy."""
    return any(
        alloc["ClientStatus"] == "running" and alloc["DesiredStatus"] == "run" and _healthy(alloc)
        for alloc in _allocs(api, name)
        if version is None or alloc["JobVersion"] == version
    )


def _healthy(alloc: Mapping[str, Any]) -> bool:
    return bool((alloc.get("DeploymentStatus") or {}).get("Healthy"))


def _allocs(api: Api, name: str) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = api.get(_path(name, "/allocations"), _WHERE).data
    return found


def trouble_of(api: Api, name: str) -> str:
    """What the newest allocation's tasks last said of their trouble, or why there is none."""
    allocs = _allocs(api, name)
    if not allocs:
        evals = api.get(_path(name, "/evaluations"), _WHERE).data or []
        said = next((one["StatusDescription"] for one in evals if one.get("StatusDescription")), "")
        return said or "it has not been placed on any node"
    states = allocs[0].get("TaskStates") or {}
    said_by = [
        (task, telling_event(state) or events[-1]) for task, state in states.items() if (events := state.get("Events"))
    ]
    lines = [f"{task}: {event.get('DisplayMessage') or event.get('Type')}" for task, event in said_by]
    return "; ".join(lines) or allocs[0].get("ClientDescription") or allocs[0]["ClientStatus"]


def _telling(api: Api, name: str, version: int) -> str:
    """What keeps the tasks of that version's newest allocation from being well, in their own words; "" when nothing."""
    newest = next((alloc for alloc in _allocs(api, name) if alloc["JobVersion"] == version), {})
    events = {task: telling_event(state) for task, state in (newest.get("TaskStates") or {}).items()}
    return "; ".join(f"{task}: {event.get('DisplayMessage')}" for task, event in events.items() if event)


def _path(name: str, rest: str = "") -> str:
    return f"/v1/job/{quote(name, safe='')}{rest}"
