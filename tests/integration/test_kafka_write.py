"""Writing to a real broker: nothing acknowledged is lost, order is kept, a refusal is told precisely."""

import asyncio
import time

import pytest

from tocsin.flow.ports import Outbound, WriteFailed
from tocsin.kafka.connection import Connection
from tocsin.kafka.read import TopicReader, read_to_end
from tocsin.kafka.write import TopicWriter

pytestmark = pytest.mark.kafka


def outbound(topic, first, count, size=200):
    return [
        Outbound(topic, b"%06d" % n, b"%06d" % n + bytes(size), (("tocsin-seq", b"%d" % n),))
        for n in range(first, first + count)
    ]


async def keys(connection, topic):
    reader = TopicReader(connection, topic)
    return [int(record.key) async for batch in read_to_end(reader, None) for record in batch]


async def test_acknowledgements_come_in_order_with_the_brokers_time(plain, topic):
    writer = TopicWriter(plain)
    began = time.time() * 1000
    acks = (await writer.write(outbound(topic, 0, 500)))[topic]
    more = (await writer.write(outbound(topic, 500, 1)))[topic]
    await writer.close()
    assert [ack.offset for ack in acks + more] == list(range(501))
    assert all(began - 1000 <= ack.append_ms <= time.time() * 1000 + 1000 for ack in acks + more)
    assert await keys(plain, topic) == list(range(501))


async def test_a_topic_without_the_brokers_time_says_so(plain, new_topic):
    topic = await asyncio.to_thread(new_topic, {"message.timestamp.type": "CreateTime"})
    writer = TopicWriter(plain)
    acks = (await writer.write(outbound(topic, 0, 1)))[topic]
    await writer.close()
    assert [ack.append_ms for ack in acks] == [-1]


async def test_a_refused_record_among_pipelined_ones_is_not_lost_and_spoils_no_other_topic(plain, new_topic):
    """The prefix before it is told exactly; what a new writer sends after it makes the topic complete and in order."""
    small = await asyncio.to_thread(new_topic, {"max.message.bytes": "300000"})
    other = await asyncio.to_thread(new_topic)
    given = outbound(small, 0, 40)
    given[20] = Outbound(small, b"%06d" % 20, bytes(400_000), ())
    interleaved = [record for pair in zip(given, outbound(other, 0, 40), strict=True) for record in pair]
    writer = TopicWriter(plain)
    with pytest.raises(WriteFailed, match="MessageSizeTooLarge") as failure:
        await writer.write(interleaved)
    assert failure.value.failed == {small}
    assert len(failure.value.acked[small]) == 20
    assert [ack.offset for ack in failure.value.acked[other]] == list(range(40))
    with pytest.raises(WriteFailed, match="spent"):
        await writer.write(outbound(other, 40, 1))
    again = TopicWriter(plain)
    await again.write(outbound(small, 20, 20))
    await again.close()
    # Records after the refused one may have been kept out of order; from the resumed one on, all are there in order.
    found = await keys(plain, small)
    assert found[:20] == list(range(20))
    assert found[-20:] == list(range(20, 40))
    assert await keys(plain, other) == list(range(40))


async def test_a_record_too_large_for_the_client_is_refused_in_its_place(plain, topic):
    given = [*outbound(topic, 0, 5), Outbound(topic, b"5", bytes(2_000_000), ()), *outbound(topic, 6, 5)]
    with pytest.raises(WriteFailed, match="MessageSizeTooLarge") as failure:
        await TopicWriter(plain).write(given)
    assert len(failure.value.acked[topic]) == 5
    assert await keys(plain, topic) == list(range(5))


async def test_a_missing_topic_is_told_at_once_and_holds_up_no_other(plain, topic):
    began = time.monotonic()
    with pytest.raises(WriteFailed, match="UnknownTopicOrPartition") as failure:
        await TopicWriter(plain).write([*outbound("tocsin.gb.out.nobody", 0, 3), *outbound(topic, 0, 3)])
    assert time.monotonic() - began < 8
    assert failure.value.failed == {"tocsin.gb.out.nobody"}
    assert len(failure.value.acked[topic]) == 3


async def test_with_the_broker_dead_a_write_ends_and_a_new_writer_goes_on_when_it_is_back(second_kafka, new_topic):
    """kill -9 in the middle of a stream: every acknowledged record is kept, and nothing is missing in the end."""
    connection = Connection(bootstrap=second_kafka.bootstrap)
    topic = await asyncio.to_thread(new_topic, None, connection)
    writer = TopicWriter(connection, call_s=2, delivery_s=2)
    acked = 0
    dead = None
    while True:
        if acked >= 300 and dead is None:
            dead = asyncio.create_task(asyncio.to_thread(second_kafka.kill))
        began = time.monotonic()
        try:
            acked += len((await writer.write(outbound(topic, acked, 100)))[topic])
        except WriteFailed as failure:
            acked += len(failure.acked.get(topic, []))
            assert time.monotonic() - began < writer.longest_s
            break
    await dead
    began = time.monotonic()
    with pytest.raises(WriteFailed, match="No connection"):
        await TopicWriter(connection, call_s=2, delivery_s=2).write(outbound(topic, acked, 1))
    assert time.monotonic() - began < 10
    await asyncio.to_thread(second_kafka.start)
    kept = await keys(connection, topic)
    assert sorted(set(kept)) == list(range(len(set(kept)))), "no hole"
    assert len(set(kept)) >= acked, "every acknowledged record is there"
    again = TopicWriter(connection)
    await again.write(outbound(topic, acked, 50))
    await again.close()
    assert list(dict.fromkeys(await keys(connection, topic)))[: acked + 50] == list(range(acked + 50))


async def test_a_writer_that_is_cancelled_and_closed_sends_nothing_more(plain, topic):
    writer = TopicWriter(plain)
    await writer.write(outbound(topic, 0, 1))
    task = asyncio.create_task(writer.write(outbound(topic, 1, 2000, size=20_000)))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await writer.close()
    end = await keys(plain, topic)
    with pytest.raises(WriteFailed, match="spent"):
        await writer.write(outbound(topic, 1, 1))
    assert await keys(plain, topic) == end == list(range(len(end)))
