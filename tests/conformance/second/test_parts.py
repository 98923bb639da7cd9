"""Parts of the second verifier by themselves: Avro, Ed25519, rungs, statements and streams."""

import random
import struct

import pytest
from cryptography.exceptions import InvalidSignature
from tests.conformance.second import ed25519
from tests.conformance.second.avro import MalformedError, Type, array_of, decode
from tests.conformance.second.ladder import UndefinedError, band_1, day_1, magnitude_1, month_1, region_1
from tests.conformance.second.main import run_vector
from tests.conformance.second.maker import (
    BAND,
    NOW_MS,
    field,
    make_header,
    make_report,
    make_statement,
    make_values,
    make_vector,
    public,
    schema_text,
    secret,
    world,
)
from tests.conformance.second.messages import HASH, sha256
from tests.conformance.second.schema import load
from tests.conformance.second.statement import head_0, next_head
from tests.conformance.second.stream import MAX_OPEN, Reader
from tests.conformance.second.trust import load as load_trust


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Type("int"), b"\x80\x00"),
        (Type("int"), b"\x80\x80\x80\x80\x10"),
        (Type("long"), b"\x80" * 9 + b"\x02"),
        (Type("boolean"), b"\x02"),
        (Type("string"), b"\x06\xed\xa0\x80"),
        (Type("bytes"), b"\x01"),
        (array_of(Type("int")), b"\x02\x02\x02\x02\x00"),
        (array_of(Type("int")), b"\x01\x02\x02\x00"),
        (Type("union", parts=(Type("null"), HASH)), b"\x04"),
    ],
)
def test_only_canonical_encodings_decode(kind, data):
    with pytest.raises(MalformedError):
        decode(kind, data)


def test_signatures_agree_with_cryptography_and_small_order_keys_are_weak():
    key, seed = secret("gb", "event"), public("gb", "event")
    for i in range(8):
        message = bytes([i])
        signature = bytearray(key.sign(message))
        assert ed25519.verifies(seed, message, bytes(signature))
        assert ed25519.sign(key.private_bytes_raw(), message) == signature
        signature[i * 8] ^= 1
        assert not ed25519.verifies(seed, message, bytes(signature))
        with pytest.raises(InvalidSignature):
            key.public_key().verify(bytes(signature), message)
    over = int.from_bytes(key.sign(b"m")[32:], "little") + ed25519.L
    assert not ed25519.verifies(seed, b"m", key.sign(b"m")[:32] + over.to_bytes(32, "little"))
    two = (0, ed25519.P - 1, 1, 0)
    mixed = ed25519.encode(ed25519.add(ed25519.BASE, two))
    for weak in (ed25519.encode(ed25519.IDENTITY), ed25519.encode(two), mixed, b"\xff" * 32, b"\x02" + bytes(31)):
        assert ed25519.is_weak(weak)
    assert not ed25519.is_weak(ed25519.encode(ed25519.BASE))


def test_named_types_stand_for_themselves_later_in_the_file():
    record = {"type": "record", "name": "R", "fields": [{"name": "x", "type": BAND}, {"name": "y", "type": "Band"}]}
    fields = load(schema_text([field("a", {"type": "array", "items": record}), field("b", "t.Band")])).fields
    assert fields[1].read(b"\x02\x06") == "HIGH"
    assert fields[0].read(b"\x02\x02\x00\x02\x00") == [{"x": "NONE", "y": "LOW"}]


def test_rung_functions_hold_at_their_edges():
    assert [day_1(ms) for ms in (-1, 0, 86_399_999)] == [-1, 0, 0]
    assert [month_1(day) for day in (-1, 30, 31, 789, 790)] == [-31, 0, 31, 761, 790]
    assert region_1(["GB", "IE", "gb", "TW"]) == ["000", "154"]
    assert [band_1(i) for i in range(8)] == ["NONE", "LOW", "LOW", "MEDIUM", "MEDIUM", "HIGH", "HIGH", "HIGH"]
    assert [magnitude_1(i) for i in (0, 1, 9, 10, 999, 1000)] == [-1, 0, 0, 1, 2, 3]
    for function, value in ((day_1, 2**63 - 1), (band_1, 8), (band_1, -1), (magnitude_1, -1)):
        with pytest.raises(UndefinedError):
            function(value)


EPOCH = NOW_MS // 1000


def _head(seq, head, epoch=EPOCH, **changed):
    body = {"releaser": "gb", "audience": "us", "epoch": epoch, "seq": seq, "head": head, "time_ms": NOW_MS}
    return make_statement("stream-head", body | changed)


