"""What a batch of records may never do: skip what the store has not, carry what its topic must not, or grow for ever."""

from __future__ import annotations

import dataclasses

import pytest
from tests.crash.world import SCHEMA, SIGNER, World, rows, signed_hop, trust_document, wanted
from tests.unit.clients import copies_that_disagree, envelopes, signed_anew

from tocsin.flow import topics
from tocsin.flow.leases import claim_source
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import What
from tocsin.flow.ports import Conflict, LeaseLost, Outbound, Record
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rejects import HEADER_KEPT, HEADERS_KEPT
from tocsin.flow.rows import Copy, NoteRow, Quarantined, Report, ShownHead, Source, Spoken, Submission
from tocsin.flow.setting import Caps
from tocsin.flow.tell import sealed_statement
from tocsin.trust import load_trust
from tocsin.wire.envelope import frame_envelope, parse_envelope, with_hop, withhold
from tocsin.wire.header import Tlp
from tocsin.wire.hop import EMPTY, AudienceKind, Code, HopBody, WhyNot, parse_body
from tocsin.wire.reasons import Note, Reason
from tocsin.wire.statement import Descriptor, StreamHead

VALUES = {"title": "a title", "severity": 4, "severity_assessed_by": "gb"}
FROM_GB = Inlet("tocsin.gb.out.jp", InletKind.STREAM, "gb")
INBOX = Inlet("tocsin.gb.in.frontier", InletKind.SUBMISSIONS, "frontier")


async def issued(world, reports=1):
    """gb has issued and released so many reports; jp has read them."""
    gb = world.nodes["gb"]
    for _ in range(reports):
        world.submit(title="from the lab")
    await world.settle()
    for submitted in await gb.inbox():
        await gb.issue.issue(wanted(submitted.leaf, **VALUES), SCHEMA)
    await world.settle()
    return [row for row in await rows(gb, Report) if row.origin == "gb"]


async def test_a_store_that_fell_behind_its_reader_is_read_again_and_nothing_is_skipped():
    """A replica that lost the last place must not let the reader go on after it: what lies between would be lost."""
    world = World(nodes=("gb", "jp"))
    await issued(world, 1)
    jp = world.nodes["jp"]
    older = jp.disk.copy()
    await issued(world, 1)
    jp.disk.rows = older.rows
    gb_stream = world.nodes["gb"].broker.records(FROM_GB.topic)
    with pytest.raises(StoreBehind):
        await jp.receive.take(FROM_GB, gb_stream[-1:])
    assert len(await rows(jp, Report)) == 1
    await world.settle()
    assert len(await rows(jp, Report)) == 2


async def test_a_lost_range_goes_on_with_a_note():
    """Retention overtook the reader: the place moves, and a note says from where to where."""
    world = World()
    jp = world.nodes["jp"]
    await claim_source(jp.store, FROM_GB.topic, "jp-1", world.clock())
    await jp.receive.lost(FROM_GB, 40, world.clock())
    [source] = await rows(jp, Source, topic=FROM_GB.topic)
    [note] = await rows(jp, NoteRow, topic=FROM_GB.topic)
    assert (source.offset, note.note, note.subject) == (40, Note.GAP, "lost up to 40")


async def test_only_the_holder_moves_a_source():
    """Another process that took the lease over keeps it; the first one writes nothing more."""
    world = World(nodes=("gb", "jp"))
    await issued(world, 1)
    jp, stream = world.nodes["jp"], world.nodes["gb"].broker.records(FROM_GB.topic)
    async with jp.store.begin() as tx:
        [source] = await tx.find(Source, {"topic": FROM_GB.topic})
        await tx.put([dataclasses.replace(source, holder="jp-2")])
    later = Record(FROM_GB.topic, source.offset, b"", b"nonsense", (), 0)
    with pytest.raises(LeaseLost):
        await jp.receive.take(FROM_GB, [*stream, later])
    with pytest.raises(LeaseLost):
        await jp.receive.lost(FROM_GB, 99, world.clock())
    assert await rows(jp, Quarantined) == []


