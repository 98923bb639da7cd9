"""Receipts that say ISSUED: all that a restored store knows of what its submissions became."""

from __future__ import annotations

import dataclasses

from tests.crash.running import Federation, Process, of, warped
from tests.crash.test_flow import issue_all, story
from tests.crash.test_more import check_gb
from tests.crash.world import SIGNER, Checker, World, rows, trust_document

from tocsin.flow import topics
from tocsin.flow.issue import Rule
from tocsin.flow.loops import State
from tocsin.flow.rows import Report, Submission
from tocsin.flow.tell import Answer, answer
from tocsin.memory import Disk, MemoryStore
from tocsin.trust import load_trust
from tocsin.wire.header import Tlp
from tocsin.wire.statement import verify_statement

RULES = {"frontier": Rule(3, Tlp.CLEAR)}


def issued_receipts(broker, now_ms):
    """The receipts ISSUED that stand in the lab's topic, in order."""
    trust, records = load_trust(trust_document()), broker.records(topics.receipts("gb", "frontier"))
    bodies = [verify_statement(record.value, trust, now_ms, None).body for record in records]
    return [body for body in bodies if body.decision == "ISSUED"]


async def issued_by_rule(gb, world):
    """The leaf of what a new submission became, by the rule; nothing of it is decided yet."""
    world.submit(title="once", severity=2, severity_assessed_by="frontier")
    for inlet, broker in gb.inlets():
        await gb._read(inlet, broker)
    [leaf] = await gb.issue.by_rule(RULES)
    return leaf


async def test_what_was_released_is_not_issued_again_after_an_older_backup():
    """Wherever the node stopped: whatever a reader was sent of a submission, its receipt stands in the topic too."""
    world = World(nodes=("gb",))
    await story(world, reports=1)
    gb = world.nodes["gb"]
    backup = gb.disk.copy()
    await issued_by_rule(gb, world)
    await gb.release.run()
    while (await gb.send.run()).acked:
        pass
    assert len(Checker("gb", "jp").read(gb.broker, world.clock())[2]) == 2
    gb.disk = backup
    gb.boot()
    await world.settle()
    assert await gb.issue.by_rule(RULES) == []
    assert await gb.inbox() == []
    await world.settle()
    check_gb(world, 2)


async def test_no_receipt_names_a_report_whose_release_is_still_due():
    """Else an older backup would issue the submission again, and its lab would hold two receipts of two reports."""
    world = World(nodes=("gb",))
    await story(world, reports=1)
    gb = world.nodes["gb"]
    backup = gb.disk.copy()
    leaf = await issued_by_rule(gb, world)
    assert await gb.tell.issued() == 0
    while (await gb.send.run()).acked:
        pass
    gb.disk = backup
    gb.boot()
    await world.settle()
    [again] = await gb.issue.by_rule(RULES)
    assert again != leaf
    await world.settle()
    check_gb(world, 2)
    assert [r.report for r in issued_receipts(gb.broker, world.clock())][1:] == [again]


async def test_what_goes_to_nobody_is_told_the_lab_all_the_same():
    world = World(nodes=("gb",))
    gb = world.nodes["gb"]
    gb.policies = ()
    gb.moved()
    await story(world, reports=1)
    assert len(issued_receipts(gb.broker, world.clock())) == 1


async def test_a_backup_made_between_an_issue_and_its_receipt_leads_to_no_second_receipt():
    world = World(nodes=("gb",))
    await story(world, reports=1)
    gb = world.nodes["gb"]
    leaf = await issued_by_rule(gb, world)
    backup = gb.disk.copy()
    await world.settle()
    gb.disk = backup
    gb.boot()
    await world.settle()
    assert [r.report for r in issued_receipts(gb.broker, world.clock())][1:] == [leaf]


async def test_the_receipt_whose_report_is_known_counts_whatever_an_earlier_one_names():
    world = World(nodes=("gb",))
    gb = world.nodes["gb"]
    world.submit(title="once")
    await world.settle()
    [submission] = await gb.inbox()
    lost = Answer(submission.record, submission.leaf, "ISSUED", report=bytes(32))
    async with gb.store.begin() as tx:
        await answer(tx, SIGNER["gb"], "gb", "frontier", topics.receipts("gb", "frontier"), [lost], world.clock())
    await issue_all(world)
    await world.settle()
    [issued] = await rows(gb, Report, origin="gb")
    gb.disk = Disk()
    gb.boot()
    await world.settle()
    assert [(s.state, s.report, s.told) for s in await rows(gb, Submission)] == [("ISSUED", issued.leaf, True)]


def test_no_lab_is_told_again_what_its_topic_says_already():
    """A running node reads its receipts back before it signs any; so a store from before a receipt tells no second one."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = Process(federation, "gb").start()
        federation.submit()
        await gb.until(lambda: [s.told for s in of(federation, "gb", Submission)] == [True], "told")
        await gb.until(lambda: len(told(federation)) == 1, "sent")
        await gb.kill()
        async with MemoryStore(federation.disks["gb"]).begin() as tx:
            [submission] = await tx.find(Submission, {})
            await tx.put([dataclasses.replace(submission, told=False)])
        again, heard = Process(federation, "gb"), []
        again.watch.state = lambda state: heard.append((state, set(again.loops._read_back)))
        again.start()
        await again.until(lambda: [s.told for s in of(federation, "gb", Submission)] == [True], "told by its topic")
        assert [read for state, read in heard if state is State.READY] == [{topics.submissions("gb", "frontier")}]
        federation.submit()
        await again.until(lambda: len(told(federation)) == 2, "the next one")
        assert len({receipt.leaf for receipt in told(federation)}) == 2

    def told(federation):
        return issued_receipts(federation.brokers["gb"], federation.clock())

    warped(story())
