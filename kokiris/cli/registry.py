"""`kokiris registry …`: accounts, repositories, retention, quota, garbage of the client's registry."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click
import msgspec

from kokiris.cli.client import Client
from kokiris.cli.flags import Command, Group, flag, value, values
from kokiris.cli.output import ago, as_json, note, pairs, say, table, when
from kokiris.cli.session import open_client
from kokiris.kernel.clock import rfc3339, wall_ns
from kokiris.kernel.errors import BadInput
from kokiris.kernel.files import write_secret
from kokiris.kernel.units import HOUR_NS, SECOND_NS, format_size, parse_duration_ns
from kokiris.registry.sharing import Share

ADDRESS_VARIABLE = "KOKIRIS_REGISTRY_ADDR"
_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
GC_TIMEOUT_S = 3600.0


@click.group("registry", cls=Group)
def registry_group() -> None:
    """The client's own Docker registry."""


@registry_group.group("user", cls=Group)
def user_group() -> None:
    """Who may log in."""


@registry_group.group("robot", cls=Group)
def robot_group() -> None:
    """Accounts of pipelines."""


@registry_group.group("repo", cls=Group)
def repo_group() -> None:
    """What is stored."""


@registry_group.group("tag", cls=Group)
def tag_group() -> None:
    """Tags."""


@registry_group.group("retention", cls=Group)
def retention_group() -> None:
    """How many tags a repository keeps."""


@registry_group.group("quota", cls=Group)
def quota_group() -> None:
    """How much may be stored."""


def open_registry() -> Client:
    """A client of the registry's own API: at $KOKIRIS_REGISTRY_ADDR, or beside the address of the Nomad API."""
    nomad = open_client()
    address = os.environ.get(ADDRESS_VARIABLE) or registry_address(nomad.endpoint.address)
    return Client(replace(nomad.endpoint, address=address, namespace=""))


def registry_address(nomad_address: str) -> str:
    """`https://registry.<client>.<domain>` for `https://nomad.<infra>.<client>.<domain>`. Pure.

    Raises BadInput for an address that is not of that form.
    """
    parts = urlsplit(nomad_address)
    words = (parts.hostname or "").split(".")
    if len(words) < 4 or words[0] != "nomad":
        raise BadInput(
            f"the registry's address does not follow from NOMAD_ADDR {nomad_address}",
            next_step=f"Set {ADDRESS_VARIABLE}, for instance to https://registry.demo.cloud.example.org",
        )
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://registry.{'.'.join(words[2:])}{port}"


def parse_size(text: str) -> int:
    """Bytes: "20GB", "512 MiB", "0". Raises BadInput naming the value. Pure."""
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").strip()
    unit = text.strip()[len(number) :].strip().lower()
    try:
        size = float(number) * _SIZES[unit]
    except (ValueError, KeyError):
        raise BadInput(f'"{text}" is not a size', next_step="Write a number and a unit: 500MB, 20GB, 1TiB.") from None
    if not 0 <= size < 2**62:
        raise BadInput(f'"{text}" is not a size that can be stored', next_step="Use 0 for no quota.")
    return int(size)


def _add(name: str, kind: str, scopes: tuple[str, ...], expires: str) -> None:
    expires_at = ""
    if expires:
        life_ns = _days_ns(expires)
        if life_ns <= 0:
            raise BadInput(f'"{expires}" is not a time from now', next_step="Write for instance 90d or 12h.")
        expires_at = rfc3339(wall_ns() + life_ns)
    body = {"Name": name, "Kind": kind, "Scopes": list(scopes), "ExpirationTime": expires_at}
    _show_secret(open_registry().request("POST", "/api/v1/accounts", None, body).data)


def _days_ns(text: str) -> int:
    if text.endswith("d") and text[:-1].isdigit():
        return int(text[:-1]) * 24 * HOUR_NS
    return parse_duration_ns(text)


def _show_secret(answer: dict[str, Any]) -> None:
    """The secret alone on standard output, so that it can be piped; the rest is for people."""
    say(answer["Secret"])
    note(f"This is shown once. Log in: docker login -u {answer['Name']} {answer['Server']}")


