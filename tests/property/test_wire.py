"""Laws of the bytes over generated values: one encoding, nothing leaks by withholding, verification is total."""

import io
import random
from hashlib import sha256

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas.vectors.make_accept import accepts
from schemas.vectors.make_report import Plan, Step, build, vector
from schemas.vectors.make_statement import statements
from schemas.vectors.make_world import NOW, TEXTS, fixed_bytes, id_of, private, trust
from tests.conformance.second.main import run_vector

from tocsin.report.schema import KnownSchemas, load_schema
from tocsin.trust import load_parties
from tocsin.wire import records
from tocsin.wire.avro import Codec, Malformed
from tocsin.wire.envelope import Draft, frame_envelope, parse_envelope, sign_draft, with_hop, withhold
from tocsin.wire.hop import HOP_TYPE, Hop
from tocsin.wire.keys import pae
from tocsin.wire.reasons import Note, Reason, Rejected
from tocsin.wire.statement import StreamHead, VerifiedStatement, verify_statement
from tocsin.wire.stream import StreamState, head_zero, next_head, take_head, take_record
from tocsin.wire.verify import Verified, verify

TRUST = load_parties(trust())
SCHEMAS = KnownSchemas([load_schema("test/1.0", TEXTS["test/1.0"].encode())])

ANY_TIME = settings(deadline=None)
"""How long an example takes says nothing about it on a busy machine."""
MORE = settings(ANY_TIME, max_examples=300)

# --- strict Avro, held against fastavro ------------------------------------------------------------------------------

INT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)


def leaves(number):
    """(schema, values) of every type without parts; `number` keeps names apart."""
    symbols = ["A", "B", "C"]
    return st.sampled_from(
        [
            ("string", st.text()),
            ("bytes", st.binary()),
            ("boolean", st.booleans()),
            ("int", INT),
            ("long", LONG),
            ({"type": "fixed", "name": f"F{number}", "size": 3}, st.binary(min_size=3, max_size=3)),
            ({"type": "enum", "name": f"E{number}", "symbols": symbols}, st.sampled_from(symbols)),
        ]
    )


@st.composite
def schemas_with_values(draw):
    """A record of optional fields as protocol section 7 allows them, and a value of it."""
    fields, value = [], {}
    for i in range(draw(st.integers(1, 5))):
        kind, values = draw(leaves(i))
        form = draw(st.sampled_from(["plain", "array", "records"]))
        if form == "records":
            inner, inner_values = draw(leaves(100 + i))
            parts = [{"name": "a", "type": kind}, {"name": "b", "type": inner}]
            kind = {"type": "record", "name": f"R{i}", "fields": parts}
            values = st.fixed_dictionaries({"a": values, "b": inner_values})
        if form != "plain":
            kind, values = {"type": "array", "items": kind}, st.lists(values, max_size=4)
        fields.append({"name": f"f{i}", "type": ["null", kind]})
        value[f"f{i}"] = draw(st.none() | values)
    return {"type": "record", "name": "Top", "fields": fields}, value


