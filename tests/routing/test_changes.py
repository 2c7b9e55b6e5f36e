"""Differences become commands in a safe order; answers of the runtime API are read right."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kokiris.routing.haproxy.changes import (
    changes,
    drain_commands,
    edit_commands,
    map_change,
    server_commands,
    settle,
    swap_commands,
)
from kokiris.routing.haproxy.files import HaproxyFiles, map_text, slot_file_text, slot_name, slot_number
from kokiris.routing.haproxy.live import Live, LiveServer, map_of, sessions_of, wrong_answers
from kokiris.routing.haproxy.runtime import PAYLOAD_BYTES, with_payloads, word

FILES = HaproxyFiles(Path("/d/haproxy"), Path("/d/run"))
entries = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("xyz"))


@given(entries, entries)
def test_a_map_edited_is_the_map_wanted(held: dict[str, str], wanted: dict[str, str]) -> None:
    change = map_change(held, wanted)
    result = {key: value for key, value in {**held, **change.put, **change.add}.items() if key not in change.delete}
    assert result == wanted
    assert (change.size == 0) == (held == wanted)


def test_servers_come_drain_return_and_change_weight() -> None:
    live = Live(servers={0: {"stays": LiveServer(1, True, False), "goes": LiveServer(1, True, False),
                             "back": LiveServer(1, False, True), "heavier": LiveServer(1, True, False)}})  # fmt: skip
    wanted = {0: {"stays": "1.1.1.1:1", "back": "1.1.1.1:2", "heavier": "1.1.1.1:3 weight 5", "new": "1.1.1.1:4"}}
    todo = changes(live, wanted, {})
    assert server_commands(todo) == [
        "add server s00000/new 1.1.1.1:4",
        "enable server s00000/new",
        "set server s00000/back state ready",
        "set server s00000/heavier weight 5",
    ]
    assert drain_commands(todo) == ["set server s00000/goes state drain"]
    settle(live, todo)
    assert not changes(live, wanted, {})


def test_servers_of_a_service_that_is_gone_drain() -> None:
    live = Live(servers={3: {"last": LiveServer(1, True, False)}})
    assert drain_commands(changes(live, {}, {})) == ["set server s00003/last state drain"]


def test_one_entry_is_edited_several_are_swapped() -> None:
    name = ("web", "host")
    assert edit_commands(FILES, name, map_change({}, {"a": "s0"})) == ["add map /d/haproxy/maps/web.host.map a s0"]
    change = map_change({"a": "s0"}, {"b": "s1", "c": "s2"})
    assert change.swap
    assert swap_commands(FILES, name, change, 4) == [
        "add map @4 /d/haproxy/maps/web.host.map <<\nb s1\nc s2\n",
        "commit map @4 /d/haproxy/maps/web.host.map",
    ]


def test_payloads_fit_haproxys_buffer() -> None:
    lines = [f"{number:05d}" * 20 for number in range(1000)]
    commands = with_payloads("add map x", lines)
    assert all(len(command) < 2 * PAYLOAD_BYTES for command in commands)
    assert [line for command in commands for line in command.splitlines()[1:] if line] == lines


def test_words_are_escaped() -> None:
    assert word("a|/x;y z") == "a|/x\\;y\\ z"


def test_names_and_files() -> None:
    assert slot_name(42) == "s00042"
    assert slot_number("s00042") == 42
    assert slot_number("nomad") is None
    assert map_text({"b": "2", "a": "1"}) == "a 1\nb 2\n"
    assert "server i1 1.1.1.1:1" in slot_file_text(0, 2, {1: {"i1": "1.1.1.1:1"}})


def test_answers() -> None:
    assert map_of("0x1 a|/ s0\n0x2 b|/ s1\n\n") == {"a|/": "s0", "b|/": "s1"}
    assert sessions_of("# pxname,svname,qcur,qmax,scur,smax\ns0,i1,1,0,2,0\n") == {"i1": 3}
    assert sessions_of("") == {}
    good = [("add server x", "New server registered."), ("enable server x", ""), ("commit", "Committing\nSuccess!")]
    assert wrong_answers(good) == []
    assert wrong_answers([("del map x", "Key not found.")]) == ["del map x: Key not found."]
