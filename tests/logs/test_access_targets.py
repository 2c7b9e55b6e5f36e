"""Routed requests under the names people know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.logs.model import Document, Origin

ALLOC = "4c1d0000-1111-2222-3333-444455556666"
KNOWN = {
    "slots": {"shop@consulcatalog": 3, "cart@consulcatalog": 4, "sick@consulcatalog": 5},
    "instances": {"i1": f"_nomad-task-{ALLOC}-group-web-shop-http", "i2": "registered-by-hand"},
    "routers": {
        "shop@consulcatalog": ["shop@consulcatalog", "Host(`shop.example.org`)"],
        "cart@consulcatalog": ["cart@consulcatalog", "Host(`cart.example.org`) || Host(`CART.example.net`)"],
        "cart-old@consulcatalog": ["cart@consulcatalog", "Host(`basket.example.org`)"],
    },
    "owners": {"sick@consulcatalog": f"_nomad-task-{ALLOC}-group-web-sick-http"},
    "last_good": {},
}


def origin(alloc_id: str) -> Origin | None:
    return Origin(infra="rec1", namespace="default", job="shop", group="web", alloc=alloc_id, node="n2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edge.json"
    path.write_bytes(msgspec.json.encode(KNOWN))
    return path


def completed(targets: AccessTargets, **given: Any) -> Document:
    document: Document = {"job": "router", "node": "n1", **given}
    targets.refresh()
    targets.complete(document)
    return document


def test_slot_and_server_become_router_service_and_allocation(file: Path) -> None:
    found = completed(AccessTargets(file, origin), router="s00003", service="i1", host="shop.example.org")
    names = ("router", "service", "alloc", "namespace", "job", "group", "node")
    assert [found[name] for name in names] == ["shop", "shop", ALLOC, "default", "shop", "web", "n1"]


@pytest.mark.parametrize(
    ("host", "router"),
    [
        ("cart.example.org", "cart"), ("basket.example.org:8443", "cart-old"), ("Cart.Example.Net", "cart"),
        ("unknown.example.org", "cart"),
    ],
)  # fmt: skip
def test_of_several_routers_the_one_for_the_host(file: Path, host: str, router: str) -> None:
    found = completed(AccessTargets(file, origin), router="s00004", service="i2", host=host)
    assert (found["router"], found["service"], "alloc" in found) == (router, "cart", False)


def test_what_no_instance_answered_is_still_the_jobs(file: Path) -> None:
    found = completed(AccessTargets(file, origin), router="s00005", status=503)
    assert (found["router"], found["service"], found["job"], "alloc" in found) == ("sick", "sick", "shop", False)


def test_a_removed_servers_last_lines_are_named(file: Path) -> None:
    targets = AccessTargets(file, origin)
    targets.refresh()
    file.write_bytes(msgspec.json.encode({**KNOWN, "instances": {"i9": "other"}}))
    assert completed(targets, router="s00003", service="i1")["alloc"] == ALLOC


@pytest.mark.parametrize("text", [None, "no json", '{"slots":5}'])
def test_without_the_edges_names_a_line_stays(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "edge.json"
    if text is not None:
        path.write_text(text)
    found = completed(AccessTargets(path, origin), router="s00003", service="i1")
    assert (found["router"], found["service"], found["job"]) == ("s00003", "i1", "router")


def test_the_platforms_own_backends_keep_their_names(file: Path) -> None:
    found = completed(AccessTargets(file, origin), router="nomad", service="nomad")
    assert (found["router"], found["service"], found["job"]) == ("nomad", "nomad", "router")
    assert "router" not in completed(AccessTargets(file, origin), router="web", status=404)