@user_group.command(
    "add", cls=Command, examples="kokiris registry user add alice\nkokiris registry user add bob -scope 'shop/*:pull'"
)
@click.argument("name")
@values("scope", "Repositories and actions: 'shop/*:pull,push' (default: '**:pull,push').", metavar="PATTERN:ACTIONS")
@value("expires", "How long it lives: 90d, 12h (default: for ever).", metavar="TIME")
def user_add_command(name: str, scope: tuple[str, ...], expires: str) -> None:
    """Makes a user; its token goes to standard output, once."""
    _add(name, "user", scope or ("**:pull,push",), expires)


@robot_group.command("add", cls=Command, examples="kokiris registry robot add ci -scope 'shop/web:pull,push'")
@click.argument("name")
@values("scope", "Repositories and actions: 'shop/*:pull,push'.", metavar="PATTERN:ACTIONS")
@value("expires", "How long it lives: 90d, 12h (default: for ever).", metavar="TIME")
def robot_add_command(name: str, scope: tuple[str, ...], expires: str) -> None:
    """Makes a robot for a pipeline; its token goes to standard output, once."""
    if not scope:
        raise BadInput(f'robot "{name}" needs a scope', next_step="Say what it is for: -scope 'shop/web:pull,push'.")
    _add(name, "robot", scope, expires)


@user_group.command("list", cls=Command, examples="kokiris registry user list")
@flag("json", "As JSON.")
def user_list_command(json: bool) -> None:
    """All users and robots."""
    found = open_registry().get("/api/v1/accounts").data
    as_json(found) if json else say(account_table(found))


def account_table(accounts: list[dict[str, Any]]) -> str:
    """A row an account. Pure."""
    rows: list[tuple[object, ...]] = [("Name", "Kind", "Scopes", "Expires")]
    for one in accounts:
        scopes = " ".join(f"{grant['Repository']}:{','.join(grant['Actions'])}" for grant in one["Grants"])
        rows.append((one["Name"], one["Kind"], scopes, one["ExpirationTime"][:19] or "never"))
    return table(rows)


@user_group.command("remove", cls=Command, examples="kokiris registry user remove alice")
@click.argument("name")
def user_remove_command(name: str) -> None:
    """Removes a user or robot; its logins end."""
    open_registry().request("DELETE", f"/api/v1/account/{quote(name, safe='')}")
    say(f'account "{name}" removed')


@user_group.command("token", cls=Command, examples="kokiris registry user token alice")
@click.argument("name")
def user_token_command(name: str) -> None:
    """Gives a user or robot a new token; the old one and its logins end."""
    _show_secret(open_registry().put(f"/api/v1/account/{quote(name, safe='')}").data)


@repo_group.command("list", cls=Command, examples="kokiris registry repo list")
@flag("json", "As JSON.")
def repo_list_command(json: bool) -> None:
    """Repositories with tags, digests, sizes, and the jobs that use them."""
    found = open_registry().get("/api/v1/repositories").data
    as_json(found) if json else say(repository_table(found))


def repository_table(repositories: list[dict[str, Any]]) -> str:
    """A row a tag. Pure."""
    rows: list[tuple[object, ...]] = [("Repository", "Tag", "Digest", "Size", "Pushed", "Used by")]
    for one in repositories:
        for tag in one["Tags"]:
            digest = tag["Digest"].partition(":")[2][:12]
            used = ", ".join(tag["UsedBy"])
            rows.append((one["Name"], tag["Tag"], digest, format_size(tag["SizeBytes"]), tag["PushedAt"][:19], used))
        if not one["Tags"]:
            rows.append((one["Name"], "", "", format_size(one["SizeBytes"]), "", ""))
    return table(rows)


