"""PUT /v1/txn"""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from kokiris.discovery import transaction
from kokiris.discovery.api.call import Call
from kokiris.discovery.api.kv import VALUE_LIMIT_BYTES
from kokiris.discovery.transaction import KvOperation
from kokiris.http.app import read_body
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, NotSupported, TooLarge

MAX_OPERATIONS = 64


class Operation(msgspec.Struct, kw_only=True):
    """One of them is given."""

    KV: KvOperation | None = None
    Node: Any = None
    Service: Any = None
    Check: Any = None


async def txn(call: Call) -> Any:
    """All operations or none: 409 with the reasons when one cannot take place."""
    data = await read_body(call.req, VALUE_LIMIT_BYTES * 2)
    operations = wire.decode(data, list[Operation])
    if len(operations) > MAX_OPERATIONS:
        raise TooLarge(f"Transaction contains too many operations ({len(operations)} > {MAX_OPERATIONS})")
    wanted: list[KvOperation] = []
    for number, operation in enumerate(operations):
        if operation.KV is None:
            if operation.Node is operation.Service is operation.Check is None:
                raise BadInput(f"operation {number} of the transaction is empty")
            raise NotSupported(f"operation {number} of the transaction is not on KV: only KV operations are acted on")
        if len(transaction.value_of(operation.KV)) > VALUE_LIMIT_BYTES:
            raise TooLarge(f'Value for key "{operation.KV.Key}" is too large, max size: {VALUE_LIMIT_BYTES} bytes')
        wanted.append(operation.KV)
    writer = call.context.writer
    done = await writer.change(lambda: transaction.decide(call.catalog, writer.keys, wanted))
    outcome = done.result
    if outcome.errors:
        call.resp.status = falcon.HTTP_409
        return {"Results": None, "Errors": outcome.errors}
    return {"Results": [one.wire(done.revision) for one in outcome.results] or None, "Errors": None}
