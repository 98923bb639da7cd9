"""Statements: signed short texts that are not reports (protocol section 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from tocsin.wire import records
from tocsin.wire.avro import Codec, Malformed, frame, unframe
from tocsin.wire.envelope import MAX_FRAMED
from tocsin.wire.keys import KeyUse, TrustView, pae, verify_signature
from tocsin.wire.reasons import Reason, Refused, Rejected
from tocsin.wire.stream import StreamHead, head_zero

__all__ = [
    "AHEAD_MS",
    "EPOCH_AHEAD_S",
    "MAX_STATEMENT_BODY",
    "Descriptor",
    "PolicyText",
    "Receipt",
    "StatementBody",
    "StreamHead",
    "VerifiedStatement",
    "encode_statement",
    "frame_statement",
    "is_statement",
    "verify_statement",
]

MAX_STATEMENT_BODY = 65_536
"""Bytes of an encoded statement body."""
AHEAD_MS = 5 * 60_000
"""How far a statement's time may lie after now."""
EPOCH_AHEAD_S = 300
"""How far a stream's epoch may lie after the time of a head."""

_STATEMENT = Codec(records.STATEMENT)
_FINGERPRINT = _STATEMENT.fingerprint


@dataclass(frozen=True, slots=True)
class Receipt:
    """A node's answer to a submission: `record` is SHA-256 of its framed bytes, `report` the national leaf or None.

    `decision` is ACCEPTED, REJECTED or ISSUED; `leaf` is zeros where it cannot be computed.
    """

    node: str
    lab: str
    record: bytes
    leaf: bytes
    decision: str
    reason: str
    report: bytes | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A node's disclosure policy, as it stands."""

    node: str
    id: str
    version: int
    schema: str
    text: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a node is and speaks: (schema, id, version, sha256) of each policy in force, SHA-256 of each schema known."""

    node: str
    jurisdiction: str
    software: str
    protocol: int
    policies: tuple[tuple[str, str, int, bytes], ...]
    schemas: tuple[bytes, ...]
    time_ms: int


StatementBody: TypeAlias = StreamHead | Receipt | PolicyText | Descriptor


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement that passed every check; `framed` are its bytes as received."""

    type: str
    body_bytes: bytes
    body: StatementBody
    framed: bytes


@dataclass(frozen=True, slots=True)
class _Form:
    """One type of statement: its schema, and the class of its body."""

    codec: Codec
    body: type[StatementBody]


def _type(name: str) -> str:
    return f"application/vnd.tocsin.{name}.v1+avro"


_FORMS = {
    _type("stream-head"): _Form(Codec(records.STREAM_HEAD), StreamHead),
    _type("receipt"): _Form(Codec(records.RECEIPT), Receipt),
    _type("policy"): _Form(Codec(records.POLICY_TEXT), PolicyText),
    _type("descriptor"): _Form(Codec(records.DESCRIPTOR), Descriptor),
}
_TYPES = {form.body: name for name, form in _FORMS.items()}
_POLICY_FIELDS = ("schema", "id", "version", "sha256")


def encode_statement(body: StatementBody) -> tuple[str, bytes]:
    """Type and bytes of a body; a relay key signs `pae(type, bytes)`. ValueError where it does not fit its schema."""
    kind = _TYPES[type(body)]
    fields = asdict(body)
    if isinstance(body, Descriptor):
        fields["policies"] = [dict(zip(_POLICY_FIELDS, policy, strict=True)) for policy in body.policies]
    raw = _FORMS[kind].codec.encode(fields)
    if len(raw) > MAX_STATEMENT_BODY:
        raise ValueError(f"the statement has {len(raw)} bytes, more than {MAX_STATEMENT_BODY}")
    return kind, raw


def frame_statement(kind: str, body: bytes, key_id: bytes, signature: bytes) -> bytes:
    """The framed bytes of a signed statement."""
    fields = {"type": kind, "body": body, "key_id": key_id, "signature": signature}
    return frame(_FINGERPRINT, _STATEMENT.encode(fields))


def is_statement(framed: bytes) -> bool:
    """Whether the frame is the Statement's; it alone decides how a record is verified."""
    return framed.startswith(frame(_FINGERPRINT, b""))


def verify_statement(
    framed: bytes, trust: TrustView, now_ms: int, came_by: tuple[str, str] | None
) -> VerifiedStatement | Rejected:
    """The verdict on framed bytes, in the order of protocol section 5; total: no bytes raise.

    `came_by` is (releaser, audience) of the stream that it came by, if any. Before the signature is checked a failure
    accuses nobody; after it, the party that signed.
    """
    accused = ""
    try:
        statement = _open(framed)
        kind, raw = statement["type"], statement["body"]
        body = _body(kind, raw)
        speaker = body.releaser if isinstance(body, StreamHead) else body.node
        key = trust.key(speaker, statement["key_id"], KeyUse.RELAY)
        if key is None or not key.valid_at(body.time_ms) or key.revoked(now_ms):
            return Rejected(Reason.STATEMENT_KEY)
        if not verify_signature(key.public, pae(kind, raw), statement["signature"]):
            return Rejected(Reason.STATEMENT_SIGNATURE)
        accused = speaker
        _check_place(body, now_ms, came_by)
    except Refused as refused:
        return Rejected(refused.reason, accused)
    return VerifiedStatement(kind, raw, body, framed)


def _open(framed: bytes) -> dict[str, Any]:
    if len(framed) > MAX_FRAMED:
        raise Refused(Reason.SIZE)
    try:
        fingerprint, inner = unframe(framed)
    except Malformed:
        raise Refused(Reason.FRAMING) from None
    if fingerprint != _FINGERPRINT:
        raise Refused(Reason.FRAMING)
    try:
        statement: dict[str, Any] = _STATEMENT.decode(inner)
    except Malformed:
        raise Refused(Reason.STATEMENT_MALFORMED) from None
    return statement


def _body(kind: str, raw: bytes) -> StatementBody:
    form = _FORMS.get(kind)
    if form is None or len(raw) > MAX_STATEMENT_BODY:
        raise Refused(Reason.STATEMENT_MALFORMED)
    try:
        fields = form.codec.decode(raw)
    except Malformed:
        raise Refused(Reason.STATEMENT_MALFORMED) from None
    if form.body is Descriptor:
        fields["policies"] = tuple(tuple(policy.values()) for policy in fields["policies"])
        fields["schemas"] = tuple(fields["schemas"])
    body = form.body(**fields)
    if isinstance(body, StreamHead) and (body.epoch < 0 or body.seq < 0):
        raise Refused(Reason.STATEMENT_MALFORMED)
    return body


def _check_place(body: StatementBody, now_ms: int, came_by: tuple[str, str] | None) -> None:
    """When and where a statement may stand; STATEMENT_PLACE."""
    if body.time_ms > now_ms + AHEAD_MS:
        raise Refused(Reason.STATEMENT_PLACE)
    if not isinstance(body, StreamHead):
        return
    if body.epoch > body.time_ms // 1000 + EPOCH_AHEAD_S:
        raise Refused(Reason.STATEMENT_PLACE)
    if came_by is not None and came_by != (body.releaser, body.audience):
        raise Refused(Reason.STATEMENT_PLACE)
    if body.seq == 0:
        try:
            begin = head_zero(body.releaser, body.audience, body.epoch)
        except ValueError:  # names too long to have a head 0
            raise Refused(Reason.STATEMENT_PLACE) from None
        if body.head != begin:
            raise Refused(Reason.STATEMENT_PLACE)
