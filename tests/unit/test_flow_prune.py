"""What the store lets go of: nothing that is still to be sent, sent again or compared, and nothing twice afterwards."""

from __future__ import annotations

import dataclasses

import pytest
from tests.crash.test_flow import check, story
from tests.crash.world import Checker, World, rows

from tocsin.errors import InputError
from tocsin.flow import officer, topics
from tocsin.flow.owed import owe
from tocsin.flow.prune import BATCH, MS_PER_DAY, Prune
from tocsin.flow.rows import Copy, Decided, NoteRow, Outgoing, Outlet, Quarantined, Report, ShownHead, Source
from tocsin.memory import Crash

DAYS = 400
TO_JP = topics.stream("gb", "jp")


def pruning(node, days=DAYS):
    return Prune(node.store, node.world.clock, days)


async def rounds(prune, number):
    for _ in range(number):
        await prune.run()


async def to_the_end(prune):
    gone = 0
    while more := await prune.run():
        gone += more
    return gone


async def old(reports=3, nodes=("gb", "jp", "ke")):
    """A world in which everything was sent longer ago than is kept."""
    world = World(nodes=nodes)
    await story(world, reports)
    world.clock.ms += (DAYS + 1) * MS_PER_DAY
    return world


async def test_of_what_was_long_acknowledged_the_last_row_of_each_topic_stays():
    world = await old()
    gb = world.nodes["gb"]
    before = len(await rows(gb, Outgoing))
    gone = await to_the_end(pruning(gb))
    left = await rows(gb, Outgoing)
    assert gone == before - len(left) > 0
    assert {(r.topic, r.row) for r in left} == {(o.topic, o.acked) for o in await rows(gb, Outlet) if o.acked}


async def test_what_is_younger_than_the_days_kept_stays():
    world = World(nodes=("gb",))
    await story(world)
    world.clock.ms += (DAYS - 1) * MS_PER_DAY
    assert await pruning(world.nodes["gb"]).run() == 0


async def test_no_days_keep_everything():
    world = await old(nodes=("gb",))
    assert await pruning(world.nodes["gb"], days=0).run() == 0


async def test_what_was_not_acknowledged_stays_however_old_it_is():
    world = await old(nodes=("gb",))
    gb = world.nodes["gb"]
    sealed = await rows(gb, Outgoing, topic=TO_JP)
    [outlet] = await rows(gb, Outlet, topic=TO_JP)
    async with gb.store.begin() as tx:
        await tx.put([dataclasses.replace(outlet, acked=2)])
    await to_the_end(pruning(gb))
    assert await rows(gb, Outgoing, topic=TO_JP) == sealed[1:]


async def test_a_round_takes_a_bounded_number_of_rows_from_the_oldest_on():
    world = await old(nodes=("gb",))
    gb = world.nodes["gb"]
    [outlet] = await rows(gb, Outlet, topic=TO_JP)
    more = [Outgoing(TO_JP, outlet.rows + i, 1, 0, True, b"", b"", b"", 0) for i in range(1, 2 * BATCH)]
    async with gb.store.begin() as tx:
        await tx.add(more)
        await tx.put([dataclasses.replace(outlet, rows=outlet.rows + len(more), acked=outlet.rows + len(more))])
    before = [row.row for row in await rows(gb, Outgoing, topic=TO_JP)]
    await pruning(gb).run()
    assert [row.row for row in await rows(gb, Outgoing, topic=TO_JP)] == before[BATCH:]


async def test_a_clock_that_went_back_leaves_no_hole_in_the_outbox():
    world = await old(nodes=("gb",))
    gb = world.nodes["gb"]
    first, second, *_ = sealed = await rows(gb, Outgoing, topic=TO_JP)
    async with gb.store.begin() as tx:
        await tx.put([dataclasses.replace(second, sealed_ms=world.clock())])
    await to_the_end(pruning(gb))
    assert [r.row for r in await rows(gb, Outgoing, topic=TO_JP)] == [r.row for r in sealed if r is not first]


async def test_while_a_range_is_ordered_again_its_topic_keeps_every_row():
    world = await old()
    gb = world.nodes["gb"]
    sealed = await rows(gb, Outgoing, topic=TO_JP)
    async with gb.store.begin() as tx:
        await officer.resend(tx, "gb", "jp", 1, 3, world.clock())
    await to_the_end(pruning(gb))
    assert await rows(gb, Outgoing, topic=TO_JP) == sealed
    assert await gb.send.resend() >= 3
    assert await to_the_end(pruning(gb)) == len(sealed) - 1
    async with gb.store.begin() as tx:
        with pytest.raises(InputError, match="keep_days"):
            await officer.resend(tx, "gb", "jp", 1, 3, world.clock())


