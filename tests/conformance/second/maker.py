"""A small builder for the second verifier's own tests: reports, hops and statements, signed."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.conformance.second.avro import Type, decode
from tests.conformance.second.encoder import encode
from tests.conformance.second.messages import (
    BODIES,
    ENVELOPE,
    ENVELOPE_FRAME,
    HEADER,
    HOP_BODY,
    HOP_TYPE,
    REPORT_TYPE,
    STATEMENT,
    STATEMENT_FRAME,
    ZEROS,
    pae,
    sha256,
)
from tests.conformance.second.report import slot_hash, slots_root
from tests.conformance.second.schema import load
from tests.conformance.second.trust import key_id

DAY = 20_000
MINUTE = DAY * 1_440 + 5
NOW_MS = (MINUTE + 60) * 60_000
POLICY = {"id": "house", "version": 1, "sha256": b"p" * 32}
NO_POLICY = {"id": "", "version": 0, "sha256": ZEROS}


def secret(party: str, use: str) -> Ed25519PrivateKey:
    """The test key of a party for a use."""
    return Ed25519PrivateKey.from_private_bytes(sha256(b"a key for tests", party.encode(), use.encode()))


def public(party: str, use: str) -> bytes:
    """Its public half."""
    return secret(party, use).public_key().public_bytes_raw()


def trust_entry(party: str, kind: str, jurisdiction: str) -> dict[str, Any]:
    """A party as a vector lists it, with a key of each use."""
    keys = [
        {
            "use": use,
            "suite": 1,
            "public_hex": public(party, use).hex(),
            "not_before_ms": 0,
            "not_after_ms": 2 * NOW_MS,
            "revoked_at_ms": None,
        }
        for use in ("event", "relay")
    ]
    return {"party": party, "kind": kind, "jurisdiction": jurisdiction, "keys": keys}


def world() -> list[dict[str, Any]]:
    """The parties of the tests."""
    listed = [("gb", "MEMBER", "GB"), ("us", "MEMBER", "US"), ("lab", "LAB", "GB"), ("un", "BODY", "")]
    listed += [("gb-law", "AUTHORITY", "GB"), ("us-law", "AUTHORITY", "US"), ("fr", "MEMBER", "FR")]
    return [trust_entry(*entry) for entry in listed]


def field(name: str, kind: Any, **properties: Any) -> dict[str, Any]:
    """A field of a published schema."""
    return {"name": name, "type": ["null", kind], "default": None, **properties}


def schema_text(fields: list[dict[str, Any]]) -> str:
    """The text of an `.avsc` with those fields."""
    return json.dumps({"type": "record", "name": "Test", "namespace": "t", "fields": fields})


BAND = {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]}
FIELDS = [
    field("title", "string", **{"class": "narrative"}),
    field("at", {"type": "long", "logicalType": "timestamp-millis"}),
    field("on", {"type": "int", "logicalType": "date"}, rung={"of": "at", "by": "day/1"}),
    field("month", {"type": "int", "logicalType": "date"}, rung={"of": "on", "by": "month/1"}),
    field("countries", {"type": "array", "items": "string"}, set=True),
    field("regions", {"type": "array", "items": "string"}, set=True, rung={"of": "countries", "by": "region/1"}),
    field("severity", "int"),
    field("band", BAND, rung={"of": "severity", "by": "band/1"}),
    field("deaths", "long"),
    field("deaths_magnitude", "int", rung={"of": "deaths", "by": "magnitude/1"}),
]
SCHEMA = schema_text(FIELDS)
N = len(FIELDS)
VALUES = {
    "title": "t",
    "at": DAY * 86_400_000 + 1,
    "on": DAY,
    "month": DAY - 3,
    "countries": ["FR", "GB"],
    "regions": ["154", "155"],
    "severity": 5,
    "band": "HIGH",
    "deaths": 120,
    "deaths_magnitude": 2,
}


def mask(*slots: int) -> bytes:
    """The mask of N slots with those set."""
    return sum(1 << i for i in slots).to_bytes((N + 7) // 8, "little")


ALL = mask(*range(N))


def make_header(**changed: Any) -> dict[str, Any]:
    """A first report by gb; `changed` names fields that differ."""
    header = {
        "origin": "gb",
        "incident": b"i" * 16,
        "revision": 0,
        "stage": "INITIAL",
        "prev": ZEROS,
        "created_day": DAY,
        "schema": "test/1.0",
        "schema_sha256": load(SCHEMA).sha256,
        "tlp": "GREEN",
        "exercise": False,
    } | changed
    return {"key_id": key_id("event", public(str(header["origin"]), "event"))} | header


def make_values(**changed: Any) -> list[bytes]:
    """The encoded values of all slots."""
    fields = zip(load(SCHEMA).fields, (VALUES | changed).values(), strict=True)
    return [encode(Type("union", parts=(Type("null"), known.type)), value) for known, value in fields]


def make_hop(before: bytes, /, **changed: Any) -> dict[str, Any]:
    """A hop of gb to us that lets everything through; `changed` names fields of the body that differ."""
    body = {
        "releaser": "gb",
        "prev": before,
        "mask_out": ALL,
        "tlp": "GREEN",
        "kind": "MEMBER",
        "audience": "us",
        "limits": [],
        "policy": POLICY,
        "reasons": [],
        "minute": MINUTE,
    } | changed
    raw = encode(HOP_BODY, body)
    releaser = str(body["releaser"])
    key = key_id("relay", public(releaser, "relay"))
    return {"body": raw, "key_id": key, "signature": secret(releaser, "relay").sign(pae(HOP_TYPE, raw))}


def hop_hash(hop: dict[str, Any]) -> bytes:
    """What the next hop's prev is."""
    return sha256(b"tocsin/hop/v1\0", hop["body"], hop["key_id"], hop["signature"])


