"""The second verifier's own tests, on reports and statements that its own builder makes and then breaks."""

import pytest
from tests.conformance.second.avro_json import SchemaError
from tests.conformance.second.main import run_vector
from tests.conformance.second.maker import (
    ALL,
    BAND,
    DAY,
    FIELDS,
    MINUTE,
    NO_POLICY,
    NOW_MS,
    N,
    field,
    make_header,
    make_report,
    make_values,
    make_vector,
    mask,
    public,
    schema_text,
    trust_entry,
    withheld,
    world,
)
from tests.conformance.second.messages import ENVELOPE_FRAME, STATEMENT_FRAME
from tests.conformance.second.schema import load

RELAYED = {"releaser": "us", "audience": "fr", "minute": MINUTE + 1}
LIMIT = {"kind": "MEMBER", "slots": mask(0), "until": MINUTE + 2}
RETRACTION = {"stage": "RETRACTION", "revision": 1, "prev": b"x" * 32}


def _answer(header=None, values=None, hops=None, **changed):
    """The verdict on a report that is valid but for what is named."""
    envelope = make_report(make_header(**header or {}), make_values(**values or {}), hops or [{}])
    return run_vector(make_vector(envelope, **changed))


def test_whole_report_is_accepted_with_every_slot_and_its_chain():
    envelope = make_report(make_header(), make_values(), [{}, RELAYED])
    got = run_vector(make_vector(envelope, came_by={"releaser": "us", "audience": "fr"}))
    assert got["chain"] == ["gb", "us"]
    assert got["disclosed"] == {str(i): value.hex() for i, value in enumerate(make_values())}


def test_withholding_keeps_the_leaf():
    hidden = {"mask_out": mask(0, 3, 5), "reasons": [withheld(1, 2, code="COARSENED"), withheld(4, 6, 7, 8, 9)]}
    nothing = {"mask_out": mask(), "reasons": [withheld(*range(N))]}
    answers = [_answer(hops=[{}]), _answer(hops=[hidden]), _answer(hops=[nothing])]
    assert len({answer["leaf_hex"] for answer in answers}) == 1
    assert [len(answer["disclosed"]) for answer in answers] == [N, 3, 0]


