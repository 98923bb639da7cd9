"""The duty officer of a country, at the desk of its node: issues what labs submit, and looks at what the node knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deploy.demo.assessments import SCHEME, Assessment, assessments
from deploy.demo.countries import Country, incident_schema
from deploy.demo.screen import Screen

from tocsin.cli.node import in_one
from tocsin.desk import Desk
from tocsin.flow import topics
from tocsin.flow.decide import Explanation, explain
from tocsin.flow.facts import Facts
from tocsin.flow.issue import Issue, Wanted
from tocsin.flow.opened import Opened
from tocsin.flow.ports import Between, Tx
from tocsin.flow.rows import OPEN, Copy, Hold, Outlet, Quarantined, Report, Row, Source, Submission
from tocsin.policy.question import Question
from tocsin.reader.seen import Seen, seen_of
from tocsin.report.document import from_document
from tocsin.wire.header import Tlp
from tocsin.wire.hop import Code
from tocsin.wire.stream import Position, StreamState
from tocsin.wire.verify import Verified

R = TypeVar("R", bound=Row)

_POLL_S = 0.25
_EVERYTHING: Mapping[str, Any] = {}


@dataclass
class Officer:
    """Works through the store of the node, as `tocsin issue` does; the node decides what goes to whom."""

    country: Country
    desk: Desk
    issuing: Issue
    screen: Screen
    issued: dict[str, bytes] = field(default_factory=dict)
    """Leaf of the national report, by record id."""
    arrived: dict[tuple[bytes, bytes], Seen] = field(default_factory=dict)
    """What other institutes' reports this one holds, by leaf and chain."""
    shown: bool = True
    _noticed_ms: int = 0
    _opened: Opened = field(default_factory=Opened)

    async def work(self) -> None:
        """Issue whatever is new in the inbox, and notice what arrives from others; for ever."""
        while True:
            for submission in await self.rows(Submission, {"state": "NEW"}):
                await self._issue(submission)
            await self._notice()
            await asyncio.sleep(_POLL_S)

    def copy_of(self, leaf: bytes) -> Seen | None:
        """What the node holds of another institute's report, by the shortest way."""
        found = [seen for (held, _), seen in self.arrived.items() if held == leaf]
        return min(found, key=lambda seen: len(seen.hops), default=None)

    async def rows(self, kind: type[R], where: Mapping[str, Any] = _EVERYTHING) -> list[R]:
        """Rows of the node's store."""
        return await in_one(self.desk.store, lambda tx: tx.find(kind, where))

    async def rejected(self, digest: bytes) -> Quarantined | None:
        """The quarantine's row for a record with that hash."""
        found = await self.rows(Quarantined, {"digest": digest})
        return found[0] if found else None

    async def holds(self, leaf: bytes) -> bool:
        """Whether the node holds a report."""
        return bool(await self.rows(Report, {"leaf": leaf}))

    async def open_holds(self) -> list[Hold]:
        """Releases that wait for an answer."""
        return await self.rows(Hold, {"state": OPEN})

    async def sealed(self, audience: str) -> Outlet:
        """The stream for an audience as the node sealed it."""
        topic = topics.stream(self.country.id, audience)
        found = await self.rows(Outlet, {"topic": topic})
        return found[0] if found else Outlet(topic, audience, 0, 0, b"", 0, 0, 0, 0, "", 0)

    async def read_from(self, peer: str) -> tuple[Position | None, int]:
        """How far the node has read a peer's stream, by the last signed head; and how many ranges lack records."""
        found = await self.rows(Source, {"topic": topics.stream(peer, self.country.id)})
        state = StreamState.from_json(found[0].stream if found else "", peer, self.country.id)
        return state.position, len(state.open)

    async def explain(self, leaf: bytes, audience: str) -> list[tuple[Question, Explanation]]:
        """As `tocsin policy explain` does: what would be decided now for that audience, by each chain, and why."""

        async def work(tx: Tx) -> list[tuple[Question, Explanation]]:
            facts = await Facts.load(tx, [(leaf, audience)])
            copies = [(copy, self._open(copy)) for copy in facts.copies[leaf]]
            questions = [
                facts.question(self.desk.setting, copy, verified, audience, _now_ms())
                for copy, verified in copies
                if verified is not None
            ]
            return [(question, explain(question)) for question in questions]

        return await in_one(self.desk.store, work)

    async def _issue(self, submission: Submission) -> None:
        copies = await self.rows(Copy, {"leaf": submission.leaf})
        verified = next((found for copy in copies if (found := self._open(copy))), None)
        if verified is None:
            return
        seen = seen_of(verified)
        named = [entry["id"] for entry in seen.fields["external_ids"] or () if entry["scheme"] == SCHEME]
        record = named[0] if named else submission.leaf.hex()
        assessment = assessments().get(record)
        values = {name: value for name, value in seen.fields.items() if value is not None}
        tlp = assessment.tlp if assessment else Tlp.CLEAR
        wanted = Wanted(
            values=from_document({**values, **(assessment.fields if assessment else {})}, incident_schema()),
            tlp=tlp,
            sources=(submission.leaf,),
        )
        self.issued[record] = await self.issuing.issue(wanted, incident_schema())
        if self.shown:
            self.screen.line(
                self.country.id, f"issues {_short(self.issued[record])} from {record}: {_judged(assessment)}"
            )

    async def _notice(self) -> None:
        fresh = await self.rows(Copy, {"accepted_ms": Between(low=self._noticed_ms)})
        self._noticed_ms = max((copy.accepted_ms for copy in fresh), default=self._noticed_ms)
        for copy in fresh:
            verified = self._open(copy) if copy.chain and (copy.leaf, copy.chain) not in self.arrived else None
            if verified is None or verified.header.origin.endswith("-lab"):
                continue
            seen = self.arrived[copy.leaf, copy.chain] = seen_of(verified)
            if self.shown:
                self.screen.line(self.country.id, f"has    {way(seen):<24} {counts(seen)}")

    def _open(self, copy: Copy) -> Verified | None:
        return self._opened.open(copy, self.desk.setting, _now_ms())


SYMBOLS = "● fields shown   ◐ only coarser   ◷ embargoed   ○ withheld"
"""What `counts` writes."""


def way(seen: Seen) -> str:
    """Which report it is, and the releasers of the copy, from the origin on."""
    return f"{_short(seen.leaf)} {'→'.join(hop.releaser for hop in seen.hops)}"


def counts(seen: Seen) -> str:
    """How many fields are there, only coarser, later, or not at all."""
    codes = [withheld.code for withheld in seen.withheld]
    coarser, later, withheld = (codes.count(code) for code in (Code.COARSENED, Code.EMBARGOED, Code.WITHHELD))
    return f"{len(seen.fields):2}● {coarser:2}◐ {later:2}◷ {withheld:2}○"


def _judged(assessment: Assessment | None) -> str:
    if assessment is None:
        return "TLP CLEAR, severity unknown"
    return f"TLP {assessment.tlp.name}, severity {assessment.fields['severity']}"


def _short(leaf: bytes) -> str:
    return leaf.hex()[:8]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
