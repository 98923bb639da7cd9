"""The loops of a whole node: when it may sign, who holds what, and that no failure of anything outside ends a loop."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.crash.running import Federation, Process, of, warped
from tests.crash.world import SCHEMA, SCHEMAS, policy_of, trust_document

from tocsin.errors import AdapterError, PolicyError, StoreDamaged
from tocsin.flow import loops
from tocsin.flow.loops import State
from tocsin.flow.ports import Conflict
from tocsin.flow.rows import Due, Outgoing, Outlet, Report, Source, Submission
from tocsin.flow.setting import Setting
from tocsin.policy.language import parse_policy
from tocsin.trust import load_trust
from tocsin.wire.reasons import Reason


def started(federation, **options):
    return {node: Process(federation, node, **options).start() for node in federation.ids}


def test_a_whole_federation_runs():
    """What a lab submits is issued by the rule and reaches the last reader, without a note."""

    async def story():
        federation = Federation()
        nodes = started(federation)
        for _ in range(5):
            federation.submit()
        await nodes["gb"].until(lambda: federation.complete(5), "five reports everywhere")
        assert all(process.loops.state is State.READY for process in nodes.values())

    warped(story())


def test_a_node_that_reads_nobody_runs_on():
    """No peer and no lab yet: its streams have heads all the same."""

    async def story():
        federation = Federation(nodes=("ke",))
        assert federation.inlets("ke") == []
        ke = started(federation)["ke"]
        await ke.until(lambda: ke.loops.state is State.READY, "ready")
        await ke.until(lambda: federation.complete(0), "heads")
        assert not ke.dead()

    warped(story())


def test_while_the_clocks_are_apart_nothing_is_signed_and_then_it_goes_on():
    """Four minutes between our clock and the broker's: no hop, no head, no receipt, until they agree again."""

    async def story():
        federation = Federation()
        nodes = started(federation)
        gb = nodes["gb"]
        federation.submit()
        await gb.until(lambda: federation.complete(1), "one report everywhere")
        federation.brokers["gb"]._clock.apart_ms = 241_000
        federation.submit()
        await gb.until(lambda: gb.loops.state is State.STOPPED_BY_CLOCK, "the node stops")
        federation.submit()
        await asyncio.sleep(1.0)
        sealed, heard = len(of(federation, "gb", Outgoing)), len(of(federation, "gb", Submission))
        await asyncio.sleep(300.0)
        assert gb.loops.state is State.STOPPED_BY_CLOCK
        assert (len(of(federation, "gb", Outgoing)), len(of(federation, "gb", Submission))) == (sealed, heard)
        federation.brokers["gb"]._clock.apart_ms = 0
        await gb.until(lambda: gb.loops.state is State.READY, "the node goes on")
        await gb.until(lambda: federation.complete(3), "three reports everywhere")

    warped(story())


def test_a_recovery_does_not_let_a_node_sign_whose_clock_is_wrong():
    """A new connection to the store has the streams recovered; the clock stops the node all the same."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = started(federation)["gb"]
        await gb.until(lambda: gb.loops.state is State.READY, "ready")
        federation.brokers["gb"]._clock.apart_ms = -300_000
        federation.submit()
        await gb.until(lambda: gb.loops.state is State.STOPPED_BY_CLOCK, "the node stops")
        found = len(gb.watch.found)
        gb.connections += 1
        await gb.until(lambda: len(gb.watch.found) > found, "recovered again")
        await asyncio.sleep(60.0)
        assert gb.loops.state is State.STOPPED_BY_CLOCK

    warped(story())


def test_every_new_connection_to_the_store_has_every_stream_recovered():
    """A pool that reconnects may have reached another server: compare before signing (design 2)."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = started(federation)["gb"]
        await gb.until(lambda: gb.loops.state is State.READY, "ready")
        assert sorted(gb.watch.found) == [("jp", "NEW"), ("ke", "NEW")]
        gb.connections += 1
        assert not gb.loops.may_sign()
        await gb.until(lambda: gb.loops.state is State.READY, "ready again")
        assert sorted(gb.watch.found)[:2] == [("jp", "EQUAL"), ("jp", "NEW")]
        assert len(gb.watch.found) == 4

    warped(story())


