"""What the writer takes for acknowledged."""

from __future__ import annotations

import asyncio

from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from tocsin.flow.ports import Ack
from tocsin.kafka.write import _Lane


async def test_what_is_acknowledged_after_a_gap_proves_nothing():
    """Of three in flight the middle one is refused: what a later one's acknowledgement says of it is nothing."""
    lane = _Lane()
    futures = [asyncio.get_running_loop().create_future() for _ in range(4)]
    for future in futures:
        lane.follow(future)
    kept = [RecordMetadata("t", 0, None, offset, 1_800_000_000_000, 1, 0) for offset in (7, 8)]
    futures[0].set_result(kept[0])
    futures[1].set_exception(MessageSizeTooLargeError())
    futures[2].set_result(kept[1])
    await asyncio.sleep(0)
    assert lane.acked() == [Ack(7, 1_800_000_000_000)]
    assert isinstance(lane.error, MessageSizeTooLargeError)
