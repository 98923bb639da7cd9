"""The protocol's messages as Avro types, its hashes, and the one exception that carries a verdict."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from tests.conformance.second.avro import MalformedError, Type, array_of, decode, fingerprint, record_of

STRING, BYTES, INT, LONG, BOOLEAN = (Type(kind) for kind in ("string", "bytes", "int", "long", "boolean"))
KEY_ID = Type("fixed", "tocsin.v1.KeyId", size=16)
SIGNATURE = Type("fixed", "tocsin.v1.Signature", size=64)
HASH = Type("fixed", "tocsin.v1.Hash", size=32)
STAGE = Type("enum", "tocsin.v1.Stage", symbols=("INITIAL", "UPDATE", "FINAL", "RETRACTION"))
TLP = Type("enum", "tocsin.v1.Tlp", symbols=("CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED"))
KIND = Type("enum", "tocsin.v1.Kind", symbols=("MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC"))
CODE = Type("enum", "tocsin.v1.Code", symbols=("EMBARGOED", "COARSENED", "WITHHELD"))
DECISION = Type("enum", "tocsin.v1.Decision", symbols=("ACCEPTED", "REJECTED", "ISSUED"))

HEADER = record_of(
    "tocsin.v1.Header",
    origin=STRING,
    key_id=KEY_ID,
    incident=Type("fixed", "tocsin.v1.Incident", size=16),
    revision=INT,
    stage=STAGE,
    prev=HASH,
    created_day=INT,
    schema=STRING,
    schema_sha256=HASH,
    tlp=TLP,
    exercise=BOOLEAN,
)
HOP = record_of("tocsin.v1.Hop", body=BYTES, key_id=KEY_ID, signature=SIGNATURE)
ENVELOPE = record_of(
    "tocsin.v1.Envelope",
    header=BYTES,
    mask=BYTES,
    salts=BYTES,
    values=array_of(BYTES),
    digests=BYTES,
    signature=SIGNATURE,
    hops=array_of(HOP),
)
HOP_BODY = record_of(
    "tocsin.v1.HopBody",
    releaser=STRING,
    prev=HASH,
    mask_out=BYTES,
    tlp=TLP,
    kind=KIND,
    audience=STRING,
    limits=array_of(record_of("tocsin.v1.Limit", kind=KIND, slots=BYTES, until=INT)),
    policy=record_of("tocsin.v1.Policy", id=STRING, version=INT, sha256=HASH),
    reasons=array_of(record_of("tocsin.v1.Withheld", slots=BYTES, code=CODE, until=INT, rule=STRING)),
    minute=INT,
)
STATEMENT = record_of("tocsin.v1.Statement", type=STRING, body=BYTES, key_id=KEY_ID, signature=SIGNATURE)
BODIES = {
    "stream-head": record_of(
        "tocsin.v1.StreamHead", releaser=STRING, audience=STRING, epoch=LONG, seq=LONG, head=HASH, time_ms=LONG
    ),
    "receipt": record_of(
        "tocsin.v1.Receipt",
        node=STRING,
        lab=STRING,
        record=HASH,
        leaf=HASH,
        decision=DECISION,
        reason=STRING,
        report=Type("union", parts=(Type("null"), HASH)),
        time_ms=LONG,
    ),
    "policy": record_of(
        "tocsin.v1.PolicyText", node=STRING, id=STRING, version=INT, schema=STRING, text=BYTES, time_ms=LONG
    ),
    "descriptor": record_of(
        "tocsin.v1.Descriptor",
        node=STRING,
        jurisdiction=STRING,
        software=STRING,
        protocol=INT,
        policies=array_of(record_of("tocsin.v1.PolicyRef", schema=STRING, id=STRING, version=INT, sha256=HASH)),
        schemas=array_of(HASH),
        time_ms=LONG,
    ),
}

MAX_FRAMED = 262_144
ENVELOPE_FRAME = b"\xc3\x01" + fingerprint(ENVELOPE)
STATEMENT_FRAME = b"\xc3\x01" + fingerprint(STATEMENT)
REPORT_TYPE = "application/vnd.tocsin.report.v1+avro"
HOP_TYPE = "application/vnd.tocsin.hop.v1+avro"
ZEROS = bytes(32)
FOREVER = 2**31 - 1

_PARTY_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class RefusedError(Exception):
    """The verdict on a record, as one of the protocol's reasons."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_unless(holds: bool, reason: str) -> None:
    """Refuse for `reason` unless `holds`."""
    if not holds:
        raise RefusedError(reason)


def strict(of: Type, data: bytes, reason: str) -> Any:
    """The decoded value, or a refusal for `reason`."""
    try:
        return decode(of, data)
    except MalformedError as error:
        raise RefusedError(reason) from error


def unframe(record: bytes, frame: bytes) -> bytes:
    """The body of a framed object: section 6, step 1."""
    refuse_unless(len(record) <= MAX_FRAMED, "SIZE")
    refuse_unless(record.startswith(frame), "FRAMING")
    return record[len(frame) :]


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def pae(kind: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


def has_id_form(text: str) -> bool:
    """Whether the text has the pattern of a party id; reserved ids have it too."""
    return _PARTY_ID.fullmatch(text) is not None


def is_party_id(text: str) -> bool:
    """Whether the text may be the id of a party."""
    return has_id_form(text) and text != "public" and not text.startswith("community-")


def slots_of(mask: bytes, n: int) -> int | None:
    """The mask as a number whose bit i is slot i; None where its length or its padding is wrong."""
    bits = int.from_bytes(mask, "little")
    return bits if len(mask) == (n + 7) // 8 and bits >> n == 0 else None