def test_a_store_that_fell_behind_before_anything_was_sealed_is_noticed():
    """A process that only recovered, and then meets an older replica, signs no second head for one seq."""

    async def story():
        federation = Federation()
        nodes = started(federation)
        gb = nodes["gb"]
        federation.submit()
        await gb.until(lambda: federation.complete(1), "one report everywhere")
        older = federation.disks["gb"].copy()
        federation.submit()
        await gb.until(lambda: federation.complete(2), "two reports everywhere")
        await gb.kill()
        again = Process(federation, "gb").start()
        await again.until(lambda: again.loops.state is State.READY, "ready")
        federation.disks["gb"].rows = older.rows
        federation.submit()
        await again.until(lambda: federation.complete(3), "three reports everywhere")
        assert ("jp", "AHEAD") in again.watch.found
        for audience in ("jp", "ke"):
            _, notes, _ = federation.look("gb", audience)
            assert notes == []

    warped(story())


def test_a_restored_backup_issues_nothing_twice():
    """A backup from before a rule issued: its submissions are read back from our own receipts before any rule runs."""

    async def story():
        federation = Federation()
        nodes = started(federation, rules={})
        gb = nodes["gb"]
        federation.submit()
        federation.submit()
        await gb.until(lambda: len(of(federation, "gb", Submission)) == 2, "two in the inbox")
        backup = federation.disks["gb"].copy()
        await gb.kill()
        gb = Process(federation, "gb").start()
        await gb.until(lambda: federation.complete(2), "two reports everywhere")
        await gb.until(lambda: all(s.told for s in of(federation, "gb", Submission)), "both labs told")
        # A process that is killed may send again what it had sent: the same bytes.
        receipts = lambda: {r.value for r in federation.brokers["gb"].records("tocsin.gb.back.frontier")}  # noqa: E731
        await gb.until(lambda: len(receipts()) == 4, "receipts sent")
        await gb.kill()
        federation.disks["gb"] = backup
        gb = Process(federation, "gb").start()
        federation.submit()
        await gb.until(lambda: federation.complete(3), "three reports everywhere")
        await asyncio.sleep(30.0)
        assert federation.complete(3)

    warped(story())


def test_two_processes_over_one_store_share_the_work_and_seal_nothing_twice():
    """Both are ready, whoever holds what; where one dies, the other takes over its streams and sources."""

    async def story():
        federation = Federation()
        one, two = Process(federation, "gb", 1).start(), Process(federation, "gb", 2).start()
        others = [Process(federation, node).start() for node in ("jp", "ke")]
        federation.submit()
        await one.until(lambda: federation.complete(1), "one report everywhere")
        for process in (one, two):
            await process.until(lambda p=process: p.loops.state is State.READY, "both are ready")
        holders = {o.topic: o.holder for o in of(federation, "gb", Outlet) if o.audience}
        assert set(holders.values()) <= {"gb-1", "gb-2"}
        dies, lives = (one, two) if "gb-1" in holders.values() else (two, one)
        await dies.kill()
        for _ in range(3):
            federation.submit()
        await lives.until(lambda: federation.complete(4), "four reports everywhere")
        assert {o.holder for o in of(federation, "gb", Outlet) if o.audience} == {lives.me}
        assert {s.holder for s in of(federation, "gb", Source)} == {lives.me}
        for audience in ("jp", "ke"):
            _, notes, _ = federation.look("gb", audience)
            assert notes == []
        assert all(not process.dead() for process in others)

    warped(story())