def by_fastavro(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


@ANY_TIME
@given(schemas_with_values())
def test_strict_and_common_avro_write_the_same_bytes_and_read_the_same_value(drawn):
    schema, value = drawn
    codec, parsed = Codec(schema), fastavro.parse_schema(schema)
    data = codec.encode(value)
    assert data == by_fastavro(parsed, value)
    assert codec.decode(data) == value == fastavro.schemaless_reader(io.BytesIO(data), parsed, None)


@st.composite
def near(draw, data):
    """Bytes that are almost `data`: one to three bytes changed, put in, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        match draw(st.sampled_from(["set", "insert", "delete", "cut", "double"])):
            case "set":
                changed[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "insert":
                changed[at:at] = bytes([draw(st.sampled_from([0, 1, 2, 127, 128, 255]))])
            case "delete":
                del changed[at : at + 1]
            case "cut":
                del changed[at:]
            case "double":
                changed[at:at] = changed[at : at + draw(st.integers(1, 9))]
    return bytes(changed)


@ANY_TIME
@given(st.data(), schemas_with_values())
def test_bytes_have_a_value_only_if_it_encodes_to_them(data, drawn):
    schema, value = drawn
    codec = Codec(schema)
    raw = data.draw(near(codec.encode(value)) | st.binary(max_size=40))
    try:
        read = codec.decode(raw)
    except Malformed:
        return
    assert codec.encode(read) == raw


# --- reports -----------------------------------------------------------------------------------------------------------


@ANY_TIME
@given(
    st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_withholding_in_any_order_keeps_entry_and_signature_and_loses_every_trace_of_the_value(values, chance):
    values = [sha256(bytes([i]) + value).digest() for i, value in enumerate(values)]
    salts = [sha256(b"salt" + value).digest()[:16] for value in values]
    whole = sign_draft(Draft(b"header", tuple(values), tuple(salts)), bytes(64))
    order = list(range(len(values)))
    chance.shuffle(order)
    envelope = whole
    for slot in order:
        envelope = withhold(envelope, ~(1 << slot))
        framed = frame_envelope(envelope)
        assert (envelope.entry, envelope.signature) == (whole.entry, whole.signature)
        assert values[slot] not in framed
        assert salts[slot] not in framed
    assert envelope.digests == whole.all_digests


ACCEPTED = [build(Plan()).framed, build(Plan((Step(mask=0b1010), Step(releaser="jp", audience="ke")))).framed]


@MORE
@given(st.data())
def test_verification_is_total_and_no_changed_byte_is_accepted(data):
    original = data.draw(st.sampled_from(ACCEPTED))
    framed = data.draw(near(original))
    verdict = verify(framed, TRUST, SCHEMAS, NOW, None, lambda _: False)
    assert isinstance(verdict, Verified | Rejected)
    if framed != original:
        assert isinstance(verdict, Rejected)
        assert verdict.reason in Reason


FIELDS = {
    "releaser": st.sampled_from(["gb", "jp", "public", ""]),
    "prev": st.just(bytes(32)),
    "mask_out": st.sampled_from([b"", b"\xff\x3f", b"\x01\0", b"\xff\xff"]),
    "tlp": st.sampled_from(["CLEAR", "GREEN", "RED"]),
    "kind": st.sampled_from(["MEMBER", "AUTHORITY", "COMMUNITY", "PUBLIC"]),
    "audience": st.sampled_from(["jp", "public", "community-x", "jp-regulator"]),
    "limits": st.lists(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["MEMBER", "PUBLIC"]),
                "slots": st.sampled_from([b"\x01\0", b"\0\0"]),
                "until": INT,
            }
        ),
        max_size=2,
    ),
    "policy": st.fixed_dictionaries(
        {"id": st.sampled_from(["gb", "", "A"]), "version": st.integers(-1, 2), "sha256": st.just(bytes(32))}
    ),
    "reasons": st.lists(
        st.fixed_dictionaries(
            {
                "slots": st.sampled_from([b"\x01\0", b"\xff\x3f", b"\xfe\x3f", b""]),
                "code": st.sampled_from(["EMBARGOED", "COARSENED", "WITHHELD"]),
                "until": st.integers(-1, 1),
                "rule": st.sampled_from(["", "r", "R"]),
            }
        ),
        max_size=2,
    ),
    "minute": INT,
}


@MORE
@given(st.data())
def test_a_well_signed_hop_of_any_content_gets_a_verdict(data):
    names = data.draw(st.sets(st.sampled_from(sorted(FIELDS))))
    changed = {name: data.draw(FIELDS[name]) for name in names}
    framed = build(Plan((Step(fields=lambda record: record.update(changed)),))).framed
    verdict = verify(framed, TRUST, SCHEMAS, NOW, None, lambda _: False)
    assert isinstance(verdict, Verified | Rejected)


def test_a_hop_over_a_wider_mask_never_passes():
    narrow = parse_envelope(build(Plan((Step(mask=0b111),))).framed)
    rng = random.Random(7)
    for _ in range(50):
        keep = rng.randrange(1 << narrow.n)
        body = Codec(records.HOP_BODY)
        fields = body.decode(narrow.hops[0].body)
        fields |= {
            "releaser": "jp",
            "audience": "ke",
            "prev": narrow.hops[0].hash,
            "mask_out": keep.to_bytes(2, "little"),
        }
        why = {"slots": (~keep & 0b111).to_bytes(2, "little"), "code": "WITHHELD", "until": 0, "rule": ""}
        fields["reasons"] = [why] if ~keep & 0b111 else []
        raw = body.encode(fields)
        hop = Hop(raw, id_of("jp", "relay"), private("jp", "relay").sign(pae(HOP_TYPE, raw)))
        framed = frame_envelope(with_hop(withhold(narrow, keep), hop))
        verdict = verify(framed, TRUST, SCHEMAS, NOW, None, lambda _: False)
        assert isinstance(verdict, Verified) == (keep & ~0b111 == 0)


STATEMENTS = [
    bytes.fromhex(vector["statement_hex"]) for name, vector in statements() if name in {"stream-head", "receipt"}
]


@ANY_TIME
@given(st.data())
def test_verification_of_statements_is_total_and_no_changed_byte_is_accepted(data):
    original = data.draw(st.sampled_from(STATEMENTS))
    framed = data.draw(near(original))
    verdict = verify_statement(framed, TRUST, NOW, None)
    assert isinstance(verdict, VerifiedStatement | Rejected)
    assert isinstance(verdict, Rejected) or framed == original


def test_every_accepted_envelope_is_framed_again_to_the_same_bytes():
    for _, accepted in accepts():
        framed = bytes.fromhex(accepted["envelope_hex"])
        assert frame_envelope(parse_envelope(framed)) == framed


# --- streams -----------------------------------------------------------------------------------------------------------


@ANY_TIME
@given(st.integers(1, 12), st.sets(st.integers(1, 12)), st.randoms(use_true_random=False))
def test_whatever_was_lost_heals_when_it_is_sent_again_in_any_order(last, lost, chance):
    chain = [head_zero("gb", "jp", 5)]
    for seq in range(1, last + 1):
        chain.append(next_head(chain[-1], seq, b"%d" % seq))
    lost &= set(range(1, last + 1))
    state, _ = take_head(StreamState.empty("gb", "jp"), StreamHead("gb", "jp", 5, 0, chain[0], 0))
    for seq in set(range(1, last + 1)) - lost:
        take_record(state, b"%d" % seq, (5, seq))
    _, notes = take_head(state, StreamHead("gb", "jp", 5, last, chain[last], 0))
    assert notes == ([Note.GAP] if lost else [])
    again = sorted(lost)
    chance.shuffle(again)
    notes = [note for seq in again for note in take_record(state, b"%d" % seq, (5, seq))[1]]
    assert notes == ([Note.HEALED] if lost else [])
    assert not state.open
    assert not state.ahead


@ANY_TIME
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=40))
def test_notes_never_move_a_position_back_and_ranges_never_overlap(events):
    state, shown = StreamState.empty("gb", "jp"), {}
    before = (-1, -1)
    for epoch, seq, is_head in events:
        if is_head:
            value = head_zero("gb", "jp", epoch) if seq == 0 else fixed_bytes(f"{epoch} {seq}")
            first = shown.setdefault((epoch, seq), value)
            take_head(state, StreamHead("gb", "jp", epoch, seq, value, 0), first)
        else:
            take_record(state, b"%d" % seq, (epoch, seq))
        now = (state.position.epoch, state.position.seq) if state.position else (-1, -1)
        assert now >= before
        before = now
        taken = [(gap.epoch, s) for gap in state.open for s in range(gap.first, gap.last + 1)]
        assert len(taken) == len(set(taken))
        assert all(place <= now for place in taken)


# --- the second verifier, which was written from the protocol's page alone ----------------------------------------------


def answer(vector):
    """Tocsin's verdict in the form of a vector's `expect`."""
    by = vector["came_by"] and (vector["came_by"]["releaser"], vector["came_by"]["audience"])
    framed, view = bytes.fromhex(vector["envelope_hex"]), load_parties(vector["trust"])
    verdict = verify(framed, view, SCHEMAS, vector["now_ms"], by, lambda _: False)
    if isinstance(verdict, Rejected):
        return {"reason": verdict.reason.value}
    shown = {str(i): value.hex() for i, value in verdict.envelope.disclosed.items()}
    return {"leaf_hex": verdict.leaf.hex(), "disclosed": shown, "chain": [hop.releaser for hop in verdict.hops]}


@MORE
@given(st.data())
def test_both_verifiers_agree_on_near_valid_reports(data):
    names = data.draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=2))
    changed = {name: data.draw(FIELDS[name]) for name in names}
    first = Step(
        mask=data.draw(st.sampled_from([0, 0b11, (1 << 14) - 1])), fields=lambda record: record.update(changed)
    )
    steps = data.draw(st.sampled_from([(first,), (first, Step(releaser="jp", audience="ke"))]))
    tlp = data.draw(st.sampled_from(["CLEAR", "GREEN", "AMBER", "RED"]))
    made = vector("", Plan(steps, {"tlp": tlp}))
    if data.draw(st.booleans()):
        made["envelope_hex"] = data.draw(near(bytes.fromhex(made["envelope_hex"]))).hex()
    assert answer(made) == run_vector(made)
