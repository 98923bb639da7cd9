"""What is sent, and when the store learns that it was acknowledged."""

from __future__ import annotations

import dataclasses

from tocsin.flow.outbox import Item, Outbox, new_outlet
from tocsin.flow.rows import Outlet
from tocsin.flow.send import BATCH, Send
from tocsin.memory import MemoryBroker, MemoryStore, MemoryWriter

TOPIC, RECEIPTS = "tocsin.gb.out.jp", "tocsin.gb.back.frontier"
NOW_MS = 1_800_000_000_000


class Sending:
    """One stream of one node, and what seals into it."""

    def __init__(self):
        self.store, self.broker = MemoryStore(), MemoryBroker()
        self.broker.create(TOPIC)
        self.send = self.another_process()

    def another_process(self):
        return Send(self.store, self._writer, lambda: NOW_MS, "gb-1")

    async def _writer(self):
        return MemoryWriter(self.broker)

    async def seal(self, *values, outlet=None):
        outlet = outlet or await self.outlet() or new_outlet(TOPIC, "gb", "jp", NOW_MS // 1000, "gb-1", 2**60)
        async with self.store.begin() as tx:
            await tx.put([outlet])
            box = Outbox(outlet, NOW_MS)
            for value in values:
                box.envelope(Item(value, key=b"k"))
            await box.close(tx)

    async def outlet(self):
        async with self.store.begin() as tx:
            return (await tx.get(Outlet, [(TOPIC,)])).get((TOPIC,))

    def topic(self):
        return [record.value for record in self.broker.records(TOPIC)]


async def test_what_is_acknowledged_is_written_down_once_nothing_waits():
    it = Sending()
    await it.seal(b"1", b"2")
    assert (await it.send.run()).acked == {TOPIC: 2}
    await it.seal(b"3")
    assert (await it.send.run()).acked == {TOPIC: 1}
    assert (await it.outlet()).acked == 0
    assert (await it.send.run()).acked == {}
    assert (await it.outlet()).acked == 3
    assert it.topic() == [b"1", b"2", b"3"]


async def test_what_is_acknowledged_is_written_down_while_more_and_more_waits():
    it = Sending()
    sent = 0
    for n in range(2 * BATCH):
        await it.seal(b"%d" % n)
        sent += sum((await it.send.run()).acked.values())
        assert sent - (await it.outlet()).acked <= BATCH
    assert it.topic() == [b"%d" % n for n in range(2 * BATCH)]


async def test_a_process_that_dies_before_it_is_written_down_sends_the_same_again():
    it = Sending()
    await it.seal(b"1", b"2")
    await it.send.run()
    it.send = it.another_process()
    await it.seal(b"3")
    await it.send.run()
    assert it.topic() == [b"1", b"2", b"1", b"2", b"3"]


async def test_a_store_that_lost_what_was_acknowledged_and_sealed_other_rows_since_sends_every_one_of_them():
    it = Sending()
    await it.seal(b"1")
    while (await it.send.run()).acked:
        pass
    backup = it.store.disk.copy()
    await it.seal(b"2", b"3")
    await it.send.run()
    it.store.disk = backup
    await it.seal(b"4", b"5")
    while (await it.send.run()).acked:
        pass
    assert it.topic() == [b"1", b"2", b"3", b"4", b"5"]
    assert (await it.outlet()).acked == 3


async def test_a_stream_that_another_process_holds_by_now_is_not_moved():
    it = Sending()
    await it.seal(b"1")
    await it.send.run()
    outlet = await it.outlet()
    async with it.store.begin() as tx:
        await tx.put([dataclasses.replace(outlet, holder="gb-2")])
    await it.send.run()
    assert (await it.outlet()).acked == 0


async def test_where_the_offset_falls_everything_that_is_held_goes_out_again():
    """A topic made anew, or a broker that lost its end: what was acknowledged is not there any more."""
    it = Sending()
    await it.seal(b"1", b"2", b"3")
    while (await it.send.run()).acked:
        pass
    it.broker.truncate(TOPIC, 1)
    await it.seal(b"4")
    assert (await it.send.run()).anew == ("jp",)
    while (sent := await it.send.run()).acked:
        assert sent.anew == ()
    assert it.topic() == [b"1", b"4", b"1", b"2", b"3", b"4"]
    assert (await it.outlet()).acked == 4


async def test_receipts_are_sent_before_what_was_sealed_into_streams(monkeypatch):
    """A node that dies in between and gets an older store knows by them what was issued."""
    it = Sending()
    it.broker.create(RECEIPTS)
    await it.seal(b"report")
    await it.seal(b"receipt", outlet=new_outlet(RECEIPTS, "", "", 0, "", 0))
    written = []
    real = MemoryWriter.write

    async def write(writer, records):
        written.append([record.value for record in records])
        return await real(writer, records)

    monkeypatch.setattr(MemoryWriter, "write", write)
    await it.send.run()
    assert written == [[b"receipt"], [b"report"]]
