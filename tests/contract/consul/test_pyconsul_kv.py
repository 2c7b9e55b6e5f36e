"""Key/value, sessions, locks, transactions and events through py-consul."""

from __future__ import annotations

import base64
import threading
import time

import consul
import pytest

from tests.discovery.conftest import READER, Api


def test_put_get_delete_and_index(client: consul.Consul) -> None:
    index, data = client.kv.get("foo")
    assert data is None
    assert int(index) >= 1
    assert client.kv.put("foo", "bar") is True
    index, data = client.kv.get("foo")
    assert data["Value"] == b"bar"
    assert data["ModifyIndex"] == data["CreateIndex"] == int(index)
    assert client.kv.put("foo", b"\x00\xff", flags=2**64 - 1) is True
    assert client.kv.get("foo")[1]["Flags"] == 2**64 - 1
    assert client.kv.get("foo")[1]["Value"] == b"\x00\xff"
    assert client.kv.delete("foo") is True
    assert client.kv.get("foo")[1] is None


def test_recurse_keys_and_separator(client: consul.Consul) -> None:
    for name in ("foo/a", "foo/b/c", "foo/b/d", "foobar", "other"):
        client.kv.put(name, name)
    assert [one["Key"] for one in client.kv.get("foo", recurse=True)[1]] == ["foo/a", "foo/b/c", "foo/b/d", "foobar"]
    assert client.kv.get("foo/", keys=True, separator="/")[1] == ["foo/a", "foo/b/"]
    assert client.kv.get("nothing", recurse=True)[1] is None
    assert client.kv.delete("foo/", recurse=True) is True
    assert client.kv.get("foo", keys=True)[1] == ["foobar"]


def test_check_and_set(client: consul.Consul) -> None:
    assert client.kv.put("foo", "1", cas=5) is False
    assert client.kv.put("foo", "1", cas=0) is True
    assert client.kv.put("foo", "2", cas=0) is False
    index = client.kv.get("foo")[1]["ModifyIndex"]
    assert client.kv.put("foo", "2", cas=index) is True
    assert client.kv.delete("foo", cas=index) is False
    assert client.kv.delete("foo", cas=client.kv.get("foo")[1]["ModifyIndex"]) is True


def test_odd_key_names(client: consul.Consul) -> None:
    for name in ("with space", "a//b", "trailing/", "ümläut/€", "per%2Fcent", "question?mark", "a&b=c#d"):
        assert client.kv.put(name, "x"), name
        assert client.kv.get(name)[1]["Key"] == name


def test_value_limit(client: consul.Consul) -> None:
    assert client.kv.put("big", b"x" * 512 * 1024) is True
    with pytest.raises(consul.ConsulException, match="too large"):
        client.kv.put("big", b"x" * (512 * 1024 + 1))


def test_blocking_read_wakes_on_its_key_only(client: consul.Consul) -> None:
    client.kv.put("mine", "1")
    index, _ = client.kv.get("mine")
    woken: list[tuple[str, bytes]] = []

    def wait() -> None:
        found = client.kv.get("mine", index=index, wait="30s")
        woken.append((found[0], found[1]["Value"]))

    waiting = threading.Thread(target=wait)
    waiting.start()
    other = consul.Consul(host="127.0.0.1", port=client.http.port, token=client.token)
    for number in range(5):
        other.kv.put(f"mine/{number}", "x")
    assert not woken
    other.kv.put("mine", "2")
    waiting.join(30)
    assert woken[0][1] == b"2"
    assert int(woken[0][0]) > int(index)


def test_blocking_on_a_missing_key(client: consul.Consul) -> None:
    index, _ = client.kv.get("later")
    other = consul.Consul(host="127.0.0.1", port=client.http.port, token=client.token)
    timer = threading.Timer(0.2, lambda: other.kv.put("later", "here"))
    timer.start()
    found = client.kv.get("later", index=index, wait="30s")
    timer.join()
    assert found[1]["Value"] == b"here"


def test_two_contenders_for_a_lock(client: consul.Consul) -> None:
    first, second = client.session.create(name="first", lock_delay=0), client.session.create(name="second")
    assert client.kv.put("lock", "first", acquire=first) is True
    assert client.kv.put("lock", "second", acquire=second) is False
    entry = client.kv.get("lock")[1]
    assert (entry["Session"], entry["LockIndex"], entry["Value"]) == (first, 1, b"first")
    assert client.kv.put("lock", "again", acquire=first) is True
    assert client.kv.get("lock")[1]["LockIndex"] == 1
    assert client.kv.put("lock", "x", release=second) is False
    assert client.kv.put("lock", "free", release=first) is True
    assert "Session" not in client.kv.get("lock")[1]
    assert client.kv.put("lock", "second", acquire=second) is True
    assert client.kv.get("lock")[1]["LockIndex"] == 2


