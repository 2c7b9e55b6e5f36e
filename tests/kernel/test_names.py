"""Names of clients and infras, and the addresses they give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.kernel.names import RESERVED_CLIENTS, Addresses, InfraName, Kind, check_domain, parse_infra


@pytest.mark.parametrize("client", ["a", "demo", "demo-2", "a" * 32, "x1"])
@pytest.mark.parametrize(
    ("infra", "kind", "number"), [("rec1", "rec", 1), ("ppd10", "ppd", 10), ("prd999", "prd", 999)]
)
def test_valid(client: str, infra: str, kind: str, number: int) -> None:
    name = parse_infra(client, infra)
    assert name == InfraName(client, Kind(kind), number)
    assert str(name) == f"{client}/{infra}"


@pytest.mark.parametrize(
    "client",
    [
        "",
        "Demo",
        "1demo",
        "-a",
        "a-",
        "a.b",
        "a_b",
        "a" * 33,
        "démo",
        "a\n",
        "a b",
        "a/b",
        "rec1",
        *sorted(RESERVED_CLIENTS),
    ],
)
def test_clients_that_cannot_be(client: str) -> None:
    with pytest.raises(BadInput, match="client") as caught:
        parse_infra(client, "rec1")
    assert caught.value.next_step


@pytest.mark.parametrize("infra", ["", "rec", "rec0", "rec01", "rec1000", "dev1", "REC1", "rec1\n", "rec-1", "rec１"])
def test_infras_that_cannot_be(infra: str) -> None:
    with pytest.raises(BadInput, match="infra") as caught:
        parse_infra("demo", infra)
    assert caught.value.next_step


def test_the_seven_addresses() -> None:
    addresses = Addresses(parse_infra("demo", "rec1"), "cloud.example.org")
    assert addresses.hosts() == (
        "vip.rec1.demo.cloud.example.org",
        "traefikadmin.rec1.demo.cloud.example.org",
        "consul.rec1.demo.cloud.example.org",
        "nomad.rec1.demo.cloud.example.org",
        "pma.rec1.demo.cloud.example.org",
        "registry.demo.cloud.example.org",
        "kib.demo.cloud.example.org",
    )


@pytest.mark.parametrize("domain", ["localhost", "a.b.c", "x" * 63 + ".org", "customer.kokiris.localhost", "1.example"])
def test_domains(domain: str) -> None:
    assert check_domain(domain) == domain


@pytest.mark.parametrize(
    "domain",
    ["", ".", "a.", ".a", "a..b", "A.org", "-a.org", "a-.org", "x" * 64 + ".org", "a b", "a.org\n", "a." * 101 + "b"],
)
def test_domains_that_cannot_be(domain: str) -> None:
    with pytest.raises(BadInput, match="domain"):
        check_domain(domain)


@given(st.from_regex(r"[a-z0-9-]{1,10}", fullmatch=True), st.from_regex(r"(rec|ppd|prd|x)[0-9]{0,4}", fullmatch=True))
def test_no_two_infras_share_an_address(client: str, infra: str) -> None:
    """Addresses are told apart from those of a fixed other infra whenever the names differ."""
    other = Addresses(parse_infra("demo", "rec1"), "example.org")
    try:
        name = parse_infra(client, infra)
    except BadInput:
        return
    if name != other.name:
        shared = set(Addresses(name, "example.org").hosts()) & set(other.hosts())
        assert shared == ({other.registry, other.kib} if client == "demo" else set())
