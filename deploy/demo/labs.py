"""A lab: it submits records of `genai-incidents` to its institute, and is answered by signed receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.demo.screen import Screen, Unmet

from tocsin.formats.genai_incidents import document
from tocsin.lab import Pending, Reporter

_ANSWER_S = 60.0


@dataclass
class Lab:
    """One lab's client, and what it submitted so far, by record id."""

    id: str
    reporter: Reporter
    screen: Screen
    submitted: dict[str, Pending] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)

    async def submit(self, record: Mapping[str, Any], *, shown: bool = True) -> None:
        """Sign, spool, send; and wait for the institute's receipt. The record is public already, hence CLEAR."""
        pending = await self.reporter.report(document(record), tlp="CLEAR")
        self.submitted[record["id"]] = pending
        if shown:
            self.screen.line(self.id, f"submits {record['id']}: {record['title']}")
        receipt = await pending.receipt(_ANSWER_S)
        if receipt.decision != "ACCEPTED":
            raise Unmet(f"{self.id}'s {record['id']} was refused: {receipt.reason}")
        self.accepted.add(record["id"])
        if shown:
            self.screen.line(self.id, f"has the signed receipt: {receipt.decision}", style="dim")

    async def submit_all(self, records: Sequence[Mapping[str, Any]], pause_s: float, *, shown: bool = False) -> None:
        """One after the other."""
        for record in records:
            await self.submit(record, shown=shown)
            await asyncio.sleep(pause_s)

    async def without_issue(self) -> list[str]:
        """The records whose receipt ISSUED has not come yet."""
        told = {receipt.record for receipt in await self.reporter.receipts() if receipt.decision == "ISSUED"}
        return [record for record, pending in self.submitted.items() if pending.record not in told]