def _chain(records, epoch=EPOCH):
    heads = [head_0("gb", "us", epoch)]
    for seq, record in enumerate(records, 1):
        heads.append(next_head(heads[-1], seq, sha256(record)))
    return heads


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"seq": -1}, "STATEMENT_MALFORMED"),
        ({"releaser": "us"}, "STATEMENT_KEY"),
        ({"time_ms": 3 * NOW_MS}, "STATEMENT_KEY"),
        ({"time_ms": NOW_MS + 300_001}, "STATEMENT_PLACE"),
        ({"epoch": EPOCH + 301}, "STATEMENT_PLACE"),
        ({"audience": "fr"}, "STATEMENT_PLACE"),
        ({"seq": 0}, "STATEMENT_PLACE"),
        ({"audience": "u" * 256, "seq": 0}, "STATEMENT_PLACE"),
    ],
)
def test_stream_head_out_of_place_is_refused(changed, reason):
    vector = {"trust": world(), "now_ms": NOW_MS, "came_by": {"releaser": "gb", "audience": "us"}}
    assert run_vector(vector | {"statement_hex": _head(**({"seq": 1, "head": bytes(32)} | changed)).hex()}) == {
        "reason": reason
    }
    assert "type" in run_vector(vector | {"statement_hex": _head(1, bytes(32)).hex()})


def test_stream_notes_gap_heals_late_forks_and_changes_epoch():
    records = [b"one", b"two", b"three"]
    heads, later = _chain(records), _chain([b"new"], EPOCH + 1)
    hint = [struct.pack(">QQ", EPOCH, seq) for seq in range(4)]
    reader = Reader(load_trust(world()), NOW_MS, {"releaser": "gb", "audience": "us"})
    steps = [
        (_head(0, heads[0]), None, []),
        (records[0], hint[1], []),
        (_head(1, heads[1]), None, []),
        (records[2], hint[3], []),
        (_head(3, heads[3]), None, ["GAP"]),
        (b"wrong", hint[2], []),
        (_head(3, heads[2]), None, ["FORK"]),
        (_head(1, later[1], EPOCH + 1), None, ["EPOCH", "GAP"]),
        (records[1], hint[2], ["HEALED"]),
        (b"new", struct.pack(">QQ", EPOCH + 1, 1), ["HEALED"]),
        (_head(1, heads[1]), None, []),
    ]
    assert [reader.take(record, at) for record, at, _ in steps] == [notes for _, _, notes in steps]
    assert reader.open == []
    assert reader.position == (EPOCH + 1, 1, later[1])


def test_stream_mismatch_moves_the_position_and_leaves_the_range_open():
    reader = Reader(load_trust(world()), NOW_MS, {"releaser": "gb", "audience": "us"})
    heads = _chain([b"one"])
    reader.take(_head(0, heads[0]), None)
    reader.take(b"two", struct.pack(">QQ", EPOCH, 1))
    assert reader.take(_head(1, heads[1]), None) == ["MISMATCH"]
    assert [(gap.first, gap.last) for gap in reader.open] == [(1, 1)]
    assert reader.take(b"one", struct.pack(">QQ", EPOCH, 1)) == ["HEALED"]


def test_of_more_open_ranges_than_are_kept_the_earliest_stay_and_a_further_one_is_still_noted():
    reader = Reader(load_trust(world()), NOW_MS, {"releaser": "gb", "audience": "us"})
    reader.take(_head(0, _chain([])[0]), None)
    assert [reader.take(_head(seq, bytes(32)), None) for seq in range(1, MAX_OPEN + 3)] == [["GAP"]] * (MAX_OPEN + 2)
    assert [gap.first for gap in reader.open] == list(range(1, MAX_OPEN + 1))
    assert reader.take(b"late", struct.pack(">QQ", EPOCH, MAX_OPEN + 1)) == []
    assert not reader.noted


def test_no_changed_byte_of_a_record_ends_in_anything_but_a_verdict():
    chance = random.Random(1)
    good = make_vector(make_report(make_header(), make_values(), [{}]))
    framed = bytes.fromhex(good["envelope_hex"])
    for _ in range(300):
        record, at = bytearray(framed), chance.randrange(len(framed))
        record[at] ^= 1 << chance.randrange(8)
        assert run_vector(good | {"envelope_hex": record.hex()}).keys() == {"reason"}
