"""A submission: a lab's report with its one hop, to its institute (protocol sections 3 and 8)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tocsin.errors import InputError
from tocsin.flow.issue import Wanted, draft
from tocsin.flow.ports import Entropy, Signer
from tocsin.flow.rows import Report
from tocsin.flow.setting import minute_up
from tocsin.report.lifecycle import require_following
from tocsin.report.schema import Schema
from tocsin.wire.envelope import frame_envelope, sign_draft, with_hop
from tocsin.wire.header import Header, Stage
from tocsin.wire.hop import EMPTY, HOP_TYPE, AudienceKind, Hop, HopBody, encode_body
from tocsin.wire.keys import KeyUse, pae


@dataclass(frozen=True, slots=True)
class Submission:
    """What is spooled: the exact bytes that are sent, now and at every retry. `record` is their SHA-256."""

    leaf: bytes
    header: Header
    framed: bytes

    @property
    def record(self) -> bytes:
        """By this name the institute's receipts speak of it."""
        return hashlib.sha256(self.framed).digest()


def require_continuable(wanted: Wanted, previous: Report | None) -> None:
    """`InputError` where this cannot follow that; before anything is signed."""
    if previous is None:
        if wanted.stage is not Stage.INITIAL:
            remedy = "Give the leaf of the report that it continues: follows=…"
            raise InputError(f"a report of stage {wanted.stage} needs the revision that it follows", remedy=remedy)
        return
    place = previous.leaf.hex()[:16]
    require_following(Stage(previous.stage), wanted.stage, place=place)
    if previous.exercise != wanted.exercise:
        words = "a drill" if previous.exercise else "a report, not a drill"
        raise InputError(f"what it follows is {words}", place=place, remedy=f"Say exercise={previous.exercise}")


async def seal(
    wanted: Wanted,
    previous: Report | None,
    *,
    lab: str,
    institute: str,
    schema: Schema,
    signer: Signer,
    now_ms: int,
    entropy: Entropy,
) -> Submission:
    """Validate, sign the report with the event key, and its hop with the relay key: all slots, the empty policy.

    `InputError` with all problems of the vocabulary at once; `AdapterError` where a key cannot be used.
    """
    header, unsigned = draft(
        wanted,
        origin=lab,
        key_id=signer.key_id(KeyUse.EVENT),
        schema=schema,
        previous=previous,
        now_ms=now_ms,
        entropy=entropy,
    )
    envelope = sign_draft(unsigned, await signer.sign(KeyUse.EVENT, unsigned.entry))
    hop = HopBody(
        releaser=lab,
        prev=unsigned.leaf,
        mask_out=envelope.mask,
        tlp=header.tlp,
        kind=AudienceKind.MEMBER,
        audience=institute,
        limits=(),
        policy=EMPTY,
        reasons=(),
        minute=minute_up(now_ms),
    )
    body = encode_body(hop, envelope.n)
    signature = await signer.sign(KeyUse.RELAY, pae(HOP_TYPE, body))
    signed = with_hop(envelope, Hop(body, signer.key_id(KeyUse.RELAY), signature))
    return Submission(unsigned.leaf, header, frame_envelope(signed))
