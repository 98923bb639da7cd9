"""Receiving is total: whatever a batch holds, all of it is held, a repeat, taken or in quarantine, and the good goes on.

Real records of a real story are cut, spliced, flipped, filled with nonsense that real keys sign, mixed with whole ones
and given to the whole receive step over a store; then to quarantine, which tries every reject again.

Longer than 400 lines: the ways to spoil a record and the one law that they are held against belong on one page.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.crash.test_flow import story
from tests.crash.world import PARTIES, SCHEMA, SCHEMAS, SIGNER, START_MS, World, seeded, sign, trust_document

from tocsin.flow import topics
from tocsin.flow.issue import Wanted
from tocsin.flow.leases import claim_source
from tocsin.flow.opened import Opened
from tocsin.flow.outcome import What
from tocsin.flow.ports import Record
from tocsin.flow.quarantine import Quarantine
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.rows import Copy, Outgoing, Quarantined, Report, Source, Submission
from tocsin.flow.setting import Setting
from tocsin.memory import MemorySigner, MemoryStore
from tocsin.trust import load_trust
from tocsin.wire import records
from tocsin.wire.avro import Codec, frame
from tocsin.wire.envelope import Draft, frame_envelope, parse_envelope, sign_draft, with_hop
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import HOP_TYPE, Hop
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.reasons import Reason
from tocsin.wire.statement import (
    Descriptor,
    PolicyText,
    Receipt,
    StreamHead,
    encode_statement,
    frame_statement,
    is_statement,
)

CAMPAIGN = os.environ.get("TOCSIN_CAMPAIGN") == "1"
LAW = settings(deadline=None, max_examples=1_000 if CAMPAIGN else 25)
NOW_MS = START_MS + 3_600_000
ENVELOPE, STATEMENT = Codec(records.ENVELOPE), Codec(records.STATEMENT)
HOP_BODY, HEADER = Codec(records.HOP_BODY), Codec(records.HEADER)
TRUST = load_trust(trust_document())


@dataclass(frozen=True)
class Place:
    """A topic, the node that reads it, and what honest parties wrote there."""

    inlet: Inlet
    node: str
    good: tuple[Record, ...]


async def places():
    """Two revisions of one report and two others, as gb's reader, jp's public and gb's inbox got them, and gb's info."""
    world = World()
    await story(world, reports=3)
    gb = world.nodes["gb"]
    [first, *_] = [r for r in gb.disk.rows[Report].values() if r.origin == "gb"]
    values = {"title": "more of it", "severity": 5, "severity_assessed_by": "gb"}
    await gb.issue.issue(Wanted(values, Tlp.CLEAR, Stage.UPDATE, follows=first.leaf), SCHEMA)
    await gb.tell.speak("GB", "tocsin")
    await world.settle()
    found = []
    for writer, node, kind, topic in (
        ("gb", "jp", InletKind.STREAM, topics.stream("gb", "jp")),
        ("jp", "public", InletKind.STREAM, topics.stream("jp", "public")),
        ("frontier", "gb", InletKind.SUBMISSIONS, topics.submissions("gb", "frontier")),
        ("gb", "jp", InletKind.INFO, topics.info("gb")),
    ):
        owner = "jp" if node == "public" else "gb"
        found.append(Place(Inlet(topic, kind, writer), node, tuple(world.nodes[owner].broker.records(topic))))
    return found


PLACES = asyncio.run(places())
EVERY_VALUE = [record.value for place in PLACES for record in place.good]
ENVELOPES = [value for value in EVERY_VALUE if not is_statement(value)]
SUBMISSIONS = [record.value for record in PLACES[2].good]


def test_the_material_is_rich():
    """Every place has records, of one hop and of two, and statements of three kinds."""
    assert all(place.good for place in PLACES)
    assert {len(parse_envelope(value).hops) for value in ENVELOPES} == {1, 2}
    assert len(EVERY_VALUE) - len(ENVELOPES) >= 4


class Bench:
    """One fresh node with one source."""

    def __init__(self, place, trust=TRUST, store=None):
        self.place, self.store = place, store or MemoryStore()
        self.setting = Setting(place.node, trust, SCHEMAS)
        keys = {use: seeded(f"{place.node}/{use}") for use in (KeyUse.EVENT, KeyUse.RELAY)}
        signer = MemorySigner(keys)
        self.receive = Receive(lambda: self.setting, self.store, signer, lambda: NOW_MS, "me", Opened())

        async def refetch(inlet, offset):
            return None

        self.quarantine = Quarantine(lambda: self.setting, self.store, self.receive, lambda: NOW_MS, refetch)

    async def rows(self, kind, **where):
        async with self.store.begin() as tx:
            return await tx.find(kind, where)

    async def take(self, batches):
        """Take every batch, and hold each against the law."""
        await claim_source(self.store, self.place.inlet.topic, "me", NOW_MS)
        taken = []
        for batch in batches:
            outcomes = await self.receive.take(self.place.inlet, batch)
            assert [o.offset for o in outcomes] == [r.offset for r in batch]
            [source] = await self.rows(Source)
            assert source.offset == batch[-1].offset + 1
            taken += zip(batch, outcomes, strict=True)
        return taken


# --- what an attacker may do to bytes -----------------------------------------------------------------------------


@st.composite
def flipped(draw):
    value = bytearray(draw(st.sampled_from(EVERY_VALUE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value) * 8 - 1))
        value[at // 8] ^= 1 << at % 8
    return bytes(value)


@st.composite
def cut(draw):
    value = draw(st.sampled_from(EVERY_VALUE))
    return value[: draw(st.integers(0, len(value)))] + draw(st.binary(max_size=40))


@st.composite
def spliced(draw):
    one, other = draw(st.sampled_from(EVERY_VALUE)), draw(st.sampled_from(EVERY_VALUE))
    at, from_ = draw(st.integers(0, len(one))), draw(st.integers(0, len(other)))
    return one[:at] + other[from_:]


def fields_of(value):
    return ENVELOPE.decode(value[10:])


@st.composite
def mixed(draw):
    """Fields of two reports in one strict envelope."""
    one, other = fields_of(draw(st.sampled_from(ENVELOPES))), fields_of(draw(st.sampled_from(ENVELOPES)))
    names = draw(st.sets(st.sampled_from(sorted(one)), min_size=1, max_size=3))
    return frame(ENVELOPE.fingerprint, ENVELOPE.encode({**one, **{name: other[name] for name in names}}))


ODD_BYTES = st.one_of(st.binary(max_size=40), st.just(bytes(2_000)), st.just(b"\xff" * 64))


@st.composite
def misshapen(draw):
    """A strict envelope with a field of any length or count."""
    fields = fields_of(draw(st.sampled_from(ENVELOPES)))
    name = draw(st.sampled_from(["header", "mask", "salts", "values", "digests", "hops"]))
    if name == "values":
        fields[name] = draw(st.lists(ODD_BYTES, max_size=300))
    elif name == "hops":
        fields[name] = fields[name] * draw(st.integers(0, 5))
    else:
        fields[name] = draw(ODD_BYTES)
    return frame(ENVELOPE.fingerprint, ENVELOPE.encode(fields))


@st.composite
def counted(draw):
    """A count or length that promises what never comes."""
    huge = draw(
        st.sampled_from([b"\xff" * 9 + b"\x01", b"\xfe\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x80\x80\x40"])
    )
    value = draw(st.sampled_from(EVERY_VALUE))
    at = draw(st.integers(10, len(value) - 1))
    return value[:at] + huge + value[at + 1 :]


ODD_INT = st.one_of(st.integers(-3, 3), st.sampled_from([2**31 - 1, -(2**31), 20_000, 30_000_000]))
ODD_LONG = st.one_of(ODD_INT, st.sampled_from([2**63 - 1, -(2**63), NOW_MS, NOW_MS + 400_000, NOW_MS // 1000]))
ODD_TEXT = st.one_of(
    st.sampled_from(["gb", "jp", "public", "community-x", "", "\0", "incident/1.1"]), st.text(max_size=300)
)


@st.composite
def resigned_report(draw):
    """A header or a hop of nonsense, with every signature right: only sense can refuse it."""
    fields = fields_of(draw(st.sampled_from(ENVELOPES)))
    envelope = parse_envelope(frame(ENVELOPE.fingerprint, ENVELOPE.encode(fields)))
    releaser = HOP_BODY.decode(envelope.hops[-1].body)["releaser"]
    if draw(st.booleans()) and len(envelope.hops) == 1 and not envelope.digests:
        header = HEADER.decode(envelope.header)
        origin = header["origin"]
        odd = {
            "revision": ODD_INT,
            "created_day": ODD_INT,
            "stage": st.sampled_from([stage.value for stage in Stage]),
            "tlp": st.sampled_from([tlp.name for tlp in Tlp]),
            "exercise": st.booleans(),
            "schema": ODD_TEXT,
            "origin": ODD_TEXT,
            "prev": st.binary(min_size=32, max_size=32),
        }
        name = draw(st.sampled_from(sorted(odd)))
        header[name] = draw(odd[name])
        draft = Draft(HEADER.encode(header), envelope.values, envelope.salts)
        signed = sign_draft(draft, sign(origin, KeyUse.EVENT, draft.entry))
        fields |= {"header": signed.header, "signature": signed.signature}
        leaf = draft.leaf
    else:
        leaf = None
    body = HOP_BODY.decode(envelope.hops[-1].body)
    if leaf is not None:
        body["prev"] = leaf
    else:
        odd = {
            "tlp": st.sampled_from([tlp.name for tlp in Tlp]),
            "kind": st.sampled_from(["MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC"]),
            "audience": ODD_TEXT,
            "minute": ODD_INT,
            "mask_out": ODD_BYTES,
            "limits": st.lists(
                st.fixed_dictionaries({"kind": st.just("PUBLIC"), "slots": ODD_BYTES, "until": ODD_INT}), max_size=4
            ),
            "reasons": st.lists(
                st.fixed_dictionaries(
                    {"slots": ODD_BYTES, "code": st.just("WITHHELD"), "until": ODD_INT, "rule": ODD_TEXT}
                ),
                max_size=4,
            ),
        }
        name = draw(st.sampled_from(sorted(odd)))
        body[name] = draw(odd[name])
    raw = HOP_BODY.encode(body)
    hop = {
        "body": raw,
        "key_id": SIGNER[releaser].key_id(KeyUse.RELAY),
        "signature": sign(releaser, KeyUse.RELAY, pae(HOP_TYPE, raw)),
    }
    return frame(ENVELOPE.fingerprint, ENVELOPE.encode({**fields, "hops": [*fields["hops"][:-1], hop]}))


@st.composite
def resigned_values(draw):
    """A lab's report whose slots hold nonsense, or rungs that disagree, well signed by its own keys."""
    envelope = parse_envelope(draw(st.sampled_from(SUBMISSIONS)))
    values = list(envelope.values)
    for _ in range(draw(st.integers(1, 3))):
        slot = draw(st.integers(0, len(values) - 1))
        values[slot] = draw(st.one_of(ODD_BYTES, st.sampled_from(values), st.sampled_from([b"\x02\x08", b"\x00"])))
    draft = Draft(envelope.header, tuple(values), envelope.salts)
    signed = sign_draft(draft, sign("frontier", KeyUse.EVENT, draft.entry))
    body = {**HOP_BODY.decode(envelope.hops[0].body), "prev": draft.leaf}
    raw = HOP_BODY.encode(body)
    return frame_envelope(with_hop(signed, hop_of("frontier", raw)))


