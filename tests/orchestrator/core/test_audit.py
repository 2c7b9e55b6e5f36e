"""What the catalog shows of jobs is mended when it does not follow from their state."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kokiris.orchestrator.core.audit import CatalogAudit
from tests.orchestrator.core.bed import bed_in, job_spec, until, worker_on


async def test_the_catalog_is_mended(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed, worker_on(bed):
        await bed.core.register_job(job_spec(count=3))
        await until(lambda: bed.state.jobs["default", "web"].Stable)
        await until(lambda: not bed.state.open_evals)
        audit = CatalogAudit(bed.core._context)
        assert await audit.mend(bed.leadership.fence) == 0
        right = {one.ID: one.Port for one in bed.catalog.instances_of("web")}
        lost, wrong, kept = bed.catalog.instances_of("web")
        orphan = msgspec.structs.replace(kept, ID="orphan", AllocID="gone")
        puts = {
            bed.catalog_keys.instance(wrong.ID): msgspec.msgpack.encode(msgspec.structs.replace(wrong, Port=1)),
            bed.catalog_keys.instance("orphan"): msgspec.msgpack.encode(orphan),
        }
        result = await bed.store.commit((), puts, [bed.catalog_keys.instance(lost.ID)])
        await bed.followers[1].wait_for(result.revision)
        assert await audit.mend(bed.leadership.fence) == 3
        assert {one.ID: one.Port for one in bed.catalog.instances_of("web")} == right
        assert {one.status() for one in bed.catalog.instances_of("web")} == {"passing"}
