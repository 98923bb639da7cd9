"""What binds a release beside the policy: forks, newer revisions, retractions, and what was said before."""

from __future__ import annotations

import itertools

import pytest
from tests.crash.test_flow import story
from tests.crash.world import SCHEMA, SCHEMAS, World, policy_of, signed_hop, trust_document
from tests.unit.clients import OUT, envelopes, signed_anew

from tocsin.flow import opened, topics
from tocsin.flow.issue import Wanted
from tocsin.flow.leases import claim_source
from tocsin.flow.owed import owe
from tocsin.flow.ports import Outbound, Record
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rows import Report
from tocsin.flow.setting import Setting
from tocsin.policy.language import parse_policy
from tocsin.trust import load_trust
from tocsin.wire.envelope import frame_envelope, parse_envelope, with_hop
from tocsin.wire.header import Stage, Tlp, parse_header
from tocsin.wire.hop import AudienceKind, HopBody, PolicyRef, parse_body

INCIDENT = {"incident": b"\5" * 16}


async def federation():
    """gb and jp, and the first report that jp has from gb."""
    world = World(nodes=("gb", "jp"))
    await story(world, reports=1)
    return world, envelopes(world.nodes["gb"].broker)[0].value


async def to_jp(world, *framed):
    for value in framed:
        world.nodes["gb"].broker.append(Outbound(OUT, b"", value, ()))
    await world.settle()


async def asked_again(world, node):
    """As after a change of policies or trust."""
    world.nodes[node].moved()
    async with world.nodes[node].store.begin() as tx:
        leaves = [report.leaf for report in await tx.find(Report, {}) if report.origin == "gb"]
        await tx.put(owe(leaves, world.nodes[node].setting().audiences(), world.clock(), "POLICY"))
    await world.settle()


def leaf(framed):
    return parse_envelope(framed).leaf


def said(world, node, audience, of):
    """The last hops under which that report went to that audience, in order."""
    records = envelopes(world.nodes[node].broker, topics.stream(node, audience))
    found = [parse_envelope(record.value) for record in records]
    return [parse_body(envelope.hops[-1].body, envelope.n) for envelope in found if envelope.leaf == leaf(of)]


async def test_of_two_leaves_for_one_revision_neither_goes_on():
    world, first = await federation()
    one = signed_anew(first, **INCIDENT)
    other = signed_anew(first, **INCIDENT, created_day=parse_header(parse_envelope(first).header).created_day - 1)
    sound = signed_anew(first, incident=b"\6" * 16)
    await to_jp(world, one, other, sound)
    assert [len(said(world, "jp", "public", framed)) for framed in (one, other, sound)] == [0, 0, 1]


@pytest.mark.parametrize("newer", [[Tlp.CLEAR], [Tlp.CLEAR, Tlp.GREEN], [Tlp.GREEN, Tlp.CLEAR]])
async def test_the_strictest_word_of_the_newest_revision_binds_the_older_ones(newer):
    """Also where the newest is a fork, in whatever order its leaves are read. The public is told nothing that is GREEN."""
    world, first = await federation()
    older = signed_anew(first, **INCIDENT)
    day = parse_header(parse_envelope(first).header).created_day
    update = {**INCIDENT, "revision": 1, "prev": leaf(older), "stage": Stage.UPDATE}
    for earlier in itertools.count():  # a store reads reports by their leaves
        made = [signed_anew(first, **update, tlp=tlp, created_day=day - earlier) for tlp in newer]
        if made == sorted(made, key=leaf):
            break
    await to_jp(world, *made, older)
    assert len(said(world, "jp", "public", older)) == (Tlp.GREEN not in newer)


async def test_a_retraction_of_what_is_retracted_already_carries_nothing():
    world, first = await federation()
    report = signed_anew(first, **INCIDENT)
    retraction = {**INCIDENT, "stage": Stage.RETRACTION}
    one = signed_anew(first, **retraction, revision=1, prev=leaf(report))
    another = signed_anew(first, **retraction, revision=2, prev=leaf(one))
    for framed in (report, one, another):
        await to_jp(world, framed)
    masks = [[hop.mask_out != 0 for hop in said(world, "jp", "public", framed)] for framed in (report, one, another)]
    assert masks == [[True], [True], [False]]


async def test_what_was_said_is_said_again_under_a_stricter_tlp_and_then_no_more():
    world, first = await federation()
    update = Wanted(values={"title": "more"}, tlp=Tlp.GREEN, stage=Stage.UPDATE, follows=leaf(first))
    await world.nodes["gb"].issue.issue(update, SCHEMA)
    await world.settle()
    for _ in range(2):
        await asked_again(world, "gb")
        assert [hop.tlp for hop in said(world, "gb", "jp", first)] == [Tlp.CLEAR, Tlp.GREEN]