def withheld(*slots: int, code: str = "WITHHELD", until: int = 0) -> dict[str, Any]:
    """A reason for those slots."""
    return {"slots": mask(*slots), "code": code, "until": until, "rule": "r.1"}


def make_report(header: dict[str, Any], values: list[bytes], hops: list[dict[str, Any]]) -> dict[str, Any]:
    """An envelope as a dict; each of `hops` says what differs from `make_hop`, and the last mask decides."""
    raw = encode(HEADER, header)
    ctx = sha256(b"tocsin/ctx/v1\0", raw)
    salts = [sha256(b"salt", bytes([i]))[:16] for i in range(len(values))]
    slots = [slot_hash(ctx, i, salts[i], value) for i, value in enumerate(values)]
    entry = pae(REPORT_TYPE, raw + slots_root(slots))
    chain: list[dict[str, Any]] = []
    for changed in hops:
        prev = hop_hash(chain[-1]) if chain else sha256(b"\0", entry)
        chain.append(make_hop(prev, **changed))
    last = decode(HOP_BODY, chain[-1]["body"])["mask_out"]
    shown = [i for i in range(len(values)) if int.from_bytes(last, "little") >> i & 1]
    return {
        "header": raw,
        "mask": last,
        "salts": b"".join(salts[i] for i in shown),
        "values": [values[i] for i in shown],
        "digests": b"".join(slots[i] for i in range(len(values)) if i not in shown),
        "signature": secret(str(header["origin"]), "event").sign(entry),
        "hops": chain,
    }


def make_vector(envelope: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """A report vector around an envelope."""
    vector = {
        "trust": world(),
        "schemas": {"test/1.0": SCHEMA},
        "now_ms": NOW_MS,
        "came_by": None,
        "held": [],
        "envelope_hex": (ENVELOPE_FRAME + encode(ENVELOPE, envelope)).hex(),
    }
    return vector | changed


def make_statement(name: str, body: dict[str, Any], signer: str = "gb") -> bytes:
    """A framed statement."""
    kind, raw = f"application/vnd.tocsin.{name}.v1+avro", encode(BODIES[name], body)
    key = key_id("relay", public(signer, "relay"))
    signature = secret(signer, "relay").sign(pae(kind, raw))
    return STATEMENT_FRAME + encode(STATEMENT, {"type": kind, "body": raw, "key_id": key, "signature": signature})
