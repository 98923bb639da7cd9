"""Verification of a report, step by step, in the order of protocol section 6; the first failure is the verdict.

Only this file makes a `Verified`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tocsin.wire.chain import check_chain, is_empty_retraction
from tocsin.wire.envelope import Envelope, read_envelope
from tocsin.wire.header import Header, Tlp
from tocsin.wire.hop import EMPTY, HOP_TYPE, AudienceKind, Hop, HopBody
from tocsin.wire.keys import KeyUse, Party, PartyKind, TrustView, pae, verify_signature
from tocsin.wire.reasons import Reason, Refused, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["AHEAD_MS", "Judged", "Rejected", "Schemas", "Verified", "leaf_of", "verify", "verify_own"]

AHEAD_MS = 6 * 60_000
"""How far a hop's minute, which is rounded up, may lie after now."""
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What step 7 found: the schema by which the report is read, and the decoded values of readable disclosed slots.

    `values` holds None for a disclosed null; `unreadable` are disclosed slots that a later minor version explains.
    """

    schema: Any
    values: Mapping[int, Any]
    unreadable: frozenset[int]


class Schemas(Protocol):
    """The schemas that are known."""

    def judge(self, header: Header, n: int, disclosed: Mapping[int, bytes], hops: Sequence[HopBody]) -> Judged | Reason:
        """The whole of step 7, in its order; `disclosed` are value bytes by slot."""
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """A report that passed every step. `loose`: nothing ties it to a stream.

    `chain` is the hash of its last hop, and empty only for an own report (`verify_own`).
    """

    leaf: bytes
    header: Header
    header_bytes: bytes
    envelope: Envelope
    hops: tuple[HopBody, ...]
    chain: bytes
    judged: Judged
    framed: bytes
    loose: bool


def verify(
    framed: bytes,
    trust: TrustView,
    schemas: Schemas,
    now_ms: int,
    came_by: tuple[str, str] | None,
    held: Callable[[bytes], bool],
) -> Verified | Rejected:
    """The verdict on framed bytes; total: no bytes raise.

    `came_by` is (releaser, audience) of the stream or submission topic, None for a loose file (which may lack later
    hops). `held` says whether a leaf is already held: such a leaf survives the revocation of its event key.
    """
    accused, until_ms = "", 0
    try:
        envelope, header = read_envelope(framed)  # 1, 2, 3
        bodies = check_chain(envelope, header)  # 4
        last = bodies[-1]
        _check_source(last, came_by)  # 5
        _check_hop_key(envelope.hops[-1], last, trust, now_ms)  # 6
        accused = last.releaser  # who signed the last hop answers for everything that it passed on
        until_ms = last.minute * _MINUTE_MS - AHEAD_MS  # no earlier hop has a later minute (4)
        _check_report_key(envelope, header, trust, now_ms, held)
        for hop, body in reversed(list(zip(envelope.hops[:-1], bodies[:-1], strict=True))):
            _check_hop_key(hop, body, trust, now_ms)
        for index in range(len(bodies)):
            _check_parties(bodies, index, header, trust)
            _check_minute(bodies[index], now_ms)
        judged = _judge(schemas, header, envelope, bodies)  # 7
    except Refused as refused:
        return Rejected(refused.reason, accused, until_ms if refused.reason is Reason.NOT_YET_VALID else 0)
    return Verified(
        leaf=envelope.leaf,
        header=header,
        header_bytes=envelope.header,
        envelope=envelope,
        hops=bodies,
        chain=envelope.hops[-1].hash,
        judged=judged,
        framed=framed,
        loose=came_by is None,
    )


def verify_own(framed: bytes, trust: TrustView, schemas: Schemas, now_ms: int) -> Verified | Rejected:
    """The verdict on a report as its origin keeps it before any release: no hop yet; revocation is no ground here."""
    try:
        envelope, header = read_envelope(framed)
        if envelope.hops:
            raise Refused(Reason.HOPS_COUNT)  # noqa: TRY301 - one line is plainer than a function
        _check_report_key(envelope, header, trust, now_ms, lambda _: True)
        judged = _judge(schemas, header, envelope, ())
    except Refused as refused:
        return Rejected(refused.reason)
    return Verified(envelope.leaf, header, envelope.header, envelope, (), b"", judged, framed, loose=True)


def leaf_of(framed: bytes) -> bytes | None:
    """The leaf of framed bytes, whatever the verdict on them; None where they have none (steps 1 to 3 fail)."""
    try:
        return read_envelope(framed)[0].leaf
    except Refused:
        return None


def _check_source(last: HopBody, came_by: tuple[str, str] | None) -> None:
    if came_by is not None and (last.releaser, last.audience) != came_by:
        raise Refused(Reason.STREAM_SOURCE)


def _check_hop_key(hop: Hop, body: HopBody, trust: TrustView, now_ms: int) -> None:
    key = trust.key(body.releaser, hop.key_id, KeyUse.RELAY)
    if key is None:
        raise Refused(Reason.HOP_KEY_UNKNOWN)
    if not key.valid_at(body.minute * _MINUTE_MS):
        raise Refused(Reason.HOP_KEY_WINDOW)
    if key.revoked(now_ms):
        raise Refused(Reason.HOP_KEY_REVOKED)
    if not verify_signature(key.public, pae(HOP_TYPE, hop.body), hop.signature):
        raise Refused(Reason.HOP_SIGNATURE_INVALID)


def _check_report_key(
    envelope: Envelope, header: Header, trust: TrustView, now_ms: int, held: Callable[[bytes], bool]
) -> None:
    key = trust.key(header.origin, header.key_id, KeyUse.EVENT)
    if key is None:
        raise Refused(Reason.KEY_UNKNOWN)
    begin = header.created_day * _DAY_MS
    if not (begin < key.not_after_ms and key.not_before_ms < begin + _DAY_MS):
        raise Refused(Reason.KEY_WINDOW)
    if key.revoked(now_ms) and not held(envelope.leaf):
        raise Refused(Reason.KEY_REVOKED)
    if not verify_signature(key.public, envelope.entry, envelope.signature):
        raise Refused(Reason.SIGNATURE_INVALID)


def _check_parties(bodies: Sequence[HopBody], index: int, header: Header, trust: TrustView) -> None:
    """What only the trust view can say of a hop: its reader, and the rows on kinds and jurisdiction of section 3."""
    hop = bodies[index]
    releaser = trust.parties[hop.releaser]  # its key is known, so it is
    reader = _reader(hop, trust)
    if releaser.kind is PartyKind.LAB:
        if hop.kind is not AudienceKind.MEMBER or hop.policy != EMPTY or index != len(bodies) - 1:
            raise Refused(Reason.HOP_HANDLING)
    elif hop.policy == EMPTY:
        raise Refused(Reason.HOP_HANDLING)
    own_only = index == 1 and hop.tlp is Tlp.AMBER and not is_empty_retraction(hop, header)
    if own_only and (reader is None or reader.jurisdiction != releaser.jurisdiction):
        raise Refused(Reason.HOP_HANDLING)


def _reader(hop: HopBody, trust: TrustView) -> Party | None:
    """The one reader that the hop names, as the trust view knows it; None for a group."""
    if not hop.kind.one_reader:
        return None
    reader = trust.party(hop.audience)
    if reader is None:
        raise Refused(Reason.HOP_READER_UNKNOWN)
    if reader.kind.value != hop.kind.value:
        raise Refused(Reason.HOP_HANDLING)
    return reader


def _check_minute(hop: HopBody, now_ms: int) -> None:
    if hop.minute * _MINUTE_MS > now_ms + AHEAD_MS:
        raise Refused(Reason.NOT_YET_VALID)


def _judge(schemas: Schemas, header: Header, envelope: Envelope, hops: Sequence[HopBody]) -> Judged:
    judged = schemas.judge(header, envelope.n, envelope.disclosed, hops)
    if isinstance(judged, Reason):
        raise Refused(judged)
    return judged
