"""DNS on the wire, with dnspython as the judge."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.discovery.dns.message import (
    Malformed,
    Query,
    Record,
    build_reply,
    encode_name,
    parse_query,
)
from kokiris.discovery.dns.responder import ROTATIONS, Responder
from kokiris.discovery.dns.zone import Zone
from kokiris.discovery.view import CatalogView, InstanceView, NodeView

LABEL = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=20)


def made_view(count: int = 3, index: int = 7) -> CatalogView:
    """Node n1 with `count` instances of web (the last critical) and one of db with an address of its own."""
    instances = [
        InstanceView(
            Node="n1",
            ID=f"web{number}",
            Service="web",
            Address=f"10.0.{number // 250}.{number % 250 + 1}",
            Port=8000 + number,
            Tags=["v1", "blue.green"] if number % 2 else ["v2"],
            Status="critical" if number == count - 1 else "passing",
        )
        for number in range(count)
    ]
    instances += [
        InstanceView(Node="n1", ID="db", Service="DB", Port=5432, Weight=3),
        InstanceView(Node="n1", ID="six", Service="six", Address="fd00::6", Port=1),
        InstanceView(Node="n1", ID="alias", Service="alias", Address="elsewhere.example.org", Port=80),
        InstanceView(Node="n1", ID="dead", Service="dead", Port=1, Status="critical"),
    ]
    nodes = [NodeView(Node="n1", Address="192.0.2.1", Meta={"rack": "7", "rfc1035-note": "plain"})]
    return CatalogView(Index=index, Nodes=[*nodes, NodeView(Node="a.b", Address="fd00::1")], Instances=instances)


def responder_of(view: CatalogView) -> Responder:
    made = Responder(clock_s=lambda: 0.0)
    made.set_zone(Zone(view, ns_address="192.0.2.53"))
    return made


def ask(responder: Responder, name: str, rtype: str = "A", tcp: bool = False, edns: int = -1) -> dns.message.Message:
    """The answer, parsed by dnspython and checked to belong to the question."""
    query = dns.message.make_query(name, rtype, use_edns=edns >= 0, payload=max(edns, 512))
    reply = (responder.tcp if tcp else responder.udp)(query.to_wire())
    assert reply is not None
    answer = dns.message.from_wire(reply)
    assert query.is_response(answer)
    return answer


def texts(answer: dns.message.Message) -> list[str]:
    return sorted(item.to_text() for rrset in answer.answer for item in rrset)


@pytest.mark.parametrize(
    ("name", "rtype", "expected"),
    [
        ("web.service.consul", "A", ["10.0.0.1", "10.0.0.2"]),
        ("WEB.service.Consul", "A", ["10.0.0.1", "10.0.0.2"]),
        ("web.service.dc1.consul", "A", ["10.0.0.1", "10.0.0.2"]),
        ("web.service.dc1.dc.consul", "A", ["10.0.0.1", "10.0.0.2"]),
        ("v2.web.service.consul", "A", ["10.0.0.1"]),
        ("blue.green.web.service.consul", "A", ["10.0.0.2"]),
        ("_web._v1.service.consul", "A", ["10.0.0.2"]),
        (
            "_web._tcp.service.consul",
            "SRV",
            ["1 1 8000 0a000001.addr.dc1.consul.", "1 1 8001 0a000002.addr.dc1.consul."],
        ),
        ("_db._tcp.consul", "SRV", ["1 3 5432 n1.node.dc1.consul."]),
        ("db.service.consul", "A", ["192.0.2.1"]),
        ("six.service.consul", "AAAA", ["fd00::6"]),
        ("six.service.consul", "A", []),
        ("alias.service.consul", "A", ["elsewhere.example.org."]),
        ("n1.node.consul", "A", ["192.0.2.1"]),
        ("n1.node.dc1.consul", "TXT", ['"plain"', '"rack=7"']),
        ("a.b.node.consul", "AAAA", ["fd00::1"]),
        ("0a000001.addr.dc1.consul", "A", ["10.0.0.1"]),
        ("fd000000000000000000000000000006.addr.consul", "AAAA", ["fd00::6"]),
        ("1.2.0.192.in-addr.arpa", "PTR", ["n1.node.dc1.consul."]),
        ("1.0.0.10.in-addr.arpa", "PTR", ["web.service.consul."]),
        ("consul", "SOA", ["ns.consul. hostmaster.consul. 7 3600 600 86400 0"]),
        ("consul", "NS", ["ns.consul."]),
        ("ns.consul", "A", ["192.0.2.53"]),
    ],
)
def test_what_names_mean(name: str, rtype: str, expected: list[str]) -> None:
    answer = ask(responder_of(made_view()), name, rtype)
    assert answer.rcode() == dns.rcode.NOERROR
    assert texts(answer) == expected
    assert answer.flags & dns.flags.AA
    assert not answer.flags & dns.flags.TC
    assert all(rrset.ttl == 0 for rrset in answer.answer)
    if not expected:
        assert [rrset.rdtype for rrset in answer.authority] == [dns.rdatatype.SOA]


@pytest.mark.parametrize(
    "name",
    [
        "dead.service.consul",
        "nope.service.consul",
        "v9.web.service.consul",
        "web.service.dc9.consul",
        "nope.node.consul",
        "zz.addr.consul",
        "web.connect.consul",
        "q.query.consul",
        "web.consul",
        "service.consul",
        "9.9.9.9.in-addr.arpa",
    ],
)
def test_what_does_not_exist(name: str) -> None:
    answer = ask(responder_of(made_view()), name)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.rdtype for rrset in answer.authority] == [dns.rdatatype.SOA]
    assert answer.authority[0].ttl == 0


def test_other_domains_are_refused() -> None:
    assert ask(responder_of(made_view()), "example.org").rcode() == dns.rcode.REFUSED


def test_srv_brings_the_addresses_of_its_targets() -> None:
    answer = ask(responder_of(made_view()), "db.service.consul", "SRV")
    assert [(str(rrset.name), [one.to_text() for one in rrset]) for rrset in answer.additional] == [
        ("n1.node.dc1.consul.", ["192.0.2.1"])
    ]


def test_the_case_of_the_question_is_kept() -> None:
    responder = responder_of(made_view())
    for name in ("wEb.SeRvIcE.cOnSuL", "web.service.consul", "WEB.SERVICE.CONSUL"):
        for _ in range(ROTATIONS + 2):  # built, and from the cache
            reply = responder.udp(dns.message.make_query(name, "A").to_wire())
            assert reply is not None
            assert dns.name.from_text(name).to_wire() in reply


def test_truncation_says_so_and_tcp_is_whole() -> None:
    responder = responder_of(made_view(count=301))
    small = ask(responder, "web.service.consul")
    assert small.flags & dns.flags.TC
    assert 0 < len(texts(small)) < 300
    assert len(small.to_wire()) <= 512
    assert not small.opt
    larger = ask(responder, "web.service.consul", edns=1232)
    assert larger.flags & dns.flags.TC
    assert len(texts(small)) < len(texts(larger)) < 300
    assert larger.opt
    assert len(texts(ask(responder, "web.service.consul", edns=8192))) == 300
    whole = ask(responder, "web.service.consul", "SRV", tcp=True)
    assert len(texts(whole)) == 300
    assert not whole.flags & dns.flags.TC


def test_additional_records_are_left_out_without_truncation() -> None:
    answer = ask(responder_of(made_view(count=8)), "web.service.consul", "SRV")
    assert len(texts(answer)) == 7
    assert not answer.flags & dns.flags.TC


def test_answers_are_shuffled() -> None:
    responder = responder_of(made_view(count=20))
    firsts = {next(iter(ask(responder, "web.service.consul", edns=4096).answer[0])).to_text() for _ in range(100)}
    assert len(firsts) > 2


def test_a_new_zone_is_seen_by_the_next_question() -> None:
    responder = responder_of(made_view())
    for _ in range(ROTATIONS * 2):
        ask(responder, "web.service.consul")
    responder.set_zone(Zone(CatalogView(Index=8, Nodes=[], Instances=[])))
    assert ask(responder, "web.service.consul").rcode() == dns.rcode.NXDOMAIN


def test_old_answers_end_in_servfail() -> None:
    now = [0.0]
    responder = Responder(stale_after_s=60, clock_s=lambda: now[0])
    assert ask(responder, "web.service.consul").rcode() == dns.rcode.SERVFAIL
    responder.set_zone(Zone(made_view()))
    for _ in range(ROTATIONS * 2):
        ask(responder, "web.service.consul")
    now[0] = 59
    assert ask(responder, "web.service.consul").rcode() == dns.rcode.NOERROR
    now[0] = 61
    assert ask(responder, "web.service.consul").rcode() == dns.rcode.SERVFAIL
    responder.still_true()
    assert ask(responder, "web.service.consul").rcode() == dns.rcode.NOERROR


def test_other_opcodes_classes_and_versions() -> None:
    responder = responder_of(made_view())
    query = dns.message.make_query("web.service.consul", "A")
    query.set_opcode(dns.opcode.STATUS)
    assert dns.message.from_wire(responder.udp(query.to_wire()) or b"").rcode() == dns.rcode.NOTIMP
    chaos = dns.message.make_query("version.bind", "TXT", "CH").to_wire()
    assert dns.message.from_wire(responder.udp(chaos) or b"").rcode() == dns.rcode.REFUSED
    newer = dns.message.make_query("web.service.consul", "A", use_edns=1).to_wire()
    assert dns.message.from_wire(responder.udp(newer) or b"").rcode() == dns.rcode.BADVERS


@given(st.lists(LABEL, min_size=1, max_size=8), st.integers(0, 65535), st.integers(0, 65535), st.booleans())
def test_queries_survive_the_wire(names: list[str], ident: int, qtype: int, recursion: bool) -> None:
    query = dns.message.make_query(dns.name.from_text(".".join(names)), "A", id=ident)
    if not recursion:
        query.flags &= ~dns.flags.RD
    wire = bytearray(query.to_wire())
    wire[-4:-2] = qtype.to_bytes(2, "big")
    parsed = parse_query(bytes(wire))
    assert parsed.labels == tuple(name.lower().encode() for name in names)
    assert (parsed.ident, parsed.qtype, parsed.udp_bytes) == (ident, qtype, 0)


@given(st.lists(st.tuples(st.lists(LABEL, min_size=1, max_size=4), st.binary(min_size=4, max_size=4)), max_size=40))
def test_built_replies_are_read_back(records: list[tuple[list[str], bytes]]) -> None:
    name = encode_name([b"Web", b"service", b"consul"])
    query = Query(1, 0x0100, name, (b"web", b"service", b"consul"), 1, 1, 0)
    made = [Record(1, data, encode_name([label.lower().encode() for label in labels])) for labels, data in records]
    answer = dns.message.from_wire(build_reply(query, 0, made, limit_bytes=65535))
    found = {(str(rrset.name), item.address) for rrset in answer.answer for item in rrset}
    expected = {(".".join(labels).lower() + ".", ".".join(str(byte) for byte in data)) for labels, data in records}
    assert found == expected


@given(st.binary(max_size=600))
def test_garbage_never_breaks_it(packet: bytes) -> None:
    _survives(packet)


@given(st.data())
def test_damaged_queries_never_break_it(data: st.DataObject) -> None:
    packet = bytearray(dns.message.make_query("v1.web.service.consul", "SRV", use_edns=0).to_wire())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(packet) - 1))
        packet[at] = data.draw(st.integers(0, 255))
    _survives(bytes(packet[: data.draw(st.integers(0, len(packet)))]))


GARBAGE_RESPONDER = responder_of(made_view())


def _survives(packet: bytes) -> None:
    for serve in (GARBAGE_RESPONDER.udp, GARBAGE_RESPONDER.udp, GARBAGE_RESPONDER.tcp):
        reply = serve(packet)
        if reply is not None:
            assert reply[:2] == packet[:2]
            assert dns.message.from_wire(reply).flags & dns.flags.QR
    with contextlib.suppress(Malformed):
        parse_query(packet)
