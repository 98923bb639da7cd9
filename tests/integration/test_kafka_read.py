"""Reading from a real broker: exact, in order, never skipping in silence, never hanging (design section 5)."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c

from tocsin.flow.ports import Outbound, TopicMissing
from tocsin.kafka.admin import KafkaAdminClient
from tocsin.kafka.connection import Connection
from tocsin.kafka.faults import BrokerError, Cause
from tocsin.kafka.read import TopicReader, read_to_end
from tocsin.kafka.unpacking import LARGEST
from tocsin.kafka.write import TopicWriter

pytestmark = pytest.mark.kafka


def outbound(topic, first, count):
    return [Outbound(topic, b"%d" % n, b"value %d" % n, (("n", b"%d" % n),)) for n in range(first, first + count)]


async def write(connection, records):
    writer = TopicWriter(connection)
    await writer.write(records)
    await writer.close()


async def read(reader, count):
    found = []
    while len(found) < count:
        found += await reader.fetch(1000, 5)
    return found


async def fault_of(work, seconds=20):
    """The fault that it ends with; it must end by itself."""
    async with asyncio.timeout(seconds):
        with pytest.raises(BrokerError) as error:
            await work
    return error.value


async def admin_call(connection, work):
    def run():
        client = KafkaAdminClient(**connection.settings())
        try:
            return work(client)
        finally:
            client.close()

    return await asyncio.to_thread(run)


async def test_records_are_read_exactly_and_in_order_from_any_offset(plain, topic):
    began = time.time() * 1000
    given = outbound(topic, 0, 700)
    await write(plain, given)
    reader = TopicReader(plain, topic)
    await reader.open(None)
    assert await reader.end() == 700
    found = await read(reader, 700)
    assert [(r.topic, r.key, r.value, r.headers) for r in found] == [
        (g.topic, g.key, g.value, g.headers) for g in given
    ]
    assert [r.offset for r in found] == list(range(700))
    assert all(began - 1000 <= r.timestamp_ms <= time.time() * 1000 + 1000 for r in found)
    assert await reader.fetch(10, 0.1) == []
    await reader.open(690)
    assert [r.offset for r in await reader.fetch(4, 5)] == [690, 691, 692, 693]
    assert [r.offset for r in await reader.fetch(100, 5)] == list(range(694, 700))
    await reader.close()
    assert (await fault_of(reader.fetch(1, 1))).cause is Cause.STALLED


async def test_an_own_topic_is_read_to_its_end_as_it_stands_also_where_it_is_empty(plain, topic):
    assert [batch async for batch in read_to_end(TopicReader(plain, topic), None)] == []
    await write(plain, outbound(topic, 0, 60))
    tail = [r.offset async for batch in read_to_end(TopicReader(plain, topic), 50, batch=3) for r in batch]
    assert tail == list(range(50, 60))


async def test_a_transactions_marker_at_the_end_does_not_hold_up_the_reader(plain, topic):
    producer = AIOKafkaProducer(bootstrap_servers=plain.bootstrap, transactional_id=topic)
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, b"x")
    await producer.stop()
    reader = TopicReader(plain, topic, stall_s=1)
    async with asyncio.timeout(20):
        found = [r.value async for batch in read_to_end(reader, None) for r in batch]
        await reader.open(None)
        for _ in range(8):
            found += [r.value for r in await reader.fetch(10, 0.3)]
    await reader.close()
    assert found == [b"x", b"x"]


async def test_a_missing_topic_is_told_and_not_made(plain):
    reader = TopicReader(plain, "tocsin.jp.out.nobody")
    fault = await fault_of(reader.open(None))
    assert (fault.cause, fault.place) == (Cause.MISSING_TOPIC, "tocsin.jp.out.nobody")
    assert isinstance(fault, TopicMissing)
    assert "tocsin.jp.out.nobody" not in await admin_call(plain, lambda client: client.list_topics())


async def test_a_topic_of_several_partitions_is_refused_since_one_reader_would_miss_the_others(plain):
    name = "tocsin.jp.out.wide"
    await admin_call(plain, lambda client: client.create_topics({name: {"num_partitions": 2}}, wait_for_metadata=True))
    fault = await fault_of(TopicReader(plain, name).open(None))
    assert fault.cause is Cause.REFUSED
    assert "2 partitions" in fault.thing


async def test_a_lost_range_raises_at_open_and_while_reading(plain, topic):
    await write(plain, outbound(topic, 0, 10))
    reader = TopicReader(plain, topic)
    assert (await fault_of(reader.open(11))).cause is Cause.RANGE_LOST
    await reader.open(0)
    assert len(await read(reader, 10)) == 10
    await admin_call(plain, lambda client: client.delete_records(_offsets(topic, 8)))
    # As if it had been slower than the retention: nothing of the lost range is buffered.
    reader._consumer.seek(TopicPartition(topic, 0), 3)
    assert (await fault_of(_until_fault(reader, []))).cause is Cause.RANGE_LOST
    fault = await fault_of(reader.open(3))
    assert fault.cause is Cause.RANGE_LOST
    assert "Offset 3 is lost: the topic holds 8 to 10" in fault.thing
    await reader.open(None)
    assert [r.offset for r in await reader.fetch(10, 5)] == [8, 9]
    await reader.close()


def _offsets(topic, offset):
    from kafka import TopicPartition as Partition  # noqa: PLC0415 - kafka-python's own

    return {Partition(topic, 0): offset}


async def _until_fault(reader, found):
    """Fetch until that raises; what came before is added to `found`."""
    while True:
        found += await reader.fetch(10, 0.5)


async def test_a_topic_deleted_under_its_reader_is_told(plain, topic):
    await write(plain, outbound(topic, 0, 3))
    reader = TopicReader(plain, topic, stall_s=1)
    await reader.open(None)
    await read(reader, 3)
    await admin_call(plain, lambda client: client.delete_topics([topic]))
    assert (await fault_of(_until_fault(reader, []))).cause is Cause.MISSING_TOPIC


async def test_a_dead_broker_is_told_the_reader_closes_and_goes_on_where_it_was(second_kafka, new_topic):
    connection = Connection(bootstrap=second_kafka.bootstrap)
    topic = await asyncio.to_thread(new_topic, None, connection)
    await write(connection, outbound(topic, 0, 20))
    reader, other = (TopicReader(connection, topic, stall_s=1, call_s=3) for _ in range(2))
    await reader.open(None)
    await other.open(None)
    assert len(await reader.fetch(10, 5)) == 10
    await asyncio.to_thread(second_kafka.kill)
    async with asyncio.timeout(15):
        # One that is simply closed while its broker is dead.
        await other.close()
    tail = []
    fault = await fault_of(_until_fault(reader, tail), 30)
    assert (fault.cause, fault.place) == (Cause.UNREACHABLE, connection.bootstrap)
    assert (await fault_of(reader.open(20), 30)).cause is Cause.UNREACHABLE
    await asyncio.to_thread(second_kafka.start)
    # What it had fetched before may have been handed out; nothing is missing and nothing comes twice.
    await reader.open(10 + len(tail))
    rest = await read(reader, 10 - len(tail))
    assert [r.offset for r in tail + rest] == list(range(10, 20))
    await reader.close()


async def test_one_dead_cluster_does_not_touch_the_reading_of_another(kafka, plain, topic):
    nowhere = TopicReader(Connection(bootstrap="127.0.0.1:1"), "tocsin.jp.out.gb")
    await write(plain, outbound(topic, 0, 50))
    reader = TopicReader(plain, topic)
    dead = asyncio.create_task(fault_of(nowhere.open(None)))
    await reader.open(None)
    assert len(await read(reader, 50)) == 50
    await reader.close()
    assert (await dead).cause is Cause.UNREACHABLE


async def test_a_reader_that_is_cancelled_in_any_call_lets_go(plain, topic):
    reader = TopicReader(plain, topic)
    opening = asyncio.create_task(reader.open(None))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await reader.open(None)
    fetching = asyncio.create_task(reader.fetch(1, 30))
    await asyncio.sleep(0.05)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await reader.close()
    assert len(asyncio.all_tasks()) == 1


async def test_a_record_that_the_library_cannot_decode_does_not_stop_its_stream(plain, topic):
    """A header name that is no UTF-8: every record of the batch is read, before and after it, and what follows."""
    await write(plain, outbound(topic, 0, 2))
    await _write_raw(plain, topic, [(b"2", b"##"), (b"3", b"\xff\xfe"), (b"4", b"##")])
    await write(plain, outbound(topic, 5, 2))
    reader = TopicReader(plain, topic)
    await reader.open(1)
    found = await read(reader, 6)
    assert [r.offset for r in found] == list(range(1, 7))
    assert [r.key for r in found] == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert [r.headers for r in found[1:4]] == [(("##", b"h"),), (("\ufffd\ufffd", b"h"),), (("##", b"h"),)]
    await reader.open(3)
    assert [r.offset for r in await reader.fetch(1, 5)] == [3]
    assert [r.offset for r in await read(reader, 3)] == [4, 5, 6]
    await reader.close()


async def test_a_small_batch_that_would_fill_the_memory_is_one_record_as_it_was_sent(plain, topic):
    """What it unpacks to never exists here; what came before and after it is read."""
    await write(plain, outbound(topic, 0, 1))
    size = 2 * LARGEST
    producer = AIOKafkaProducer(bootstrap_servers=plain.bootstrap, compression_type="zstd", max_request_size=2 * size)
    await producer.start()
    await producer.send_and_wait(topic, bytes(size))
    await producer.stop()
    await write(plain, outbound(topic, 2, 1))
    reader = TopicReader(plain, topic)
    await reader.open(None)
    before, bomb, after = await read(reader, 3)
    await reader.close()
    assert (before.value, after.value) == (b"value 0", b"value 2")
    assert len(bomb.value) < size / 1000


async def _write_raw(connection, topic, records):
    """One batch whose header names are exactly those bytes, as no client library would write it."""
    builder = BatchBuilder(100_000, 0)
    for key, name in records:
        marker = b"##" if name == b"##" else b"@@"
        builder.append(timestamp=None, key=key, value=b"v", headers=[(marker.decode(), b"h")])
    raw = bytearray(bytes(builder._build()).replace(b"@@", b"\xff\xfe"))
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    producer = AIOKafkaProducer(bootstrap_servers=connection.bootstrap)
    await producer.start()
    await producer.client.add_topic(topic)
    leader = producer.client.cluster.leader_for_partition(TopicPartition(topic, 0))
    request = ProduceRequest(None, -1, 5000, [(topic, [(0, bytes(raw))])])
    answer = await producer.client.send(leader, request)
    await producer.stop()
    assert answer.topics[0][1][0][1] == 0, "the broker takes it"


async def test_bytes_that_rot_on_the_brokers_disk_are_told_and_never_taken(second_kafka, new_topic):
    """A broker serves what its disk has: the batch's checksum is the reader's to compare."""
    connection = Connection(bootstrap=second_kafka.bootstrap)
    topic = await asyncio.to_thread(new_topic, None, connection)
    await write(connection, [Outbound(topic, b"", b"before it", ())])
    await write(connection, [Outbound(topic, b"", b"a value as it was sent", ())])
    await asyncio.to_thread(second_kafka.stop)
    [log] = second_kafka.folder.glob(f"**/{topic}-0/*.log")
    log.write_bytes(log.read_bytes().replace(b"as it was sent", b"as it was SENT"))
    await asyncio.to_thread(second_kafka.start)
    reader, found = TopicReader(Connection(bootstrap=second_kafka.bootstrap), topic), []
    await reader.open(None)
    fault = await fault_of(_until_fault(reader, found))
    assert (fault.cause, fault.place) == (Cause.CORRUPT, topic)
    assert "checksum" in fault.thing
    assert [record.value for record in found] in ([], [b"before it"])
    await reader.close()
