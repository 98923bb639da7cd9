"""Hops: what one releaser let through, to whom, and what it asks of whoever relays further (protocol section 3).

A hop is checked in parts, because the protocol's order of checks runs across hops (`tocsin.wire.chain`):
`read_body` (HOP_MALFORMED, HOP_INVALID), then `Unchecked.mask_out` (HOP_MASK), then `Unchecked.reasons` (HOP_REASONS).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache, reduce
from hashlib import sha256
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple

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
_KINDS = AudienceKind.__members__
_KIND_ORDER = {kind: place for place, kind in enumerate(AudienceKind)}


class Code(StrEnum):
    """Why a slot was not let through."""

    EMBARGOED = "EMBARGOED"
    COARSENED = "COARSENED"
    WITHHELD = "WITHHELD"


class Limit(NamedTuple):
    """No later hop of `kind` whose minute is before `until` may let any of `slots` (mask bits) through."""

    kind: AudienceKind
    slots: int
    until: int

    def binds(self, minute: int) -> bool:
        """Whether a hop of this minute is bound."""
        return minute < self.until or self.until == NEVER


class WhyNot(NamedTuple):
    """One entry of a hop's reasons: `slots` (mask bits) were not let through; `until` is a minute, 0 for no end."""

    slots: int
    code: Code
    until: int
    rule: str


class PolicyRef(NamedTuple):
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
    slots = [*(limit.slots for limit in body.limits), *(why.slots for why in body.reasons)]
    masks = reduce(or_, slots, body.mask_out)
    if not (
        0 <= masks < 1 << n
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
            "kind": body.kind,
            "audience": body.audience,
            "limits": [
                {"kind": limit.kind, "slots": mask_bytes(limit.slots, n), "until": limit.until} for limit in body.limits
            ],
            "policy": {"id": body.policy.id, "version": body.policy.version, "sha256": body.policy.sha256},
            "reasons": [
                {"slots": mask_bytes(why.slots, n), "code": why.code, "until": why.until, "rule": why.rule}
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
    kind = _KINDS[fields["kind"]]
    policy = PolicyRef(**fields["policy"])
    try:
        entries = [Limit(_KINDS[one["kind"]], mask_bits(one["slots"], n), one["until"]) for one in fields["limits"]]
    except ValueError:
        raise Refused(Reason.HOP_INVALID) from None
    limits = tuple(entries)
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
        try:
            mask_out = mask_bits(self._fields["mask_out"], self._n)
        except ValueError:
            raise Refused(Reason.HOP_MASK) from None
        if mask_out & ~mask_in:
            raise Refused(Reason.HOP_MASK)
        return mask_out

    def reasons(self, withheld: int | None) -> tuple[WhyNot, ...]:
        """Everything about reasons, which cover exactly the bits `withheld` (None: not decided here); HOP_REASONS."""
        n, codes = self._n, Code.__members__
        try:
            reasons = [
                WhyNot(mask_bits(why["slots"], n), codes[why["code"]], why["until"], why["rule"])
                for why in self._fields["reasons"]
            ]
        except ValueError:
            raise Refused(Reason.HOP_REASONS) from None
        covered = sum([why.slots for why in reasons])  # disjoint, or refused
        if not _reasons_hold(reasons) or (withheld is not None and covered != withheld):
            raise Refused(Reason.HOP_REASONS)
        return tuple(reasons)

    def checked(self, mask_out: int, reasons: tuple[WhyNot, ...]) -> HopBody:
        """The body, from what the two checks above gave."""
        fields = self._fields
        return HopBody(
            releaser=fields["releaser"],
            prev=fields["prev"],
            mask_out=mask_out,
            tlp=Tlp.__members__[fields["tlp"]],
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
        named = _is_community(audience)
    else:
        named = is_party_id(audience)
    in_force = policy == EMPTY or (matches_party_id(policy.id) and policy.version >= 1)
    return named and in_force and is_party_id(releaser)


def _limits_hold(limits: Sequence[Limit]) -> bool:
    """Masks are not empty and, for one kind, disjoint; ordered by (kind, until), no pair twice."""
    last, until, taken = -1, 0, 0
    for limit in limits:
        kind = _KIND_ORDER[limit.kind]
        if kind > last:
            taken = 0
        elif kind < last or limit.until <= until:
            return False
        if not limit.slots or limit.slots & taken:
            return False
        last, until, taken = kind, limit.until, taken | limit.slots
    return True


def _reasons_hold(reasons: Sequence[WhyNot]) -> bool:
    """Masks are not empty and disjoint; a minute exactly for EMBARGOED; rules have their form."""
    covered = 0
    for why in reasons:
        timed = why.until > 0 if why.code is Code.EMBARGOED else why.until == 0
        if not why.slots or why.slots & covered or not timed or not _is_rule(why.rule):
            return False
        covered |= why.slots
    return True


@lru_cache(maxsize=1024)
def _is_community(text: str) -> bool:
    return _COMMUNITY.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _is_rule(text: str) -> bool:
    return _RULE.fullmatch(text) is not None
