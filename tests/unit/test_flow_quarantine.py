"""What rests in quarantine: tried again while it may become valid, answered once, and the officer's word is the last."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib

from tests.crash.world import World, rows, submission

from tocsin.flow.outcome import What
from tocsin.flow.ports import Outbound, Record
from tocsin.flow.quarantine import BATCH, GONE_MS, Quarantine
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rows import Outgoing, Quarantined, Report
from tocsin.flow.setting import Caps
from tocsin.wire.envelope import MAX_FRAMED
from tocsin.wire.reasons import NOT_YET_MS, Reason

INBOX = Inlet("tocsin.gb.in.frontier", InletKind.SUBMISSIONS, "frontier")


async def resting():
    """gb, and the one record at rest there, which has just become valid."""
    world = World()
    gb = world.nodes["gb"]
    world.submit(title="early", ahead_ms=60 * 60_000)
    await world.settle()
    world.clock.ms += 60 * 60_000
    [row] = await rows(gb, Quarantined)
    return world, gb, row


async def test_a_retried_rejection_is_not_answered_again():
    """A lab's record from the future is tried every few seconds for a week; it gets one receipt, not 100,000."""
    world = World()
    gb = world.nodes["gb"]
    world.submit(title="early", ahead_ms=60 * 60_000)
    await world.settle()
    assert [o.reason for o in gb.outcomes if o.topic == INBOX.topic] == [Reason.NOT_YET_VALID]
    for _ in range(5):
        assert await gb.quarantine.retry(INBOX, moved=True) == []
    assert len(await rows(gb, Outgoing, topic="tocsin.gb.back.frontier")) == 1
    world.clock.ms += 60 * 60_000
    [outcome] = await gb.quarantine.retry(INBOX, moved=False)
    assert outcome.what is What.ACCEPTED
    assert [row.state for row in await rows(gb, Quarantined)] == ["REPLAYED"]


async def test_a_flood_of_records_from_the_future_does_not_hide_a_better_one():
    """However many of a source rest in quarantine, one that has become valid is found in the same round."""
    world = World()
    gb = world.nodes["gb"]
    for i in range(130):
        world.submit(title=f"far {i}", ahead_ms=90 * 86_400_000)
    world.submit(title="near", ahead_ms=60 * 60_000)
    world.batch = 200
    await world.settle()
    world.clock.ms += 60 * 60_000
    assert [o.what for o in await gb.quarantine.retry(INBOX, moved=False)] == [What.ACCEPTED]


async def test_what_comes_from_the_future_is_not_looked_at_before_its_time_and_then_once_each(monkeypatch):
    """Of any number, none is verified in vain, and while they are tried other tasks have their turn."""
    world = World()
    gb = world.nodes["gb"]
    many = 2 * BATCH + 3
    for i in range(many):
        world.submit(title=f"far {i}", ahead_ms=60 * 60_000)
    world.batch = 200
    await world.settle()
    judged, turns, done = [], 0, False
    real = gb.receive.judge

    def judge(*arguments):
        judged.append(turns)
        return real(*arguments)

    async def other():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(gb.receive, "judge", judge)
    assert await gb.quarantine.retry(INBOX, moved=False) == []
    assert judged == []
    world.clock.ms += 60 * 60_000
    task = asyncio.create_task(other())
    accepted = await gb.quarantine.retry(INBOX, moved=False)
    done = True
    await task
    assert [o.what for o in accepted] == [What.ACCEPTED] * many
    assert [o.offset for o in accepted] == list(range(many))
    assert len(judged) == len(set(judged)) == many


async def test_a_record_that_its_topic_does_not_give_back_is_asked_for_hourly_and_not_after_a_week(monkeypatch):
    """It may only be out of reach; each question is a connection to the broker."""
    world, gb, row = await resting()
    async with gb.store.begin() as tx:
        await tx.put([dataclasses.replace(row, kept=False, value=b"")])
    asked = []

    async def refetch(inlet, offset):
        asked.append((inlet, offset))

    gb.quarantine._refetch = refetch
    for _ in range(3):
        assert await gb.quarantine.retry(INBOX, moved=True) == []
    assert asked == [(INBOX, row.offset)]
    world.clock.ms += GONE_MS
    for _ in range(3):
        await gb.quarantine.retry(INBOX, moved=False)
    assert len(asked) == 2
    world.clock.ms = row.at_ms + NOT_YET_MS
    await gb.quarantine.retry(INBOX, moved=False)
    assert len(asked) == 3
    world.clock.ms += 365 * 86_400_000
    await gb.quarantine.retry(INBOX, moved=True)
    assert len(asked) == 3
    assert [(r.state, r.reason) for r in await rows(gb, Quarantined)] == [("HELD", Reason.NOT_YET_VALID)]


