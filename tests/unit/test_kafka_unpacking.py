"""What a compressed batch unpacks to is bounded, for every codec that grows much."""

from __future__ import annotations

import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from tocsin.kafka import read  # noqa: F401 - whoever reads is bound, by that alone
from tocsin.kafka.unpacking import LARGEST

CODECS = {"gzip": 1, "lz4": 3, "zstd": 4}


def batch(codec, value):
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    builder.append(0, 0, b"key", value, [])
    return bytes(builder.build())


def values(raw):
    return [record.value for record in MemoryRecords(raw).next_batch()]


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_grows_beyond_the_bound_is_not_unpacked(codec):
    """A small batch is read as ever; one that would unpack to more than the bound raises instead."""
    assert values(batch(CODECS[codec], b"small" * 1000)) == [b"small" * 1000]
    bomb = batch(CODECS[codec], bytes(2 * LARGEST))
    assert len(bomb) < LARGEST / 50
    with pytest.raises(cramjam.DecompressionError):
        values(bomb)
