# ruff: noqa: INP001 - scripts beside their data
"""The fixed world of the vectors: parties, keys, schemas, clock. Nothing in it is secret, and nothing is random."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin.report.schema import load_schema
from tocsin.wire.keys import key_id

if TYPE_CHECKING:
    from tocsin.report.schema import Schema

DAY = 20_788
"""2026-12-01."""
DAY_MS = 86_400_000
MINUTE = DAY * 1_440 + 600
NOW = MINUTE * 60_000 + 30_000
BEGIN, END = (DAY - 300) * DAY_MS, (DAY + 400) * DAY_MS
"""The window of every key that has no other."""

PARTIES = {
    "gb": ("MEMBER", "GB"),
    "jp": ("MEMBER", "JP"),
    "ke": ("MEMBER", "KE"),
    "fr": ("MEMBER", "FR"),
    "acme-labs": ("LAB", "GB"),
    "gb-regulator": ("AUTHORITY", "GB"),
    "jp-regulator": ("AUTHORITY", "JP"),
    "eu-office": ("AUTHORITY", "EU"),
    "world-body": ("BODY", ""),
    "m1": ("MEMBER", "US"),
    "m2": ("MEMBER", "CA"),
    "m3": ("MEMBER", "AU"),
    "m4": ("MEMBER", "SG"),
    "m5": ("MEMBER", "KR"),
}

EXTRA = frozenset({"m1", "m2", "m3", "m4", "m5"})


def fixed_bytes(text: str, size: int = 32) -> bytes:
    """Bytes that look random and are not."""
    return sha256(b"tocsin vectors: " + text.encode()).digest()[:size]


def seed(party: str, use: str) -> bytes:
    """The secret seed of a party's key."""
    return fixed_bytes(f"{party}/{use}")


def private(party: str, use: str) -> Ed25519PrivateKey:
    """A party's private key."""
    return Ed25519PrivateKey.from_private_bytes(seed(party, use))


def public(party: str, use: str) -> bytes:
    """A party's public key."""
    return private(party, use).public_key().public_bytes_raw()


def id_of(party: str, use: str) -> bytes:
    """A party's key id."""
    return key_id(1, use, public(party, use))


def key_record(party: str, use: str, /, **changes: Any) -> dict[str, Any]:
    """A key as a trust view lists it."""
    record = {
        "use": use,
        "suite": 1,
        "public_hex": public(party, use).hex(),
        "not_before_ms": BEGIN,
        "not_after_ms": END,
        "revoked_at_ms": None,
    }
    return record | changes


def trust(*, everybody: bool = False, **changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The world's trust view; m1 to m5 only for `everybody`.

    `gb={"relay": {...}}` changes a key record, `gb={"relay": None}` drops it, `gb={"kind": ...}` changes the party and
    `gb=None` drops it.
    """
    listed = []
    for name, (kind, jurisdiction) in PARTIES.items():
        change = changes.get(name, {})
        if change is None or (name in EXTRA and not everybody):
            continue
        keys = [
            key_record(name, use, **(change.get(use) or {}))
            for use in ("event", "relay")
            if change.get(use, {}) is not None
        ]
        about = {key: value for key, value in change.items() if key not in {"event", "relay"}}
        listed.append({"party": name, "kind": kind, "jurisdiction": jurisdiction, "keys": keys} | about)
    return listed


def field(name: str, kind: Any, **properties: Any) -> dict[str, Any]:
    """A field of a schema of reports."""
    return {"name": name, "type": ["null", kind], "default": None} | properties


def schema_text(name: str, *fields: dict[str, Any]) -> str:
    """The text of a schema's file."""
    return json.dumps({"type": "record", "name": name, "namespace": "vectors", "fields": fields}) + "\n"


_STRINGS = {"type": "array", "items": "string"}
_DATE = {"type": "int", "logicalType": "date"}
_BAND = {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]}
_ROLE = {"type": "enum", "name": "Role", "symbols": ["DEPLOYER", "DEVELOPER"]}
_ACTOR = {
    "type": "record",
    "name": "Actor",
    "fields": [{"name": "name", "type": "string"}, {"name": "role", "type": _ROLE}],
}

TEST_FIELDS = (
    field("title", "string", **{"class": "narrative"}),
    field("occurred_at", {"type": "long", "logicalType": "timestamp-millis"}, **{"class": "harm"}),
    field("occurred_day", _DATE, rung={"of": "occurred_at", "by": "day/1"}),
    field("occurred_month", _DATE, rung={"of": "occurred_day", "by": "month/1"}),
    field("countries", _STRINGS, set=True),
    field("region", _STRINGS, set=True, rung={"of": "countries", "by": "region/1"}),
    field("severity", "int"),
    field("severity_band", _BAND, rung={"of": "severity", "by": "band/1"}),
    field("affected", "long"),
    field("affected_magnitude", "int", rung={"of": "affected", "by": "magnitude/1"}),
    field("critical", "boolean"),
    field("mark", {"type": "fixed", "name": "Mark", "size": 4}),
    field("actors", {"type": "array", "items": _ACTOR}),
    field("evidence", "bytes"),
)
"""14 slots: a mask of two bytes with two unused bits, every ladder, every form of type."""

TEST = schema_text("test", *TEST_FIELDS)
TEST_LATER = schema_text(
    "test",
    *(TEST_FIELDS[:7]),
    field(
        "severity_band", _BAND | {"symbols": [*_BAND["symbols"], "UNCLEAR"]}, rung={"of": "severity", "by": "band/1"}
    ),
    *(TEST_FIELDS[8:]),
    field("added", "string"),
)
"""test/1.1: an enum symbol and a slot more."""
ONE = schema_text("one", field("only", "string"))
EIGHT = schema_text("eight", *(field(f"s{i}", "boolean") for i in range(8)))
WIDE = schema_text("wide", *(field(f"s{i}", "bytes") for i in range(256)))

TEXTS = {"test/1.0": TEST, "test/1.1": TEST_LATER, "one/1.0": ONE, "eight/1.0": EIGHT, "wide/1.0": WIDE}


def schema(schema_id: str) -> Schema:
    """The schema of that id as a node reads it."""
    return load_schema(schema_id, TEXTS[schema_id].encode())


VALUES: dict[str, Any] = {
    "title": "Störung – 事故",
    "occurred_at": DAY * DAY_MS + 1,
    "occurred_day": DAY,
    "occurred_month": DAY,  # the first of its month
    "countries": ["GB", "JP"],
    "region": ["030", "154"],
    "severity": 5,
    "severity_band": "HIGH",
    "affected": 1_234,
    "affected_magnitude": 3,
    "critical": None,
    "mark": b"mark",
    "actors": [{"name": "Acme", "role": "DEPLOYER"}],
    "evidence": b"\x00\xff",
}
"""What the origin of test/1.0 says, every rung in agreement."""


def encoded(values: dict[str, Any], schema_id: str = "test/1.0") -> list[bytes]:
    """The value bytes of every slot; what is not given is null."""
    known = schema(schema_id)
    return [known.encode_slot(field.index, values.get(field.name)) for field in known.fields]