BROKEN = [
    ("HEADER_INVALID", {"header": {"revision": 1}}),
    ("HEADER_INVALID", {"header": {"stage": "UPDATE"}}),
    ("HEADER_INVALID", {"header": {"prev": b"x" * 32}}),
    ("HEADER_INVALID", {"header": {"created_day": -1}}),
    ("HEADER_INVALID", {"header": {"schema": "test/01.0"}}),
    ("HEADER_INVALID", {"header": {"origin": "community-x"}}),
    ("HEADER_INVALID", {"header": {**RETRACTION, "revision": -1}}),
    ("HEADER_MALFORMED", {"header": {"origin": "g" * 1_024}}),
    ("HOP_MALFORMED", {"hops": [{"reasons": [withheld(0)] * 1_000}]}),
    ("HOP_INVALID", {"hops": [{"limits": [LIMIT, LIMIT | {"until": MINUTE + 3}]}]}),
    ("HOP_INVALID", {"hops": [{"limits": [LIMIT | {"slots": mask()}]}]}),
    ("HOP_INVALID", {"hops": [{"limits": [LIMIT | {"slots": b"\x01"}]}]}),
    ("HOP_INVALID", {"hops": [{"limits": [LIMIT, LIMIT | {"until": 0, "slots": mask(1)}]}]}),
    ("HOP_INVALID", {"hops": [{"kind": "PUBLIC"}]}),
    ("HOP_INVALID", {"hops": [{"kind": "COMMUNITY", "audience": "community-"}]}),
    ("HOP_INVALID", {"hops": [{"policy": NO_POLICY | {"version": 1}}]}),
    ("HOP_PREV", {"hops": [{"prev": bytes(32)}]}),
    ("HOP_PREV", {"hops": [{}, {**RELAYED, "prev": bytes(32)}]}),
    ("HOP_RELEASER", {"hops": [{"releaser": "us"}]}),
    ("HOP_RELEASER", {"hops": [{"audience": "fr"}, RELAYED]}),
    ("HOP_RELEASER", {"hops": [{"kind": "COMMUNITY", "audience": "community-x"}, RELAYED]}),
    ("HOP_RELEASER", {"hops": [{}, RELAYED | {"audience": "gb"}, {"minute": MINUTE + 2}]}),
    ("HOP_MASK", {"hops": [{"mask_out": ALL + b"\x00"}, RELAYED]}),
    ("HOP_MASK", {"hops": [{"mask_out": ALL[:1] + b"\xff"}, RELAYED]}),
    ("HOP_MASK", {"hops": [{"mask_out": mask(0), "reasons": [withheld(*range(1, N))]}, RELAYED]}),
    ("HOP_REASONS", {"hops": [{"reasons": [withheld(0)]}]}),
    ("HOP_REASONS", {"hops": [{"mask_out": mask(*range(1, N))}]}),
    ("HOP_REASONS", {"hops": [{"mask_out": mask(*range(1, N)), "reasons": [withheld(0), withheld(0)]}]}),
    ("HOP_REASONS", {"hops": [{"mask_out": mask(*range(1, N)), "reasons": [withheld(0, code="EMBARGOED")]}]}),
    ("HOP_REASONS", {"hops": [{"mask_out": mask(*range(1, N)), "reasons": [withheld(0, until=1)]}]}),
    ("HOP_TLP", {"hops": [{"tlp": "CLEAR"}]}),
    ("HOP_HANDLING", {"hops": [{"kind": "PUBLIC", "audience": "public"}]}),
    ("HOP_HANDLING", {"hops": [{"tlp": "AMBER"}, RELAYED | {"tlp": "AMBER"}]}),
    ("HOP_HANDLING", {"hops": [{"tlp": "RED", "kind": "COMMUNITY", "audience": "community-x"}]}),
    (
        "HOP_HANDLING",
        {"hops": [{"tlp": "AMBER"}, RELAYED | {"tlp": "AMBER", "kind": "AUTHORITY", "audience": "gb-law"}]},
    ),
    ("HOP_HANDLING", {"hops": [{"kind": "BODY"}]}),
    ("HOP_HANDLING", {"hops": [{"policy": NO_POLICY}]}),
    ("HOP_HANDLING", {"header": {"origin": "lab"}, "hops": [{"releaser": "lab", "audience": "gb"}]}),
    ("HOP_LIMIT", {"hops": [{"limits": [LIMIT]}, RELAYED]}),
    ("HOP_LIMIT", {"hops": [{"limits": [LIMIT | {"until": 2**31 - 1}]}, RELAYED | {"minute": 2**31 - 1}]}),
    ("HOP_TIME", {"hops": [{"minute": DAY * 1_440 - 1}]}),
    ("HOP_TIME", {"hops": [{}, RELAYED | {"minute": MINUTE - 1}]}),
    ("HOP_TIME", {"header": {"created_day": 2**31 - 1}}),
    ("STREAM_SOURCE", {"came_by": {"releaser": "gb", "audience": "fr"}}),
    ("HOP_KEY_UNKNOWN", {"trust": [entry for entry in world() if entry["party"] != "gb"]}),
    ("HOP_READER_UNKNOWN", {"hops": [{"audience": "de"}]}),
    ("NOT_YET_VALID", {"now_ms": MINUTE * 60_000 - 360_001}),
    ("SCHEMA_UNKNOWN", {"schemas": {}}),
    ("SCHEMA_UNKNOWN", {"schemas": {"test/1.1": schema_text(FIELDS)}}),
    ("SCHEMA_MISMATCH", {"header": {"schema_sha256": bytes(32)}}),
    ("SLOT_COUNT", {"schemas": {"test/1.0": schema_text(FIELDS[:-1])}, "header": {"schema": "test/1.1"}, "held": None}),
    ("SLOT_MALFORMED", {"values": {"countries": ["GB", "FR"]}}),
    ("SLOT_MALFORMED", {"values": {"countries": ["GB", "GB"]}}),
    ("LADDER_MISMATCH", {"values": {"month": DAY}}),
    ("LADDER_MISMATCH", {"values": {"month": None}}),
    ("LADDER_MISMATCH", {"values": {"severity": 8}}),
    ("LADDER_MISMATCH", {"values": {"deaths": -1, "deaths_magnitude": None}}),
    ("LADDER_MISMATCH", {"values": {"month": 1}, "hops": [{"mask_out": mask(1, 3), "reasons": "rest"}]}),
    ("LADDER_MISSING", {"hops": [{"mask_out": mask(0, 1), "reasons": [withheld(*range(2, N), code="COARSENED")]}]}),
]