def hop_of(releaser, raw):
    return Hop(raw, SIGNER[releaser].key_id(KeyUse.RELAY), sign(releaser, KeyUse.RELAY, pae(HOP_TYPE, raw)))


@st.composite
def unsigned(draw):
    """One signature or key id of a report, or of one of its hops, is another's."""
    fields = fields_of(draw(st.sampled_from(ENVELOPES)))
    hop = fields["hops"][draw(st.integers(0, len(fields["hops"]) - 1))]
    name = draw(st.sampled_from(["signature", "key_id"]))
    if draw(st.booleans()):
        fields["signature"] = draw(st.binary(min_size=64, max_size=64))
    else:
        hop[name] = draw(st.binary(min_size=len(hop[name]), max_size=len(hop[name])))
    return frame(ENVELOPE.fingerprint, ENVELOPE.encode(fields))


DIGEST = st.binary(min_size=32, max_size=32)


@st.composite
def resigned_statement(draw):
    """A statement of any party about anything, well signed."""
    speaker = draw(st.sampled_from(sorted(PARTIES)))
    kind = draw(st.sampled_from(["head", "receipt", "policy", "descriptor"]))
    if kind == "head":
        audience = draw(st.one_of(st.sampled_from(["jp", "ke", "public"]), ODD_TEXT))
        body = StreamHead(speaker, audience, draw(ODD_LONG), draw(ODD_LONG), draw(DIGEST), draw(ODD_LONG))
    elif kind == "receipt":
        decision = draw(st.sampled_from(["ACCEPTED", "REJECTED", "ISSUED"]))
        body = Receipt(
            speaker, draw(ODD_TEXT), draw(DIGEST), draw(DIGEST), decision, draw(ODD_TEXT), None, draw(ODD_LONG)
        )
    elif kind == "policy":
        body = PolicyText(speaker, draw(ODD_TEXT), draw(ODD_INT), draw(ODD_TEXT), draw(ODD_BYTES), draw(ODD_LONG))
    else:
        policies = tuple(draw(st.lists(st.tuples(ODD_TEXT, ODD_TEXT, ODD_INT, DIGEST), max_size=5)))
        schemas = tuple(draw(st.lists(DIGEST, max_size=5)))
        body = Descriptor(speaker, draw(ODD_TEXT), draw(ODD_TEXT), draw(ODD_INT), policies, schemas, draw(ODD_LONG))
    name, raw = encode_statement(body)
    signature = sign(speaker, KeyUse.RELAY, pae(name, raw))
    return frame_statement(name, raw, SIGNER[speaker].key_id(KeyUse.RELAY), signature)


