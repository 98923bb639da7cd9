"""A schema is loaded exactly if it keeps every rule of protocol section 7; a report is judged in the order of step 7."""

import hashlib
import json

import pytest

from tocsin.errors import InputError, SchemaError
from tocsin.report.schema import MAX_VALUE, KnownSchemas, load_schema
from tocsin.wire.avro import Malformed
from tocsin.wire.header import Header, Stage, Tlp
from tocsin.wire.hop import EMPTY, AudienceKind, Code, HopBody, WhyNot
from tocsin.wire.reasons import Reason
from tocsin.wire.verify import Judged

DATE = {"type": "int", "logicalType": "date"}
TIME = {"type": "long", "logicalType": "timestamp-millis"}
BAND = {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]}
STRINGS = {"type": "array", "items": "string"}


def slot(name, of, **properties):
    return {"name": name, "type": ["null", of], "default": None, **properties}


def text(*fields, **properties):
    return json.dumps({"type": "record", "name": "Test", "fields": list(fields), **properties}).encode()


def load(*fields, schema_id="test/1.0", **properties):
    return load_schema(schema_id, text(*fields, **properties))


def rung(name, of, finer, by, **properties):
    return slot(name, of, rung={"of": finer, "by": by}, **properties)


FLAT = {"type": "record", "name": "Flat", "fields": [{"name": "x", "type": "string"}]}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([slot("a", of)], id=str(of))
        for of in (
            "string", "bytes", "boolean", "int", "long", DATE, TIME, BAND, STRINGS, {"type": "string"},
            {"type": "fixed", "name": "F", "size": 1},
            {"type": "array", "items": FLAT},
            {"type": "array", "items": BAND},
            {"type": "array", "items": DATE},
        )
    ]
    + [
        pytest.param([slot("a", BAND), slot("b", "Band"), slot("c", {"type": "array", "items": "Band"})], id="reused enum"),
        pytest.param([slot("a", {"type": "array", "items": FLAT}), slot("b", {"type": "array", "items": "Flat"})], id="reused record"),
        pytest.param([], id="no field: n decides"),
        pytest.param([slot(f"f{i}", "int") for i in range(300)], id="many fields: n decides"),
        pytest.param([slot("a", "int", oecd="1", more={"x": 1}, doc="d", order="ignore")], id="properties"),
        pytest.param([rung("m", DATE, "d", "month/1"), rung("d", DATE, "t", "day/1"), slot("t", TIME)], id="rungs first"),
        pytest.param([slot("s", "long"), rung("b", {**BAND, "symbols": ["HIGH", "NONE", "LOW", "MEDIUM", "MORE"]}, "s", "band/1")], id="band in another order"),
        pytest.param([slot("c", "int"), rung("m", "long", "c", "magnitude/1"), rung("n", "int", "m", "magnitude/1")], id="three rungs"),
    ],
)  # fmt: skip
def test_what_keeps_the_rules_is_loaded(fields):
    schema = load(*fields)
    assert [of.name for of in schema.fields] == [of["name"] for of in fields]
    for of in schema.fields:
        assert of.decode(b"\0") is None


