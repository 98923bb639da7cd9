"""One incident from lab to the last reader, and the crash table: at whatever commit point a node dies, nothing is lost."""

from __future__ import annotations

import pytest
from tests.crash.world import SCHEMA, Checker, World, policy_of, trust_document, wanted

from tocsin.flow.issue import Wanted
from tocsin.flow.rows import Outgoing, Report
from tocsin.memory import Crash, Disk
from tocsin.policy.language import parse_policy
from tocsin.trust import load_trust
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.reasons import Note
from tocsin.wire.statement import verify_statement

VALUES = {"title": "CANARY title", "severity": 4, "severity_assessed_by": "gb", "description": "CANARY text"}
READERS = [("gb", "jp"), ("gb", "ke"), ("jp", "public"), ("ke", "public")]


async def issue_all(world):
    """gb's officer issues whatever is in the inbox."""
    gb = world.nodes["gb"]
    for submitted in await gb.inbox():
        await gb.issue.issue(wanted(submitted.leaf, **VALUES), SCHEMA)


def check(world, reports):
    """Every reader saw every report once, in order, without a note but the first epoch's."""
    for node, audience in READERS:
        state, notes, seen = Checker(node, audience).read(world.nodes[node].broker, world.clock())
        assert len({v.leaf for v in seen}) == reports, (node, audience)
        assert len({(v.leaf, v.envelope.mask) for v in seen}) == len(seen)
        assert notes == [], (node, audience, notes)
        assert state.position.seq == len(seen)
        assert state.open == []


async def story(world, reports=3):
    for _ in range(reports):
        world.submit(title="from the lab")
    await world.settle()
    await issue_all(world)
    await world.settle()


async def test_a_submission_crosses_three_borders():
    """Lab to gb to jp and ke to their publics: each reader sees what it may, verified by gb's key alone."""
    world = World()
    await story(world)
    check(world, 3)
    _, _, seen = Checker("jp", "public").read(world.nodes["jp"].broker, world.clock())
    schema = SCHEMA
    names = {schema.fields[i].name for i in seen[0].judged.values}
    assert names == {"title", "severity_band", "occurred_month"}
    assert [hop.releaser for hop in seen[0].hops] == ["gb", "jp"]


async def test_the_lab_gets_signed_receipts():
    """One receipt that says ACCEPTED and one that says ISSUED for each submission."""
    world = World()
    await story(world, reports=1)
    records = world.nodes["gb"].broker.records("tocsin.gb.back.frontier")
    bodies = [verify_statement(r.value, load_trust(trust_document()), world.clock(), None).body for r in records]
    assert [b.decision for b in bodies] == ["ACCEPTED", "ISSUED"]
    assert bodies[1].report is not None


async def survive(world, node, act):
    """Run to the end; where the process of `node` dies, the next one goes on with what is there."""
    for _ in range(4):
        try:
            await act()
        except Crash:
            world.nodes[node].boot()
        else:
            return
    raise AssertionError("it never came to an end")


async def crashed(node, point, when, nth):
    """The story with two reports, one death of `node`."""
    world = World(batch=2)
    world.nodes[node].faults.arm(point, when, nth)
    for _ in range(2):
        world.submit(title="from the lab")
    await survive(world, node, world.settle)

    async def issue():
        await issue_all(world)
        await world.settle()

    await survive(world, node, issue)
    return world


async def commit_points(node):
    """How often each point is passed in a story without a death."""
    world = World(batch=2)
    await story(world, reports=2)
    return [
        (point, when, nth)
        for (point, when), count in sorted(world.nodes[node].faults.passed.items())
        if point not in {"store.begin", "reader.open"}
        for nth in range(1, count + 1)
    ]


@pytest.mark.parametrize("node", ["gb", "jp"])
async def test_crash_table(node):
    """Whatever commit point a node dies at, before or after persisting, every reader sees every record once, in order."""
    table = await commit_points(node)
    assert {(p, w) for p, w, _ in table} >= {
        (p, w) for p in ("store.commit", "writer.write", "reader.fetch", "signer.sign") for w in ("before", "after")
    }
    for point, when, nth in table:
        world = await crashed(node, point, when, nth)
        check(world, 2)
        for name, other in world.nodes.items():
            assert sorted(other.found.values()) in ([], *[sorted(v) for v in ACCEPTABLE]), (name, other.found)


ACCEPTABLE = [["NEW", "NEW"], ["EQUAL", "EQUAL"], ["EQUAL", "NEW"], ["AHEAD", "EQUAL"]]


