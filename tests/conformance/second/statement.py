"""Statements: section 5 of the protocol, in its order of checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.conformance.second import ed25519
from tests.conformance.second.messages import (
    BODIES,
    STATEMENT,
    STATEMENT_FRAME,
    pae,
    refuse_unless,
    sha256,
    strict,
    unframe,
)
from tests.conformance.second.trust import View

MAX_BODY = 65_536
_TYPES = {f"application/vnd.tocsin.{name}.v1+avro": name for name in BODIES}


@dataclass(frozen=True)
class Statement:
    """A statement that holds: its short name, its type, and its body both decoded and as received."""

    name: str
    type: str
    body: dict[str, Any]
    raw: bytes


def head_0(releaser: str, audience: str, epoch: int) -> bytes | None:
    """The head with which an epoch begins; none exists for a name of more than 255 bytes."""
    names = [releaser.encode(), audience.encode()]
    if any(len(name) > 255 for name in names):
        return None
    return sha256(b"tocsin/stream/v1\0", *(bytes([len(name)]) + name for name in names), epoch.to_bytes(8, "big"))


def next_head(head: bytes, seq: int, record_hash: bytes) -> bytes:
    """The head after record `seq`."""
    return sha256(b"tocsin/head/v1\0", head, seq.to_bytes(8, "big"), record_hash)


def verify(record: bytes, view: View, now_ms: int, came_by: dict[str, str] | None) -> Statement:
    """The statement in a framed record; raises RefusedError."""
    outer = strict(STATEMENT, unframe(record, STATEMENT_FRAME), "STATEMENT_MALFORMED")
    name = _TYPES.get(outer["type"])
    refuse_unless(name is not None and len(outer["body"]) <= MAX_BODY, "STATEMENT_MALFORMED")
    statement = Statement(
        str(name), outer["type"], strict(BODIES[str(name)], outer["body"], "STATEMENT_MALFORMED"), outer["body"]
    )
    body = statement.body
    refuse_unless(body.get("epoch", 0) >= 0 and body.get("seq", 0) >= 0, "STATEMENT_MALFORMED")
    party = view.get(body["releaser" if name == "stream-head" else "node"])
    key = party.key("relay", outer["key_id"]) if party else None
    if key is None or not key.covers(body["time_ms"]) or key.is_revoked(now_ms):
        refuse_unless(False, "STATEMENT_KEY")
    else:
        signed = pae(outer["type"], outer["body"])
        refuse_unless(ed25519.verifies(key.public, signed, outer["signature"]), "STATEMENT_SIGNATURE")
    refuse_unless(body["time_ms"] <= now_ms + 300_000, "STATEMENT_PLACE")
    if name == "stream-head":
        refuse_unless(_is_in_place(body, came_by), "STATEMENT_PLACE")
    return statement


def _is_in_place(body: dict[str, Any], came_by: dict[str, str] | None) -> bool:
    if body["epoch"] > body["time_ms"] // 1000 + 300:
        return False
    if body["seq"] == 0 and body["head"] != head_0(body["releaser"], body["audience"], body["epoch"]):
        return False
    stream = {"releaser": body["releaser"], "audience": body["audience"]}
    return came_by is None or stream == came_by