GOOD = slot("a", "int")
BROKEN = {
    "not JSON": b"{",
    "not UTF-8": b'{"type": "record", "name": "T\xff", "fields": []}',
    "a key twice": b'{"type": "record", "name": "T", "name": "U", "fields": []}',
    "not a number of JSON": b'{"type": "record", "name": "T", "fields": [], "x": NaN}',
    "endless nesting": b"[" * 100_000,
    "no record": b'"int"',
    "an enum": json.dumps(BAND).encode(),
    "no name": b'{"type": "record", "fields": []}',
    "no fields": b'{"type": "record", "name": "T"}',
    "fields no list": text() .replace(b"[]", b"{}"),
    "a name of two words": text().replace(b"Test", b"Te st"),
    "two fields of one name": text(GOOD, GOOD),
    "a field that is no object": text("a"),
    "a field without a name": text({"type": ["null", "int"], "default": None}),
    "a field name with a hyphen": text(slot("a-b", "int")),
    "a field of the header": text(slot("tlp", "string")),
    "the header's incident": text(slot("incident", "string")),
    "no default": text({"name": "a", "type": ["null", "int"]}),
    "another default": text({"name": "a", "type": ["null", "int"], "default": 0}),
    "null last": text({"name": "a", "type": ["int", "null"], "default": None}),
    "not nullable": text({"name": "a", "type": "int", "default": None}),
    "a wider union": text({"name": "a", "type": ["null", "int", "string"], "default": None}),
    "null of null": text(slot("a", "null")),
    "float": text(slot("a", "float")),
    "double": text(slot("a", "double")),
    "a map": text(slot("a", {"type": "map", "values": "int"})),
    "a record": text(slot("a", FLAT)),
    "an array of arrays": text(slot("a", {"type": "array", "items": STRINGS})),
    "an array of floats": text(slot("a", {"type": "array", "items": "float"})),
    "an array of unions": text(slot("a", {"type": "array", "items": ["null", "int"]})),
    "an array of nothing": text(slot("a", {"type": "array"})),
    "an empty record": text(slot("a", {"type": "array", "items": {"type": "record", "name": "E", "fields": []}})),
    "a deep record": text(slot("a", {"type": "array", "items": {"type": "record", "name": "E", "fields": [{"name": "x", "type": STRINGS}]}})),
    "a record in a record": text(slot("a", {"type": "array", "items": {"type": "record", "name": "E", "fields": [{"name": "x", "type": FLAT}]}})),
    "a nullable part": text(slot("a", {"type": "array", "items": {"type": "record", "name": "E", "fields": [{"name": "x", "type": ["null", "int"]}]}})),
    "a part twice": text(slot("a", {"type": "array", "items": {"type": "record", "name": "E", "fields": FLAT["fields"] * 2}})),
    "itself": text(slot("a", {"type": "array", "items": "Test"})),
    "a record within itself": text(slot("a", {"type": "array", "items": {"type": "record", "name": "E", "fields": [{"name": "x", "type": "E"}]}})),
    "a type of later": text(slot("a", "Band"), slot("b", BAND)),
    "a record where none may stand": text(slot("a", {"type": "array", "items": FLAT}), slot("b", "Flat")),
    "a type twice": text(slot("a", BAND), slot("b", BAND)),
    "the record's name again": text(slot("a", {**BAND, "name": "Test"})),
    "a primitive's name": text(slot("a", {**BAND, "name": "string"})),
    "an enum without symbols": text(slot("a", {**BAND, "symbols": []})),
    "a symbol twice": text(slot("a", {**BAND, "symbols": ["A", "A"]})),
    "a symbol that is no name": text(slot("a", {**BAND, "symbols": ["A-B"]})),
    "a default that is no symbol": text(slot("a", {**BAND, "default": "OTHER"})),
    "fixed of size 0": text(slot("a", {"type": "fixed", "name": "F", "size": 0})),
    "fixed of size true": text(slot("a", {"type": "fixed", "name": "F", "size": True})),
    "date on long": text(slot("a", {"type": "long", "logicalType": "date"})),
    "time on int": text(slot("a", {"type": "int", "logicalType": "timestamp-millis"})),
    "another logical type": text(slot("a", {"type": "string", "logicalType": "uuid"})),
    "decimal": text(slot("a", {"type": "bytes", "logicalType": "decimal", "precision": 4})),
    "an unknown class": text(slot("a", "int", **{"class": "secret"})),
    "a class that is no text": text(slot("a", "int", **{"class": ["harm"]})),
    "a set of no array": text(slot("a", "string", set=True)),
    "a set in words": text(slot("a", STRINGS, set="true")),
    "a rung in words": text(slot("a", "int"), slot("b", "int", rung="a")),
    "a rung with more": text(slot("a", "int"), slot("b", "int", rung={"of": "a", "by": "magnitude/1", "x": "y"})),
    "an unknown function": text(slot("a", "int"), rung("b", "int", "a", "magnitude/2")),
    "a rung of no field": text(rung("b", "int", "a", "magnitude/1")),
    "a rung of itself": text(rung("b", "int", "b", "magnitude/1")),
    "a cycle": text(rung("a", "int", "b", "magnitude/1"), rung("b", "int", "a", "magnitude/1")),
    "a cycle beside a ladder": text(slot("x", "int"), rung("y", "int", "x", "magnitude/1"), rung("a", "int", "b", "magnitude/1"), rung("b", "int", "a", "magnitude/1")),
    "two rungs of one field": text(slot("a", "int"), rung("b", "int", "a", "magnitude/1"), rung("c", "int", "a", "magnitude/1")),
    "day of a long": text(slot("a", "long"), rung("b", DATE, "a", "day/1")),
    "day to an int": text(slot("a", TIME), rung("b", "int", "a", "day/1")),
    "month of a time": text(slot("a", TIME), rung("b", DATE, "a", "month/1")),
    "region of a list": text(slot("a", STRINGS), rung("b", STRINGS, "a", "region/1", set=True)),
    "region to a list": text(slot("a", STRINGS, set=True), rung("b", STRINGS, "a", "region/1")),
    "band of a text": text(slot("a", "string"), rung("b", BAND, "a", "band/1")),
    "band to an int": text(slot("a", "int"), rung("b", "int", "a", "band/1")),
    "band without HIGH": text(slot("a", "int"), rung("b", {**BAND, "symbols": ["NONE", "LOW", "MEDIUM"]}, "a", "band/1")),
    "magnitude of a date": text(slot("a", DATE), rung("b", "int", "a", "magnitude/1")),
    "magnitude to a text": text(slot("a", "int"), rung("b", "string", "a", "magnitude/1")),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_rule_is_not_loaded(broken):
    with pytest.raises(SchemaError):
        load_schema("test/1.0", broken)


@pytest.mark.parametrize("schema_id", ["test", "test/1", "Test/1.0", "test/01.0", "test/1.00", "test/1.10000", "te_st/1.0", "a" * 33 + "/1.0", "test/1.0\n"])  # fmt: skip
def test_an_id_has_the_form_of_the_header(schema_id):
    with pytest.raises(SchemaError):
        load_schema(schema_id, text(GOOD))


def test_names_in_other_namespaces_are_other_names():
    """A name without a dot is looked up in the namespace where it stands, and a record has the namespace of its name."""
    band = {**BAND, "namespace": "other"}
    inner = {"type": "record", "name": "other.R", "fields": [{"name": "x", "type": "Band"}]}
    schema = load(slot("a", BAND), slot("b", band), slot("c", {"type": "array", "items": inner}), namespace="mine")
    assert [of.type.name for of in schema.fields[:2]] == ["mine.Band", "other.Band"]
    assert schema.fields[2].type.items.fields[0][1].name == "other.Band"
    assert schema.encode_slot(2, [{"x": "HIGH"}]) == bytes([2, 2, 6, 0])
    with pytest.raises(SchemaError):
        load(slot("a", band), slot("b", "Band"), namespace="mine")


def test_ladders_are_known_in_both_directions():
    schema = load(rung("m", DATE, "d", "month/1"), rung("d", DATE, "t", "day/1"), slot("t", TIME), GOOD)
    assert schema.coarser(2) == (1, 0)
    assert schema.finer(0) == (1, 2)
    assert schema.coarser(3) == schema.finer(3) == ()
    assert schema.path(2, 0) == ("day/1", "month/1")
    assert schema.path(2, 1) == ("day/1",)


def test_a_set_is_written_in_order_and_read_only_in_order():
    schema = load(slot("a", STRINGS, set=True), slot("b", STRINGS))
    data = schema.encode_slot(0, ["bb", "a", "Ω", "c"])
    assert schema.decode_slot(0, data) == ["a", "c", "bb", "Ω"]  # by encoding: the length comes first
    for wrong in (["c", "a"], ["a", "a"]):
        unordered = schema.encode_slot(1, wrong)
        assert schema.decode_slot(1, unordered) == wrong
        with pytest.raises(Malformed):
            schema.decode_slot(0, unordered)
    with pytest.raises(InputError, match="twice"):
        schema.encode_slot(0, ["a", "b", "a"])


def test_a_slot_takes_65535_bytes_and_says_what_to_do_about_more():
    schema = load(slot("a", "string"))
    room = MAX_VALUE - 1 - 3  # the union's index and a length of three bytes
    assert len(schema.encode_slot(0, "x" * room)) == MAX_VALUE
    with pytest.raises(InputError) as caught:
        schema.encode_slot(0, "x" * (room + 1))
    assert caught.value.place == "a"
    assert "65,536" in caught.value.thing
    assert "65,535" in caught.value.thing
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("int", 2**31), ("int", True), ("int", 1.0), ("int", "1"), ("long", -(2**63) - 1), ("boolean", 1), ("string", b"x"),
        ("string", "\ud800"), ("bytes", "x"), ({"type": "fixed", "name": "F", "size": 2}, b"x"), (BAND, "MORE"),
        (STRINGS, "abc"), (STRINGS, ["a", 1]), ({"type": "array", "items": FLAT}, [{}]),
        ({"type": "array", "items": FLAT}, [{"x": "", "y": ""}]), ({"type": "array", "items": FLAT}, ["x"]),
    ],
)  # fmt: skip
def test_a_value_that_its_type_cannot_hold_is_refused_by_field(of, value):
    with pytest.raises(InputError) as caught:
        load(slot("a", of)).encode_slot(0, value)
    assert caught.value.place.startswith("a")
    assert caught.value.remedy


