import json
import struct
from pathlib import Path

import pytest

from tocsin.wire import records
from tocsin.wire.avro import Codec, Malformed, crc64_avro, frame, parsing_canonical_form, unframe

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT.parent / "shared" / "vectors" / "avro"
needs_third_party = pytest.mark.skipif(not THIRD_PARTY.is_dir(), reason=f"no third-party vectors in {THIRD_PARTY}")


def schema_tests():
    """(schema, canonical form, fingerprint or None) of Apache Avro's schema-tests.txt."""
    if not THIRD_PARTY.is_dir():
        return []
    lines = (line for line in (THIRD_PARTY / "schema-tests.txt").read_text().splitlines() if not line.startswith("//"))
    cases, here = [], None
    for line in lines:
        if line.startswith("<<INPUT"):
            cases.append([line[len("<<INPUT") :], None, None])
            here = not cases[-1][0].strip()
        elif line == "INPUT":
            here = False
        elif here:
            cases[-1][0] += line
        elif line.startswith("<<canonical "):
            cases[-1][1] = line[len("<<canonical ") :]
        elif line.startswith("<<fingerprint "):
            cases[-1][2] = int(line[len("<<fingerprint ") :])
    return cases


@needs_third_party
@pytest.mark.parametrize(("schema", "canonical", "fingerprint"), schema_tests())
def test_canonical_forms_and_fingerprints_are_those_of_apache_avro(schema, canonical, fingerprint):
    assert parsing_canonical_form(json.loads(schema)) == canonical
    if fingerprint is not None:
        assert struct.pack("<Q", crc64_avro(canonical.encode())) == struct.pack("<q", fingerprint)


@needs_third_party
def test_the_schema_tests_of_apache_avro_are_all_read():
    assert len(schema_tests()) == 34


@needs_third_party
def test_the_single_object_of_apache_avro_is_read_and_written():
    codec = Codec(json.loads((THIRD_PARTY / "test_schema.avsc").read_text()))
    framed = (THIRD_PARTY / "test_message.bin").read_bytes()
    fingerprint, body = unframe(framed)
    assert fingerprint == codec.fingerprint
    assert codec.decode(body) == {"id": 42, "name": "Bill", "tags": ["dog_lover", "cat_hater"]}
    assert frame(codec.fingerprint, codec.encode(codec.decode(body))) == framed


def test_the_frames_are_those_of_protocol_section_5():
    assert Codec(records.ENVELOPE).fingerprint.hex() == "d28ec55b13afe3f0"
    assert Codec(records.STATEMENT).fingerprint.hex() == "efa37906ace93581"


def test_the_published_wire_schemas_are_those_of_the_code():
    published = {file.stem: json.loads(file.read_text()) for file in (ROOT / "schemas" / "tocsin").glob("*.avsc")}
    assert published == {schema["name"]: schema for schema in records.ALL}


@pytest.mark.parametrize("data", [b"", b"\xc3\x01", b"\xc3\x01" + bytes(7), b"\xc3\x02" + bytes(8)])
def test_short_bytes_and_other_markers_are_no_single_object(data):
    with pytest.raises(Malformed):
        unframe(data)


STRINGS = {"type": "array", "items": "string"}
PAIR = {
    "type": "record",
    "name": "P",
    "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": ["null", "bytes"]}],
}


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ("int", ""),
        ("int", "80"),
        ("int", "8000"),
        ("int", "808080801000"),
        ("int", "8080808010"),
        ("int", "8180808010"),
        ("int", "0000"),
        ("long", "80808080808080808002"),
        ("long", "8080808080808080808001"),
        ("long", "ff" * 1000),
        ("boolean", "02"),
        ("bytes", "01"),
        ("bytes", "0400"),
        ("bytes", "808080808080808080" + "01"),
        ("bytes", "8200" + "00"),
        ("string", "02ff"),
        ("string", "06eda080"),
        ("string", "04c080"),
        ("string", "08f4908080"),
        (["null", "int"], "01"),
        (["null", "int"], "04"),
        (["null", "int"], "8000"),
        (["null", "int"], ""),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "04"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "01"),
        ({"type": "fixed", "name": "F", "size": 2}, "00"),
        ({"type": "fixed", "name": "F", "size": 2}, "000000"),
        (STRINGS, ""),
        (STRINGS, "0202"),
        (STRINGS, "020261"),
        (STRINGS, "01040261" + "00"),
        (STRINGS, "02026102026200"),
        (STRINGS, "0202618000"),
        (STRINGS, "80808080808080808001"),
        (PAIR, "02"),
    ],
)
def test_whatever_is_not_the_one_encoding_is_malformed(schema, data):
    with pytest.raises(Malformed):
        Codec(schema).decode(bytes.fromhex(data))


@pytest.mark.parametrize("value", [0, -1, 63, 64, -64, -65, 2**31 - 1, -(2**31)])
def test_ints_of_32_bits_are_read_as_written(value):
    codec = Codec("int")
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_longs_of_64_bits_are_read_as_written(value):
    codec = Codec("long")
    assert len(codec.encode(value)) == 10
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("int", 2**31),
        ("int", -(2**31) - 1),
        ("int", True),
        ("int", 1.0),
        ("long", 2**63),
        ("boolean", 1),
        ("bytes", "text"),
        ("bytes", bytearray(1)),
        ("string", b"bytes"),
        ("string", "\ud800"),
        ({"type": "fixed", "name": "F", "size": 2}, b"1"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
        (STRINGS, "text"),
        (PAIR, {"a": 1}),
        (PAIR, {"a": 1, "b": None, "c": None}),
        ("null", 0),
    ],
)
def test_a_value_that_does_not_fit_is_refused_before_it_is_bytes(schema, value):
    with pytest.raises(ValueError):
        Codec(schema).encode(value)


def test_the_place_of_a_value_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="b: not bytes"):
        Codec(PAIR).encode({"a": 1, "b": 2})


@pytest.mark.parametrize(
    "schema",
    [
        "float",
        {"type": "map", "values": "int"},
        ["int", "null"],
        ["null", "int", "long"],
        "Unknown",
        7,
        {"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]},
    ],
)
def test_forms_that_the_protocol_does_not_use_do_not_compile(schema):
    with pytest.raises(ValueError):
        Codec(schema)


def test_a_named_type_stands_for_itself_later_and_logical_types_read_as_their_base():
    date = {"type": "int", "logicalType": "date"}
    codec = Codec(
        {
            "type": "record",
            "name": "R",
            "namespace": "a.b",
            "fields": [
                {"name": "x", "type": {"type": "fixed", "name": "F", "size": 1}},
                {"name": "y", "type": "F"},
                {"name": "z", "type": "a.b.F"},
                {"name": "day", "type": date},
            ],
        }
    )
    assert codec.decode(b"123\xff\xff\xff\xff\x0f") == {"x": b"1", "y": b"2", "z": b"3", "day": -(2**31)}
