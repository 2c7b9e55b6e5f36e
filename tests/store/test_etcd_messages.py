"""The pure parts of the etcd store, and that the generated messages are those of etcd.proto."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kokiris.store.etcd
from kokiris.kernel.errors import BadInput, HostError
from kokiris.store.contract import Batch, Event
from kokiris.store.etcd import etcd_pb2 as pb
from kokiris.store.etcd.endpoints import Endpoints
from kokiris.store.etcd.store import COMMIT_DEADLINE_S, commit_deadline_s
from kokiris.store.etcd.watching import batches_of

SOURCES = Path(kokiris.store.etcd.__file__).parent
ROOT = SOURCES.parents[2]


def test_the_generated_files_are_up_to_date(tmp_path: Path) -> None:
    proto = SOURCES.relative_to(ROOT) / "etcd.proto"
    options = ["-I", str(ROOT), f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", str(ROOT / proto)]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True, timeout=120)
    for name in ("etcd_pb2.py", "etcd_pb2.pyi"):
        assert (tmp_path / proto.parent / name).read_text() == (SOURCES / name).read_text()


def _put(key: bytes, revision: int) -> pb.Event:
    return pb.Event(kv=pb.KeyValue(key=key, value=b"v", create_revision=2, mod_revision=revision))


def _deletion(key: bytes, revision: int) -> pb.Event:
    return pb.Event(type=pb.Event.DELETE, kv=pb.KeyValue(key=key, mod_revision=revision))


def test_events_are_grouped_by_commit_in_key_order() -> None:
    events = [_put(b"/a/2", 5), _deletion(b"/a/1", 5), _put(b"/b", 5), _put(b"/b", 6), _put(b"/a/1", 7), _put(b"/b", 8)]
    batches = [Batch(each.revision, list(each.events)) for each in batches_of(events, b"/a/")]
    assert batches == [
        Batch(5, [Event(b"/a/1", None, 0, 5), Event(b"/a/2", b"v", 2, 5)]),
        Batch(7, [Event(b"/a/1", b"v", 2, 7)]),
        Batch(8, []),
    ]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([b"/a/1", b"/a/2", b"/b"])), min_size=1))
def test_the_last_revision_is_always_told(steps: list[tuple[int, bytes]]) -> None:
    revision, events = 1, []
    for step, key in steps:
        revision += step
        events.append(_put(key, revision))
    batches = batches_of(events, b"/a/")
    assert batches[-1].revision == revision
    assert sum(len(batch.events) for batch in batches) == sum(key.startswith(b"/a/") for _, key in steps)
    assert all(batch.events for batch in batches[:-1])


def test_a_large_commit_may_take_longer() -> None:
    """On a busy machine twenty megabytes need most of what a small one is given."""
    large = pb.TxnRequest()
    large.success.add().request_put.CopyFrom(pb.PutRequest(key=b"/a", value=bytes(20_000_000)))
    assert commit_deadline_s(pb.TxnRequest()) == COMMIT_DEADLINE_S
    assert commit_deadline_s(large) >= COMMIT_DEADLINE_S + 10


@pytest.mark.parametrize("endpoint", ["", "host", "host:", ":", "host:port", "https://"])
async def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(BadInput, match="is not host:port"):
        Endpoints([endpoint], None)


async def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(HostError, match=r"missing\.pem"):
        Endpoints(["127.0.0.1:1"], (missing, missing, missing))
