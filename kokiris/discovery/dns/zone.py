"""What the names of the domain mean at one index of the catalog. Pure; a new catalog makes a new Zone."""

from __future__ import annotations

import ipaddress
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kokiris.discovery.dns import message
from kokiris.discovery.dns.message import (
    AAAA,
    ANY,
    CNAME,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    REFUSED,
    SOA,
    SRV,
    TXT,
    A,
    Record,
    encode_name,
    name_of,
)
from kokiris.discovery.view import CatalogView, InstanceView, NodeView

KEYWORDS = frozenset({b"service", b"node", b"addr", b"query", b"connect", b"virtual", b"ingress"})
_SRV_HEAD = struct.Struct("!3H")
_SOA_TIMES = struct.Struct("!5I")
MAX_TEXT_BYTES = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """Before it is put on the wire. With `shuffled` the order of `records` means nothing."""

    rcode: int = NOERROR
    records: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    authoritative: bool = True


@dataclass(slots=True)
class _Service:
    """Healthy instances by tag; all of them under ""."""

    by_tag: dict[str, list[InstanceView]] = field(default_factory=lambda: defaultdict(list))


Labels = tuple[bytes, ...]


class Zone:
    """The catalog, indexed for questions."""

    def __init__(
        self, view: CatalogView, *, datacenter: str = "dc1", domain: str = "consul", ns_address: str = ""
    ) -> None:
        self._datacenter = datacenter.lower().encode()
        self._domain: Labels = tuple(label.encode() for label in domain.lower().rstrip(".").split("."))
        self._apex = encode_name(self._domain)
        self._ns_address = ns_address
        self._ns_name = encode_name((b"ns", *self._domain))
        self._soa = Record(
            SOA,
            self._ns_name
            + encode_name((b"hostmaster", *self._domain))
            + _SOA_TIMES.pack(view.Index & 0xFFFFFFFF, 3600, 600, 86400, 0),
            owner=self._apex,
        )
        self._nodes: dict[str, NodeView] = {node.Node.lower(): node for node in view.Nodes}
        self._services: dict[str, _Service] = defaultdict(_Service)
        self._names_by_address: dict[str, dict[bytes, None]] = defaultdict(dict)
        for node in view.Nodes:
            self._remember_name(node.Address, (*node.Node.lower().encode().split(b"."), b"node", self._datacenter))
        for instance in view.Instances:
            if instance.Status != "critical":
                self._add_instance(instance)

    def _add_instance(self, instance: InstanceView) -> None:
        service = self._services[instance.Service.lower()]
        for tag in {"", *(tag.lower() for tag in instance.Tags)}:
            service.by_tag[tag].append(instance)
        if instance.Address:
            self._remember_name(instance.Address, (instance.Service.lower().encode(), b"service"))

    def _remember_name(self, address: str, labels: Labels) -> None:
        ip = _ip(address)
        if ip is not None:
            try:
                self._names_by_address[ip.reverse_pointer][encode_name((*labels, *self._domain))] = None
            except ValueError:
                return

    # ---- questions ---------------------------------------------------------------------------------------------

    def resolve(self, labels: Labels, qtype: int) -> Answer:
        """The answer to a question; `labels` in lower case."""
        size = len(self._domain)
        if labels[-size:] == self._domain:
            return self._in_domain(labels[:-size], qtype)
        if labels[-2:] in {(b"in-addr", b"arpa"), (b"ip6", b"arpa")}:
            return self._reverse(labels, qtype)
        return Answer(REFUSED, authoritative=False)

    def _missing(self) -> Answer:
        return Answer(NXDOMAIN, authority=(self._soa,))

    def _found(self, records: Sequence[Record], additional: Sequence[Record] = ()) -> Answer:
        """Of a name that exists: without records of the type asked for, NOERROR and the SOA."""
        return Answer(records=records, additional=additional, authority=() if records else (self._soa,))

    def _in_domain(self, labels: Labels, qtype: int) -> Answer:
        if not labels:
            return self._at_apex(qtype)
        if labels == (b"ns",):
            return self._found(address_records(self._ns_address, qtype))
        at = next((at for at in range(len(labels) - 1, -1, -1) if labels[at] in KEYWORDS), None)
        if at is None:
            return self._without_keyword(labels, qtype)
        parts, keyword, rest = labels[:at], labels[at], labels[at + 1 :]
        resolve = {b"service": self._service, b"node": self._node, b"addr": self._addr}.get(keyword)
        if resolve is None or not parts or not self._is_here(rest):
            return self._missing()
        return resolve(parts, qtype)

    def _is_here(self, rest: Labels) -> bool:
        """Whether what follows the keyword names this datacenter, or none."""
        return rest in {(), (self._datacenter,), (self._datacenter, b"dc")}

    def _without_keyword(self, labels: Labels, qtype: int) -> Answer:
        """`_svc._tcp[.<dc>]`: RFC 2782 without "service"."""
        if self._is_here(labels[2:]) and _is_rfc2782(labels[:2]):
            return self._service(labels[:2], qtype)
        return self._missing()

    def _at_apex(self, qtype: int) -> Answer:
        records: list[Record] = []
        if qtype in {SOA, ANY}:
            records.append(Record(SOA, self._soa.rdata))
        if qtype in {NS, ANY}:
            records.append(Record(NS, self._ns_name, target=self._ns_name))
        glue = address_records(self._ns_address, ANY, owner=self._ns_name) if qtype in {NS, ANY} else []
        return self._found(records, glue)

    def _node(self, parts: Labels, qtype: int) -> Answer:
        node = self._nodes.get(b".".join(parts).decode(errors="replace"))
        if node is None:
            return self._missing()
        records = address_records(node.Address, qtype)
        if qtype in {TXT, ANY}:
            records += [Record(TXT, text) for text in _texts(node)]
        return self._found(records)

    def _addr(self, parts: Labels, qtype: int) -> Answer:
        try:
            packed = bytes.fromhex(parts[0].decode()) if len(parts) == 1 else b""
            ip = str(ipaddress.ip_address(packed))
        except ValueError:
            return self._missing()
        return self._found(address_records(ip, qtype))

    def _service(self, parts: Labels, qtype: int) -> Answer:
        names = [part.decode(errors="replace") for part in parts]
        if _is_rfc2782(parts):
            name, tag = names[0][1:], "" if names[1] in {"_tcp", "_udp"} else names[1][1:]
        else:
            name, tag = names[-1], ".".join(names[:-1])
        service = self._services.get(name)
        instances = service.by_tag.get(tag) if service is not None else None
        if not instances:
            return self._missing()
        if qtype == SRV:
            return self._srv(instances)
        addresses = dict.fromkeys(self._address(one) for one in instances)
        records = [record for address in addresses for record in address_records(address, qtype)]
        aliases = [record for record in records if record.rtype == CNAME]
        return self._found(aliases[:1] if aliases and len(aliases) == len(records) else _without_aliases(records))

    def _address(self, instance: InstanceView) -> str:
        node = self._nodes.get(instance.Node.lower())
        return instance.Address or (node.Address if node else "")

    def _srv(self, instances: Iterable[InstanceView]) -> Answer:
        records: list[Record] = []
        additional: dict[bytes, list[Record]] = {}
        for one in instances:
            try:
                target = self._target(one)
            except ValueError:
                continue
            head = _SRV_HEAD.pack(1, max(0, min(one.Weight, 65535)), one.Port & 0xFFFF)
            records.append(Record(SRV, head + target, target=target))
            if target not in additional:
                additional[target] = [
                    record for record in address_records(self._address(one), ANY, owner=target) if record.rtype != CNAME
                ]
        return self._found(records, [record for found in additional.values() for record in found])

    def _target(self, one: InstanceView) -> bytes:
        """The name under which the instance's address is found. Raises ValueError when there is none."""
        if not one.Address:
            return encode_name((*one.Node.lower().encode().split(b"."), b"node", self._datacenter, *self._domain))
        ip = _ip(one.Address)
        if ip is None:
            return name_of(one.Address.lower())
        return encode_name((ip.packed.hex().encode(), b"addr", self._datacenter, *self._domain))

    def _reverse(self, labels: Labels, qtype: int) -> Answer:
        names = self._names_by_address.get(b".".join(labels).decode(errors="replace"))
        if not names:
            return self._missing()
        return self._found([Record(PTR, name) for name in names] if qtype in {PTR, ANY} else [])