@pytest.mark.parametrize(("reason", "broken"), BROKEN)
def test_each_broken_rule_gives_its_own_reason(reason, broken):
    broken = dict(broken)
    for hop in broken.get("hops", []):
        if hop.get("reasons") == "rest":
            hop["reasons"] = [withheld(*(set(range(N)) - {1, 3}))]
    if "held" in broken:  # the report of a later minor with fewer slots than the latest known one
        broken |= {"held": [], "schemas": {"test/1.0": schema_text([*FIELDS, field("more", "int")])}}
    assert _answer(**broken) == {"reason": reason}


ACCEPTED = [
    {"hops": [{"limits": [LIMIT]}, RELAYED | {"minute": MINUTE + 2}]},
    {"hops": [{"tlp": "AMBER"}, RELAYED | {"tlp": "AMBER", "kind": "AUTHORITY", "audience": "us-law"}]},
    {"header": {"tlp": "CLEAR"}, "hops": [{"tlp": "CLEAR", "kind": "PUBLIC", "audience": "public"}, RELAYED]},
    {"header": {"origin": "lab"}, "hops": [{"releaser": "lab", "audience": "gb", "policy": NO_POLICY}]},
    {"values": {"severity": None, "deaths": None}},
    {"values": {"at": None, "on": None, "month": None}},
    {"now_ms": MINUTE * 60_000 - 360_000},
    {
        "header": RETRACTION,
        "hops": [
            {"tlp": "RED", "mask_out": mask(), "reasons": [withheld(*range(N))]},
            RELAYED | {"tlp": "RED", "mask_out": mask(), "kind": "PUBLIC", "audience": "public"},
        ],
    },
]


@pytest.mark.parametrize("choice", ACCEPTED)
def test_each_choice_that_a_rule_leaves_is_accepted(choice):
    assert "reason" not in _answer(**choice)


def _change_keys(party, use, changed, trust=None):
    trust = trust or world()
    for key in next(entry for entry in trust if entry["party"] == party)["keys"]:
        if key["use"] == use:
            key.update(changed)
    return trust


@pytest.mark.parametrize(
    ("reason", "use", "changed"),
    [
        ("HOP_KEY_WINDOW", "relay", {"not_after_ms": MINUTE * 60_000}),
        ("HOP_KEY_REVOKED", "relay", {"revoked_at_ms": NOW_MS}),
        ("KEY_WINDOW", "event", {"not_after_ms": DAY * 86_400_000}),
        ("KEY_WINDOW", "event", {"not_before_ms": (DAY + 1) * 86_400_000}),
        ("KEY_REVOKED", "event", {"revoked_at_ms": NOW_MS}),
        ("KEY_UNKNOWN", "event", {"use": "log"}),
    ],
)
def test_keys_count_within_their_window_and_until_revoked(reason, use, changed):
    trust = _change_keys("gb", use, changed)
    assert _answer(trust=trust) == {"reason": reason}
    if reason == "KEY_REVOKED":
        assert "chain" in _answer(trust=trust, held=[_answer()["leaf_hex"]])


def test_last_hop_is_judged_before_the_report_and_earlier_hops_after_it():
    good = make_report(make_header(), make_values(), [{}, RELAYED])
    revoked = _change_keys("gb", "relay", {"revoked_at_ms": 0})
    early = _change_keys("us", "relay", {"not_after_ms": 1}, _change_keys("gb", "relay", {"revoked_at_ms": 0}))
    forged = good | {"signature": bytes(64)}
    assert run_vector(make_vector(forged, trust=early)) == {"reason": "HOP_KEY_WINDOW"}
    assert run_vector(make_vector(forged, trust=revoked)) == {"reason": "SIGNATURE_INVALID"}
    assert run_vector(make_vector(good, trust=revoked)) == {"reason": "HOP_KEY_REVOKED"}
    good["hops"][-1]["signature"] = bytes(64)
    assert run_vector(make_vector(good, trust=revoked)) == {"reason": "HOP_SIGNATURE_INVALID"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hops": []}, "HOPS_COUNT"),
        ({"salts": b""}, "SHAPE"),
        ({"mask": b"\xff\x07"}, "SHAPE"),
        ({"digests": b"x"}, "SHAPE"),
        ({"values": [b"\x00" * 65_536] + [b"\x00"] * (N - 1)}, "SHAPE"),
    ],
)
def test_envelope_shape_is_checked_before_the_hops(changed, reason):
    assert run_vector(make_vector(make_report(make_header(), make_values(), [{}]) | changed)) == {"reason": reason}