async def test_a_bug_shown_by_a_replay_sends_the_record_back_and_not_the_node_down(monkeypatch):
    """An officer asks for a replay that our own bug breaks: INTERNAL, at rest, told, and the next one is tried."""
    world = World()
    gb = world.nodes["gb"]
    for title in ("one", "two"):
        world.submit(title=title, ahead_ms=60 * 60_000)
    await world.settle()
    world.clock.ms += 60 * 60_000
    async with gb.store.begin() as tx:
        held = await tx.find(Quarantined, {})
        await tx.put([dataclasses.replace(row, state="REPLAY") for row in held])
    real, calls = gb.receive.take_in, []

    async def broken(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyError("a bug of ours")
        return await real(*arguments, **named)

    monkeypatch.setattr(gb.receive, "take_in", broken)
    bugs = []
    quarantine = Quarantine(
        gb.setting, gb.store, gb.receive, world.clock, gb._refetch, lambda task, error: bugs.append((task, type(error)))
    )
    outcomes = await quarantine.retry(INBOX, moved=False)
    assert [o.what for o in outcomes] == [What.ACCEPTED]
    assert bugs == [(INBOX.topic, KeyError)]
    assert [(r.state, r.reason) for r in await rows(gb, Quarantined)] == [
        ("HELD", Reason.INTERNAL),
        ("REPLAYED", Reason.NOT_YET_VALID),
    ]


async def test_a_dropped_record_stays_dropped():
    """An officer drops a record while it is tried again: the officer's word is the last."""
    world, gb, row = await resting()
    async with gb.store.begin() as tx:
        await tx.put([dataclasses.replace(row, state="DROPPED", kept=False, value=b"")])
    assert await gb.quarantine._again(gb.setting(), INBOX, row, world.clock()) == []
    assert [(r.state, r.value) for r in await rows(gb, Quarantined)] == [("DROPPED", b"")]


async def test_a_replay_takes_only_the_record_that_was_rejected(monkeypatch):
    """A topic made anew has another record at that offset: it is not what the officer asked for."""
    world, gb, row = await resting()
    async with gb.store.begin() as tx:
        await tx.put([dataclasses.replace(row, state="REPLAY", kept=False, value=b"")])
    other = submission({"title": "another"}, world.clock(), world.entropy)

    async def refetch(inlet, offset):
        return Record(inlet.topic, offset, b"", other, (), 0)

    gb.quarantine._refetch = refetch
    assert await gb.quarantine.retry(INBOX, moved=False) == []
    assert [r.state for r in await rows(gb, Quarantined)] == ["HELD"]
    assert await rows(gb, Report) == []


async def test_a_record_from_the_future_is_tried_for_a_week_and_then_rests():
    world = World()
    gb = world.nodes["gb"]
    world.submit(title="early", ahead_ms=NOT_YET_MS + 60 * 60_000)
    await world.settle()
    world.clock.ms += NOT_YET_MS + 2 * 60 * 60_000
    assert await gb.quarantine.retry(INBOX, moved=True) == []
    [row] = await rows(gb, Quarantined)
    async with gb.store.begin() as tx:
        await tx.put([dataclasses.replace(row, state="REPLAY")])
    assert [o.what for o in await gb.quarantine.retry(INBOX, moved=False)] == [What.ACCEPTED]


async def test_of_one_source_the_bytes_of_so_many_rest_here_and_of_the_others_place_and_hash():
    """Those stay at the broker, and are fetched from there when they are asked for."""
    world = World()
    gb = world.nodes["gb"]
    gb._setting = dataclasses.replace(gb.setting(), caps=Caps(quarantined_values=2))
    values = [b"no report %d" % n for n in range(5)]
    for value in values:
        gb.broker.append(Outbound(INBOX.topic, b"", value, ()))
    await world.settle()
    held = await rows(gb, Quarantined)
    assert [(row.kept, row.value) for row in held] == [(i < 2, values[i] if i < 2 else b"") for i in range(5)]
    assert [row.digest for row in held] == [hashlib.sha256(value).digest() for value in values]


async def test_what_is_too_large_for_any_report_is_not_kept():
    """No trust view makes it valid, and a peer's broker decides how large a record is."""
    world = World()
    gb = world.nodes["gb"]
    gb.broker.append(Outbound(INBOX.topic, b"", bytes(MAX_FRAMED + 1), ()))
    await world.settle()
    [row] = await rows(gb, Quarantined)
    assert (row.reason, row.size, row.kept, row.value) == (Reason.SIZE, MAX_FRAMED + 1, False, b"")
