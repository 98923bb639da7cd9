"""Hops: what one releaser let through, to whom, and what it asks of whoever relays further (protocol section 3).

A hop is checked in parts, because the protocol's order of checks runs across hops (`tocsin.wire.chain`):
`read_body` (HOP_MALFORMED, HOP_INVALID), then `Unchecked.mask_out` (HOP_MASK), then `Unchecked.reasons` (HOP_REASONS).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tocsin.wire import records
from tocsin.wire.avro import Codec, Malformed
from tocsin.wire.header import ZERO_DIGEST, Tlp
from tocsin.wire.keys import is_party_id, matches_party_id
from tocsin.wire.reasons import Reason, Refused
from tocsin.wire.slots import mask_bits, mask_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

HOP_TYPE = "application/vnd.tocsin.hop.v1+avro"
"""The payload type under which a releaser signs a hop's body."""
MAX_BODY = 4_096
"""Bytes of an encoded hop body."""
MAX_HOPS = 8
NEVER = 2**31 - 1
"""The `until` of a limit that binds every minute, this one included."""

_CODEC = Codec(records.HOP_BODY)
_COMMUNITY = re.compile(r"community-[a-z0-9-]{1,32}")
_RULE = re.compile(r"[a-z0-9._-]{0,64}")


class AudienceKind(StrEnum):
    """Whom a hop is for: the first three name one reader, the others a group."""

    MEMBER = "MEMBER"
    AUTHORITY = "AUTHORITY"
    BODY = "BODY"
    COMMUNITY = "COMMUNITY"
    PUBLIC = "PUBLIC"

    @property
    def one_reader(self) -> bool:
        """Whether the audience is one party, known to the trust view."""
        return self in _ONE_READER


_ONE_READER = frozenset({AudienceKind.MEMBER, AudienceKind.AUTHORITY, AudienceKind.BODY})
_KIND_ORDER = {kind: place for place, kind in enumerate(AudienceKind)}


class Code(StrEnum):
    """Why a slot was not let through."""

    EMBARGOED = "EMBARGOED"
    COARSENED = "COARSENED"
    WITHHELD = "WITHHELD"


@dataclass(frozen=True, slots=True)
class Limit:
    """No later hop of `kind` whose minute is before `until` may let any of `slots` (mask bits) through."""

    kind: AudienceKind
    slots: int
    until: int

    def binds(self, minute: int) -> bool:
        """Whether a hop of this minute is bound."""
        return minute < self.until or self.until == NEVER


@dataclass(frozen=True, slots=True)
class WhyNot:
    """One entry of a hop's reasons: `slots` (mask bits) were not let through; `until` is a minute, 0 for no end."""

    slots: int
    code: Code
    until: int
    rule: str


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """The releaser's policy in force; `EMPTY` is a lab's."""

    id: str
    version: int
    sha256: bytes


EMPTY = PolicyRef("", 0, ZERO_DIGEST)


@dataclass(frozen=True, slots=True)
class HopBody:
    """The fields of `tocsin.v1.HopBody`; masks are numbers, bit i for slot i; `minute` since 1970."""

    releaser: str
    prev: bytes
    mask_out: int
    tlp: Tlp
    kind: AudienceKind
    audience: str
    limits: tuple[Limit, ...]
    policy: PolicyRef
    reasons: tuple[WhyNot, ...]
    minute: int


@dataclass(frozen=True)
class Hop:
    """A signed hop as it stands in the envelope."""

    body: bytes
    key_id: bytes
    signature: bytes

    @cached_property
    def hash(self) -> bytes:
        """What the next hop names as its `prev`; of the last hop, the name of the chain."""
        return sha256(b"tocsin/hop/v1\0" + self.body + self.key_id + self.signature).digest()


def hop_hash(hop: Hop) -> bytes:
    """What the next hop names as its `prev`; of the last hop, the name of the chain."""
    return hop.hash


def encode_body(body: HopBody, n: int) -> bytes:
    """The body's bytes, for a report of n slots. ValueError where a rule is broken that the body alone can show."""
    masks = [body.mask_out, *(limit.slots for limit in body.limits), *(why.slots for why in body.reasons)]
    if not (
        all(0 <= mask < 1 << n for mask in masks)
        and _well_formed(body.releaser, body.kind, body.audience, body.policy)
        and _limits_hold(body.limits)
        and _reasons_hold(body.reasons)
    ):
        raise ValueError("the hop breaks a rule of protocol section 3")
    raw = _CODEC.encode(
        {
            "releaser": body.releaser,
            "prev": body.prev,
            "mask_out": mask_bytes(body.mask_out, n),
            "tlp": body.tlp.name,
            "kind": body.kind.value,
            "audience": body.audience,
            "limits": [
                {"kind": limit.kind.value, "slots": mask_bytes(limit.slots, n), "until": limit.until}
                for limit in body.limits
            ],
            "policy": {"id": body.policy.id, "version": body.policy.version, "sha256": body.policy.sha256},
            "reasons": [
                {"slots": mask_bytes(why.slots, n), "code": why.code.value, "until": why.until, "rule": why.rule}
                for why in body.reasons
            ],
            "minute": body.minute,
        }
    )
    if len(raw) > MAX_BODY:
        raise ValueError(f"the hop has {len(raw)} bytes, more than {MAX_BODY}")
    return raw


