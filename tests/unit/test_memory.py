"""The in-memory twins keep the ports' contracts, and fail exactly where they are told to.

That `MemoryStore` is a `Store` is shown in tests/integration/test_store.py, together with the real ones.
"""

import asyncio

import pytest

from tocsin.errors import AdapterError
from tocsin.flow.ports import Ack, Conflict, Outbound, RangeLost, WriteFailed
from tocsin.flow.rows import Due
from tocsin.memory import (
    POINTS,
    Crash,
    Disk,
    Faults,
    MemoryBroker,
    MemoryReader,
    MemorySigner,
    MemoryStore,
    MemoryWriter,
)
from tocsin.wire.keys import KeyUse, key_id, verify_signature


def out(n: int, topic: str = "t") -> Outbound:
    return Outbound(topic, b"k", bytes([n]), (("h", b"v"),))


def values(broker: MemoryBroker, topic: str = "t") -> list[int]:
    return [record.value[0] for record in broker.records(topic)]


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(clock=lambda: 7)
    made.create("t", "u")
    return made


async def put(store: MemoryStore, leaf: int) -> None:
    async with store.begin() as tx:
        await tx.put([Due(bytes([leaf]), "jp", 1, "NEW", 0)])


async def leaves(disk: Disk) -> list[int]:
    async with MemoryStore(disk).begin() as tx:
        return [row.leaf[0] for row in await tx.find(Due, {})]


# --- faults


@pytest.mark.parametrize(
    ("point", "when", "there"),
    [
        ("store.begin", "before", [1]),
        ("store.begin", "after", [1]),
        ("store.commit", "before", [1]),
        ("store.commit", "after", [1, 2]),
    ],
)
async def test_a_crash_before_a_commit_persists_nothing_and_after_it_everything(point, when, there) -> None:
    disk, faults = Disk(), Faults()
    faults.arm(point, when, nth=2)
    store = MemoryStore(disk, faults)
    await put(store, 1)
    with pytest.raises(Crash):
        await put(store, 2)
    assert await leaves(disk) == there


async def test_after_a_crash_every_port_of_the_process_is_dead_until_it_restarts(broker) -> None:
    faults = Faults()
    store, writer, reader = MemoryStore(None, faults), MemoryWriter(broker, faults), MemoryReader(broker, "t", faults)
    await reader.open(None)
    faults.arm("store.commit", "after")
    with pytest.raises(Crash):
        await put(store, 1)
    for act in (put(store, 2), writer.write([out(1)]), reader.fetch(1, 0)):
        with pytest.raises(Crash):
            await act
    await reader.close()
    await writer.close()
    assert values(broker) == []
    faults.restart()
    await put(store, 2)
    assert await leaves(store.disk) == [1, 2]


async def test_an_armed_error_is_raised_once_and_the_process_lives_on() -> None:
    disk, faults = Disk(), Faults()
    store = MemoryStore(disk, faults)
    faults.arm("store.commit", "before", error=Conflict("in between"))
    with pytest.raises(Conflict):
        await put(store, 1)
    await put(store, 2)
    assert await leaves(disk) == [2]


async def test_faults_count_what_was_passed_so_that_each_time_can_be_armed() -> None:
    faults = Faults()
    store = MemoryStore(None, faults)
    await put(store, 1)
    await put(store, 2)
    assert dict(faults.passed) == {
        (point, when): 2 for point in POINTS[:2] for when in ("before", "after")
    }  # begin and commit
    with pytest.raises(ValueError, match="no such point"):
        faults.arm("store.comit", "before")


async def test_a_backup_does_not_change_with_its_original() -> None:
    disk = Disk()
    await put(MemoryStore(disk), 1)
    backup = disk.copy()
    await put(MemoryStore(disk), 2)
    assert (await leaves(disk), await leaves(backup)) == ([1, 2], [1])


# --- reader


async def test_a_reader_gives_records_in_order_from_an_offset_and_at_most_so_many(broker) -> None:
    for n in range(5):
        broker.append(out(n))
    reader = MemoryReader(broker, "t")
    await reader.open(1)
    first, second = await reader.fetch(3, 0), await reader.fetch(3, 0)
    assert [(r.offset, r.value[0], r.timestamp_ms) for r in first + second] == [(n, n, 7) for n in (1, 2, 3, 4)]
    assert (first[0].topic, first[0].key, first[0].headers) == ("t", b"k", (("h", b"v"),))
    assert await reader.fetch(3, 0) == []
    assert await reader.end() == 5


async def test_a_reader_waits_for_a_record_of_its_topic(broker) -> None:
    reader = MemoryReader(broker, "t")
    await reader.open(None)
    fetch = asyncio.create_task(reader.fetch(10, 60))
    await asyncio.sleep(0)
    broker.append(out(1, "u"))
    await asyncio.sleep(0)
    broker.append(out(2))
    assert [record.value[0] for record in await fetch] == [2]