def test_processes_that_hold_a_stream_each_are_ready_both():
    """Started at once over an empty store, each may win another stream: neither waits for what the other holds."""

    async def story():
        federation = Federation(nodes=("gb",))
        one, two = Process(federation, "gb", 1), Process(federation, "gb", 2)
        for process, audience in ((one, "jp"), (two, "ke")):
            await process.parts.recover.stream(audience)
        for process in (one, two):
            process.start()
        for process in (one, two):
            await process.until(lambda p=process: p.loops.state is State.READY, "ready")
        assert {o.audience: o.holder for o in of(federation, "gb", Outlet) if o.audience} == {
            "jp": "gb-1",
            "ke": "gb-2",
        }
        assert (one.loops.elsewhere, two.loops.elsewhere) == ({"ke"}, {"jp"})
        federation.submit()
        await one.until(lambda: federation.look("gb", "ke")[2] and federation.look("gb", "jp")[2], "both streams go on")

    warped(story())


@pytest.mark.parametrize("error", [AdapterError("something outside failed"), Conflict("busy")])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "point",
    # A writer fails by WriteFailed alone, as the refusals of the crash table do.
    ["store.begin", "store.commit", "reader.open", "reader.fetch", "signer.sign"],
)
def test_no_failure_of_anything_outside_ends_a_loop_or_loses_a_record(point, when, error):
    """Every port of every node fails again and again, before and after it did its work; all arrives, once, in order."""

    async def story():
        federation = Federation()
        nodes = started(federation)
        for nth in (1, 2, 3, 5, 8, 13, 34):
            for process in nodes.values():
                process.faults.arm(point, when, nth, error)
        for _ in range(4):
            federation.submit()
        await nodes["gb"].until(lambda: federation.complete(4), "four reports everywhere", 3600)
        for process in nodes.values():
            assert not process.dead()
            await process.until(lambda p=process: p.loops.state is State.READY, "ready")
        for node, audience in (("gb", "jp"), ("gb", "ke"), ("jp", "public"), ("ke", "public")):
            assert federation.look(node, audience)[1] == []

    warped(story())


@pytest.mark.parametrize("point", ["store.begin", "store.commit"])
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_a_damaged_store_ends_the_process_whichever_loop_finds_it(point, nth):
    """Nothing may be signed over it; who starts it again is refused, with the remedy."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = Process(federation, "gb")
        gb.faults.arm(point, "before", nth, StoreDamaged("the store is damaged"))
        gb.start()
        federation.submit()
        with pytest.raises(StoreDamaged):
            await gb.until(gb.dead, "the end")
        assert all(outcome.reason is not Reason.INTERNAL for outcome in gb.watch.outcomes)
        await gb.kill()

    warped(story())


def test_a_change_of_setting_is_retried_in_quarantine_though_the_store_was_busy():
    """What rests because a key was unknown is tried when trust moves, even if the first try meets a conflict."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = started(federation, rules={})["gb"]
        await gb.until(lambda: gb.loops.state is State.READY, "ready")
        known = gb.setting_now
        document = trust_document()
        document["parties"] = [p for p in document["parties"] if p["party"] != "frontier"]
        gb.setting_now = Setting("gb", load_trust(document), SCHEMAS, gb.policies)
        gb.loops.setting_moved()
        federation.submit()
        await gb.until(lambda: gb.watch.outcomes, "rejected")
        await asyncio.sleep(10.0)
        gb.setting_now = known
        gb.loops.setting_moved()
        for nth in range(1, 60):
            gb.faults.arm("store.begin", "after", nth, Conflict("busy"))
        await gb.until(lambda: of(federation, "gb", Submission), "accepted after all")

    warped(story())