async def test_a_topic_that_is_gone_gets_what_is_still_held_once_and_in_order():
    world = await old(nodes=("gb",))
    gb = world.nodes["gb"]
    await to_the_end(pruning(gb))
    gb.broker.delete(TO_JP)
    gb.broker.create(TO_JP)
    gb.boot()
    await gb.step()
    assert gb.found["jp"] == "BEHIND"
    await story(world, 2)
    held = [row.value for row in await rows(gb, Outgoing, topic=TO_JP)]
    assert [record.value for record in gb.broker.records(TO_JP)] == held
    state, notes, seen = Checker("gb", "jp").read(gb.broker, world.clock())
    assert (len(seen), notes, state.position.seq) == (2, [], 5)


async def test_a_backup_from_before_signs_no_second_head_afterwards():
    """The rows that a restored store still has are not read back again, and the stream goes on."""
    world = World()
    await story(world, 2)
    gb = world.nodes["gb"]
    backup = gb.disk.copy()
    await story(world, 1)
    world.clock.ms += (DAYS + 1) * MS_PER_DAY
    gb.disk = backup
    gb.boot()
    await to_the_end(pruning(gb))
    await world.settle()
    assert set(gb.found.values()) == {"AHEAD"}
    check(world, 3)


async def test_nothing_is_said_or_taken_twice_because_rows_are_gone():
    """Everything is owed anew, and every stream read from its beginning: readers see nothing that they had."""
    world = await old()
    for node in world.nodes.values():
        kept = {kind: await rows(node, kind) for kind in (Report, Copy, Decided, ShownHead)}
        await to_the_end(pruning(node))
        assert kept == {kind: await rows(node, kind) for kind in kept}
        async with node.store.begin() as tx:
            for row in await tx.find(Report, {}):
                if row.origin != "frontier":
                    await tx.put(owe([row.leaf], node.setting().audiences(), world.clock(), "POLICY"))
            await tx.put([dataclasses.replace(source, offset=0) for source in await tx.find(Source, {})])
        node.boot()
    await world.settle()
    check(world, 3)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, 8))
async def test_a_death_in_it_leaves_less_to_do_and_streams_whole(when, nth):
    world = await old(reports=2)
    gb = world.nodes["gb"]
    gb.faults.arm("store.commit", when, nth)
    with pytest.raises(Crash):
        await rounds(pruning(gb), 2)
    gb.boot()
    await to_the_end(pruning(gb))
    await story(world, 1)
    assert set(gb.found.values()) == {"EQUAL"}
    check(world, 3)


def rejected(offset, state, value, at_ms=0):
    return Quarantined("t", offset, "jp", "SHAPE", state, bool(value), at_ms, 0, b"", 3, b"", "[]", value)


async def test_of_rejected_records_those_that_wait_with_their_bytes_stay():
    world = World(nodes=("gb",))
    gb = world.nodes["gb"]
    stay = [rejected(1, "HELD", b"abc"), rejected(2, "REPLAY", b"abc"), rejected(3, "DROPPED", b"", world.clock())]
    go = [rejected(4, "DROPPED", b""), rejected(5, "REPLAYED", b"abc"), rejected(6, "HELD", b"")]
    async with gb.store.begin() as tx:
        await tx.add([Source("t", 7, "", "gb-1", 0), *go, *stay])
    assert await to_the_end(pruning(gb)) == len(go)
    assert await rows(gb, Quarantined) == stay


async def test_old_notes_go_and_recent_ones_stay():
    world = World(nodes=("gb",))
    gb = world.nodes["gb"]
    recent = NoteRow("t", 99, 0, "GAP", "", world.clock() - DAYS * MS_PER_DAY + 1)
    async with gb.store.begin() as tx:
        await tx.add([recent, *(NoteRow("t", i, 0, "FORK", "", 0) for i in range(BATCH + 1))])
    assert await pruning(gb).run() == BATCH
    assert await to_the_end(pruning(gb)) == 1
    assert await rows(gb, NoteRow) == [recent]
