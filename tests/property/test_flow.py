"""What no order of events may bring about: the rules of design 3 on everything that ever left any node.

Whole nodes run over the in-memory twins while reports are issued, revised, retracted, forked, held, approved and
embargoed, policies and trust change, drills are mixed in and processes die; then every sealed decision is held against
what its node knew at that moment.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.crash.running import Clock, Federation, Process, warped
from tests.crash.world import ROUTES, SCHEMA, SIGNER, START_MS, policy_of, sign, signed_hop, trust_document

from tocsin.errors import InputError
from tocsin.flow import officer, topics
from tocsin.flow.issue import Wanted, draft
from tocsin.flow.owed import owe
from tocsin.flow.ports import Outbound
from tocsin.flow.rows import Copy, Decided, Due, Hold, Outlet, Report, Source, Submission
from tocsin.memory import Crash
from tocsin.policy.language import parse_policy
from tocsin.trust import load_trust
from tocsin.wire.envelope import frame_envelope, parse_envelope, sign_draft, with_hop
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import AudienceKind, HopBody, PolicyRef, allowed, parse_body
from tocsin.wire.keys import KeyUse
from tocsin.wire.slots import mask_bits
from tocsin.wire.stream import encode_hint

CAMPAIGN = os.environ.get("TOCSIN_CAMPAIGN") == "1"
LAW = settings(
    deadline=None,
    max_examples=600 if CAMPAIGN else 12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
N = len(SCHEMA.fields)
DAY_MS = 86_400_000


def slots(cls):
    return sum(1 << field.index for field in SCHEMA.fields if field.cls == cls)


TECHNICAL, NARRATIVE = slots("technical"), slots("narrative")


def gb_policy(version, *, ke, drills, hold):
    """Harm and narrative at once, technical fields after a day; with a hold on the narrative of what is critical."""
    readers = '"jp", "ke"' if ke else '"jp"'
    text = policy_of("gb").split("[onward]")[0].replace("version = 1", f"version = {version}")
    if not ke:
        text = text.replace('[audience.ke]\nkind = "MEMBER"\n', "")
    if drills:
        text = text.replace(
            '[audience.jp]\nkind = "MEMBER"\n', '[audience.jp]\nkind = "MEMBER"\naccepts_exercises = true\n'
        )
    text += '[onward]\nPUBLIC = ["title", "severity"]\nMEMBER = ["title"]\n'
    text += f'[[rule]]\nid = "now"\nto = [{readers}]\ndisclose = ["@harm", "@narrative"]\n'
    text += f'[[rule]]\nid = "later"\nto = [{readers}]\ndisclose = ["@technical"]\nafter = "P1D"\n'
    if hold:
        text += (
            '[[rule]]\nid = "critical"\nto = ["*"]\nwhen = { critical_function = true }\nwithhold = ["@narrative"]\n'
        )
        text += 'hold = true\nreveals = ["critical_function"]\n'
    return parse_policy(text, SCHEMA)


class Ticking(Clock):
    """No two readings are the same, so that what was known before a decision can be told from what came after."""

    ticks = 0

    def __call__(self):
        self.ticks += 1
        return super().__call__() + self.ticks


class Story:
    """One run: the events, and what is known of them afterwards."""

    def __init__(self):
        self.federation = Federation(clock=Ticking())
        for broker in self.federation.brokers.values():
            broker._clock = self.federation.clock  # one clock for all, so that days can pass at once
        self.nodes = {node: Process(self.federation, node).start() for node in self.federation.ids}
        self.policies = {(node, 1): self.nodes[node].policies[0] for node in self.federation.ids}
        self.forks = 0

    async def event(self, name, draw):
        """Do one thing; the node may die of it."""
        with suppress(Crash, InputError):
            await getattr(self, name)(draw)
        await self.quiet()

    async def rows(self, node, kind, **where):
        return [
            row
            for row in self.federation.disks[node].rows.get(kind, {}).values()
            if all(getattr(row, column) == value for column, value in where.items())
        ]

    # --- events ---------------------------------------------------------------------------------------------------

    async def submit(self, draw):
        values = {"title": "t", "severity": 3, "severity_assessed_by": "frontier"}
        if draw % 3:
            values["critical_function"] = draw % 3 == 1
        self.federation.submit(values)

    async def own(self, draw):
        values = {"title": "t", "severity": 4, "severity_assessed_by": "gb", "root_cause": "because"}
        if draw % 3:
            values["critical_function"] = draw % 3 == 1
        tlp = [Tlp.CLEAR, Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER][draw % 4]
        await self.nodes["gb"].issue.issue(Wanted(values, tlp, exercise=draw % 7 == 0), SCHEMA)

    async def newest(self, draw):
        newest = {}
        for row in await self.rows("gb", Report, origin="gb"):
            if row.incident not in newest or newest[row.incident].revision < row.revision:
                newest[row.incident] = row
        return sorted(newest.values(), key=lambda row: row.incident)[draw % len(newest)] if newest else None

    async def revise(self, draw, stage=None):
        report = await self.newest(draw)
        if report is not None:
            stage = stage or [Stage.UPDATE, Stage.FINAL][draw % 2]
            values = {"title": "more", "severity": 5, "severity_assessed_by": "gb", "root_cause": "so"}
            tlp = [Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER_STRICT][draw % 3]
            wanted = Wanted(values, tlp, stage, follows=report.leaf, exercise=report.exercise)
            await self.nodes["gb"].issue.issue(wanted, SCHEMA)

    async def retract(self, draw):
        await self.revise(draw, Stage.RETRACTION)

    async def fork(self, draw):
        """Somebody with gb's keys shows jp another report for a revision that there is."""
        report = await self.newest(draw)
        if report is None or not report.revision:
            return
        [previous] = await self.rows("gb", Report, leaf=report.prev)
        wanted = Wanted(
            {"title": "forked", "severity": 1, "severity_assessed_by": "gb"}, Tlp.CLEAR, Stage(report.stage)
        )
        _, unsigned = draft(
            dataclasses.replace(wanted, exercise=report.exercise),
            origin="gb",
            key_id=SIGNER["gb"].key_id(KeyUse.EVENT),
            schema=SCHEMA,
            previous=previous,
            now_ms=self.federation.clock(),
            entropy=self.federation.entropy,
        )
        envelope = sign_draft(unsigned, sign("gb", KeyUse.EVENT, unsigned.entry))
        minute = -(-self.federation.clock() // 60_000)
        policy = PolicyRef("gb", 1, bytes(32))
        body = HopBody("gb", unsigned.leaf, (1 << N) - 1, Tlp.CLEAR, AudienceKind.MEMBER, "jp", (), policy, (), minute)
        self.forks += 1
        hint = (("tocsin-seq", encode_hint(1, self.forks)),)
        framed = frame_envelope(with_hop(envelope, signed_hop(body, N)))
        self.federation.brokers["gb"].append(Outbound(topics.stream("gb", "jp"), b"", framed, hint))

    async def answer(self, draw):
        for node in self.federation.ids:
            for hold in await self.rows(node, Hold, state="OPEN"):
                async with self.nodes[node].store.begin() as tx:
                    now_ms = self.federation.clock()
                    await officer.answer_hold(tx, hold, approve=draw % 2 == 0, officer="o", reason="r", now_ms=now_ms)

    async def policy(self, draw):
        version = max(v for node, v in self.policies if node == "gb") + 1
        policy = gb_policy(version, ke=draw % 4 != 0, drills=draw % 3 == 0, hold=draw % 2 == 0)
        self.policies["gb", version] = policy
        kept = () if draw % 5 < 3 else self.nodes["gb"].setting_now.policies
        self.reset("gb", policies=(*kept, policy))

    async def distrust(self, draw):
        """The lab's key is compromised, as one node or another learns."""
        node = self.federation.ids[draw % 3]
        known = self.nodes[node].setting_now.trust
        document = trust_document(frontier_event={"revoked_at_ms": START_MS} if draw % 2 else {})
        self.reset(node, trust=load_trust({**document, "version": known.version + 1}))

    def reset(self, node, **changed):
        process = self.nodes[node]
        process.setting_now = dataclasses.replace(process.setting_now, **changed)
        process.loops.setting_moved()

    async def wait(self, draw):
        self.federation.clock.apart_ms += [60_000, DAY_MS // 2, DAY_MS + 60_000][draw % 3]

    async def die(self, draw):
        process = self.nodes[self.federation.ids[draw % 3]]
        point = ["store.commit", "writer.write", "signer.sign", "reader.fetch"][draw % 4]
        process.faults.arm(point, ["before", "after"][draw % 2], 1 + draw % 5)

    async def kill(self, draw):
        await self.nodes[self.federation.ids[draw % 3]].kill()

    # --- until nothing moves --------------------------------------------------------------------------------------

    async def quiet(self):
        give_up = asyncio.get_running_loop().time() + 1_800
        await asyncio.sleep(1.0)
        while not await self.rests():
            assert asyncio.get_running_loop().time() < give_up, "the nodes do not come to rest"
            for name, process in self.nodes.items():
                if process.dead():
                    await process.kill()
                    self.nodes[name] = Process(self.federation, name, setting=process.setting_now).start()
            await asyncio.sleep(1.0)

    async def rests(self):
        for node, process in self.nodes.items():
            if process.dead() or not process.loops.may_sign():
                return False
            minute = self.federation.clock() // 60_000
            if any(due.minute <= minute for due in await self.rows(node, Due)):
                return False
            if any(o.acked < o.rows or o.headed < o.seq for o in await self.rows(node, Outlet) if o.audience):
                return False
            for inlet, peer in self.federation.inlets(node):
                read = {source.topic: source.offset for source in await self.rows(node, Source)}.get(inlet.topic, 0)
                if max(read, 0) < len(self.federation.brokers[peer].records(inlet.topic)):
                    return False
            if any(s.state == "ISSUED" and not s.told for s in await self.rows(node, Submission)):
                return False
        return True

    async def on_the_brink(self):
        """Whether something is due at the very next minute."""
        minute = self.federation.clock() // 60_000 + 1
        return minute in [due.minute for node in self.nodes for due in await self.rows(node, Due)]

    async def nothing_was_left(self):
        """All that is owed was decided: asked once more about everything, no node has anything new to say.

        But for what a later revision tightens, or a fork stops: that is said again only when something else is a cause.
        """
        # A hop's minute is rounded up: whoever asks within the minute before a moment is answered as at that moment.
        while await self.on_the_brink():
            self.federation.clock.apart_ms += 60_000
            await self.quiet()
        before = {node: {row.key() for row in await self.rows(node, Decided)} for node in self.federation.ids}
        for node, process in self.nodes.items():
            leaves = [row.leaf for row in await self.rows(node, Report) if row.origin != "frontier"]
            async with process.store.begin() as tx:
                await tx.put(owe(leaves, process.setting_now.audiences(), self.federation.clock(), "ASKED"))
        await self.quiet()
        for node, known in before.items():
            for row in await self.rows(node, Decided):
                reports = await self.rows(node, Report, origin=row.origin, incident=row.incident)
                [report] = [r for r in reports if r.leaf == row.leaf]
                changed = any(r.revision >= report.revision for r in reports if r.leaf != row.leaf)
                assert row.key() in known or changed, (node, row.audience, "was owed and not decided")

    # --- the law --------------------------------------------------------------------------------------------------

    async def check(self):
        for node in self.federation.ids:
            decided = sorted(await self.rows(node, Decided), key=lambda row: (row.audience, row.seq))
            for row in decided:
                await self.check_one(node, row, decided)
            await self.check_corrections(node, decided)
            for audience in ROUTES[node]:
                state, notes, _ = self.federation.look(node, audience)
                rows = [row for row in decided if row.audience == audience]
                assert (state.open, notes) == ([], []), "a stream is complete"
                assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
                assert state.position.seq == len(rows)

    async def check_one(self, node, row, decided):
        body = parse_body(row.body, N)
        reports = await self.rows(node, Report, origin=row.origin, incident=row.incident)
        [report] = [r for r in reports if r.leaf == row.leaf]
        [along] = [c for c in await self.rows(node, Copy, leaf=row.leaf) if c.chain == row.chain]
        hops = [parse_body(hop.body, N) for hop in parse_envelope(along.framed).hops]
        known = [r for r in reports if r.accepted_ms < row.decided_ms]
        before = [d for d in decided if d.audience == row.audience and d.seq < row.seq]
        told = any((d.origin, d.incident) == (row.origin, row.incident) for d in before)
        correction = report.stage == Stage.RETRACTION and not body.mask_out
        assert not correction or told, "an empty mask is for those who were told"
        assert body.mask_out or correction, "an empty mask is a correction's alone"
        # Retraction, and a fork: nothing of it goes out any more but the correction.
        stopped = any(
            r.leaf != row.leaf and (r.stage == Stage.RETRACTION or r.revision == report.revision) for r in known
        )
        assert correction or not stopped, (node, row.audience, "after a retraction or a fork")
        # The newest word binds the older ones.
        newest = max((r.revision for r in known), default=report.revision)
        strictest = [Tlp(r.tlp) for r in known if r.revision == newest]
        assert body.tlp >= max([Tlp(report.tlp), *(hop.tlp for hop in hops), *strictest])
        assert correction or allowed(body.tlp, body.kind, len(hops), empty_retraction=False)
        # The policy in force then, and whom it names.
        policy = self.policies[node, body.policy.version]
        assert body.policy.sha256 == policy.sha256
        named = policy.audiences.get(row.audience)
        assert correction or named is not None
        assert correction or not report.exercise or named.accepts_exercises
        # Never back, never around.
        assert row.audience != node
        assert row.audience not in [hop.releaser for hop in hops]
        # Slots shrink along the chain; what an embargo or a hold keeps waits for it.
        assert body.mask_out & ~mask_bits(along.mask, N) == 0
        if node == "gb" and body.policy.version > 1:
            issued = -(-report.accepted_ms // 60_000)
            assert not body.mask_out & TECHNICAL or body.minute >= issued + 1_440
            await self.check_hold(policy, row, body, along)
        await self.check_new(node, row, body, hops, before)

    async def check_hold(self, policy, row, body, along):
        held = any(rule.id == "critical" for rule in policy.rules)
        shown = parse_envelope(along.framed).disclosed
        critical = SCHEMA.decode_slot(SCHEMA.index("critical_function"), shown[SCHEMA.index("critical_function")])
        if held and critical is not False and body.mask_out & NARRATIVE:
            answers = await self.rows("gb", Hold, leaf=row.leaf, audience=row.audience, policy_version=policy.version)
            assert [a for a in answers if a.state == "APPROVED" and a.answered_ms <= row.decided_ms], "held"

    async def check_new(self, node, row, body, hops, before):
        """No identical decision twice, limits taken as they bind from then on."""
        for other in before:
            if other.leaf == row.leaf:
                same = parse_body(other.body, N)
                copies = await self.rows(node, Copy, leaf=row.leaf, chain=other.chain)
                chain = [parse_body(hop.body, N) for hop in parse_envelope(copies[0].framed).hops]
                one, two = binding([*hops, body], body.minute), binding([*chain, same], body.minute)
                assert (same.mask_out, same.tlp, two) != (body.mask_out, body.tlp, one), "decided twice"

    async def check_corrections(self, node, decided):
        for retraction in await self.rows(node, Report, stage=Stage.RETRACTION.value):
            about = [d for d in decided if (d.origin, d.incident) == (retraction.origin, retraction.incident)]
            told = {d.audience for d in about}
            corrected = {d.audience for d in about if d.leaf == retraction.leaf}
            assert told <= corrected, (node, told - corrected, "whoever was told is corrected")


def binding(hops, minute):
    """(kind, slot) → until, as far as it still binds."""
    until = {}
    for hop in hops:
        for limit in hop.limits:
            for slot in range(N):
                if limit.slots >> slot & 1 and limit.until > minute:
                    until[limit.kind, slot] = max(until.get((limit.kind, slot), 0), limit.until)
    return until


NAMES = ["submit", "own", "own", "revise", "revise", "retract", "fork", "answer", "policy", "policy"]
NAMES += ["distrust", "wait", "wait", "die", "die", "kill"]
EVENTS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 419)), min_size=3, max_size=16)


@LAW
@given(events=EVENTS)
def test_whatever_happens_in_whatever_order_no_rule_is_broken(events):
    """Retraction, fork, correction, drills, TLP, hold, embargo, never back, never twice, complete streams."""

    async def run():
        story = Story()
        await story.quiet()
        for name, draw in [("own", 1), *events]:
            await story.event(name, draw)
        for process in story.nodes.values():
            process.faults.restart()
        await story.nothing_was_left()
        await story.check()
        for process in story.nodes.values():
            await process.kill()

    warped(run())