def test_an_audience_whose_topic_is_not_there_yet_holds_up_no_other():
    """An officer loads the policy before the topic is declared: whoever was served is served on, and the trouble is said."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = Process(federation, "gb").start()
        federation.submit()
        await gb.until(lambda: len(federation.look("gb", "jp")[2]) == 1, "jp has the first")
        named = '[audience.public]\nkind = "PUBLIC"\n[onward]'
        text = policy_of("gb").replace("version = 1", "version = 2").replace("[onward]", named)
        rule = '[[rule]]\nid = "all"\nto = ["public"]\ndisclose = ["title"]\n'
        gb.setting_now = replace(gb.setting_now, policies=(parse_policy(text + rule, SCHEMA),))
        gb.loops.setting_moved()
        await gb.until(lambda: "tocsin.gb.out.public" in gb.loops.troubles, "the missing topic is told")
        federation.submit()
        await gb.until(lambda: len(federation.look("gb", "jp")[2]) == 2, "jp has the second all the same")
        assert gb.loops.state is State.READY
        federation.brokers["gb"].create("tocsin.gb.out.public")
        await gb.until(lambda: len(federation.look("gb", "public")[2]) == 2, "and the public has both in the end")
        assert gb.loops.troubles == {}

    warped(story())


def test_a_cluster_that_is_away_makes_no_node_ready():
    """That nothing can be looked at is another thing than that there is no topic."""

    async def story():
        federation = Federation(nodes=("gb",))
        federation.brokers["gb"].down = True
        gb = Process(federation, "gb").start()
        await gb.until(lambda: len(gb.watch.faults) > 20, "many tries")
        assert State.READY not in gb.watch.states
        federation.brokers["gb"].down = False
        await gb.until(lambda: gb.loops.state is State.READY, "ready")

    warped(story())


def test_an_audience_that_was_named_by_mistake_is_owed_nothing_for_ever(monkeypatch):
    """Its stream cannot begin (there is no topic), so nothing of what is owed to it would ever be done."""
    monkeypatch.setattr(loops, "OWED_AT_ONCE", 2)  # several pages

    async def story():
        federation = Federation(nodes=("gb",))
        gb = Process(federation, "gb").start()
        for _ in range(5):
            federation.submit()
        await gb.until(lambda: len([r for r in of(federation, "gb", Report) if r.origin == "gb"]) == 5, "issued")
        known = gb.setting_now
        mistaken = '[audience.community-typo]\nkind = "COMMUNITY"\n[onward]'
        text = policy_of("gb").replace("version = 1", "version = 2").replace("[onward]", mistaken)
        gb.setting_now = replace(known, policies=(parse_policy(text, SCHEMA),))
        gb.loops.setting_moved()

        def owed():
            return [due for due in of(federation, "gb", Due) if due.audience == "community-typo"]

        await gb.until(lambda: len(owed()) == 5, "owed")
        gb.setting_now = replace(known, policies=known.policies)
        gb.loops.setting_moved()
        await gb.until(lambda: not owed(), "owed no more")
        await gb.until(lambda: not of(federation, "gb", Due), "and what others are owed is done")

    warped(story())


def test_a_node_whose_broker_is_gone_says_so_and_why_until_it_is_back():
    """/readyz shows the troubles: an officer must not read READY while nothing leaves the house."""

    async def story():
        federation = Federation(nodes=("gb",))
        gb = Process(federation, "gb").start()
        await gb.until(lambda: gb.loops.state is State.READY, "ready")
        federation.brokers["gb"].down = True
        await gb.until(lambda: "send" in gb.loops.troubles, "what cannot be sent is told")
        for _ in range(40):
            await asyncio.sleep(5.0)
            assert "send" in gb.loops.troubles
        federation.brokers["gb"].down = False
        await gb.until(lambda: gb.loops.troubles == {}, "and it is over")

    warped(story())


def test_a_policy_that_changed_under_its_version_is_refused():
    """(id, version) with two texts is evidence against the node that signed them (protocol section 5)."""
    one, other, next_one = (
        (parse_policy(policy_of("gb").replace("version = 1", f"version = {n}") + more, SCHEMA),)
        for n, more in ((1, ""), (1, "# another text\n"), (2, "# another text\n"))
    )
    trust = load_trust(trust_document())
    said = {(one[0].id, 1, one[0].sha256)}
    for policies in (one, next_one):
        Setting("gb", trust, SCHEMAS, policies).require_new_versions(said)
    changed = Setting("gb", trust, SCHEMAS, other)
    with pytest.raises(PolicyError, match="under the same version"):
        changed.require_new_versions(said)
    changed.require_new_versions(said | {(other[0].id, 1, other[0].sha256)})  # it was published already