async def test_a_restored_backup_signs_no_second_head():
    """A store restored from an older backup: what it had sent is read back, and no reader sees a fork or a record twice."""
    world = World()
    await story(world, reports=2)
    gb = world.nodes["gb"]
    backup = gb.disk.copy()
    await story(world, reports=2)
    gb.disk = backup
    gb.boot()
    await story(world, reports=1)
    assert gb.found == {"jp": "AHEAD", "ke": "AHEAD"}
    check(world, 5)


async def test_a_store_that_falls_behind_is_noticed_while_running():
    """A replica that failed over under a running process: it stops signing, reads its own topic back, and goes on."""
    world = World()
    await story(world, reports=1)
    gb = world.nodes["gb"]
    backup = gb.disk.copy()
    await story(world, reports=1)
    gb.disk.rows = backup.rows
    await story(world, reports=1)
    assert set(gb.found.values()) == {"AHEAD"}
    check(world, 3)


async def test_a_lost_store_continues_from_its_own_topic():
    """With the store lost whole, the stream goes on in its epoch from what the node itself signed."""
    world = World()
    await story(world, reports=2)
    gb = world.nodes["gb"]
    gb.disk = Disk()
    gb.boot()
    await world.settle()
    assert set(gb.found.values()) == {"AHEAD"}
    check(world, 2)


async def test_a_topic_that_is_gone_is_sent_again():
    """A topic that lost its records gets the sealed rows again: same bytes, same epoch."""
    world = World()
    await story(world, reports=2)
    gb = world.nodes["gb"]
    before = [r.value for r in gb.broker.records("tocsin.gb.out.jp")]
    gb.broker.delete("tocsin.gb.out.jp")
    gb.broker.create("tocsin.gb.out.jp")
    gb.boot()
    await gb.step()
    assert gb.found["jp"] == "BEHIND"
    assert [r.value for r in gb.broker.records("tocsin.gb.out.jp")] == before


async def test_both_lost_begins_a_new_epoch():
    """Store and topic lost: a new epoch begins, greater than the old one, and readers note EPOCH."""
    world = World()
    await story(world, reports=1)
    gb = world.nodes["gb"]
    gb.disk = Disk()
    for topic in ("tocsin.gb.out.jp", "tocsin.gb.out.ke"):
        gb.broker.delete(topic)
        gb.broker.create(topic)
    world.clock.ms += 5_000
    gb.boot()
    await gb.step()
    assert gb.found["jp"] == "NEW"
    rows = [row for row in gb.disk.rows[Outgoing].values() if row.topic.endswith("jp")]
    assert [row.seq for row in rows] == [0]


async def test_a_refused_record_among_pipelined_ones_is_not_lost():
    """The broker refuses one of several pipelined records and keeps those behind it: all arrive, in order."""
    for nth in (1, 2, 3):
        for kept in (False, True):
            world = World()
            await world.settle()
            world.nodes["gb"].faults.refuse("tocsin.gb.out.jp", nth, kept=kept)
            await story(world, reports=3)
            state, notes, seen = Checker("gb", "jp").read(world.nodes["gb"].broker, world.clock())
            assert len(seen) == 3
            assert set(notes) <= {Note.GAP, Note.HEALED, Note.MISMATCH}
            assert state.open == []


async def test_a_correction_follows_its_report_to_readers_no_longer_named():
    """ke leaves gb's policy after it was sent a report: the retraction still reaches it, with an empty mask."""
    world = World()
    await story(world, reports=1)
    gb = world.nodes["gb"]
    text = policy_of("gb").replace("version = 1", "version = 2")
    text = text.replace('[audience.ke]\nkind = "MEMBER"\n', "").replace('["jp", "ke"]', '["jp"]')
    gb.policies = (*gb.policies, parse_policy(text, SCHEMA))
    gb.moved()
    async with gb.store.begin() as tx:
        (sent,) = [r for r in await tx.find(Report, {}) if r.origin == "gb"]
    retraction = Wanted(values={"title": "withdrawn"}, tlp=Tlp.CLEAR, stage=Stage.RETRACTION, follows=sent.leaf)
    await gb.issue.issue(retraction, SCHEMA)
    await world.settle()
    for node, audience in READERS:
        _, _, seen = Checker(node, audience).read(world.nodes[node].broker, world.clock())
        assert [v.header.stage for v in seen] == [Stage.INITIAL, Stage.RETRACTION], (node, audience)
    _, _, seen = Checker("gb", "ke").read(gb.broker, world.clock())
    assert seen[-1].envelope.mask == 0