@tag_group.command("delete", cls=Command, examples="kokiris registry tag delete shop/web:1.4")
@click.argument("image")
@flag("force", "Even if a job uses it.")
def tag_delete_command(image: str, force: bool) -> None:
    """Deletes a tag; what only it held goes with the next `gc`."""
    repository, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        raise BadInput(f'"{image}" names no tag', next_step="Write REPOSITORY:TAG, without the registry's name.")
    params = {"repository": repository, "tag": tag, "force": "true" if force else ""}
    open_registry().request("DELETE", "/api/v1/tag", params)
    say(f"{image} deleted")


@retention_group.command("set", cls=Command, examples="kokiris registry retention set 'shop/*' -keep 10")
@click.argument("pattern")
@value("keep", "How many tags stay in each repository; 0 removes the rule.", kind=int, default=-1, metavar="N")
def retention_set_command(pattern: str, keep: int) -> None:
    """Sets how many of the newest tags stay; what a job uses always stays."""
    if keep < 0:
        raise BadInput("how many tags to keep is missing", next_step="Say -keep N; 0 removes the rule.")
    open_registry().put("/api/v1/retention", {"Repository": pattern, "KeepLast": keep})
    say(f"{pattern}: the newest {keep} tags are kept" if keep else f"{pattern}: no rule any more")


@retention_group.command("run", cls=Command, examples="kokiris registry retention run -dry-run")
@flag("dry-run", "Only show what would go.")
def retention_run_command(dry_run: bool) -> None:
    """Deletes surplus tags now."""
    deleted = open_registry().request("POST", "/api/v1/retention", None, {"DryRun": dry_run}).data["Deleted"]
    for one in deleted:
        say(one)
    note(f"{len(deleted)} tags {'would be ' if dry_run else ''}deleted")


@quota_group.command("set", cls=Command, examples="kokiris registry quota set 20GB\nkokiris registry quota set 0")
@click.argument("size")
def quota_set_command(size: str) -> None:
    """Sets how much may be stored; 0 for no limit. Over it, pushes are refused and pulls go on."""
    quota = parse_size(size)
    open_registry().put("/api/v1/quota", {"QuotaBytes": quota})
    say(f"quota: {format_size(quota)}" if quota else "no quota")


@registry_group.command("status", cls=Command, examples="kokiris registry status")
@flag("json", "As JSON.")
def status_command(json: bool) -> None:
    """Address, size, quota, rules."""
    found = open_registry().get("/api/v1/settings").data
    if json:
        as_json(found)
        return
    rules = ", ".join(f"{rule['Repository']} keeps {rule['KeepLast']}" for rule in found["Retention"])
    quota = format_size(found["QuotaBytes"]) if found["QuotaBytes"] else "none"
    now_ns = wall_ns()
    rows = [
        ("Registry", found["Server"]),
        ("Stored", format_size(found["SizeBytes"])),
        ("Quota", quota),
        ("Retention", rules),
        ("Anonymous pull", ", ".join(found["AnonymousPull"])),
        *schedule_rows(found, now_ns),
        *(("Used by", sharing_text(one, now_ns)) for one in found["SharedWith"]),
    ]
    say(pairs(rows))


def sharing_text(one: dict[str, Any], now_ns: int) -> str:
    """ "rec2 (3 images, said 12s ago)". Pure."""
    said = (
        f"{one['Images']} images, said {ago(one['ReportedAt'], now_ns)}"
        if one["ReportedAt"]
        else "has said nothing yet"
    )
    return f"{one['Name']} ({said})"


@registry_group.command(
    "share", cls=Command,
    examples="kokiris registry share rec2 -o rec2-registry.json\nkokiris up -infra rec2 -registry rec2-registry.json",
)  # fmt: skip
@click.argument("infra")
@value("o", "The file, with a secret in it (0600).", metavar="FILE")
def share_command(infra: str, o: str) -> None:
    """Lets another infra of the client use this registry: its nodes pull, and what its jobs use stays.

    `registry user remove INFRA` ends it."""
    if not o:
        raise BadInput("the file is missing", next_step="Say where the account goes: -o rec2-registry.json")
    registry = open_registry()
    authority = Path(registry.endpoint.ca_file).read_text() if registry.endpoint.ca_file else ""
    if not authority:
        raise BadInput("NOMAD_CACERT is not set", next_step='Run `eval "$(kokiris env)"`.')
    body = {"Name": infra, "Kind": "infra", "Scopes": ["**:pull"], "ExpirationTime": ""}
    made = registry.request("POST", "/api/v1/accounts", None, body).data
    share = Share(Server=made["Server"], Authority=authority, Account=made["Name"], Secret=made["Secret"])
    write_secret(Path(o), msgspec.json.encode(share))
    say(f"{o}: take it to the node of {infra}, run `kokiris up -infra {infra} -registry {o}`, then delete it")


