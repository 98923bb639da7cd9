"""The header of a report: what is never withheld (protocol section 2)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum

from tocsin.wire import records
from tocsin.wire.avro import Codec, Malformed
from tocsin.wire.keys import is_party_id
from tocsin.wire.reasons import Reason, Refused

MAX_HEADER = 1_024
"""Bytes of an encoded header."""
ZERO_DIGEST = bytes(32)

_CODEC = Codec(records.HEADER)
_SCHEMA_ID = re.compile(r"[a-z][a-z0-9-]{0,31}/(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


class Stage(StrEnum):
    """Where an incident's story stands; a RETRACTION ends it."""

    INITIAL = "INITIAL"
    UPDATE = "UPDATE"
    FINAL = "FINAL"
    RETRACTION = "RETRACTION"


class Tlp(IntEnum):
    """Traffic Light Protocol 2.0; a greater number is stricter."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    AMBER_STRICT = 3
    RED = 4


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of `tocsin.v1.Header`, in its order."""

    origin: str
    key_id: bytes
    incident: bytes
    revision: int
    stage: Stage
    prev: bytes
    created_day: int
    schema: str
    schema_sha256: bytes
    tlp: Tlp
    exercise: bool


def encode_header(header: Header) -> bytes:
    """The header's bytes, encoded once by the origin; ValueError where it breaks a rule of protocol section 2."""
    raw = _CODEC.encode(asdict(header) | {"stage": header.stage.value, "tlp": header.tlp.name})
    try:
        parse_header(raw)
    except Refused as refused:
        raise ValueError(f"the header breaks a rule: {refused.reason}") from None
    return raw


def parse_header(raw: bytes) -> Header:
    """The header of these bytes; `Refused` by HEADER_MALFORMED or HEADER_INVALID (protocol section 6, step 2)."""
    if len(raw) > MAX_HEADER:
        raise Refused(Reason.HEADER_MALFORMED)
    try:
        fields = _CODEC.decode(raw)
    except Malformed:
        raise Refused(Reason.HEADER_MALFORMED) from None
    fields["stage"] = Stage.__members__[fields["stage"]]
    fields["tlp"] = Tlp.__members__[fields["tlp"]]
    header = Header(**fields)
    first = header.revision == 0
    if not (
        is_party_id(header.origin)
        and header.revision >= 0
        and (header.stage is Stage.INITIAL) == first
        and (header.prev == ZERO_DIGEST) == first
        and header.created_day >= 0
        and _SCHEMA_ID.fullmatch(header.schema)
    ):
        raise Refused(Reason.HEADER_INVALID)
    return header