def test_framing_comes_before_content():
    good = make_vector(make_report(make_header(), make_values(), [{}]))
    framed = bytes.fromhex(good["envelope_hex"])
    for record, reason in [
        (framed[:9], "FRAMING"),
        (STATEMENT_FRAME + framed[10:], "FRAMING"),
        (framed + bytes(262_144), "SIZE"),
        (framed[:-1], "ENVELOPE_MALFORMED"),
        (framed + b"\x00", "ENVELOPE_MALFORMED"),
        (ENVELOPE_FRAME, "ENVELOPE_MALFORMED"),
    ]:
        assert run_vector(good | {"envelope_hex": record.hex()}) == {"reason": reason}


def test_later_minor_is_read_by_the_latest_known_and_undecodable_slots_are_unreadable():
    later = {"schema": "test/1.7", "schema_sha256": bytes(32)}
    values = [*make_values()[:6], b"\x02\x0a", b"\x02\x08", *make_values()[8:], b"\x02\x02"]
    wide = {"mask_out": (2 ** (N + 1) - 1).to_bytes(2, "little")}
    got = run_vector(make_vector(make_report(make_header(**later), values, [wide])))
    assert got["disclosed"]["7"] == "0208"
    assert len(got["disclosed"]) == N + 1


@pytest.mark.parametrize(
    "changed",
    [
        {"party": "public"},
        {"party": "community-x"},
        {"party": "a-"},
        {"kind": "READER"},
        {"jurisdiction": ""},
        {"jurisdiction": "gb"},
        {"kind": "BODY"},
        {"party": "us"},
    ],
)
def test_trust_view_that_breaks_a_rule_is_not_loaded(changed):
    trust = world()
    trust[0] |= changed
    assert run_vector({"trust": trust}) == {"loaded": False}


def test_trust_keys_serve_one_party_and_one_use():
    assert run_vector({"trust": world()}) == {"loaded": True}
    for changed in ({"public_hex": public("us", "relay").hex()}, {"suite": 2}, {"use": "x"}, {"not_before_ms": 2**60}):
        assert run_vector({"trust": _change_keys("gb", "event", changed)}) == {"loaded": False}
    assert run_vector({"trust": [*world(), trust_entry("de", "BODY", "") | {"keys": []}]}) == {"loaded": True}


BROKEN_FIELDS = [
    [field("a", "float")],
    [field("a", "int") | {"default": 1}],
    [field("a", "int") | {"type": "int"}],
    [field("tlp", "int")],
    [field("a", "int"), field("a", "int")],
    [field("a", {"type": "fixed", "name": "F", "size": 0})],
    [field("a", "Test")],
    [field("a", {"type": "array", "items": {"type": "record", "name": "R", "fields": []}})],
    [field("a", {"type": "array", "items": {"type": "array", "items": "int"}})],
    [field("a", {"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]})],
    [field("a", {"type": "long", "logicalType": "timestamp-micros"})],
    [field("a", "int", set=True)],
    [field("a", "int", **{"class": "secret"})],
    [field("a", "int", rung={"of": "b", "by": "magnitude/1"})],
    [field("a", "int"), field("b", "int", rung={"of": "a", "by": "root/1"})],
    [field("a", "int"), field("b", BAND, rung={"of": "a", "by": "magnitude/1"})],
    [field("a", "int"), *(field(name, "int", rung={"of": "a", "by": "magnitude/1"}) for name in "bc")],
    [field(a, "int", rung={"of": b, "by": "magnitude/1"}) for a, b in ("ab", "bc", "ca")],
    [field("a", "int", rung={"of": "a", "by": "magnitude/1"})],
]


@pytest.mark.parametrize("fields", BROKEN_FIELDS)
def test_schema_that_breaks_a_rule_is_not_known(fields):
    with pytest.raises(SchemaError):
        load(schema_text(fields))
    assert _answer(schemas={"test/1.0": schema_text(fields)}) == {"reason": "SCHEMA_UNKNOWN"}