def parse_body(raw: bytes, n: int) -> HopBody:
    """The body of these bytes, checked as far as it can be alone: everything but what ties it to its place in a chain.

    `Refused` by HOP_MALFORMED, HOP_INVALID, HOP_MASK or HOP_REASONS.
    """
    unchecked = read_body(raw, n)
    mask_out = unchecked.mask_out((1 << n) - 1)
    return unchecked.checked(mask_out, unchecked.reasons(None))


def read_body(raw: bytes, n: int) -> Unchecked:
    """A strict body whose fields other than mask_out and reasons are well-formed; HOP_MALFORMED, HOP_INVALID."""
    if len(raw) > MAX_BODY:
        raise Refused(Reason.HOP_MALFORMED)
    try:
        fields = _CODEC.decode(raw)
    except Malformed:
        raise Refused(Reason.HOP_MALFORMED) from None
    kind = AudienceKind(fields["kind"])
    policy = PolicyRef(**fields["policy"])
    limits = tuple(
        Limit(AudienceKind(entry["kind"]), _mask(entry["slots"], n, Reason.HOP_INVALID), entry["until"])
        for entry in fields["limits"]
    )
    if not (_well_formed(fields["releaser"], kind, fields["audience"], policy) and _limits_hold(limits)):
        raise Refused(Reason.HOP_INVALID)
    return Unchecked(fields, n, kind, policy, limits)


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A body whose mask_out and reasons are still as received."""

    _fields: dict[str, Any]
    _n: int
    kind: AudienceKind
    policy: PolicyRef
    limits: tuple[Limit, ...]

    @property
    def releaser(self) -> str:
        """The releaser's party id."""
        return str(self._fields["releaser"])

    @property
    def prev(self) -> bytes:
        """The leaf, or the hash of the hop before."""
        return bytes(self._fields["prev"])

    def mask_out(self, mask_in: int) -> int:
        """The mask that was let through, within `mask_in`; HOP_MASK."""
        mask_out = _mask(self._fields["mask_out"], self._n, Reason.HOP_MASK)
        if mask_out & ~mask_in:
            raise Refused(Reason.HOP_MASK)
        return mask_out

    def reasons(self, withheld: int | None) -> tuple[WhyNot, ...]:
        """Everything about reasons, which cover exactly the bits `withheld` (None: not decided here); HOP_REASONS."""
        reasons = tuple(
            WhyNot(_mask(why["slots"], self._n, Reason.HOP_REASONS), Code(why["code"]), why["until"], why["rule"])
            for why in self._fields["reasons"]
        )
        covered = sum(why.slots for why in reasons)  # disjoint, or refused
        if not _reasons_hold(reasons) or (withheld is not None and covered != withheld):
            raise Refused(Reason.HOP_REASONS)
        return reasons

    def checked(self, mask_out: int, reasons: tuple[WhyNot, ...]) -> HopBody:
        """The body, from what the two checks above gave."""
        fields = self._fields
        return HopBody(
            releaser=fields["releaser"],
            prev=fields["prev"],
            mask_out=mask_out,
            tlp=Tlp[fields["tlp"]],
            kind=self.kind,
            audience=fields["audience"],
            limits=self.limits,
            policy=self.policy,
            reasons=reasons,
            minute=fields["minute"],
        )


def allowed(tlp: Tlp, kind: AudienceKind, hop_index: int, *, empty_retraction: bool) -> bool:
    """The handling table by kind (protocol section 3); its jurisdiction needs a trust view (`tocsin.wire.verify`).

    `tlp` is the hop's. `empty_retraction`: mask_out is empty and the header's stage is RETRACTION.
    """
    if empty_retraction or tlp is Tlp.CLEAR:
        return True
    if tlp is Tlp.GREEN:
        return kind is not AudienceKind.PUBLIC
    if hop_index == 0:
        return kind.one_reader
    return tlp is Tlp.AMBER and hop_index == 1 and kind is AudienceKind.AUTHORITY


def _well_formed(releaser: str, kind: AudienceKind, audience: str, policy: PolicyRef) -> bool:
    """The syntax of names, and of the policy in force."""
    if kind is AudienceKind.PUBLIC:
        named = audience == "public"
    elif kind is AudienceKind.COMMUNITY:
        named = _COMMUNITY.fullmatch(audience) is not None
    else:
        named = is_party_id(audience)
    in_force = policy == EMPTY or (matches_party_id(policy.id) and policy.version >= 1)
    return named and in_force and is_party_id(releaser)


def _limits_hold(limits: Sequence[Limit]) -> bool:
    """Masks are not empty and, for one kind, disjoint; ordered by (kind, until), no pair twice."""
    taken: dict[AudienceKind, int] = {}
    for limit in limits:
        before = taken.get(limit.kind, 0)
        if not limit.slots or limit.slots & before:
            return False
        taken[limit.kind] = before | limit.slots
    return all((_KIND_ORDER[one.kind], one.until) < (_KIND_ORDER[two.kind], two.until) for one, two in pairwise(limits))


def _reasons_hold(reasons: Sequence[WhyNot]) -> bool:
    """Masks are not empty and disjoint; a minute exactly for EMBARGOED; rules have their form."""
    covered = 0
    for why in reasons:
        timed = why.until > 0 if why.code is Code.EMBARGOED else why.until == 0
        if not why.slots or why.slots & covered or not timed or not _RULE.fullmatch(why.rule):
            return False
        covered |= why.slots
    return True


def _mask(raw: bytes, n: int, reason: Reason) -> int:
    try:
        return mask_bits(raw, n)
    except ValueError:
        raise Refused(reason) from None