async def test_a_lost_range_is_said_at_open_and_while_reading_and_never_skipped(broker) -> None:
    for n in range(5):
        broker.append(out(n))
    reader = MemoryReader(broker, "t")
    await reader.open(0)
    broker.cut("t", 2)
    for act in (reader.fetch(1, 0), reader.open(1), reader.open(6)):
        with pytest.raises(RangeLost):
            await act
    await reader.open(None)
    assert [record.offset for record in await reader.fetch(9, 0)] == [2, 3, 4]
    broker.truncate("t", 3)
    with pytest.raises(RangeLost):
        await reader.fetch(1, 0)
    assert (values(broker), await reader.end()) == ([2], 3)


async def test_a_topic_that_is_missing_or_a_broker_that_is_down_is_an_adapter_error(broker) -> None:
    reader = MemoryReader(broker, "t")
    await reader.open(0)
    broker.delete("u")
    for act in (
        MemoryReader(broker, "x").open(None),
        MemoryReader(broker, "u").open(0),
        MemoryReader(broker, "t").fetch(1, 0),
    ):
        with pytest.raises(AdapterError):
            await act
    broker.down = True
    for act in (reader.open(0), reader.fetch(1, 0), reader.end()):
        with pytest.raises(AdapterError):
            await act


async def test_a_crash_after_a_fetch_loses_no_record(broker) -> None:
    broker.append(out(1))
    faults = Faults()
    reader = MemoryReader(broker, "t", faults)
    await reader.open(0)
    faults.arm("reader.fetch", "after")
    with pytest.raises(Crash):
        await reader.fetch(1, 0)
    faults.restart()
    assert [record.value[0] for record in await reader.fetch(1, 0)] == [1]


# --- writer


async def test_a_writer_acknowledges_per_topic_in_order(broker) -> None:
    acked = await MemoryWriter(broker).write([out(1), out(2, "u"), out(3)])
    assert acked == {"t": [Ack(0, 7), Ack(1, 7)], "u": [Ack(0, 7)]}
    assert (values(broker), values(broker, "u")) == ([1, 3], [2])


@pytest.mark.parametrize(
    ("kept", "later", "there"),
    [(False, False, [1]), (False, True, [1, 3, 4]), (True, False, [1, 2]), (True, True, [1, 2, 3, 4])],
)
async def test_a_refused_record_ends_the_acknowledged_prefix_of_its_topic_alone(broker, kept, later, there) -> None:
    faults = Faults()
    writer = MemoryWriter(broker, faults)
    faults.refuse("t", 2, kept=kept, later=later)
    with pytest.raises(WriteFailed) as caught:
        await writer.write([out(1), out(9, "u"), out(2), out(3), out(4), out(10, "u")])
    assert caught.value.failed == {"t"}
    assert {topic: [ack.offset for ack in acks] for topic, acks in caught.value.acked.items()} == {
        "t": [0],
        "u": [0, 1],
    }
    assert (values(broker), values(broker, "u")) == (there, [9, 10])


async def test_after_a_failure_only_a_new_writer_goes_on(broker) -> None:
    faults = Faults()
    writer = MemoryWriter(broker, faults)
    faults.refuse("t")
    for record in (out(1), out(2, "u")):
        with pytest.raises(WriteFailed) as caught:
            await writer.write([record])
        assert (caught.value.acked, caught.value.failed) == ({}, {record.topic})
    assert (values(broker), values(broker, "u")) == ([], [])
    assert await MemoryWriter(broker, faults).write([out(1)]) == {"t": [Ack(0, 7)]}


@pytest.mark.parametrize(("when", "there"), [("before", []), ("after", [1, 2])])
async def test_a_crash_before_a_write_keeps_nothing_and_after_it_everything(broker, when, there) -> None:
    faults = Faults()
    faults.arm("writer.write", when)
    with pytest.raises(Crash):
        await MemoryWriter(broker, faults).write([out(1), out(2)])
    assert values(broker) == there


async def test_a_missing_topic_and_a_broker_that_is_down_fail_a_write(broker) -> None:
    with pytest.raises(WriteFailed) as caught:
        await MemoryWriter(broker).write([out(1), out(1, "x"), out(2, "x")])
    assert (caught.value.failed, caught.value.acked) == ({"x"}, {"t": [Ack(0, 7)]})
    broker.down = True
    with pytest.raises(WriteFailed):
        await MemoryWriter(broker).write([out(1)])
    broker.down = False
    assert values(broker) == [1]


# --- signer


async def test_a_signer_signs_with_the_key_of_the_use_and_no_other() -> None:
    faults = Faults()
    signer = MemorySigner({KeyUse.EVENT: bytes(range(32)), KeyUse.RELAY: bytes(32)}, faults)
    for use in (KeyUse.EVENT, KeyUse.RELAY):
        public = signer.public(use)
        assert signer.key_id(use) == key_id(1, use, public)
        assert verify_signature(public, b"text", await signer.sign(use, b"text"))
    assert signer.public(KeyUse.EVENT) != signer.public(KeyUse.RELAY)
    with pytest.raises(AdapterError):
        await signer.sign(KeyUse.LOG, b"text")
    faults.arm("signer.sign", "before", error=AdapterError("no card in the reader"))
    with pytest.raises(AdapterError, match="no card"):
        await signer.sign(KeyUse.RELAY, b"text")
