"""The event stream: ndjson, heartbeat at once, topics, namespaces, replay."""

from __future__ import annotations

import asyncio
import json

import pytest

from kokiris.orchestrator.api.eventlog import StreamEvent
from kokiris.orchestrator.api.events import matches, parse_topics
from kokiris.orchestrator.keys import Keys

KEYS = Keys("demo", "rec1")


async def lines(answer, count: int) -> list[dict]:
    return [json.loads(await asyncio.wait_for(answer.content.readline(), 30)) for _ in range(count)]


async def test_a_registration_and_its_allocations_arrive_in_order(api, recorder, make_job, make_node, token):
    async with api.session.get(f"{api.base}/v1/event/stream", headers={"X-Nomad-Token": token}) as answer:
        assert await lines(answer, 1) == [{}]
        index = recorder.put_job(make_job())
        alloc_id = recorder.place(make_job(), "site", 1, make_node())[0]
        recorder.report(alloc_id)
        registered, placed, running = await lines(answer, 3)
        assert registered["Index"] == index
        (event,) = registered["Events"]
        assert (event["Topic"], event["Type"], event["Key"], event["Namespace"]) == (
            "Job", "JobRegistered", "web", "default",
        )  # fmt: skip
        assert event["Payload"]["Job"]["ID"] == "web"
        assert [one["Type"] for one in placed["Events"]] == ["EvaluationUpdated", "PlanResult"]
        (event,) = running["Events"]
        assert (event["Type"], event["Key"], event["FilterKeys"]) == ("AllocationUpdated", alloc_id, ["web"])
        assert event["Payload"]["Allocation"]["ClientStatus"] == "running"


async def test_topics_and_namespaces_choose(api, recorder, make_job, token):
    url = f"{api.base}/v1/event/stream?topic=Job:web&namespace=apps"
    async with api.session.get(url, headers={"X-Nomad-Token": token}) as answer:
        assert await lines(answer, 1) == [{}]
        recorder.put_job(make_job("web"))
        recorder.put_job(make_job("other", Namespace="apps"))
        index = recorder.put_job(make_job("web", Namespace="apps"))
        (batch,) = await lines(answer, 1)
        assert (batch["Index"], len(batch["Events"])) == (index, 1)


async def test_an_index_replays_what_is_buffered(api, recorder, make_job, token):
    indexes = [recorder.put_job(make_job(f"job{number}")) for number in range(3)]
    url = f"{api.base}/v1/event/stream?index={indexes[1]}&namespace=*"
    async with api.session.get(url, headers={"X-Nomad-Token": token}) as answer:
        _, *batches = await lines(answer, 3)
        assert [batch["Index"] for batch in batches] == indexes[1:]


async def test_a_subscriber_that_leaves_is_forgotten(api, recorder, token):
    async with api.session.get(f"{api.base}/v1/event/stream", headers={"X-Nomad-Token": token}) as answer:
        await lines(answer, 1)
        _, body, _ = await api.get("/v1/metrics")
        assert {one["Name"]: one["Value"] for one in body["Gauges"]}["nomad.api.event_streams"] == 1
    async with asyncio.timeout(30):
        streams = 1
        while streams:
            _, body, _ = await api.get("/v1/metrics")
            streams = {one["Name"]: one["Value"] for one in body["Gauges"]}["nomad.api.event_streams"]


async def test_a_subscriber_too_slow_is_told(api, recorder, make_job, token):
    async with api.session.get(f"{api.base}/v1/event/stream", headers={"X-Nomad-Token": token}) as answer:
        await lines(answer, 1)
        for number in range(150):  # in one go: the stream has no turn in between
            recorder.put_job(make_job(f"job{number}"))
        (told,) = await lines(answer, 1)
        assert "resubscribe" in told["Error"]
        assert await asyncio.wait_for(answer.content.readline(), 30) == b""


async def test_an_unknown_topic_is_refused(api):
    status, body, _ = await api.get("/v1/event/stream?topic=Jobs")
    assert status == 400
    assert 'topic "Jobs"' in body


@pytest.mark.parametrize(
    ("topics", "event", "expected"),
    [
        ([], ("Job", "web", []), True),
        (["Job"], ("Job", "web", []), True),
        (["Job:web"], ("Job", "web", []), True),
        (["Job:web"], ("Job", "other", []), False),
        (["Allocation:web"], ("Allocation", "a1", ["web"]), True),
        (["Node"], ("Job", "web", []), False),
        (["Node", "Job:*"], ("Job", "web", []), True),
        (["*:web"], ("Evaluation", "e1", ["web"]), True),
    ],
)
def test_matching(topics, event, expected):
    topic, key, filter_keys = event
    found = StreamEvent(Topic=topic, Type="x", Key=key, FilterKeys=filter_keys, Payload={})
    assert matches(parse_topics(topics), found) is expected
