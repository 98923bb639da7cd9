"""What no policy can override (design 3): named rules in tables, each of which can be switched off by a test alone.

`tests/property/test_policy.py` takes every name out in turn and fails if no property notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tocsin.policy.question import Question
from tocsin.policy.rules import Policy
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import AudienceKind, allowed
from tocsin.wire.keys import PartyKind

MAX_HOPS: Final = 8
"""Hops of a chain (protocol section 3)."""
EVERY_SLOT: Final = (1 << 256) - 1
MINUTES_A_DAY: Final = 1_440


class Why(StrEnum):
    """Why nothing is sent, in the order in which it is asked (design 4, "Policy vectors")."""

    POLICY = "POLICY"  # none is loaded for this schema and in force
    CHAIN = "CHAIN"  # the chain cannot be continued by this node
    AUDIENCE = "AUDIENCE"  # not in the policy, not known with that kind, in the chain already, or the node itself
    STOPPED = "STOPPED"  # retracted, or in a fork
    EXERCISE = "EXERCISE"  # a drill, for an audience that takes none
    HANDLING = "HANDLING"  # the TLP forbids this hop
    NO_SLOT = "NO_SLOT"  # nothing of it is disclosed


@dataclass(frozen=True, slots=True)
class Stop:
    """`applies(question, minute, mask_out)`: then nothing is sent, because of `why`.

    `varies`: the answer depends on the minute or the mask, not on the question alone.
    """

    why: Why
    applies: Callable[[Question, int, int], bool]
    varies: bool = False


def _not_loaded(q: Question, _minute: int, _mask: int) -> bool:
    name, _, version = q.header.schema.partition("/")
    return q.policy is None or not q.policy.serves(name, version.partition(".")[0])


def _not_in_force(q: Question, minute: int, _mask: int) -> bool:
    return q.policy is not None and minute < q.policy.effective_minute


def _chain_full(q: Question, _minute: int, _mask: int) -> bool:
    return len(q.chain) >= MAX_HOPS


def _not_ours(q: Question, _minute: int, _mask: int) -> bool:
    """Hop 0 is the origin's; later the reader that the last hop names goes on; anybody after PUBLIC, nobody after COMMUNITY."""
    if not q.chain:
        return q.node != q.header.origin
    last = q.chain[-1]
    if last.kind.one_reader:
        return last.audience != q.node
    return last.kind is AudienceKind.COMMUNITY


def _twice(q: Question, _minute: int, _mask: int) -> bool:
    return any(hop.releaser == q.node for hop in q.chain)


def _submission(q: Question, _minute: int, _mask: int) -> bool:
    """Nothing follows a lab's hop, and no lab has a policy to release under."""
    parties = [q.node, *[hop.releaser for hop in q.chain]]
    return PartyKind.LAB in [q.parties[party][0] for party in parties if party in q.parties]


def _not_named(q: Question, _minute: int, _mask: int) -> bool:
    return q.policy is None or q.audience not in q.policy.audiences


def _not_trusted(q: Question, _minute: int, _mask: int) -> bool:
    return q.policy is not None and is_stranger(q.policy, q.audience, q.parties)


def is_stranger(policy: Policy, audience: str, parties: Mapping[str, tuple[PartyKind, str]]) -> bool:
    """Whether the policy names a reader that the trust view does not know with that kind; it gets nothing (design 3)."""
    named = policy.audiences.get(audience)
    if named is None or not named.kind.one_reader:
        return False
    party = parties.get(audience)
    return party is None or party[0].value != named.kind.value


def _backwards(q: Question, _minute: int, _mask: int) -> bool:
    return q.audience == q.node or any(hop.releaser == q.audience for hop in q.chain)


def _retracted(q: Question, _minute: int, _mask: int) -> bool:
    return q.incident.retracted


def _forked(q: Question, _minute: int, _mask: int) -> bool:
    return q.incident.forked


def _drill(q: Question, _minute: int, _mask: int) -> bool:
    named = q.policy.audiences.get(q.audience) if q.policy else None
    return q.header.exercise and not (named and named.accepts_exercises)


def _handling(q: Question, _minute: int, _mask: int) -> bool:
    return not allowed(binding_tlp(q), q.kind, len(q.chain), empty_retraction=False)


def _jurisdiction(q: Question, _minute: int, _mask: int) -> bool:
    """AMBER at hop 1: an authority of the releaser's own jurisdiction."""
    if binding_tlp(q) is not Tlp.AMBER or len(q.chain) != 1:
        return False
    own, reader = q.parties.get(q.node), q.parties.get(q.audience)
    return own is None or reader is None or own[1] != reader[1]


def _nothing_left(_q: Question, _minute: int, mask: int) -> bool:
    return not mask


STOPS: dict[str, Stop] = {
    "a policy for this schema": Stop(Why.POLICY, _not_loaded),
    "a policy in force": Stop(Why.POLICY, _not_in_force, varies=True),
    "at most eight hops": Stop(Why.CHAIN, _chain_full),
    "the chain leads to this node": Stop(Why.CHAIN, _not_ours),
    "no releaser twice": Stop(Why.CHAIN, _twice),
    "a submission goes no further": Stop(Why.CHAIN, _submission),
    "an audience of the policy": Stop(Why.AUDIENCE, _not_named),
    "an audience of the trust view": Stop(Why.AUDIENCE, _not_trusted),
    "never back": Stop(Why.AUDIENCE, _backwards),
    "retracted": Stop(Why.STOPPED, _retracted),
    "forked": Stop(Why.STOPPED, _forked),
    "exercises": Stop(Why.EXERCISE, _drill),
    "handling": Stop(Why.HANDLING, _handling),
    "own jurisdiction": Stop(Why.HANDLING, _jurisdiction),
    "no empty mask": Stop(Why.NO_SLOT, _nothing_left, varies=True),
}
"""In the order of `Why`; the first that applies counts."""

