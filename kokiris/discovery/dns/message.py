"""DNS messages on the wire (RFC 1035, EDNS of RFC 6891). Pure: bytes in, bytes out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
IN, ANY_CLASS = 1, 255

HEADER = struct.Struct("!6H")
_QUESTION_TAIL = struct.Struct("!2H")
_RECORD_TAIL = struct.Struct("!HHIH")
_OPT = struct.Struct("!BHHIH")

QR, AA, TC, RD = 0x8000, 0x0400, 0x0200, 0x0100
_OPCODE = 0x7800

PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 65_467
MAX_TCP_BYTES = 65_535
_QUESTION_AT = 12
_MAX_POINTER = 0x3FFF


class Malformed(Exception):
    """A message that is not a question we read. `answerable`: its header is good enough for an answer of `rcode`."""

    def __init__(self, reason: str, *, rcode: int = FORMERR, answerable: bool = True) -> None:
        super().__init__(reason)
        self.rcode = rcode
        self.answerable = answerable


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name` is its wire form as it was sent, so that its case can be echoed; `labels` are lower case."""

    ident: int
    flags: int
    name: bytes
    labels: tuple[bytes, ...]
    qtype: int
    qclass: int
    udp_bytes: int
    """How large an answer the asker takes over UDP; 0: it does not speak EDNS."""
    edns_version: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record. `owner` None: the name asked for; otherwise a name in wire form, lower case.

    `target` is a name that ends `rdata` and that later records may point to.
    """

    rtype: int
    rdata: bytes
    owner: bytes | None = None
    target: bytes = b""
    ttl: int = 0


def encode_name(labels: Sequence[bytes]) -> bytes:
    """A name in wire form. Raises ValueError when a label is empty or over 63 bytes, or the name over 255."""
    wire = bytearray()
    for label in labels:
        if not 0 < len(label) < 64:
            raise ValueError(f"label {label!r} does not fit")
        wire += bytes((len(label),)) + label
    wire.append(0)
    if len(wire) > 255:
        raise ValueError("name is over 255 bytes")
    return bytes(wire)


def name_of(text: str) -> bytes:
    """The wire form of a dotted name."""
    return encode_name([label.encode() for label in text.rstrip(".").split(".")])


def parse_query(packet: bytes) -> Query:
    """Raises Malformed."""
    if len(packet) < HEADER.size:
        raise Malformed("shorter than a header", answerable=False)
    ident, flags, questions, answers, authorities, additionals = HEADER.unpack_from(packet)
    if flags & QR:
        raise Malformed("an answer, not a question", answerable=False)
    if flags & _OPCODE:
        raise Malformed("another operation than a query", rcode=NOTIMP)
    if questions != 1:
        raise Malformed(f"{questions} questions")
    labels, end = _parse_name(packet, _QUESTION_AT)
    if end + 4 > len(packet):
        raise Malformed("the question is cut off")
    qtype, qclass = _QUESTION_TAIL.unpack_from(packet, end)
    udp_bytes, version = _parse_edns(packet, end + 4, answers + authorities, additionals)
    return Query(ident, flags, packet[_QUESTION_AT:end], labels, qtype, qclass, udp_bytes, version)


def _parse_name(packet: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """(labels in lower case, where the name ends). A question has no pointers to follow."""
    labels: list[bytes] = []
    start = at
    while True:
        if at >= len(packet):
            raise Malformed("a name is cut off")
        length = packet[at]
        if length == 0:
            break
        if length > 63:
            raise Malformed("a pointer in the question")
        labels.append(packet[at + 1 : at + 1 + length].lower())
        at += 1 + length
    if at + 1 - start > 255:
        raise Malformed("a name over 255 bytes")
    return tuple(labels), at + 1


def _skip_name(packet: bytes, at: int) -> int:
    while at < len(packet):
        length = packet[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if length == 0:
            return at
    raise Malformed("a name is cut off")


def _parse_edns(packet: bytes, at: int, skipped: int, additionals: int) -> tuple[int, int]:
    """(advertised size, version) of the OPT record; (0, 0) without one."""
    udp_bytes, version = 0, 0
    for number in range(skipped + additionals):
        end = _skip_name(packet, at)
        if end + _RECORD_TAIL.size > len(packet):
            raise Malformed("a record is cut off")
        rtype, rclass, ttl, length = _RECORD_TAIL.unpack_from(packet, end)
        if rtype == OPT and number >= skipped:
            if udp_bytes or packet[at] != 0:
                raise Malformed("OPT twice, or not at the root")
            udp_bytes, version = max(PLAIN_UDP_BYTES, min(rclass, MAX_UDP_BYTES)), (ttl >> 16) & 0xFF
        at = end + _RECORD_TAIL.size + length
        if at > len(packet):
            raise Malformed("a record is cut off")
    return udp_bytes, version


def error_reply(packet: bytes, rcode: int) -> bytes:
    """An answer to what could not be parsed beyond its header."""
    ident, flags = struct.unpack_from("!2H", packet)
    return HEADER.pack(ident, QR | (flags & (_OPCODE | RD)) | rcode, 0, 0, 0, 0)


class _Writer:
    """Appends records, with pointers to names that were written before."""

    def __init__(self, query: Query, limit_bytes: int) -> None:
        self.out = bytearray(HEADER.size)
        self.out += query.name + _QUESTION_TAIL.pack(query.qtype, query.qclass)
        self._limit_bytes = limit_bytes
        self._names: dict[bytes, int] = {}
        lowered, at = query.name.lower(), 0
        while lowered[at : at + 1] not in {b"", b"\0"}:
            self._names[lowered[at:]] = _QUESTION_AT + at
            at += 1 + lowered[at]

    def append(self, record: Record) -> bool:
        """False when it does not fit; nothing is written then."""
        at = _QUESTION_AT if record.owner is None else self._names.get(record.owner)
        owner = record.owner or b"\0"
        if at is not None and at <= _MAX_POINTER:
            owner = struct.pack("!H", 0xC000 | at)
        wire = owner + _RECORD_TAIL.pack(record.rtype, IN, record.ttl, len(record.rdata)) + record.rdata
        start = len(self.out)
        if start + len(wire) > self._limit_bytes:
            return False
        self.out += wire
        if record.owner is not None:
            self._names.setdefault(record.owner, start)
        if record.target:
            self._names.setdefault(record.target, len(self.out) - len(record.target))
        return True


def build_reply(
    query: Query,
    rcode: int,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    *,
    limit_bytes: int,
    authoritative: bool = True,
) -> bytes:
    """A whole answer of at most `limit_bytes`.

    Answers that do not fit are left out and TC says so; additional records are left out without saying so.
    """
    opt = b""
    if query.udp_bytes:
        opt = _OPT.pack(0, OPT, 4096, (rcode >> 4) << 24, 0)
    writer = _Writer(query, limit_bytes - len(opt))
    counts = [0, 0, 0]
    truncated = False
    for section, records in enumerate((answers, authority, additional)):
        for record in records:
            if not writer.append(record):
                truncated |= section < 2
                break
            counts[section] += 1
        if truncated:
            break
    flags = QR | (query.flags & RD) | (rcode & 0xF)
    flags |= (AA if authoritative else 0) | (TC if truncated else 0)
    writer.out[: HEADER.size] = HEADER.pack(query.ident, flags, 1, counts[0], counts[1], counts[2] + bool(opt))
    return bytes(writer.out + opt)
