"""The chain of hops, checked from the bytes alone (protocol section 6, step 4). Keys and parties come in step 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.wire.header import Header, Stage
from tocsin.wire.hop import MAX_HOPS, AudienceKind, HopBody, allowed, read_body
from tocsin.wire.reasons import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.wire.envelope import Envelope

_MINUTES_A_DAY = 1_440


def check_chain(envelope: Envelope, header: Header) -> tuple[HopBody, ...]:
    """The bodies of all hops, in order. Raises `Refused`; each hop passes the whole of the step before the next."""
    if not 1 <= len(envelope.hops) <= MAX_HOPS:
        raise Refused(Reason.HOPS_COUNT)
    bodies: list[HopBody] = []
    for hop in envelope.hops:
        bodies.append(_check_hop(hop.body, envelope, header, bodies))
    if bodies[-1].mask_out != envelope.mask:
        raise Refused(Reason.HOP_MASK)
    return tuple(bodies)


def may_follow(releaser: str, before: Sequence[HopBody], origin: str) -> bool:
    """Whether this releaser may sign the hop after `before`: the row "releaser" of protocol section 3."""
    if not before:
        return releaser == origin
    last = before[-1]
    if last.kind is AudienceKind.COMMUNITY or any(hop.releaser == releaser for hop in before):
        return False
    return last.kind is AudienceKind.PUBLIC or releaser == last.audience


def _check_hop(raw: bytes, envelope: Envelope, header: Header, before: Sequence[HopBody]) -> HopBody:
    """One hop, in the protocol's order; `before` are the checked hops before it."""
    last = before[-1] if before else None
    unchecked = read_body(raw, envelope.n)
    if unchecked.prev != (envelope.hops[len(before) - 1].hash if before else envelope.leaf):
        raise Refused(Reason.HOP_PREV)
    if not may_follow(unchecked.releaser, before, header.origin):
        raise Refused(Reason.HOP_RELEASER)
    mask_in = last.mask_out if last else (1 << envelope.n) - 1
    mask_out = unchecked.mask_out(mask_in)
    hop = unchecked.checked(mask_out, unchecked.reasons(mask_in & ~mask_out))
    if hop.tlp < (last.tlp if last else header.tlp):
        raise Refused(Reason.HOP_TLP)
    if not allowed(hop.tlp, hop.kind, len(before), empty_retraction=is_empty_retraction(hop, header)):
        raise Refused(Reason.HOP_HANDLING)
    if any(
        limit.kind is hop.kind and limit.slots & mask_out and limit.binds(hop.minute)
        for earlier in before
        for limit in earlier.limits
    ):
        raise Refused(Reason.HOP_LIMIT)
    if hop.minute < (last.minute if last else header.created_day * _MINUTES_A_DAY):
        raise Refused(Reason.HOP_TIME)
    return hop


def is_empty_retraction(hop: HopBody, header: Header) -> bool:
    """Whether this hop carries nothing but the word that a report is retracted: no handling row stops it."""
    return hop.mask_out == 0 and header.stage is Stage.RETRACTION
