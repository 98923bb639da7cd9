"""More of the crash table: deaths during recovery, brokers that fail meanwhile, lost tails, replays, chaos."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from contextlib import suppress

import pytest
from tests.crash.running import Federation, Process, warped
from tests.crash.test_flow import READERS, check, issue_all, story, survive
from tests.crash.world import Checker, World, rows, trust_document

from tocsin.errors import AdapterError
from tocsin.flow import officer, topics
from tocsin.flow.leases import LEASE_MS
from tocsin.flow.outcome import What
from tocsin.flow.ports import Conflict, LeaseLost, Outbound
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rows import Due, Outgoing, Outlet, Quarantined, Report, Resend, Submission
from tocsin.memory import Crash, Disk
from tocsin.trust import load_trust
from tocsin.wire.statement import is_statement
from tocsin.wire.stream import encode_hint

CAMPAIGN = os.environ.get("TOCSIN_CAMPAIGN") == "1"
INBOX = Inlet("tocsin.gb.in.frontier", InletKind.SUBMISSIONS, "frontier")


def check_gb(world, reports):
    """gb's readers saw every report once, in order, without a note."""
    for audience in ("jp", "ke"):
        state, notes, seen = Checker("gb", audience).read(world.nodes["gb"].broker, world.clock())
        assert (len(seen), notes, state.position.seq, state.open) == (reports, [], reports, []), audience


async def restored():
    """gb's store is a backup from before its last two reports: recovery has work to do."""
    world = World(nodes=("gb",))
    await story(world, reports=1)
    gb = world.nodes["gb"]
    backup = gb.disk.copy()
    await story(world, reports=2)
    gb.disk = backup
    gb.boot()
    return world


async def lost():
    """gb's store is gone."""
    world = World(nodes=("gb",))
    await story(world, reports=3)
    gb = world.nodes["gb"]
    gb.disk = Disk()
    gb.boot()
    return world