def relayed_by_lab(envelope, now_ms):
    """The envelope with one more hop, by the lab's own key, to gb; with all that the limits let pass, which is nothing."""
    body = HopBody(
        releaser="frontier",
        prev=envelope.hops[-1].hash,
        mask_out=0,
        tlp=Tlp.CLEAR,
        kind=AudienceKind.MEMBER,
        audience="gb",
        limits=(),
        policy=EMPTY,
        reasons=(WhyNot(envelope.mask, Code.WITHHELD, 0, ""),),
        minute=-(-now_ms // 60_000),
    )
    return with_hop(withhold(envelope, 0), signed_hop(body, envelope.n))


async def test_a_lab_cannot_submit_what_others_made_public():
    """A public report with a lab's hop behind it verifies, but it is no submission, and no rule may issue it."""
    world = World()
    await issued(world, 1)
    [public] = envelopes(world.nodes["jp"].broker, "tocsin.jp.out.public")
    framed = frame_envelope(relayed_by_lab(parse_envelope(public.value), world.clock()))
    gb = world.nodes["gb"]
    before = len(await rows(gb, Submission))
    gb.broker.append(Outbound(INBOX.topic, b"", framed, ()))
    await world.settle()
    assert [o.reason for o in gb.outcomes if o.topic == INBOX.topic][1:] == [Reason.STREAM_SOURCE]
    assert len(await rows(gb, Submission)) == before


async def test_an_info_topic_brings_no_reports():
    """An envelope in a peer's info topic would be held without being owed to anybody."""
    world = World(nodes=("gb", "jp"))
    await issued(world, 1)
    jp = world.nodes["jp"]
    [stream] = envelopes(world.nodes["gb"].broker, FROM_GB.topic)
    info = Inlet(topics.info("gb"), InletKind.INFO, "gb")
    await claim_source(jp.store, info.topic, "jp-1", world.clock())
    [outcome] = await jp.receive.take(info, [Record(info.topic, 0, b"", stream.value, (), 0)])
    assert outcome.reason is Reason.STREAM_SOURCE


async def test_rungs_of_two_copies_that_disagree_are_noted_and_both_copies_are_held():
    world = World(nodes=("gb", "jp"))
    gb, jp = world.nodes["gb"], world.nodes["jp"]
    await issued(world)
    copies = list(copies_that_disagree(envelopes(gb.broker, FROM_GB.topic)[0].value))
    for framed in copies:
        gb.broker.append(Outbound(FROM_GB.topic, b"", framed, ()))
    await world.settle()
    leaf = parse_envelope(copies[0]).leaf
    assert [note.subject for note in await rows(jp, NoteRow, note=Note.LADDER_MISMATCH)] == [leaf.hex()]
    assert len(await rows(jp, Copy, leaf=leaf)) == 2


async def test_of_descriptors_only_the_latest_is_kept():
    """A peer that describes itself every six hours for years leaves one row, in whatever order they arrive."""
    world = World(nodes=("gb", "jp"))
    gb, jp = world.nodes["gb"], world.nodes["jp"]
    info = Inlet(topics.info("gb"), InletKind.INFO, "gb")
    await claim_source(jp.store, info.topic, "jp-1", world.clock())
    said = []
    for age in (3, 1, 2):
        body = Descriptor("gb", "GB", "tocsin", 1, (), (), world.clock() - age)
        said.append(await sealed_statement(gb.tell._signer, body))
    records = [Record(info.topic, at, b"", value, (), 0) for at, value in enumerate(said)]
    outcomes = await jp.receive.take(info, records)
    assert [o.what for o in outcomes] == [What.STATEMENT] * 3
    [kept] = await rows(jp, Spoken)
    assert kept.framed == said[1]


async def test_the_head_that_arrived_first_stays_the_first():
    """Within its millisecond too, and when another one arrives again after the clock was set back."""
    world = World(nodes=("gb", "jp"))
    gb, jp = world.nodes["gb"], world.nodes["jp"]
    await claim_source(jp.store, FROM_GB.topic, "jp-1", world.clock())
    heads = [bytes([digit]) * 32 for digit in (2, 1, 1, 2)]
    said = [await sealed_statement(gb.tell._signer, StreamHead("gb", "jp", 5, 3, h, world.clock())) for h in heads]
    records = [Record(FROM_GB.topic, at, b"", value, (), 0) for at, value in enumerate(said)]
    outcomes = await jp.receive.take(FROM_GB, records[:2])
    world.clock.ms -= 10_000
    outcomes += await jp.receive.take(FROM_GB, records[2:])
    assert [Note.FORK in o.notes for o in outcomes] == [False, True, True, False]
    assert [h.head for h in sorted(await rows(jp, ShownHead), key=lambda h: h.shown_ms)] == heads[:2]


async def test_what_is_kept_of_a_rejected_record_is_bounded():
    """Headers and key are the writer's choice: a flood of them must not fill the store beyond the cap of values."""
    world = World()
    gb = world.nodes["gb"]
    await claim_source(gb.store, INBOX.topic, "gb-1", world.clock())
    headers = tuple((f"h{i}" * 500, bytes(100_000)) for i in range(40))
    await gb.receive.take(INBOX, [Record(INBOX.topic, 0, bytes(100_000), b"x", headers, 0)])
    [row] = await rows(gb, Quarantined)
    assert len(row.headers) < HEADERS_KEPT * (3 * HEADER_KEPT + 16)
    assert len(row.record_key) == HEADER_KEPT


async def test_a_batch_that_was_judged_under_an_old_setting_is_judged_again():
    """Policies change while a batch is verified: whoever owes all reports anew must not miss those of the batch."""
    world = World(nodes=("gb", "jp"))
    await issued(world, 1)
    jp, stream = world.nodes["jp"], world.nodes["gb"].broker.records(FROM_GB.topic)
    real = jp.receive._judged

    def judged(setting, *rest):
        jp.moved()
        return real(setting, *rest)

    jp.receive._judged = judged
    later = [dataclasses.replace(record, offset=record.offset + 100) for record in stream]
    with pytest.raises(Conflict):
        await jp.receive.take(FROM_GB, later)


async def test_a_statement_out_of_place_is_rejected_there():
    """Heads stand in streams, a peer's own descriptor and policies in its info topic; all are validly signed here."""
    world = World(nodes=("gb", "jp"))
    gb, jp = world.nodes["gb"], world.nodes["jp"]
    now = world.clock()
    head = StreamHead("gb", "jp", now // 1000, 1, bytes(32), now)
    of_gb, of_jp = (Descriptor(node, node.upper(), "tocsin", 1, (), (), now) for node in ("gb", "jp"))
    info = Inlet("tocsin.gb.info", InletKind.INFO, "gb")
    wrong = [(INBOX, head), (INBOX, of_gb), (FROM_GB, of_gb), (info, head), (info, of_jp)]
    for inlet, body in [*wrong, (FROM_GB, head), (info, of_gb)]:
        node = gb if inlet is INBOX else jp
        record = Record(
            inlet.topic, 0, b"", await sealed_statement(SIGNER["jp" if body is of_jp else "gb"], body), (), 0
        )
        verdict = node.receive.judge(node.setting(), inlet, record, now)
        expected = Reason.STATEMENT_PLACE if (inlet, body) in wrong else None
        assert getattr(verdict, "reason", None) == expected, (inlet.kind, body)


async def test_a_revoked_event_key_is_no_ground_against_a_leaf_that_is_held():
    """A second copy of it merges; a leaf that arrives only now is rejected (protocol section 6, step 6)."""
    world = World(nodes=("gb", "jp"))
    await issued(world, 1)
    jp, first = world.nodes["jp"], envelopes(world.nodes["gb"].broker, FROM_GB.topic)[0].value
    slim = signed_anew(first)  # the same values under other salts: another leaf, which jp has not
    jp.trust = load_trust(trust_document(gb_event={"revoked_at_ms": 1}))
    jp.moved()
    copies = [
        Record(FROM_GB.topic, 100 + i, b"", framed, (), 0) for i, framed in enumerate([another_copy(first), slim])
    ]
    outcomes = await jp.receive.take(FROM_GB, copies)
    assert [(o.what, o.reason) for o in outcomes] == [(What.MERGED, None), (What.REJECTED, Reason.KEY_REVOKED)]


async def test_of_one_leaf_a_source_may_bring_so_many_chains_and_no_more():
    world = World(nodes=("gb", "jp"))
    await issued(world, 1)
    jp, first = world.nodes["jp"], envelopes(world.nodes["gb"].broker, FROM_GB.topic)[0].value
    jp._setting = dataclasses.replace(jp.setting(), caps=Caps(chains_per_leaf=3))
    records = [Record(FROM_GB.topic, 100 + i, b"", another_copy(first, i + 1), (), 0) for i in range(3)]
    outcomes = await jp.receive.take(FROM_GB, records)
    assert [o.what for o in outcomes] == [What.MERGED, What.MERGED, What.DUPLICATE]
    assert [Note.CHAINS_CAPPED in o.notes for o in outcomes] == [False, False, True]
    assert len(await rows(jp, Copy)) == 3


def another_copy(framed, later=1):
    """The same report by another first hop, so many minutes later."""
    old = parse_envelope(framed)
    body = parse_body(old.hops[0].body, old.n)
    hop = signed_hop(dataclasses.replace(body, minute=body.minute + later), old.n)
    return frame_envelope(dataclasses.replace(old, hops=(hop,)))