@registry_group.command(
    "schedule", cls=Command,
    examples="kokiris registry schedule\nkokiris registry schedule '30 3 * * *'\nkokiris registry schedule off",
)  # fmt: skip
@click.argument("cron", default="")
def schedule_command(cron: str) -> None:
    """Shows or sets when retention and garbage collection run by themselves: cron (UTC), @daily, @weekly, or "off"."""
    registry = open_registry()
    if cron:
        registry.put("/api/v1/schedule", {"Schedule": "" if cron == "off" else cron})
    say(pairs(schedule_rows(registry.get("/api/v1/settings").data, wall_ns())))


def schedule_rows(found: dict[str, Any], now_ns: int) -> list[tuple[str, str]]:
    """When the clean-up runs, and what came of the last. Pure."""
    schedule = "off"
    if found["Schedule"]:
        to_come = found["NextCleanUp"]
        schedule = f"{found['Schedule']} (UTC), next {when(to_come) if to_come else 'never'}"
    return [("Clean-up", schedule), ("Last clean-up", last_cleanup_text(found["LastCleanUp"], now_ns))]


def last_cleanup_text(last: dict[str, Any], now_ns: int) -> str:
    """ "ok 3h ago: …", "FAILED 3h ago: why", "never". Pure."""
    if not last["At"]:
        return "never"
    did = f"{last['TagsDeleted']} tags deleted, freed {format_size(last['BytesFreed'])} in {last['BlobsFreed']} blobs"
    if last["Error"]:
        return f"FAILED {ago(last['At'], now_ns)}: {last['Error']} ({did})"
    if not last["EndedAt"]:
        return f"begun {ago(last['At'], now_ns)}, and not ended"
    return f"ok {ago(last['At'], now_ns)}: {did}"


@registry_group.command("anonymous", cls=Command, examples="kokiris registry anonymous 'public/*'")
@click.argument("patterns", nargs=-1)
def anonymous_command(patterns: tuple[str, ...]) -> None:
    """Sets the repositories that anybody may pull from; without any, nobody may."""
    open_registry().put("/api/v1/anonymous", {"Repositories": list(patterns)})
    say(f"anybody may pull from {', '.join(patterns)}" if patterns else "nobody may pull without logging in")


@registry_group.command("gc", cls=Command, examples="kokiris registry gc -dry-run\nkokiris registry gc")
@flag("dry-run", "Only show what would go.")
@value("grace", "Leave alone what was written within this time (default 2h).", metavar="TIME")
def gc_command(dry_run: bool, grace: str) -> None:
    """Frees what nothing refers to any more, while the registry serves."""
    body: dict[str, Any] = {"DryRun": dry_run}
    if grace:
        body["GraceSeconds"] = parse_duration_ns(grace) / SECOND_NS
    started = time.monotonic()
    found = open_registry().request("POST", "/api/v1/gc", None, body, timeout_s=GC_TIMEOUT_S).data
    say(collected_text(found))
    if not dry_run:
        note(f"in {time.monotonic() - started:.1f} s")


def collected_text(found: dict[str, Any]) -> str:
    """What a run did. Pure."""
    would = "would free" if found["dry_run"] else "freed"
    return (
        f"{would} {format_size(found['size_bytes'])}: {found['blobs']} blobs; {found['manifests']} manifests, "
        f"{found['layers']} links to layers, {found['uploads']} unfinished uploads, "
        f"{found['repositories']} empty repositories"
    )