# --- step 7 -------------------------------------------------------------------------------------------------------

FIELDS = [
    slot("severity", "int"),
    rung("band", BAND, "severity", "band/1"),
    slot("at", TIME),
    rung("day", DATE, "at", "day/1"),
    rung("month", DATE, "day", "month/1"),
    slot("codes", STRINGS, set=True),
]
SCHEMA = load(*FIELDS)
KNOWN = KnownSchemas([load(GOOD, schema_id="test/0.9"), SCHEMA, load(GOOD, schema_id="other/2.3")])
NAMES = [of.name for of in SCHEMA.fields]


def header(schema="test/1.0", sha256=SCHEMA.sha256):
    return Header(
        origin="gb", key_id=bytes(16), incident=bytes(16), revision=0, stage=Stage.INITIAL, prev=bytes(32), created_day=1,
        schema=schema, schema_sha256=sha256, tlp=Tlp.GREEN, exercise=False,
    )  # fmt: skip


def hop(mask_out, coarsened=0):
    reasons = (WhyNot(coarsened, Code.COARSENED, 0, ""),) if coarsened else ()
    return HopBody("gb", bytes(32), mask_out, Tlp.GREEN, AudienceKind.MEMBER, "jp", (), EMPTY, reasons, 1)


def judge(values, n=6, hops=(), of=None, **raw):
    disclosed = {NAMES.index(name): SCHEMA.encode_slot(NAMES.index(name), value) for name, value in values.items()}
    disclosed |= {NAMES.index(name) if name in NAMES else int(name[1:]): data for name, data in raw.items()}
    return KNOWN.judge(of or header(), n, disclosed, hops)