UNCORRECTABLE = frozenset({Why.POLICY, Why.CHAIN})
"""What not even a correction overrides; everything else it does, with an empty mask."""


def _copy(q: Question, _audience: str, _kind: AudienceKind, _minute: int) -> int:
    return q.mask_in


def _readable(q: Question, _audience: str, _kind: AudienceKind, _minute: int) -> int:
    return EVERY_SLOT & ~(q.mask_in & ~q.readable)


def _limits(q: Question, _audience: str, kind: AudienceKind, minute: int) -> int:
    """What the limits of earlier hops let pass to this kind of reader at that minute."""
    barred = 0
    for hop in q.chain:
        for limit in hop.limits:
            if limit.kind is kind and limit.binds(minute):
                barred |= limit.slots
    return EVERY_SLOT & ~barred


def _officer(q: Question, audience: str, _kind: AudienceKind, _minute: int) -> int:
    return EVERY_SLOT & ~q.officer_withholds(audience)


MASKS: dict[str, Callable[[Question, str, AudienceKind, int], int]] = {
    "only the copy's slots": _copy,
    "nothing unreadable": _readable,
    "limits of earlier hops": _limits,
    "an officer's withholding": _officer,
}
"""(question, audience, its kind, minute) → the slots that may go on, and that a condition may look at."""


def may_pass(q: Question, audience: str, kind: AudienceKind, minute: int) -> int:
    """The slots that every rule of `MASKS` lets pass."""
    slots = EVERY_SLOT
    for mask in MASKS.values():
        slots &= mask(q, audience, kind, minute)
    return slots


def _chain_tlp(q: Question) -> Tlp:
    return max([q.header.tlp, *(hop.tlp for hop in q.chain)])


def _newest_tlp(q: Question) -> Tlp:
    """The newest word binds the older ones."""
    return q.incident.latest_tlp


TLPS: dict[str, Callable[[Question], Tlp]] = {
    "the chain's TLP": _chain_tlp,
    "the newest word": _newest_tlp,
}


def binding_tlp(q: Question) -> Tlp:
    """The hop's TLP, and the policy's `tlp`: the strictest that binds the report."""
    shared = q.shared
    if shared.tlp is None:
        shared.tlp = max([tlp(q) for tlp in TLPS.values()], default=Tlp.CLEAR)
    return shared.tlp


def _after_previous(q: Question) -> int:
    return q.chain[-1].minute if q.chain else 0


def _after_creation(q: Question) -> int:
    return 0 if q.chain else q.header.created_day * MINUTES_A_DAY


MINUTES: dict[str, Callable[[Question], int]] = {
    "not before the previous hop": _after_previous,
    "not before the day of creation": _after_creation,
}


def hop_minute(q: Question) -> int:
    """The minute of the hop, at which the decision is made."""
    return max([q.now_minute, *(least(q) for least in MINUTES.values())])


def _correction(q: Question) -> bool:
    return q.header.stage is Stage.RETRACTION and q.incident.sent


CORRECTIONS: dict[str, Callable[[Question], bool]] = {"whoever was sent a revision is sent its retraction": _correction}


def is_correction(q: Question) -> bool:
    """Whether the report is owed to this audience as a correction, at least with an empty mask."""
    return any(owed(q) for owed in CORRECTIONS.values())


def _only_told(mask_out: int, revealed: int) -> int:
    return mask_out | revealed


SIGHTS: dict[str, Callable[[int, int], int]] = {"reasons and limits tell no more than the mask": _only_told}


def sight(mask_out: int, revealed: int) -> int:
    """What the conditions behind reasons and limits may look at: what the reader is shown, and what a rule reveals."""
    slots = EVERY_SLOT
    for narrow in SIGHTS.values():
        slots &= narrow(mask_out, revealed)
    return slots


def _told_nothing(mask_out: int) -> bool:
    return not mask_out


QUIET: dict[str, Callable[[int], bool]] = {"an empty mask says nothing": _told_nothing}


def says_nothing(mask_out: int) -> bool:
    """Whether every reason of the hop is WITHHELD and ""."""
    return any(quiet(mask_out) for quiet in QUIET.values())


def _one_readers(kind: AudienceKind) -> bool:
    return kind.one_reader


def _groups(kind: AudienceKind) -> bool:
    return not kind.one_reader


LIMITED: dict[str, Callable[[AudienceKind], bool]] = {
    "relays ask first for single readers": _one_readers,
    "relays are no faster than we with groups": _groups,
}


def asks_of(kind: AudienceKind) -> bool:
    """Whether a hop to one reader asks something of those who relay further to this kind."""
    return any(asks(kind) for asks in LIMITED.values())


TABLES: tuple[dict[str, Any], ...] = (STOPS, MASKS, TLPS, MINUTES, CORRECTIONS, SIGHTS, QUIET, LIMITED)
"""Every invariant, for the test that takes each out in turn."""
