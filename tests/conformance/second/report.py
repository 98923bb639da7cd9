"""Reports: section 6 of the protocol, step by step. The hops of step 4 are in hops.py, step 7 in content.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.conformance.second import ed25519, hops
from tests.conformance.second.content import check_content
from tests.conformance.second.hops import NAMED, Hop
from tests.conformance.second.messages import (
    ENVELOPE,
    ENVELOPE_FRAME,
    HEADER,
    HOP_TYPE,
    REPORT_TYPE,
    ZEROS,
    is_party_id,
    pae,
    refuse_unless,
    sha256,
    slots_of,
    strict,
    unframe,
)
from tests.conformance.second.schema import VERSION, Schema
from tests.conformance.second.trust import Key, View

DAY_MS = 86_400_000
MINUTE_MS = 60_000
MAX_VALUE, MAX_VALUES, MAX_HEADER = 65_535, 196_608, 1_024


@dataclass(frozen=True)
class Shape:
    """What step 3 yields: the slots' number, the mask as a number, the disclosed values, entry and leaf."""

    n: int
    mask: int
    disclosed: dict[int, bytes]
    slot_hashes: tuple[bytes, ...]
    entry: bytes
    leaf: bytes


@dataclass(frozen=True)
class Reader:
    """Everything besides the record that a verdict depends on."""

    view: View
    schemas: dict[tuple[str, int, int], Schema]
    now_ms: int
    came_by: dict[str, str] | None
    held: frozenset[bytes]


@dataclass(frozen=True)
class Accepted:
    """A report that holds."""

    leaf: bytes
    disclosed: dict[int, bytes]
    chain: list[str]


def verify(record: bytes, reader: Reader) -> Accepted:
    """The report in a framed record; raises RefusedError with the first reason."""
    envelope = strict(ENVELOPE, unframe(record, ENVELOPE_FRAME), "ENVELOPE_MALFORMED")
    header = read_header(envelope["header"])
    shape = read_shape(envelope)
    chain = hops.read(envelope["hops"], header, shape.n, shape.mask, shape.leaf)
    if reader.came_by is not None:
        last = {"releaser": chain[-1].body["releaser"], "audience": chain[-1].body["audience"]}
        refuse_unless(last == reader.came_by, "STREAM_SOURCE")
    _check_hop_signature(chain[-1], reader)
    _check_report_signature(header, envelope["signature"], shape, reader)
    for hop in reversed(chain[:-1]):
        _check_hop_signature(hop, reader)
    for i, hop in enumerate(chain):
        _check_parties(i, hop, chain, header, reader)
    check_content(header, shape.n, shape.disclosed, chain, reader.schemas)
    return Accepted(shape.leaf, shape.disclosed, [hop.body["releaser"] for hop in chain])


def read_header(data: bytes) -> dict[str, Any]:
    """Step 2."""
    refuse_unless(len(data) <= MAX_HEADER, "HEADER_MALFORMED")
    header: dict[str, Any] = strict(HEADER, data, "HEADER_MALFORMED")
    first = header["revision"] == 0
    refuse_unless(
        is_party_id(header["origin"])
        and header["revision"] >= 0
        and (header["stage"] == "INITIAL") == first
        and (header["prev"] == ZEROS) == first
        and header["created_day"] >= 0
        and VERSION.fullmatch(header["schema"]) is not None,
        "HEADER_INVALID",
    )
    return header


def slot_hash(ctx: bytes, i: int, salt: bytes, value: bytes) -> bytes:
    """slot_i of section 2."""
    return sha256(b"tocsin/slot/v1", bytes(18), ctx, i.to_bytes(2, "big"), salt, value)


def slots_root(slots: list[bytes]) -> bytes:
    """slots_root of section 2."""
    return sha256(b"tocsin/slots/v1\0", len(slots).to_bytes(2, "big"), *slots)


