"""Retention and garbage collection by themselves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from kokiris.cli.registry import last_cleanup_text, schedule_rows
from kokiris.kernel.clock import wall_ns
from kokiris.kernel.units import HOUR_NS, SECOND_NS
from kokiris.registry.cleanup import CleanUps, next_cleanup_ns
from kokiris.registry.model import CleanUp, Settings
from tests.registry.bed import Bed


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


ENABLED = ns("2026-03-01T10:00")


@pytest.mark.parametrize(
    ("schedule", "last", "set_at", "now", "wanted"),
    [
        ("@daily", 0, 0, "2026-03-01T10:05", "2026-03-02T02:00"),
        ("@daily", ns("2026-03-02T02:00"), 0, "2026-03-02T02:10", "2026-03-03T02:00"),
        ("@daily", ns("2026-03-02T02:00"), 0, "2026-03-09T12:00", "2026-03-09T12:00"),
        ("@hourly", ns("2026-03-02T02:00"), ns("2026-03-05T08:30"), "2026-03-05T08:31", "2026-03-05T09:00"),
        ("0 0 30 2 *", 0, 0, "2026-03-01T10:05", None),
        ("", 0, 0, "2026-03-05T08:31", None),
    ],
)
def test_when_the_next_one_runs(schedule: str, last: int, set_at: int, now: str, wanted: str | None) -> None:
    settings = Settings(Schedule=schedule, ScheduledFrom=set_at)
    found = next_cleanup_ns(settings, CleanUp(At=last), enabled_at_ns=ENABLED, now_ns=ns(now))
    assert found == (ns(wanted) if wanted else 0)


def test_none_runs_where_there_is_no_registry() -> None:
    assert next_cleanup_ns(Settings(), CleanUp(), enabled_at_ns=0, now_ns=ENABLED) == 0


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        ({}, "never"),
        ({"At": 1}, "begun 3h ago, and not ended"),
        ({"At": 1, "EndedAt": 2, "TagsDeleted": 2, "BlobsFreed": 5, "BytesFreed": 1_500_000},
         "ok 3h ago: 2 tags deleted, freed 1.5 MB in 5 blobs"),
        ({"At": 1, "EndedAt": 2, "TagsDeleted": 1, "Error": "disk on fire"},
         "FAILED 3h ago: disk on fire (1 tags deleted, freed 0 B in 0 blobs)"),
    ],
)  # fmt: skip
def test_the_last_one_in_words(last: dict[str, object], wanted: str) -> None:
    whole = {"At": 0, "EndedAt": 0, "TagsDeleted": 0, "BlobsFreed": 0, "BytesFreed": 0, "Error": ""}
    assert last_cleanup_text({**whole, **last}, 3 * HOUR_NS + 1) == wanted


@pytest.mark.engine
async def test_what_is_due_runs_once_and_is_told(bed: Bed) -> None:
    await bed.login_user("olga", "**:pull,push")
    for number in range(3):
        assert (await bed.docker("push", bed.image(f"old/app:{number}"), config="olga")).code == 0
    assert (await bed.api("PUT", "retention", {"Repository": "old/*", "KeepLast": 1}))[0] == 200
    bed.service.collector.grace_s = 0
    clock = [wall_ns()]
    cleanups = CleanUps(bed.service, lambda: clock[0])
    assert await cleanups.run_due() is None, "a new registry is not cleaned at once"
    clock[0] += 25 * HOUR_NS
    done = await cleanups.run_due()
    assert done is not None
    assert (done.TagsDeleted, done.Error) == (2, "")
    assert done.BlobsFreed >= 4, "manifest, configuration and layer of each"
    assert await cleanups.run_due() is None
    _, shown = await bed.api("GET", "settings")
    assert shown["LastCleanUp"]["BytesFreed"] == done.BytesFreed > 0
    assert dict(schedule_rows(shown, clock[0]))["Last clean-up"].startswith("ok 0s ago: 2 tags deleted")
    assert (await bed.docker("pull", f"{bed.address}/old/app:2", config="olga")).code == 0
    assert await bed.digest("old/app", "0") is None


@pytest.mark.engine
async def test_switched_off_changed_and_refused(bed: Bed) -> None:
    later = CleanUps(bed.service, lambda: wall_ns() + 48 * HOUR_NS)
    assert (await bed.api("PUT", "schedule", {"Schedule": ""}))[0] == 200
    assert await later.run_due() is None
    status, text = await bed.api("PUT", "schedule", {"Schedule": "61 * * * *"})
    assert status == 400
    assert "61" in text
    assert (await bed.api("PUT", "schedule", {"Schedule": "@weekly"}))[0] == 200
    _, shown = await bed.api("GET", "settings")
    assert (shown["Schedule"], shown["LastCleanUp"]["At"]) == ("@weekly", 0)
    assert shown["NextCleanUp"] > wall_ns()


@pytest.mark.engine
async def test_why_it_failed_is_told(bed: Bed) -> None:
    """Another collection runs at the same time."""
    by_hand = asyncio.ensure_future(bed.service.collect(dry_run=False, grace_s=None))
    await asyncio.sleep(0)
    done = await CleanUps(bed.service).run()
    assert "being collected already" in done.Error
    assert bed.accounts.last_cleanup == done
    await by_hand