@st.composite
def misframed_statement(draw):
    """A statement whose parts do not belong together."""
    value = draw(st.sampled_from([value for value in EVERY_VALUE if is_statement(value)]))
    fields = STATEMENT.decode(value[10:])
    name = draw(st.sampled_from(["type", "body", "key_id", "signature"]))
    odd = {
        "type": ODD_TEXT,
        "body": ODD_BYTES,
        "key_id": st.binary(min_size=16, max_size=16),
        "signature": st.binary(min_size=64, max_size=64),
    }
    return frame(STATEMENT.fingerprint, STATEMENT.encode({**fields, name: draw(odd[name])}))


HEAVY = st.sampled_from([bytes(262_145), b"\xc3\x01" + bytes(400_000), ENVELOPES[0] + bytes(262_144)])
REPORTS = st.one_of(
    resigned_values(),
    unsigned(),
    flipped(),
    cut(),
    spliced(),
    mixed(),
    misshapen(),
    counted(),
    resigned_report(),
    HEAVY,
    st.just(b""),
)
STATEMENTS = st.one_of(flipped(), cut(), counted(), resigned_statement(), misframed_statement(), spliced())
HINTS = st.one_of(
    st.none(),
    st.just(b"\xff" * 16),
    st.binary(max_size=20),
    st.integers(0, 40).map(lambda seq: (START_MS // 1000).to_bytes(8, "big") + seq.to_bytes(8, "big")),
)
NAMES = st.sampled_from(["tocsin-seq", "content-type", "\udcff\udcfe", "", "\0", "ce_id"])


@st.composite
def records_of(draw, place, values):
    """A run of records: honest ones in their order, and others between them, with any key, header and offset."""
    honest = list(place.good)
    found, offset = [], 0
    for _ in range(draw(st.integers(1, 14))):
        offset += draw(st.sampled_from([1, 1, 1, 2, 50]))
        if honest and draw(st.booleans()):
            found.append((dataclasses.replace(honest.pop(0), offset=offset), True))
            continue
        hint = draw(HINTS)
        headers = [("tocsin-seq", hint)] if hint is not None else []
        headers += draw(st.lists(st.tuples(NAMES, st.binary(max_size=30)), max_size=3))
        key = draw(st.binary(max_size=300))
        record = Record(place.inlet.topic, offset, key, draw(values), tuple(headers), draw(ODD_LONG))
        found.append((record, False))
    return found


def batches_of(run, sizes):
    batches, at = [], 0
    while at < len(run):
        size = sizes[len(batches) % len(sizes)]
        batches.append([record for record, _ in run[at : at + size]])
        at += size
    return batches


async def receives_all(place, run, sizes, store=None):
    bench = Bench(place, store=store)
    honest = {record.offset for record, good in run if good}
    taken = await bench.take(batches_of(run, sizes))
    assert [record.offset for record, _ in taken] == [record.offset for record, _ in run]
    rested = {row.offset: row for row in await bench.rows(Quarantined)}
    copies = {row.framed for row in await bench.rows(Copy)}
    reports = {row.leaf for row in await bench.rows(Report)}
    for record, outcome in taken:
        assert outcome.what is not What.REJECTED or outcome.reason is not Reason.INTERNAL, "a bug of ours"
        # 1. Everything is somewhere: held, a repeat, taken or in quarantine with its bytes.
        if outcome.what is What.REJECTED:
            row = rested[record.offset]
            kept = b"" if row.reason == Reason.SIZE else record.value  # too large for any report: its place and hash
            assert (row.value, row.digest) == (kept, hashlib.sha256(record.value).digest())
            assert row.reason == outcome.reason
        elif outcome.what is not What.STATEMENT:
            assert outcome.leaf in reports
            assert outcome.what is What.DUPLICATE or record.value in copies
        # 2. What honest parties wrote is never lost for the company that it is in.
        assert record.offset not in honest or outcome.what is not What.REJECTED, outcome
    assert set(rested) == {record.offset for record, outcome in taken if outcome.what is What.REJECTED}
    # 3. A lab has one receipt for each record.
    if place.inlet.kind is InletKind.SUBMISSIONS:
        assert len(await bench.rows(Outgoing)) == len(run)
    # 4. The same again changes nothing: offsets are behind.
    assert await bench.receive.take(place.inlet, [record for record, _ in run]) == []
    # 5. Nor does trying every reject again, by itself or because an officer asks for each.
    await bench.quarantine.retry(place.inlet, moved=True)
    async with bench.store.begin() as tx:
        await tx.put([dataclasses.replace(row, state="REPLAY") for row in rested.values()])
    assert await bench.quarantine.retry(place.inlet, moved=True) == []
    after = {row.offset: row for row in await bench.rows(Quarantined)}
    assert {o: (r.reason, r.value, r.state) for o, r in after.items()} == {
        o: (r.reason, r.value, "HELD") for o, r in rested.items()
    }
    assert {row.framed for row in await bench.rows(Copy)} == copies


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.inlet.topic)
@LAW
@given(data=st.data())
def test_whatever_a_batch_of_reports_holds_all_of_it_is_dealt_with(place, data):
    """Near-valid reports among valid ones: nothing raises, nothing is lost, the place moves on, the good is accepted."""
    run = data.draw(records_of(place, REPORTS))
    asyncio.run(receives_all(place, run, data.draw(SIZES)))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.inlet.topic)
