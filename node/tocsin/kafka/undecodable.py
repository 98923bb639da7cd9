"""Records that the client library cannot decode, read all the same, so that they can be quarantined.

A broker takes, and a hostile one makes, records of which aiokafka decodes none and of whose batch it gives nothing, for
ever: a header name that is no UTF-8 is enough, and any lab can write one. Here the batch is taken apart record by
record; what cannot be understood becomes the value of its record, as it was received, which no verifier accepts.
"""

import struct
from collections.abc import Iterator
from itertools import islice

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint

from tocsin.flow.ports import Record
from tocsin.kafka.connection import within
from tocsin.kafka.faults import BrokerError, Cause, as_fault

_LENGTH_AT, _OVERHEAD, _MAGIC_AT, _MAGIC = 8, 12, 16, 2
_WAIT_MS = 500
AT_ONCE = 16
"""Batches that are unpacked of one answer, each to 2 MiB at the most: 67 kB of them unpacked to 1.6 GB (measured)."""


async def fetch_leniently(
    consumer: AIOKafkaConsumer, partition: TopicPartition, position: int, max_bytes: int, seconds: float
) -> tuple[list[Record], int]:
    """The records from `position` on, and the position after them. Raises BrokerError; CORRUPT where a checksum fails."""
    client = consumer._client  # noqa: SLF001 - the consumer gives records only, never their bytes
    topic = partition.topic
    request = FetchRequest(_WAIT_MS, 1, max_bytes, 0, [(topic, [(partition.partition, position, max_bytes)])])
    leader = client.cluster.leader_for_partition(partition)
    answer = await within(seconds, client.send(leader, request), "A fetch", topic)
    [(_, [(_, code, _, *_, data)])] = answer.topics
    error = errors.for_code(code)
    if error is not errors.NoError:
        raise as_fault(error(topic), topic)
    records = []
    for batch, raw in islice(_batches(data, topic), AT_ONCE):  # the next fetch brings the rest
        if not batch.is_control_batch:
            records += [record for record in decode(batch, raw, topic) if record.offset >= position]
        position = batch.next_offset
    return records, position


def _batches(data: bytes, topic: str) -> Iterator[tuple[_DefaultRecordBatchPy, bytes]]:
    """The whole batches of an answer; the last may be cut off."""
    at = 0
    while len(data) - at > _OVERHEAD:
        (length,) = struct.unpack_from(">i", data, at + _LENGTH_AT)
        raw = bytes(data[at : at + _OVERHEAD + length])
        if length < _MAGIC_AT or len(raw) < _OVERHEAD + length:
            return
        if raw[_MAGIC_AT] != _MAGIC or len(raw) < _DefaultRecordBatchPy.HEADER_STRUCT.size:
            raise BrokerError(Cause.CORRUPT, "A batch is not of format 2", place=topic)
        batch = _DefaultRecordBatchPy(raw)
        if not batch.validate_crc():
            raise BrokerError(Cause.CORRUPT, f"The checksum of the batch at {batch.base_offset} is wrong", place=topic)
        yield batch, raw
        at += len(raw)


def decode(batch: _DefaultRecordBatchPy, raw: bytes, topic: str) -> list[Record]:
    """Every record of a batch with a right checksum; never raises. `raw` are the batch's own bytes."""
    try:
        batch._maybe_uncompress()  # noqa: SLF001
        data, at = bytes(batch._buffer), batch._pos  # noqa: SLF001
        bodies = []
        while at < len(data):
            length, at = decode_varint(data, at)
            if not 0 < length <= len(data) - at:
                raise ValueError("a record's length")  # noqa: TRY301
            bodies.append(data[at : at + length])
            at += length
    except Exception:  # noqa: BLE001 - codecs raise what they like; it is the peer's fault, not ours
        return [_whole(topic, batch.next_offset - 1, batch.max_timestamp, raw)]
    return [_record(batch, index, body, topic) for index, body in enumerate(bodies)]


def _whole(topic: str, offset: int, timestamp_ms: int, raw: bytes) -> Record:
    return Record(topic, offset, b"", raw, (), timestamp_ms)


def _record(batch: _DefaultRecordBatchPy, index: int, body: bytes, topic: str) -> Record:
    # Attributes, timestamp and offset, each relative to the batch; then key, value, headers.
    try:
        _, at = decode_varint(body, 0)
        delta_ms, at = decode_varint(body, at)
        delta, at = decode_varint(body, at)
        key, at = _bytes(body, at)
        value, at = _bytes(body, at)
        count, at = decode_varint(body, at)
        headers = []
        for _ in range(count):
            name, at = _bytes(body, at)
            content, at = _bytes(body, at)
            headers.append((name.decode("utf-8", "replace"), content))
    except (ValueError, IndexError):
        return _whole(topic, batch.base_offset + index, batch.max_timestamp, body)
    stamped = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp_ms = batch.max_timestamp if stamped else batch.first_timestamp + delta_ms
    return Record(topic, batch.base_offset + delta, key, value, tuple(headers), timestamp_ms)


def _bytes(body: bytes, at: int) -> tuple[bytes, int]:
    """A length (−1 is null, given as empty) and so many bytes."""
    length, at = decode_varint(body, at)
    if length > len(body) - at:
        raise ValueError("a length")
    end = at + max(length, 0)
    return body[at:end], end
