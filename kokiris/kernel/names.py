"""Clients, infras, kinds, and the URL grammar: what a name may be and what address it gives. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from kokiris.kernel.errors import BadInput

_CLIENT = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_INFRA = re.compile(r"(rec|ppd|prd)([1-9][0-9]{0,2})")
_DOMAIN = re.compile(r"(?=.{1,200}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")

RESERVED_CLIENTS = frozenset({"vip", "traefikadmin", "consul", "nomad", "pma", "registry", "kib", "platform"})
"""Words of the URL grammar: a client of that name would make two addresses the same."""

PLATFORM = "platform"
"""The namespace of the infra's own add-ons: its jobs may use the host, and tenants' tokens do not see it."""


class Kind(StrEnum):
    """What an infra is for; the rules of `kokiris.infra.rules` depend on it."""

    REC = "rec"
    """recette: acceptance; exactly one node."""
    PPD = "ppd"
    """pre-production; at least three nodes."""
    PRD = "prd"
    """production; at least three nodes."""


@dataclass(frozen=True, slots=True)
class InfraName:
    """A client's infra: `client` "demo", `kind` rec, `number` 1 is `demo/rec1`."""

    client: str
    kind: Kind
    number: int

    @property
    def infra(self) -> str:
        """The infra's short name, as in its addresses: "rec1"."""
        return f"{self.kind}{self.number}"

    def __str__(self) -> str:
        return f"{self.client}/{self.infra}"


def parse_infra(client: str, infra: str) -> InfraName:
    """Checks both names. Raises BadInput naming the one that is wrong and what it may be."""
    if not _CLIENT.fullmatch(client):
        raise BadInput(
            f'client "{client}" is not a valid name',
            next_step="Use 1 to 32 characters: lower-case letters, digits and hyphens, starting with a letter.",
        )
    if client in RESERVED_CLIENTS or _INFRA.fullmatch(client):
        raise BadInput(f'client "{client}" is a word of the URL grammar', next_step="Choose another client name.")
    match = _INFRA.fullmatch(infra)
    if match is None:
        raise BadInput(
            f'infra "{infra}" is not a valid name',
            next_step="Use a kind (rec, ppd or prd) and a number from 1 to 999: rec1, ppd1, prd2.",
        )
    return InfraName(client, Kind(match[1]), int(match[2]))


def check_domain(domain: str) -> str:
    """`domain` itself if it is a lower-case DNS name. Raises BadInput otherwise."""
    if not _DOMAIN.fullmatch(domain):
        raise BadInput(
            f'domain "{domain}" is not a DNS name', next_step="Write it in lower case, as cloud.example.org."
        )
    return domain


@dataclass(frozen=True, slots=True)
class Addresses:
    """The host names of one infra under `domain`: the table of design.md, section 1."""

    name: InfraName
    domain: str

    def _infra(self, word: str) -> str:
        return f"{word}.{self.name.infra}.{self.name.client}.{self.domain}"

    @property
    def vip(self) -> str:
        return self._infra("vip")

    @property
    def traefikadmin(self) -> str:
        return self._infra("traefikadmin")

    @property
    def consul(self) -> str:
        return self._infra("consul")

    @property
    def nomad(self) -> str:
        return self._infra("nomad")

    @property
    def pma(self) -> str:
        return self._infra("pma")

    @property
    def registry(self) -> str:
        """Shared by all infras of the client."""
        return f"registry.{self.name.client}.{self.domain}"

    @property
    def kib(self) -> str:
        """Shared by all infras of the client."""
        return f"kib.{self.name.client}.{self.domain}"

    def hosts(self) -> tuple[str, ...]:
        """All seven, in the order of the design's table."""
        return (self.vip, self.traefikadmin, self.consul, self.nomad, self.pma, self.registry, self.kib)