AGREEING = {"severity": 4, "band": "MEDIUM", "at": 86_400_000 * 40, "day": 40, "month": 31, "codes": ["A", "B"]}


def test_a_report_that_keeps_step_7_is_decoded():
    judged = judge(AGREEING)
    assert judged == Judged(schema=SCHEMA, values=dict(enumerate(AGREEING.values())), unreadable=frozenset())
    assert judge(dict.fromkeys(NAMES)).values == dict.fromkeys(range(6))
    assert judge({}).values == {}


@pytest.mark.parametrize("schema", ["nothing/1.0", "test/2.0", "test/0.8", "other/1.0", "other/2.2"])
def test_a_version_that_is_neither_known_nor_a_later_minor_is_unknown(schema):
    """Even where every other check would fail as well: it comes first."""
    assert judge({}, of=header(schema), n=1, severity=b"\xff") is Reason.SCHEMA_UNKNOWN


def test_a_known_version_has_the_known_hash():
    assert judge({}, of=header(sha256=hashlib.sha256(b"x").digest()), n=1) is Reason.SCHEMA_MISMATCH


@pytest.mark.parametrize("n", [5, 7])
def test_the_known_version_has_its_count_of_slots(n):
    assert judge({}, n=n, severity=b"\xff") is Reason.SLOT_COUNT


