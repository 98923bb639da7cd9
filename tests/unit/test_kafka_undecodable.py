"""Whatever bytes a broker serves under a right checksum become records; nothing in them raises."""

import struct
from types import SimpleNamespace

from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchPy
from hypothesis import given
from hypothesis import strategies as st

from tocsin.kafka.undecodable import AT_ONCE, decode, fetch_leniently

PLAIN, GZIP, ZSTD = 0, 1, 4
HEADER = _DefaultRecordBatchPy.HEADER_STRUCT.size

pairs = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=50)), min_size=1, max_size=8)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=3)


def built(records, codec, names=()):
    builder = BatchBuilder(1_000_000, codec)
    for key, value in records:
        builder.append(timestamp=1000, key=key, value=value, headers=list(names))
    return bytes(builder._build())


@given(pairs, headers, st.sampled_from([PLAIN, GZIP, ZSTD]))
def test_what_the_library_wrote_is_read_as_the_library_reads_it(records, names, codec):
    raw = built(records, codec, names)
    found = decode(_DefaultRecordBatchPy(raw), raw, "t")
    assert [(r.key, r.value) for r in found] == records
    assert [r.offset for r in found] == list(range(len(records)))
    assert all(r.headers == tuple(names) and r.timestamp_ms == 1000 for r in found)


@given(pairs, headers, st.sampled_from([PLAIN, GZIP, ZSTD]), st.data())
def test_a_damaged_batch_raises_nothing_and_keeps_its_bytes(records, names, codec, data):
    raw = bytearray(built(records, codec, names))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(HEADER, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    found = decode(_DefaultRecordBatchPy(bytes(raw)), bytes(raw), "t")
    assert found
    assert all(record.topic == "t" for record in found)


@given(st.binary(max_size=200), pairs)
def test_bytes_that_are_no_records_become_the_value_of_one(noise, records):
    raw = built(records, PLAIN)[:HEADER] + noise
    for record in decode(_DefaultRecordBatchPy(raw), raw, "t"):
        assert record.value in raw


def test_a_header_name_that_is_no_text_spoils_nothing():
    raw = built([(b"k", b"v")], PLAIN, [("@@", b"h")]).replace(b"@@", b"\xff\xfe")
    [record] = decode(_DefaultRecordBatchPy(raw), raw, "t")
    assert (record.key, record.value, record.headers) == (b"k", b"v", (("\ufffd\ufffd", b"h"),))


async def test_of_one_answer_so_many_batches_are_unpacked_and_the_next_fetch_goes_on_there():
    """A peer's broker decides how many small batches it serves at once, and what each unpacks to."""
    partition, count = TopicPartition("t", 0), 2 * AT_ONCE + 3
    batches = [bytearray(built([(b"k", b"%d" % n)], ZSTD)) for n in range(count)]
    for n, batch in enumerate(batches):
        struct.pack_into(">q", batch, 0, n)  # the base offset is not under the checksum

    class Client:
        cluster = SimpleNamespace(leader_for_partition=lambda of: 0)

        async def send(self, leader, request):
            [(_, [(_, offset, _)])] = request._topics
            return SimpleNamespace(topics=[("t", [(0, 0, count, None, b"".join(batches[offset:]))])])

    found, position, sizes = [], 0, []
    while position < count:
        some, position = await fetch_leniently(SimpleNamespace(_client=Client()), partition, position, 1 << 20, 5.0)
        found += some
        sizes.append(len(some))
    assert [record.value for record in found] == [b"%d" % n for n in range(count)]
    assert sizes == [AT_ONCE, AT_ONCE, 3]