def test_plain_put_keeps_the_lock(client: consul.Consul) -> None:
    session = client.session.create()
    client.kv.put("lock", "1", acquire=session)
    assert client.kv.put("lock", "2") is True
    entry = client.kv.get("lock")[1]
    assert (entry["Session"], entry["Value"]) == (session, b"2")


def test_destroyed_session_releases_after_the_lock_delay(client: consul.Consul, api: Api) -> None:
    first, second = client.session.create(lock_delay=2), client.session.create()
    client.kv.put("lock", "1", acquire=first)
    client.kv.put("mine", "1", acquire=first)
    client.kv.put("mine", "1", release=first)
    assert client.session.destroy(first) is True
    assert "Session" not in client.kv.get("lock")[1]
    assert client.kv.put("lock", "2", acquire=second) is False
    assert client.kv.put("mine", "2", acquire=second) is True
    deadline = time.monotonic() + 60
    while client.kv.put("lock", "2", acquire=second) is not True:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_delete_behaviour_removes_the_keys(client: consul.Consul) -> None:
    session = client.session.create(behavior="delete")
    client.kv.put("ephemeral", "1", acquire=session)
    client.session.destroy(session)
    assert client.kv.get("ephemeral")[1] is None


def test_session_expires_and_releases(api: Api, client: consul.Consul) -> None:
    body = {"TTL": "1s", "LockDelay": "0s"}
    answer = client.http.session.put(f"{api.url}/v1/session/create", json=body, headers={"X-Consul-Token": api.token})
    session = answer.json()["ID"]
    assert client.kv.put("lock", "1", acquire=session) is True
    renewed = time.monotonic()
    while time.monotonic() < renewed + 2.5:  # longer than it lives without
        assert client.session.renew(session)["ID"] == session
        time.sleep(0.05)
    index, entry = client.kv.get("lock")
    assert entry["Session"] == session
    _, entry = client.kv.get("lock", index=index, wait="30s")
    assert "Session" not in entry
    assert client.session.info(session)[1] is None
    with pytest.raises(consul.NotFound):
        client.session.renew(session)


def test_sessions_are_listed(client: consul.Consul) -> None:
    session = client.session.create(name="mine", ttl=60)
    index, listed = client.session.list()
    assert [one["ID"] for one in listed] == [session]
    assert listed[0]["LockDelay"] == 15_000_000_000
    assert client.session.node("node1")[1] == listed
    assert client.session.node("other")[1] == []
    assert client.session.info(session)[1]["Name"] == "mine"
    assert int(index) > 0


def test_session_refusals(client: consul.Consul, api: Api) -> None:
    for body, text in (({"TTL": "1ms"}, "Invalid Session TTL"), ({"Behavior": "odd"}, "Invalid Behavior")):
        answer = client.http.session.put(
            f"{api.url}/v1/session/create", json=body, headers={"X-Consul-Token": api.token}
        )
        assert answer.status_code == 400
        assert text in answer.text
    with pytest.raises(consul.ConsulException, match="Missing check"):
        client.session.create(checks=["nope"])
    with pytest.raises(consul.ConsulException, match="Missing node"):
        client.session.create(node="nowhere")
    with pytest.raises(consul.ConsulException, match="invalid session"):
        client.kv.put("lock", "x", acquire="00000000-0000-0000-0000-000000000000")


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_transaction(client: consul.Consul) -> None:
    answer = client.txn.put(
        [
            {"KV": {"Verb": "set", "Key": "a", "Value": _b64("1")}},
            {"KV": {"Verb": "set", "Key": "b", "Value": _b64("2"), "Flags": 7}},
            {"KV": {"Verb": "get", "Key": "a"}},
        ]
    )
    assert answer["Errors"] is None
    results = [one["KV"] for one in answer["Results"]]
    assert [one["Key"] for one in results] == ["a", "b", "a"]
    assert results[0]["ModifyIndex"] == results[1]["ModifyIndex"] == client.kv.get("a")[1]["ModifyIndex"]
    assert results[2]["Value"] == _b64("1")
    assert client.kv.get("b")[1]["Flags"] == 7


def test_failed_transaction_writes_nothing(client: consul.Consul) -> None:
    client.kv.put("a", "1")
    with pytest.raises(consul.ConsulException, match="index is stale"):
        client.txn.put(
            [
                {"KV": {"Verb": "set", "Key": "new", "Value": _b64("1")}},
                {"KV": {"Verb": "cas", "Key": "a", "Value": _b64("2"), "Index": 1}},
            ]
        )
    assert client.kv.get("new")[1] is None
    with pytest.raises(consul.ConsulException, match="unknown KV verb"):
        client.txn.put([{"KV": {"Verb": "dance", "Key": "a"}}])
    with pytest.raises(consul.ConsulException, match="too many operations"):
        client.txn.put([{"KV": {"Verb": "get", "Key": "a"}}] * 65)


