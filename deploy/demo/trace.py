"""One report, traced from its last reader back to its origin: every signature checked here, with public keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tocsin.wire.envelope import read_envelope
from tocsin.wire.hop import HOP_TYPE, HopBody, hop_hash, parse_body
from tocsin.wire.keys import Key, KeyUse, TrustView, pae


@dataclass(frozen=True, slots=True)
class Step:
    """One signature: what it says, whose it is, and whether it is good and the chain unbroken."""

    lines: tuple[str, ...]
    good: bool


def steps(framed: bytes, trust: TrustView) -> Iterator[Step]:
    """From the last hop to the origin's own signature."""
    envelope, header = read_envelope(framed)
    bodies = [parse_body(hop.body, envelope.n) for hop in envelope.hops]
    for i in reversed(range(len(bodies))):
        body, hop = bodies[i], envelope.hops[i]
        key = trust.key(body.releaser, hop.key_id, KeyUse.RELAY)
        before = hop_hash(envelope.hops[i - 1]) if i else envelope.leaf
        good = _is_good(key, hop.signature, pae(HOP_TYPE, hop.body)) and body.prev == before
        yield Step((_said(i, body, envelope.n), _policy(body), _signed(hop.key_id, good=good)), good)
    key = trust.key(header.origin, header.key_id, KeyUse.EVENT)
    good = _is_good(key, envelope.signature, envelope.entry)
    yield Step(
        (
            f"report {envelope.leaf.hex()[:16]} of {header.origin}: {header.stage.value}, TLP {header.tlp.name}",
            f"{envelope.n} fields committed to, {len(envelope.values)} of them disclosed here",
            _signed(header.key_id, good=good),
        ),
        good,
    )


def _is_good(key: Key | None, signature: bytes, message: bytes) -> bool:
    """By the library's own Ed25519: nothing of the node is needed to check a report."""
    if key is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _said(i: int, body: HopBody, n: int) -> str:
    at = datetime.fromtimestamp(body.minute * 60, UTC)
    given = body.mask_out.bit_count()
    return (
        f"hop {i}: {body.releaser} gives {given} of {n} fields to {body.audience} ({body.kind.value}), {at:%H:%M} UTC"
    )


def _policy(body: HopBody) -> str:
    asked = sorted({limit.kind.value for limit in body.limits})
    limits = f"; limits for {', '.join(asked)}" if asked else ""
    return f"under policy {body.policy.id} v{body.policy.version}, sha256 {body.policy.sha256.hex()[:12]}{limits}"


def _signed(key_id: bytes, *, good: bool) -> str:
    return f"key {key_id.hex()}: {'signature good' if good else 'SIGNATURE BAD'}"
