"""Random histories against a model: what a watch replays must explain every answer that was given."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kokiris.store.contract import CommitResult, Condition, Range, Store
from tests.contract.store.harness import Harness, check_range, check_stream, follow, holds, replay, revision_of

pytestmark = pytest.mark.engine

KEYS = 4


@dataclass(frozen=True)
class Step:
    """One commit. `conditions` expects keys as last read (True), absent (False), at a wrong revision (None)."""

    puts: dict[int, bytes]
    deletes: frozenset[int]
    conditions: dict[int, bool | None]


STEPS = st.lists(
    st.builds(
        lambda puts, deletes, conditions: Step(puts, frozenset(deletes - puts.keys()), conditions),
        st.dictionaries(st.integers(0, KEYS - 1), st.binary(max_size=8), max_size=3),
        st.frozensets(st.integers(0, KEYS - 1), max_size=2),
        st.dictionaries(st.integers(0, KEYS - 1), st.sampled_from([True, False, None]), max_size=2),
    ),
    min_size=1,
    max_size=15,
)


@pytest.mark.parametrize("kind", ["sqlite", "etcd"])
def test_one_writer(kind: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
    etcd = request.getfixturevalue("etcd") if kind == "etcd" else None

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def run(steps: list[Step]) -> None:
        harness = Harness(kind, tmp_path_factory.mktemp("history"), etcd)
        asyncio.run(_one_writer(harness, steps))

    run()


async def _one_writer(harness: Harness, steps: list[Step]) -> None:
    store = await harness.open()
    model: dict[bytes, tuple[bytes, int, int]] = {}
    start = present = await revision_of(store)
    for step in steps:
        puts = {harness.key(number): value for number, value in step.puts.items()}
        deletes = [harness.key(number) for number in step.deletes]
        conditions = [_condition(harness.key(each), what, model) for each, what in step.conditions.items()]
        expected = all((model[each.key][2] if each.key in model else 0) == each.mod_revision for each in conditions)
        changes = expected and bool(puts or any(key in model for key in deletes))
        present += changes
        assert await store.commit(conditions, puts, deletes) == CommitResult(expected, present)
        if changes:
            for key in deletes:
                model.pop(key, None)
            for key, value in puts.items():
                model[key] = (value, model[key][1] if key in model else present, present)
    found = await store.range(harness.root)
    assert found.revision == present
    assert [(each.key, (each.value, each.create_revision, each.mod_revision)) for each in found.items] == sorted(
        model.items()
    )
    if present > start:
        batches = await follow(store, harness.root, start + 1, present)
        check_stream(batches, start + 1)
        check_range(found, replay(batches)[present])
    await harness.close()


def _condition(key: bytes, what: bool | None, model: dict[bytes, tuple[bytes, int, int]]) -> Condition:
    if what is None:
        return Condition(key, 1)
    return Condition(key, model[key][2] if what and key in model else 0)


@pytest.mark.parametrize("seed", range(3))
async def test_many_writers_and_readers(store: Store, harness: Harness, seed: int) -> None:
    """Every answer given to concurrent callers fits the one order of commits that the watch tells."""
    start = await revision_of(store)
    keys = [harness.key(number) for number in range(KEYS)]
    commits: list[tuple[list[Condition], dict[bytes, bytes], list[bytes], CommitResult]] = []
    ranges: list[Range] = []

    async def write(source: random.Random, name: int) -> None:
        known: dict[bytes, int] = {}
        for turn in range(40):
            puts = dict.fromkeys(source.sample(keys, source.randint(0, 2)), b"%d.%d" % (name, turn))
            deletes = [key for key in source.sample(keys, source.randint(0, 1)) if key not in puts]
            conditions = [Condition(key, known.get(key, 0)) for key in source.sample(keys, source.randint(0, 2))]
            commits.append((conditions, puts, deletes, await store.commit(conditions, puts, deletes)))
            if source.random() < 0.5:
                ranges.append(await store.range(harness.root))
                known = {item.key: item.mod_revision for item in ranges[-1].items}

    await asyncio.gather(*(write(random.Random(f"{seed}/{name}"), name) for name in range(6)))  # noqa: S311 - reproducible
    present = await revision_of(store)
    batches = await follow(store, harness.root, start + 1, present)
    check_stream(batches, start + 1)
    assert [batch.revision for batch in batches] == list(range(start + 1, present + 1))
    states = {start: {}, **replay(batches)}
    changed = {batch.revision: {event.key: event.value for event in batch.events} for batch in batches}
    for conditions, puts, deletes, result in commits:
        after = states[result.revision]
        if not result.succeeded:
            assert not holds(after, conditions)
            continue
        before, wanted = states.get(result.revision - 1, {}), {**puts, **dict.fromkeys(deletes)}
        effective = {key: value for key, value in wanted.items() if value is not None or key in before}
        wrote = effective == changed.get(result.revision) and holds(before, conditions)
        idle = not puts and holds(after, conditions) and not any(key in after for key in deletes)
        assert wrote or idle
    for found in ranges:
        check_range(found, states[found.revision])
    writers = [result.revision for _, puts, _, result in commits if result.succeeded and puts]
    assert len(writers) == len(set(writers)), "two commits share a revision"