def read_shape(envelope: dict[str, Any]) -> Shape:
    """Step 3."""
    values, salts, digests = envelope["values"], envelope["salts"], envelope["digests"]
    k = int.from_bytes(envelope["mask"], "little").bit_count()
    n = k + len(digests) // 32
    refuse_unless(len(digests) % 32 == 0 and 1 <= n <= 256, "SHAPE")
    mask = slots_of(envelope["mask"], n)
    refuse_unless(mask is not None and len(values) == k and len(salts) == 16 * k, "SHAPE")
    refuse_unless(all(len(value) <= MAX_VALUE for value in values), "SHAPE")
    refuse_unless(sum(len(value) for value in values) <= MAX_VALUES, "SHAPE")
    ctx = sha256(b"tocsin/ctx/v1\0", envelope["header"])
    slots: list[bytes] = []
    disclosed: dict[int, bytes] = {}
    for i in range(n):
        j = len(disclosed)
        if int(mask or 0) >> i & 1:
            disclosed[i] = values[j]
            slots.append(slot_hash(ctx, i, salts[16 * j : 16 * j + 16], values[j]))
        else:
            slots.append(digests[32 * (i - j) : 32 * (i - j) + 32])
    entry = pae(REPORT_TYPE, envelope["header"] + slots_root(slots))
    return Shape(n, int(mask or 0), disclosed, tuple(slots), entry, sha256(b"\0", entry))


def _key(view: View, party: str, use: str, key_id: bytes, reason: str) -> Key:
    key = view[party].key(use, key_id) if party in view else None
    refuse_unless(key is not None, reason)
    if key is None:
        raise AssertionError
    return key


def _check_hop_signature(hop: Hop, reader: Reader) -> None:
    """Step 6, one hop's key, window, revocation and signature."""
    key = _key(reader.view, hop.body["releaser"], "relay", hop.key_id, "HOP_KEY_UNKNOWN")
    refuse_unless(key.covers(hop.body["minute"] * MINUTE_MS), "HOP_KEY_WINDOW")
    refuse_unless(not key.is_revoked(reader.now_ms), "HOP_KEY_REVOKED")
    signed = pae(HOP_TYPE, hop.raw)
    refuse_unless(ed25519.verifies(key.public, signed, hop.signature), "HOP_SIGNATURE_INVALID")


def _check_report_signature(header: dict[str, Any], signature: bytes, shape: Shape, reader: Reader) -> None:
    """Step 6, the origin's key, window, revocation and signature."""
    key = _key(reader.view, header["origin"], "event", header["key_id"], "KEY_UNKNOWN")
    start = header["created_day"] * DAY_MS
    refuse_unless(key.not_before_ms < start + DAY_MS and start < key.not_after_ms, "KEY_WINDOW")
    refuse_unless(shape.leaf in reader.held or not key.is_revoked(reader.now_ms), "KEY_REVOKED")
    refuse_unless(ed25519.verifies(key.public, shape.entry, signature), "SIGNATURE_INVALID")


def _check_parties(i: int, hop: Hop, chain: list[Hop], header: dict[str, Any], reader: Reader) -> None:
    """Step 6, what the trust view says of one hop's releaser and reader, and its minute."""
    body = hop.body
    releaser = reader.view[body["releaser"]]
    if body["kind"] in NAMED:
        refuse_unless(body["audience"] in reader.view, "HOP_READER_UNKNOWN")
        audience = reader.view[body["audience"]]
        refuse_unless(audience.kind == body["kind"], "HOP_HANDLING")
        if body["tlp"] == "AMBER" and i == 1 and not hop.is_free(header):
            refuse_unless(audience.jurisdiction == releaser.jurisdiction, "HOP_HANDLING")
    has_no_policy = body["policy"]["version"] == 0
    if releaser.kind == "LAB":
        refuse_unless(body["kind"] == "MEMBER" and has_no_policy and i == len(chain) - 1, "HOP_HANDLING")
    else:
        refuse_unless(not has_no_policy, "HOP_HANDLING")
    refuse_unless(body["minute"] * MINUTE_MS <= reader.now_ms + 6 * MINUTE_MS, "NOT_YET_VALID")