@LAW
@given(data=st.data())
def test_whatever_a_batch_of_statements_holds_all_of_it_is_dealt_with(place, data):
    """Near-valid statements, well signed nonsense too: a stream that they come by goes on."""
    run = data.draw(records_of(place, STATEMENTS))
    asyncio.run(receives_all(place, run, data.draw(SIZES)))


@pytest.mark.parametrize("unknown", ["gb", "jp", "frontier"])
@LAW
@given(data=st.data())
def test_whom_the_trust_view_names_late_loses_nothing(unknown, data):
    """A key is unknown while a batch arrives: once it is known, the same is held as if it had been known before."""
    place = data.draw(st.sampled_from(PLACES[:3]))
    run = data.draw(records_of(place, st.one_of(st.sampled_from(ENVELOPES), flipped(), mixed(), resigned_report())))
    sizes = data.draw(SIZES)
    document = trust_document()
    document["parties"] = [party for party in document["parties"] if party["party"] != unknown]

    async def check():
        early, late = Bench(place), Bench(place, load_trust(document))
        for bench in (early, late):
            await bench.take(batches_of(run, sizes))
        late.setting = early.setting
        await late.quarantine.retry(place.inlet, moved=True)
        for kind in (Report, Copy, Submission):
            assert {row.key() for row in await early.rows(kind)} == {row.key() for row in await late.rows(kind)}
        held = [await bench.rows(Quarantined, state="HELD") for bench in (early, late)]
        # A statement of a key that is not known is final: the next head says as much.
        one, other = ({r.offset for r in rows if not r.reason.startswith("STATEMENT")} for rows in held)
        assert one == other

    asyncio.run(check())


@LAW
@given(data=st.data())
def test_a_bug_of_ours_on_one_record_is_one_internal_reject(data):
    """Where judging or keeping a record raises what nobody expected, that record alone rests as INTERNAL."""
    place = PLACES[data.draw(st.integers(0, 2))]
    run = [(dataclasses.replace(record, offset=at), True) for at, record in enumerate(place.good)]
    poisoned = data.draw(st.sets(st.sampled_from([r.offset for r, _ in run]), max_size=3))

    async def check():
        bench = Bench(place)
        real = bench.receive._judged

        def judged(setting, inlet, record, now_ms):
            if record.offset in poisoned:
                raise data.draw(st.sampled_from([KeyError("x"), RecursionError(), ZeroDivisionError(), MemoryError()]))
            return real(setting, inlet, record, now_ms)

        bench.receive._judged = judged
        taken = await bench.take(batches_of(run, data.draw(SIZES)))
        internal = {record.offset for record, o in taken if o.reason is Reason.INTERNAL}
        assert internal == poisoned
        assert {row.offset for row in await bench.rows(Quarantined)} == poisoned

    asyncio.run(check())
