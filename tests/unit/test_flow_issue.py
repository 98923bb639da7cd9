"""What a rule may issue without an officer, and what nobody may: drills mixed with what happened, one lab in another's way."""

from __future__ import annotations

import pytest
from tests.crash.world import SCHEMA, SIGNER, World, rows, sign, signed_hop, submission

from tocsin.errors import InputError
from tocsin.flow import issue
from tocsin.flow.issue import Rule, Wanted
from tocsin.flow.ports import Outbound
from tocsin.flow.rows import Copy, Report, Submission
from tocsin.report.vocabulary import complete, encode_slots
from tocsin.wire.envelope import Draft, frame_envelope, sign_draft, with_hop
from tocsin.wire.header import Header, Stage, Tlp, encode_header
from tocsin.wire.hop import EMPTY, AudienceKind, HopBody
from tocsin.wire.keys import KeyUse

RULES = {"frontier": Rule(max_severity=3, tlp=Tlp.CLEAR)}
MILD = {"title": "mild", "severity": 2, "severity_assessed_by": "frontier"}
GRAVE = {"title": "grave", "severity": 6, "severity_assessed_by": "frontier"}


def of_lab(world, *, stage=Stage.INITIAL, exercise=False):
    """A submission with another stage than INITIAL, or a drill."""
    slots = encode_slots(complete(MILD, SCHEMA), SCHEMA)
    later = stage is not Stage.INITIAL
    header = Header(
        origin="frontier",
        key_id=SIGNER["frontier"].key_id(KeyUse.EVENT),
        incident=world.entropy(16),
        revision=int(later),
        stage=stage,
        prev=world.entropy(32) if later else bytes(32),
        created_day=world.clock() // 86_400_000,
        schema=SCHEMA.id,
        schema_sha256=SCHEMA.sha256,
        tlp=Tlp.CLEAR,
        exercise=exercise,
    )
    draft = Draft(encode_header(header), slots, tuple(world.entropy(16) for _ in slots))
    envelope = sign_draft(draft, sign("frontier", KeyUse.EVENT, draft.entry))
    body = HopBody(
        releaser="frontier",
        prev=draft.leaf,
        mask_out=(1 << len(slots)) - 1,
        tlp=Tlp.CLEAR,
        kind=AudienceKind.MEMBER,
        audience="gb",
        limits=(),
        policy=EMPTY,
        reasons=(),
        minute=-(-world.clock() // 60_000),
    )
    return frame_envelope(with_hop(envelope, signed_hop(body, len(slots))))


async def received(*framed, world=None):
    world = world or World(nodes=("gb",))
    world.batch = 200
    for one in framed:
        world.nodes["gb"].broker.append(Outbound("tocsin.gb.in.frontier", b"", one, ()))
    await world.settle()
    return world, world.nodes["gb"]


@pytest.mark.parametrize("stage", [Stage.UPDATE, Stage.FINAL, Stage.RETRACTION])
async def test_a_rule_issues_no_later_stage(stage):
    """A lab's update or retraction, issued as a new report, would tell of a second incident: it waits for an officer."""
    world = World(nodes=("gb",))
    _, gb = await received(of_lab(world, stage=stage), world=world)
    assert len(await rows(gb, Submission, state="NEW")) == 1
    assert await gb.issue.by_rule(RULES) == []


@pytest.mark.parametrize(("items", "issued"), [(issue.MOST_ITEMS, 1), (issue.MOST_ITEMS + 1, 0)])
async def test_a_submission_with_uncommonly_long_lists_waits_for_an_officer(items, issued):
    """A lab decides how long they are, and checking 60,000 items would stop the node for seconds."""
    world = World(nodes=("gb",))
    half = items // 2
    lists = {"developer": [f"d{i}" for i in range(half)], "deployer": [f"d{i}" for i in range(items - half)]}
    _, gb = await received(submission({**MILD, **lists}, world.clock(), world.entropy), world=world)
    assert len(await gb.issue.by_rule(RULES)) == issued
    assert len(await rows(gb, Submission, state="NEW")) == 1 - issued


async def test_a_drill_that_a_rule_issues_stays_a_drill():
    """The national report of a drill says that it is one."""
    world = World(nodes=("gb",))
    _, gb = await received(of_lab(world, exercise=True), world=world)
    [leaf] = await gb.issue.by_rule(RULES)
    [report] = await rows(gb, Report, leaf=leaf)
    assert report.exercise


async def test_what_a_rule_issues_is_no_wider_than_what_it_rests_on():
    """The rule says CLEAR, the lab says AMBER."""
    world = World(nodes=("gb",))
    _, gb = await received(submission(MILD, world.clock(), world.entropy, tlp=Tlp.AMBER), world=world)
    [leaf] = await gb.issue.by_rule(RULES)
    [report] = await rows(gb, Report, leaf=leaf)
    assert report.tlp == Tlp.AMBER


async def test_an_update_is_no_wider_than_what_its_incident_rests_on_without_a_basis():
    """Naming no source anew does not make what the lab said RED anybody's."""
    world = World(nodes=("gb",))
    _, gb = await received(submission(MILD, world.clock(), world.entropy, tlp=Tlp.RED), world=world)
    [source] = await rows(gb, Submission)

    async def issued(tlp, follows=None, basis=""):
        stage = Stage.UPDATE if follows else Stage.INITIAL
        sources = () if follows else (source.leaf,)
        return await gb.issue.issue(Wanted(MILD, tlp, stage, sources=sources, follows=follows, basis=basis), SCHEMA)

    first = await issued(Tlp.RED)
    with pytest.raises(InputError, match="wider than a source's RED"):
        await issued(Tlp.AMBER, first)
    second = await issued(Tlp.AMBER, first, "act 7")
    assert [row.basis for row in await rows(gb, Submission)] == ["act 7"]
    third = await issued(Tlp.AMBER, second)
    with pytest.raises(InputError, match="wider than a source's RED"):
        await issued(Tlp.CLEAR, third)
    await issued(Tlp.CLEAR, third, "act 8")
    assert [row.basis for row in await rows(gb, Submission)] == ["act 8"]


async def test_a_submission_is_issued_once_unless_its_report_was_retracted():
    """Two officers, or one whose terminal failed after the report was stored, must not make two incidents of one."""
    world = World(nodes=("gb",))
    _, gb = await received(submission(MILD, world.clock(), world.entropy), world=world)
    [source] = await rows(gb, Submission)

    async def issued(stage=Stage.INITIAL, follows=None):
        values = {"title": "withdrawn"} if stage is Stage.RETRACTION else MILD
        sources = () if stage is Stage.RETRACTION else (source.leaf,)
        return await gb.issue.issue(Wanted(values, Tlp.CLEAR, stage, sources=sources, follows=follows), SCHEMA)

    first = await issued()
    with pytest.raises(InputError, match="issued already") as caught:
        await issued()
    assert first.hex()[:16] in caught.value.remedy
    update = await issued(Stage.UPDATE, first)
    other = await gb.issue.issue(Wanted(MILD, Tlp.CLEAR), SCHEMA)
    with pytest.raises(InputError, match="issued already"):
        await issued(Stage.UPDATE, other)
    await issued(Stage.RETRACTION, update)
    again = await issued()
    assert [row.report for row in await rows(gb, Submission)] == [again]


@pytest.mark.parametrize("exercise", [True, False])
async def test_a_drill_and_a_real_report_never_mix(exercise):
    """Neither as its source nor as the revision before."""
    world = World(nodes=("gb",))
    _, gb = await received(of_lab(world, exercise=exercise), world=world)
    [source] = await rows(gb, Submission)
    values = {**MILD, "severity_assessed_by": "gb"}
    with pytest.raises(InputError, match="drill"):
        await gb.issue.issue(Wanted(values, Tlp.CLEAR, sources=(source.leaf,), exercise=not exercise), SCHEMA)
    first = await gb.issue.issue(Wanted(values, Tlp.CLEAR, sources=(source.leaf,), exercise=exercise), SCHEMA)
    wanted = Wanted(values, Tlp.CLEAR, Stage.UPDATE, follows=first, exercise=not exercise)
    with pytest.raises(InputError, match="drill"):
        await gb.issue.issue(wanted, SCHEMA)
    assert len([r for r in await rows(gb, Report) if r.origin == "gb"]) == 1


async def test_however_many_wait_for_an_officer_a_rule_finds_the_next(monkeypatch):
    """A lab that floods the inbox with what no rule lets out hides nothing that one does."""
    monkeypatch.setattr(issue, "BATCH", 8)
    world = World(nodes=("gb",))
    flood = [submission(GRAVE, world.clock(), world.entropy) for _ in range(50)]
    _, gb = await received(*flood, submission(MILD, world.clock(), world.entropy), world=world)
    issued = []
    for _ in range(10):
        issued += await gb.issue.by_rule(RULES)
    assert len(issued) == 1
    left = gb.issue._left["frontier"]
    assert len(left.leaves) <= 50
    await received(submission(MILD, world.clock(), world.entropy), world=world)
    assert len(await gb.issue.by_rule(RULES)) == 1
    # And where the clock was set back, what comes then is found all the same.
    world.clock.ms -= 3_600_000
    await received(submission(MILD, world.clock(), world.entropy), world=world)
    found = []
    for _ in range(10):
        found += await gb.issue.by_rule(RULES)
    assert len(found) == 1
    assert len(await rows(gb, Submission, state="NEW")) == 50


async def test_one_labs_flood_does_not_hold_up_another_labs_report(monkeypatch):
    """Each lab's inbox is read by itself, so that the second lab is served in the same round."""
    monkeypatch.setattr(issue, "BATCH", 4)
    world = World(nodes=("gb",))
    flood = [submission(GRAVE, world.clock(), world.entropy) for _ in range(30)]
    _, gb = await received(*flood, submission(MILD, world.clock(), world.entropy), world=world)
    mild = [copy for copy in await rows(gb, Copy) if b"mild" in copy.framed]
    async with gb.store.begin() as tx:
        [row] = (await tx.get(Submission, [(mild[0].leaf,)])).values()
        await tx.put([Submission(row.leaf, "zeta", row.record, "NEW", row.received_ms, b"", told=False, basis="")])
    issued = await gb.issue.by_rule({**RULES, "zeta": RULES["frontier"]})
    assert len(issued) == 1