def test_transaction_locks_and_trees(client: consul.Consul) -> None:
    session = client.session.create()
    answer = client.txn.put(
        [
            {"KV": {"Verb": "check-not-exists", "Key": "t/lock"}},
            {"KV": {"Verb": "lock", "Key": "t/lock", "Value": _b64("x"), "Session": session}},
            {"KV": {"Verb": "set", "Key": "t/data", "Value": _b64("y")}},
            {"KV": {"Verb": "check-session", "Key": "t/lock", "Session": session}},
            {"KV": {"Verb": "get-tree", "Key": "t/"}},
        ]
    )
    assert [one["KV"]["Key"] for one in answer["Results"]] == ["t/lock", "t/data", "t/lock", "t/data", "t/lock"]
    client.txn.put([{"KV": {"Verb": "unlock", "Key": "t/lock", "Session": session}}])
    client.txn.put([{"KV": {"Verb": "delete-tree", "Key": "t/"}}])
    assert client.kv.get("t/", recurse=True)[1] is None


def test_transaction_on_nodes_services_and_checks(client: consul.Consul) -> None:
    answer = client.txn.put(
        [
            {"Node": {"Verb": "set", "Node": {"Node": "n9", "Address": "10.0.0.9", "Datacenter": "dc1"}}},
            {"Service": {"Verb": "set", "Node": "n9", "Service": {"ID": "w", "Service": "web", "Port": 80}}},
            {"Check": {"Verb": "set", "Check": {"Node": "n9", "CheckID": "c", "ServiceID": "w", "Status": "passing"}}},
            {"KV": {"Verb": "set", "Key": "a", "Value": _b64("1")}},
        ]
    )
    node, service, check, pair = answer["Results"]
    index = pair["KV"]["ModifyIndex"]
    assert node["Node"]["ModifyIndex"] == service["Service"]["ModifyIndex"] == check["Check"]["ModifyIndex"] == index
    assert client.catalog.service("web")[1][0]["ServicePort"] == 80
    assert len(client.health.service("web", passing=True)[1]) == 1
    stale = {"Node": "n9", "CheckID": "c", "ServiceID": "w", "Status": "critical", "ModifyIndex": index - 1}
    with pytest.raises(consul.ConsulException, match="index is stale"):
        client.txn.put([{"Check": {"Verb": "cas", "Check": stale}}])
    client.txn.put([{"Check": {"Verb": "cas", "Check": stale | {"ModifyIndex": index}}}])
    assert client.health.service("web", passing=True)[1] == []
    got = client.txn.put([{"Service": {"Verb": "get", "Node": "n9", "Service": {"ID": "w"}}}])
    assert got["Results"][0]["Service"]["Service"] == "web"
    with pytest.raises(consul.ConsulException, match="Missing node registration"):
        client.txn.put([{"Service": {"Verb": "set", "Node": "n8", "Service": {"ID": "w", "Service": "web"}}}])
    client.txn.put([{"Service": {"Verb": "delete", "Node": "n9", "Service": {"ID": "w"}}}])
    client.txn.put([{"Node": {"Verb": "delete", "Node": {"Node": "n9"}}}])
    assert client.catalog.nodes()[1] == []


def test_events(client: consul.Consul) -> None:
    assert client.event.list()[1] == []
    first = client.event.fire("deploy", "now", service="web", tag="v1")
    assert first["Payload"] == _b64("now")
    client.event.fire("other")
    _, events = client.event.list(name="deploy")
    assert [one["ID"] for one in events] == [first["ID"]]
    assert events[0]["Payload"] == b"now"
    for number in range(300):
        client.event.fire("many", str(number))
    _, events = client.event.list()
    assert len(events) == 256
    assert events[-1]["Payload"] == b"299"
    assert [one["LTime"] for one in events] == sorted(one["LTime"] for one in events)


def test_a_reading_token_may_not_write(api: Api) -> None:
    reader = consul.Consul(host="127.0.0.1", port=api.port, token=READER)
    assert reader.kv.get("foo")[1] is None
    with pytest.raises(consul.ACLPermissionDenied, match="lacks permission 'key:write'"):
        reader.kv.put("foo", "bar")
    with pytest.raises(consul.ACLPermissionDenied, match="anonymous token lacks permission"):
        consul.Consul(host="127.0.0.1", port=api.port).kv.get("foo")
    with pytest.raises(consul.ACLPermissionDenied, match="ACL not found"):
        consul.Consul(host="127.0.0.1", port=api.port, token="made-up").kv.get("foo")