async def cut():
    """gb's topics lost their tails in a failover, heads and the last report with them."""
    world = World(nodes=("gb",))
    await story(world, reports=3)
    gb = world.nodes["gb"]
    for audience in ("jp", "ke"):
        topic = topics.stream("gb", audience)
        gb.broker.truncate(topic, len(gb.broker.records(topic)) // 2)
    gb.boot()
    return world


async def recover_all(node):
    for audience in ("jp", "ke"):
        await node.recover.stream(audience)


@pytest.mark.parametrize("damage", [restored, lost, cut])
async def test_a_death_during_recovery_and_another_one_during_the_next(damage):
    """At whatever commit point recovery dies, and dies again, the third one finds what the first would have found."""
    world = await damage()
    gb = world.nodes["gb"]
    before = gb.faults.passed.copy()
    await recover_all(gb)
    passed = gb.faults.passed - before
    points = [(p, w, n) for (p, w), count in sorted(passed.items()) for n in range(1, count + 1)]
    assert {p for p, _, _ in points} >= {"store.begin", "store.commit"}
    for point, when, nth in points:
        world = await damage()
        gb = world.nodes["gb"]
        for _ in range(2):
            gb.faults.arm(point, when, nth)
            with suppress(Crash):  # where the second one has less to do, it dies right after it
                await recover_all(gb)
            gb.boot()
        await story(world, reports=1)
        check_gb(world, 4)


async def test_a_broker_that_is_down_during_recovery_lets_nothing_be_signed():
    """What cannot be compared is not signed: the outbox stays as it was, and all goes on when the broker is back."""
    world = await restored()
    gb = world.nodes["gb"]
    await issue_all(world)
    sealed = len(await rows(gb, Outgoing))
    gb.broker.down = True
    for _ in range(3):
        with pytest.raises(AdapterError):
            await gb.step()
    assert len(await rows(gb, Outgoing)) == sealed
    gb.broker.down = False
    await story(world, reports=1)
    check_gb(world, 4)


async def test_a_topic_that_lost_its_tail_gets_it_again():
    """A failover lost the tail while the node was down: the sealed rows go out again, and readers see no difference."""
    world = await cut()
    gb = world.nodes["gb"]
    await world.settle()
    assert gb.found == {"jp": "BEHIND", "ke": "BEHIND"}
    check_gb(world, 3)


async def test_a_topic_that_lost_its_middle_under_a_running_node_gets_it_again():
    """A failover, or a topic made anew: the offset falls at the next record, and everything goes out again."""
    world = World(nodes=("gb",))
    await story(world, reports=2)
    gb, topic = world.nodes["gb"], topics.stream("gb", "jp")
    kept = len(gb.broker.records(topic))
    await story(world, reports=2)
    gb.broker.truncate(topic, kept)
    await story(world, reports=1)
    state, notes, seen = Checker("gb", "jp").read(gb.broker, world.clock())
    assert (len(seen), notes, state.open) == (5, ["GAP", "HEALED"], [])


@pytest.mark.parametrize("again", ["head", "all"])
async def test_what_is_sent_again_at_the_end_of_a_topic_is_not_taken_for_the_way_back(monkeypatch, again):
    """A restored store sends what it has not written down as acknowledged, perhaps before the topic is looked at."""
    monkeypatch.setattr("tocsin.flow.recover.FIRST_LOOK", 4)
    world = World(nodes=("gb",))
    await story(world, reports=2)
    gb, topic = world.nodes["gb"], topics.stream("gb", "jp")
    world.clock.ms += 3_600_000
    await story(world, reports=2)
    backup, old = gb.disk.copy(), gb.broker.records(topic)
    world.clock.ms += 3_600_000
    await story(world, reports=12)
    world.clock.ms += 3_600_000
    for record in [r for r in old if is_statement(r.value)][-1:] * 6 if again == "head" else old:
        gb.broker.append(Outbound(topic, record.key, record.value, record.headers))
    gb.disk = backup
    gb.boot()
    await world.settle()
    assert gb.found == {"jp": "AHEAD", "ke": "AHEAD"}
    check_gb(world, 16)
    await story(world, reports=1)
    check_gb(world, 17)


@pytest.mark.parametrize("beyond", [1, 2])
@pytest.mark.parametrize("backup", [False, True])
async def test_a_record_that_is_repeated_under_a_false_hint_is_not_taken_for_a_later_one(beyond, backup):
    """A hint is unsigned, and whoever can repeat a record can write one: no second place, and no new epoch."""
    world = World(nodes=("gb",))
    await story(world, reports=2)
    gb, topic = world.nodes["gb"], topics.stream("gb", "jp")
    disk = gb.disk.copy()
    await story(world, reports=1)
    first = next(record for record in gb.broker.records(topic) if not is_statement(record.value))
    [outlet] = await rows(gb, Outlet, topic=topic)
    gb.broker.append(
        Outbound(topic, first.key, first.value, (("tocsin-seq", encode_hint(outlet.epoch, outlet.seq + beyond)),))
    )
    gb.disk = disk if backup else gb.disk
    gb.boot()
    await world.settle()
    assert gb.found["jp"] == ("AHEAD" if backup else "EQUAL")
    [after] = await rows(gb, Outlet, topic=topic)
    assert (after.epoch, after.seq, after.head) == (outlet.epoch, outlet.seq, outlet.head)
    await story(world, reports=1)
    [after] = await rows(gb, Outlet, topic=topic)
    assert (after.epoch, after.seq) == (outlet.epoch, outlet.seq + 1)


@pytest.mark.parametrize("point", ["store.commit", "writer.write"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_death_in_a_resend_leaves_the_order_and_repeats_are_repeats(point, when, nth):
    """An officer's order outlives the process that carries it out; the same bytes twice are seen once."""
    world = World()
    await story(world, reports=2)
    gb = world.nodes["gb"]
    async with gb.store.begin() as tx:
        await officer.resend(tx, "gb", "jp", 1, 2, world.clock())
    gb.faults.arm(point, when, nth)
    try:
        await gb.send.resend()
    except Crash:
        gb.boot()
        await gb.step()
    while await gb.send.resend():
        pass
    assert await rows(gb, Resend) == []
    check(world, 2)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_death_in_a_replay_from_quarantine_loses_and_doubles_nothing(when, nth):
    """The record is in quarantine or accepted, never both, never neither; the lab gets one ACCEPTED."""
    world = World()
    gb = world.nodes["gb"]
    for title in ("one", "two"):
        world.submit(title=title, ahead_ms=60 * 60_000)
    await world.settle()
    world.clock.ms += 60 * 60_000
    gb.faults.arm("store.commit", when, nth)
    await survive(world, "gb", lambda: gb.quarantine.retry(INBOX, moved=False))
    await gb.quarantine.retry(INBOX, moved=False)
    assert [row.state for row in await rows(gb, Quarantined)] == ["REPLAYED"] * 2
    assert len(await rows(gb, Submission)) == 2
    assert len(await rows(gb, Outgoing, topic="tocsin.gb.back.frontier")) == 4


async def test_a_lease_that_is_lost_in_the_middle_keeps_everything_from_the_loser():
    """Another process takes stream and source over between a look and a write: the first one writes nothing more."""
    world = World()
    await story(world, reports=1)
    gb = world.nodes["gb"]
    world.submit(title="one more")
    await world.settle()
    await issue_all(world)

    async def taken_over():
        async with gb.store.begin() as tx:
            until = world.clock() + LEASE_MS
            outlets = [o for o in await tx.find(Outlet, {}) if o.audience]
            await tx.put([dataclasses.replace(o, holder="gb-2", until_ms=until) for o in outlets])

    # 1. While a recovery looks at the topic.
    look = gb.recover._look

    async def looked(*arguments):
        shown = await look(*arguments)
        await taken_over()
        return shown

    gb.recover._look = looked
    for topic in ("tocsin.gb.out.jp", "tocsin.gb.out.ke"):
        gb.broker.truncate(topic, 0)
    with pytest.raises(LeaseLost):
        await gb.recover.stream("jp")
    # 2. Before it decides and tells: nothing of it is due to this process.
    due = len(await rows(gb, Due))
    before = {(r.topic, r.row) for r in await rows(gb, Outgoing)}
    world.clock.ms += 120_000
    assert await gb.release.run() == []
    assert await gb.tell.heads() == 0
    assert len(await rows(gb, Due)) == due
    # 3. Nor does it send.
    assert (await gb.send.run()).acked == {}
    assert {(r.topic, r.row) for r in await rows(gb, Outgoing)} == before
    assert gb.broker.records("tocsin.gb.out.jp") == []


async def test_a_stale_recovery_cannot_take_a_stream_back():
    """A recovery that slept over its lease reads nothing back into a stream that another process holds by now."""
    world = await restored()
    gb = world.nodes["gb"]
    look = gb.recover._look

    async def looked(*arguments):
        shown = await look(*arguments)
        async with gb.store.begin() as tx:
            [outlet] = await tx.find(Outlet, {"audience": "jp"})
            await tx.put([dataclasses.replace(outlet, holder="gb-2", until_ms=world.clock() + LEASE_MS)])
        return shown

    gb.recover._look = looked
    with pytest.raises(LeaseLost):
        await gb.recover.stream("jp")
    [outlet] = await rows(gb, Outlet, audience="jp")
    assert outlet.holder == "gb-2"


async def test_a_key_that_changes_between_seal_and_recovery_forks_nothing():
    """The node's relay key is revoked while it is down: what it signed then proves nothing, and no seq is signed twice."""
    world = World()
    await story(world, reports=2)
    gb = world.nodes["gb"]
    gb.trust = load_trust(trust_document(gb_relay={"revoked_at_ms": world.clock() - 1}))
    gb.moved()
    gb.boot()
    await recover_all(gb)
    seqs = [(r.topic, r.epoch, r.seq) for r in await rows(gb, Outgoing) if not r.statement]
    assert len(seqs) == len(set(seqs))


class Chaos:
    """One run: what goes wrong is drawn from a seed; the dead are replaced by the next process."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.federation = Federation()
        self.nodes = {node: Process(self.federation, node).start() for node in self.federation.ids}
        self.reports = 0

    def submit(self):
        if not self.federation.brokers["gb"].down:
            self.federation.submit()
            self.reports += 1

    async def hurt(self):
        draw, name = self.draw, self.draw.choice(self.federation.ids)
        faults = self.nodes[name].faults
        when, nth = draw.choice(["before", "after"]), draw.randint(1, 4)
        harm = draw.choice(["kill", "die", "down", "error", "refuse"])
        if harm == "kill":
            await self.nodes[name].kill()
        elif harm == "die":
            faults.arm(draw.choice(["store.commit", "reader.fetch", "writer.write", "signer.sign"]), when, nth)
        elif harm == "down":
            self.federation.brokers[name].down ^= True
        elif harm == "error":
            faults.arm("store.commit", when, nth, draw.choice([Conflict("busy"), AdapterError("down")]))
        else:
            faults.refuse(topics.stream(name, draw.choice(["jp", "ke", "public"])), nth, kept=draw.random() < 0.5)

    async def replace(self):
        for name, process in self.nodes.items():
            if process.dead():
                await process.kill()
                self.nodes[name] = Process(self.federation, name).start()

    async def run(self):
        for _ in range(12):
            for _ in range(self.draw.randint(0, 2)):
                self.submit()
            await self.hurt()
            await asyncio.sleep(self.draw.choice([0.1, 1.0, 5.0]))
            await self.replace()
        for broker in self.federation.brokers.values():
            broker.down = False
        give_up = asyncio.get_running_loop().time() + 1_800
        while not self.federation.complete(self.reports):
            assert asyncio.get_running_loop().time() < give_up, "not everything came"
            await self.replace()
            await asyncio.sleep(5.0)


@pytest.mark.parametrize("seed", range(200 if CAMPAIGN else 5))
def test_chaos(seed):
    """Deaths, failing ports, brokers that go and come, in any order: all arrives once, in order, and is proven."""

    async def run():
        chaos = Chaos(seed)
        await chaos.run()
        for node, audience in READERS:
            _, notes, _ = chaos.federation.look(node, audience)
            assert set(notes) <= {"GAP", "MISMATCH", "HEALED"}, (node, audience, notes)
        issued = [r for r in chaos.federation.disks["gb"].rows.get(Report, {}).values() if r.origin == "gb"]
        assert len(issued) == chaos.reports
        for process in chaos.nodes.values():
            assert not [o for o in process.watch.outcomes if o.what is What.REJECTED]

    warped(run())
