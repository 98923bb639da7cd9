import pytest
from schemas.vectors.make_report import Plan, Step, build
from schemas.vectors.make_world import NOW, TEST, fixed_bytes
from schemas.vectors.make_world import trust as listed_trust

from tocsin.report.schema import KnownSchemas, load_schema
from tocsin.trust import load_parties
from tocsin.wire.envelope import Draft, frame_envelope, parse_envelope, sign_draft, withhold
from tocsin.wire.header import Stage, encode_header, parse_header
from tocsin.wire.reasons import Reason, Rejected
from tocsin.wire.slots import mask_bits, mask_bytes
from tocsin.wire.verify import Verified, leaf_of, verify, verify_own

SCHEMAS = KnownSchemas([load_schema("test/1.0", TEST.encode())])


def trust(**changes):
    return load_parties(listed_trust(**changes))


def test_withholding_keeps_entry_signature_and_what_is_left():
    whole = parse_envelope(build(Plan()).framed)
    part = withhold(whole, 0b101)
    assert part.mask == 0b101
    assert part.disclosed == {i: whole.disclosed[i] for i in (0, 2)}
    assert (part.entry, part.leaf, part.signature, part.header) == (
        whole.entry,
        whole.leaf,
        whole.signature,
        whole.header,
    )
    assert parse_envelope(frame_envelope(part)) == part
    assert withhold(part, (1 << 14) - 1) is part


@pytest.mark.parametrize(
    ("values", "salts"),
    [
        ((), ()),
        ((b"\0",) * 257, (bytes(16),) * 257),
        ((b"\0",), ()),
        ((b"\0",), (bytes(15),)),
        ((bytes(65_536),), (bytes(16),)),
        ((bytes(65_535),) * 3 + (bytes(4),), (bytes(16),) * 4),
    ],
)
def test_a_draft_that_no_envelope_could_hold_is_refused(values, salts):
    with pytest.raises(ValueError):
        Draft(b"header", values, salts)


def test_a_header_is_read_as_written_and_a_wrong_one_is_not_written():
    header = parse_header(parse_envelope(build(Plan()).framed).header)
    assert parse_header(encode_header(header)) == header
    for change in ({"stage": Stage.UPDATE}, {"revision": 1}, {"origin": "public"}, {"schema": "incident"}):
        wrong = {name: getattr(header, name) for name in header.__dataclass_fields__} | change
        with pytest.raises(ValueError, match="HEADER_INVALID"):
            encode_header(type(header)(**wrong))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 255, 256])
def test_masks_have_one_bit_a_slot_lowest_first(n):
    for bits in (0, 1, 1 << (n - 1), (1 << n) - 1):
        raw = mask_bytes(bits, n)
        assert mask_bits(raw, n) == bits
        assert [raw[i // 8] >> i % 8 & 1 for i in range(n)] == [bits >> i & 1 for i in range(n)]
    with pytest.raises(ValueError):
        mask_bits(bytes((n + 7) // 8 + 1), n)
    if n % 8:
        with pytest.raises(ValueError):
            mask_bits((1 << n).to_bytes((n + 7) // 8, "little"), n)


def judge(plan, came_by=("gb", "jp")):
    return verify(build(plan).framed, trust(), SCHEMAS, NOW, came_by, lambda _: False)


def test_the_carriage_is_accused_until_the_last_hop_is_proven_and_then_the_neighbour():
    def flipped(message):
        return fixed_bytes("no") + fixed_bytes("signature")

    assert judge(Plan((Step(sign=flipped),))) == Rejected(Reason.HOP_SIGNATURE_INVALID)
    assert judge(Plan(), came_by=("gb", "ke")) == Rejected(Reason.STREAM_SOURCE)
    assert judge(Plan(sign=flipped)) == Rejected(Reason.SIGNATURE_INVALID, "gb")
    relayed = Plan((Step(sign=flipped), Step(releaser="jp", audience="ke")))
    assert judge(relayed, came_by=("jp", "ke")) == Rejected(Reason.HOP_SIGNATURE_INVALID, "jp")


def test_a_verdict_on_a_file_says_that_nothing_ties_it_to_a_stream():
    assert judge(Plan(), came_by=None).loose
    verified = judge(Plan())
    assert isinstance(verified, Verified)
    assert not verified.loose
    assert verified.chain == verified.envelope.hops[-1].hash


def test_an_own_report_is_verified_before_it_has_a_hop_and_with_one_it_is_none():
    own = build(Plan(()))
    revoked = trust(gb={"event": {"revoked_at_ms": 0}})
    verdict = verify_own(own.framed, revoked, SCHEMAS, 1)
    assert isinstance(verdict, Verified)
    assert (verdict.leaf, verdict.hops, verdict.chain) == (own.leaf, (), b"")
    assert verify_own(build(Plan()).framed, trust(), SCHEMAS, 1) == Rejected(Reason.HOPS_COUNT)
    assert verify_own(build(Plan(())).framed, trust(gb=None), SCHEMAS, 1) == Rejected(Reason.KEY_UNKNOWN)


def test_a_leaf_is_known_as_soon_as_the_shape_is_right():
    built = build(Plan(()))
    assert leaf_of(built.framed) == built.leaf
    assert leaf_of(built.framed[:-1]) is None
    assert leaf_of(b"") is None


def test_a_signed_draft_discloses_every_slot():
    built = build(Plan(()))
    steps = built.steps
    draft = Draft(steps["header"], tuple(steps["values"]), tuple(steps["salts"]))
    assert frame_envelope(sign_draft(draft, steps["signature"])) == built.framed