def _is_rfc2782(parts: Labels) -> bool:
    return len(parts) == 2 and all(part.startswith(b"_") and len(part) > 1 for part in parts)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def address_records(address: str, qtype: int, owner: bytes | None = None) -> list[Record]:
    """A or AAAA of an address if that is asked for; CNAME for one that is a host name; nothing for none."""
    ip = _ip(address)
    if ip is not None:
        rtype = A if ip.version == 4 else AAAA
        return [Record(rtype, ip.packed, owner)] if qtype in {rtype, ANY} else []
    if not address or qtype not in {A, AAAA, CNAME, ANY}:
        return []
    try:
        return [Record(CNAME, name_of(address.lower()), owner)]
    except (ValueError, UnicodeError):
        return []


def _without_aliases(records: list[Record]) -> list[Record]:
    return [record for record in records if record.rtype != CNAME]


def _texts(node: NodeView) -> list[bytes]:
    """The node's metadata as TXT: `key=value`, the value only for keys that start with `rfc1035-`."""
    texts = []
    for key, value in sorted(node.Meta.items()):
        text = (value if key.startswith("rfc1035-") else f"{key}={value}").encode()
        chunks = [text[at : at + MAX_TEXT_BYTES] for at in range(0, len(text), MAX_TEXT_BYTES)] or [b""]
        texts.append(b"".join(bytes((len(chunk),)) + chunk for chunk in chunks))
    return [text for text in texts if len(text) <= message.PLAIN_UDP_BYTES * 8]
