"""What a decision is asked about: one report, by one chain, for one audience, at one minute."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from tocsin.policy.conditions import UNREADABLE, WITHHELD
from tocsin.policy.rules import Effect, Policy, Rule
from tocsin.report.schema import Schema
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import AudienceKind, HopBody
from tocsin.wire.keys import PartyKind


class HeaderFields(Protocol):
    """What a decision reads of a header; `tocsin.wire.header.Header` has it."""

    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def stage(self) -> Stage: ...  # noqa: D102
    @property
    def created_day(self) -> int: ...  # noqa: D102
    @property
    def schema(self) -> str: ...  # noqa: D102
    @property
    def tlp(self) -> Tlp: ...  # noqa: D102
    @property
    def exercise(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Incident:
    """What the node holds of the report's incident.

    `latest_tlp`: the strictest header TLP among the revisions of the highest number held. `sent`: this audience was
    sent some revision. `retracted`: another revision held is a RETRACTION. `forked`: this revision is in a fork.
    """

    latest_tlp: Tlp = Tlp.CLEAR
    sent: bool = False
    retracted: bool = False
    forked: bool = False


class Shared:
    """What decisions about one report have in common, whatever the audience; each part is worked out once.

    `start`: the minute that grants count from, hop 0's or that of issue; `embargoes_start` is not before acceptance.
    `tlp` is filled in by `binding_tlp`, `answers` by `decide`: for all audiences of one sort the same.
    """

    def __init__(self, q: Question) -> None:
        mask_in = unreadable = null = 0
        bit = 1
        for value in q.slots:
            if value is not WITHHELD:
                mask_in |= bit
                if value is None:
                    null |= bit
                elif value is UNREADABLE:
                    unreadable |= bit
            bit <<= 1
        self.mask_in, self.readable, self.known = mask_in, mask_in & ~unreadable, mask_in & ~unreadable & ~null
        self.start = q.chain[0].minute if q.chain else q.first_accepted_minute
        self.embargoes_start = max(self.start, q.first_accepted_minute)
        self.tlp: Tlp | None = None
        self.answers: dict[Hashable, Any] = {}


@dataclass(frozen=True)
class Question:
    """All that a decision depends on.

    `slots` has one entry per slot of the report: its value, None for a disclosed null, WITHHELD or UNREADABLE.
    `schema` is the version that the report is read by. `chain` are the hops received, () for an own report; `prev` is
    what the new hop names (the leaf, or the hash of the last hop). `first_accepted_minute`: when this chain was first
    accepted, or the own report issued. `approvals`: (rule, audience) → approved or refused, of this leaf and policy
    version. `officer_withheld` are slots (mask bits) that an officer withholds from this audience;
    `officer_withheld_elsewhere` the same for groups that the policy names, since what a hop asks of relays follows
    from what those groups get.
    """

    policy: Policy | None
    node: str
    audience: str
    parties: Mapping[str, tuple[PartyKind, str]]
    header: HeaderFields
    schema: Schema
    slots: tuple[Any, ...]
    chain: tuple[HopBody, ...]
    prev: bytes
    incident: Incident
    now_minute: int
    first_accepted_minute: int
    approvals: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    officer_withheld: int = 0
    officer_withheld_elsewhere: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def shared(self) -> Shared:
        """What `to` passes on; a question made otherwise begins with its own."""
        return Shared(self)

    def to(self, audience: str, *, sent: bool) -> Question:
        """The same question for another audience, which was or was not sent a revision of the incident."""
        incident = self.incident
        if incident.sent != sent:
            incident = replace(incident, sent=sent)
        withheld = self.officer_withheld_elsewhere.get(audience, 0)
        made = replace(self, audience=audience, incident=incident, officer_withheld=withheld)
        made.__dict__["shared"] = self.shared
        return made

    @property
    def mask_in(self) -> int:
        """The slots of the copy, as mask bits."""
        return self.shared.mask_in

    @property
    def readable(self) -> int:
        """The slots of the copy that can be decoded."""
        return self.shared.readable

    @property
    def known(self) -> int:
        """The slots of the copy whose value says something: readable and not null."""
        return self.shared.known

    def officer_withholds(self, audience: str) -> int:
        """What an officer withholds from an audience, with the finer rungs."""
        slots = self.officer_withheld_elsewhere.get(audience, 0)
        if audience == self.audience:
            slots |= self.officer_withheld
        return slots | self.schema.finer_than(slots) if slots else 0

    @cached_property
    def kind(self) -> AudienceKind:
        """The audience's kind: the trust view's word first, since verifiers go by it; else the policy's, or its name's.

        They differ, or are missing, only where a correction is owed to an audience that is named no longer.
        """
        party = self.parties.get(self.audience)
        if party is not None and party[0] is not PartyKind.LAB:
            return AudienceKind(party[0].value)
        named = self.policy.audiences.get(self.audience) if self.policy else None
        if named is not None:
            return named.kind
        if self.audience == "public":
            return AudienceKind.PUBLIC
        return AudienceKind.COMMUNITY if self.audience.startswith("community-") else AudienceKind.MEMBER

    def moment(self, rule: Rule) -> int:
        """The minute at which a grant begins or an embargo ends."""
        shared = self.shared
        return (shared.embargoes_start if rule.effect is Effect.EMBARGO else shared.start) + rule.minutes