async def test_what_was_said_is_said_again_under_other_limits_and_then_no_more():
    world, first = await federation()
    gb = world.nodes["gb"]
    second = policy_of("gb").replace("version = 1", "version = 2")
    third = second.replace("version = 2", "version = 3").replace('"title", "severity", ', "")
    for text, times in ((second, 1), (third, 2), (third, 2)):
        gb.policies = (parse_policy(text, SCHEMA),)
        await asked_again(world, "gb")
        assert len(said(world, "gb", "jp", first)) == times
    before, after = said(world, "gb", "jp", first)
    assert before.mask_out == after.mask_out
    assert before.limits != after.limits


async def test_an_embargo_ends_so_long_after_the_report_was_accepted():
    """And not so long after it is asked about."""
    world = World(nodes=("gb", "jp"))
    rule = '[[rule]]\nid = "later"\nto = ["public"]\nwithhold = ["title"]\nembargo = "PT2H"\nbasis = "example"\n'
    world.nodes["jp"].policies = (parse_policy(policy_of("jp") + rule, SCHEMA),)
    await story(world, reports=1)
    first = envelopes(world.nodes["gb"].broker)[0].value
    title = 1 << SCHEMA.index("title")
    for minutes, shown in ((0, [False]), (60, [False]), (58, [False]), (5, [False, True])):
        world.clock.ms += minutes * 60_000
        await asked_again(world, "jp")
        assert [hop.mask_out & title != 0 for hop in said(world, "jp", "public", first)] == shown


async def test_what_went_out_along_a_chain_that_is_broken_since_counts_as_not_said():
    """jp told the public what came by way of ke, and later had it from gb itself; then ke's key is revoked."""
    world, to_jp_first = await federation()
    jp, inlet = world.nodes["jp"], Inlet("tocsin.ke.out.jp", InletKind.STREAM, "ke")
    to_ke_first = envelopes(world.nodes["gb"].broker, topics.stream("gb", "ke"))[0].value
    by_ke, by_gb = relayed_by_ke(signed_anew(to_ke_first, **INCIDENT)), signed_anew(to_jp_first, **INCIDENT)
    await claim_source(jp.store, inlet.topic, "jp-1", world.clock())
    await jp.receive.take(inlet, [Record(inlet.topic, 0, b"", by_ke, (), world.clock())])
    await to_jp(world, by_gb)
    chains = [parse_envelope(framed).hops[-1].hash for framed in (by_ke, by_gb)]
    assert [hop.prev for hop in said(world, "jp", "public", by_gb)] == chains[:1]
    jp.trust = load_trust(trust_document(ke_relay={"revoked_at_ms": 1}))
    for _ in range(2):
        await asked_again(world, "jp")
        assert [hop.prev for hop in said(world, "jp", "public", by_gb)] == chains


def relayed_by_ke(framed):
    """The same content, as ke passes it on to jp without a limit of its own."""
    old = parse_envelope(framed)
    minute, policy = parse_body(old.hops[0].body, old.n).minute, PolicyRef("ke", 1, bytes(32))
    body = HopBody("ke", old.hops[0].hash, old.mask, Tlp.CLEAR, AudienceKind.MEMBER, "jp", (), policy, (), minute)
    return frame_envelope(with_hop(old, signed_hop(body, old.n)))


def test_the_highest_version_in_force_serves_and_before_any_is_the_first_that_will():
    def policy(version, effective_from):
        text = policy_of("jp").replace("version = 1", f"version = {version}")
        return parse_policy(text.replace("2026-01-01", effective_from), SCHEMA)

    policies = policy(2, "2026-03-01"), policy(1, "2026-02-01"), policy(3, "2026-04-01")
    setting = Setting("jp", load_trust(trust_document()), SCHEMAS, policies)
    minutes = {p.version: p.effective_minute for p in policies}
    asked = [minutes[1] - 1, minutes[1], minutes[2] - 1, minutes[2], minutes[3]]
    assert [setting.policy_for(SCHEMA.id, minute).version for minute in asked] == [1, 1, 1, 2, 3]
    assert setting.policy_for("incident/2.0", minutes[3]) is None


async def test_what_is_kept_at_hand_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch):
    """Reports have up to 256 KiB each. What is forgotten is verified again."""
    world, first = await federation()
    reports = [signed_anew(first, incident=bytes([n]) * 16) for n in range(1, 5)]
    monkeypatch.setattr(opened, "KEPT_BYTES", 3 * len(reports[0]))
    await to_jp(world, *reports)
    jp = world.nodes["jp"]
    kept = jp.opened._kept.values()
    assert [verified.leaf for verified in kept] == [leaf(framed) for framed in reports[1:]]
    assert jp.opened._bytes == sum(len(verified.framed) for verified in kept)
    assert [len(said(world, "jp", "public", framed)) for framed in reports] == [1, 1, 1, 1]