@pytest.mark.parametrize(
    "raw",
    [
        {"severity": b""},
        {"severity": b"\0\0"},
        {"severity": b"\x02\x80\0"},
        {"band": b"\x02\x08"},
        {"codes": b"\x02\x04\x02B\x02A\0"},
    ],
)
def test_every_disclosed_slot_is_strict(raw):
    assert judge({}, hops=[hop(0, coarsened=1)], **raw) is Reason.SLOT_MALFORMED


def test_what_was_coarsened_has_a_coarser_rung_in_that_hop():
    month, day, band = 1 << 4, 1 << 3, 1 << 1
    assert isinstance(judge({}, hops=[hop(month, coarsened=1 << 2), hop(0)]), Judged)
    assert isinstance(judge({}, hops=[hop(month, coarsened=1 << 2 | 1 << 3)]), Judged)
    wrong = {"severity": 4, "band": "HIGH"}
    assert judge(wrong, hops=[hop(day), hop(band, coarsened=1 << 2)]) is Reason.LADDER_MISSING
    assert judge({}, hops=[hop(day, coarsened=1 << 4)]) is Reason.LADDER_MISSING  # a finer rung is none


@pytest.mark.parametrize(
    "values",
    [
        {"severity": 4, "band": "HIGH"},
        {"severity": 4, "band": None},
        {"severity": 8, "band": "HIGH"},
        {"severity": -1, "band": None},
        {"at": 0, "day": 1},
        {"at": 0, "month": 31},
        {"day": 40, "month": 40},
        {"at": 86_400_000 * 40, "day": 40, "month": None},
        {"at": 2**62, "month": 0},
        {"at": 2**62, "day": None},
    ],
)
def test_rungs_that_disagree_are_refused(values):
    assert judge(values) is Reason.LADDER_MISMATCH


@pytest.mark.parametrize(
    "values",
    [
        {"severity": None, "band": "HIGH"},
        {"severity": 9},
        {"at": -1, "day": -1, "month": -31},
        {"at": -1, "month": -31},
        {"at": None, "day": 40, "month": 31},
        {"at": 0, "codes": ["B"]},
    ],
)
def test_a_null_or_lone_finer_rung_binds_nothing(values):
    assert isinstance(judge(values), Judged)


def test_a_later_minor_is_read_by_the_latest_known():
    """What it cannot decode is unreadable; ladders compose through that, and a missing rung is not decided."""
    later = header("test/1.7", bytes(32))
    judged = judge(
        {"at": 0, "month": 0}, of=later, n=9, hops=[hop(0, coarsened=1)], band=b"\x02\x08", day=b"\xff", s8=b"anything"
    )
    assert judged == Judged(SCHEMA, {2: 0, 4: 0}, frozenset({1, 3, 8}))
    assert judge({}, of=later, n=5) is Reason.SLOT_COUNT
    assert judge({"at": 0, "month": 31}, of=later, day=b"\xff") is Reason.LADDER_MISMATCH
    assert judge({}, of=later, codes=b"\x02\x04\x02B\x02A\0").unreadable == {5}


def test_rungs_of_different_copies_are_compared_in_their_union():
    assert list(SCHEMA.disagreements({0: 4} | {1: "HIGH"})) == [(0, 1)]
    assert list(SCHEMA.disagreements({2: 0} | {4: 0})) == []


def test_the_latest_minor_is_by_number():
    known = KnownSchemas([load(GOOD, schema_id=f"test/1.{minor}") for minor in (9, 10, 2)])
    assert known.latest("test", 1).minor == 10
    assert known.exact("test/1.2").minor == 2
    assert known.latest("test", 2) is known.exact("test/1.3") is None
