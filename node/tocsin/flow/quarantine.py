"""Quarantine: rejected records at rest, and their second trial when trust, schemas or the clock have moved."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tocsin.errors import AdapterError, StoreDamaged
from tocsin.flow.outcome import Bug, Outcome, What, untold
from tocsin.flow.ports import Between, Clock, Record, Store, Tx
from tocsin.flow.receive import Inlet, Receive, Verdict
from tocsin.flow.rejects import record_of, retry_ms
from tocsin.flow.rows import Quarantined
from tocsin.flow.setting import Setting
from tocsin.wire.reasons import RETRIABLE, Note, Reason, Rejected

GONE_MS = 3_600_000
"""How long a record from the future rests that its topic did not give: it may only have been out of reach."""
BATCH = 64
"""Rows that are in memory at once, with their values: at most 16 MB of what may become acceptable."""

Refetch = Callable[[Inlet, int], Awaitable[Record | None]]


class Quarantine:
    """Tries again what may have become acceptable, and what an officer asks for, in stream order."""

    def __init__(
        self,
        setting: Callable[[], Setting],
        store: Store,
        receive: Receive,
        clock: Clock,
        refetch: Refetch,
        bug: Bug = untold,
    ) -> None:
        """`refetch` reads a record again from its topic, for rows whose bytes are not kept; None where it is gone."""
        self._setting = setting
        self._store = store
        self._receive = receive
        self._clock = clock
        self._refetch = refetch
        self._bug = bug

    async def retry(self, inlet: Inlet, *, moved: bool) -> list[Outcome]:
        """One round over one source; returns what was accepted.

        `moved`: trust or schemas changed since the last one; otherwise only clocks and officers count.
        """
        now_ms, setting = self._clock(), self._setting()
        outcomes: list[Outcome] = []
        after = -1
        while self._setting() is setting and (rows := await self._asked(inlet, after, moved=moved)):
            outcomes += await self._try(setting, inlet, rows, now_ms)
            after = rows[-1].offset
        # No row stays among these: each is accepted, rejected for another reason, or due later.
        while self._setting() is setting and (rows := await self._ripe(inlet, now_ms)):
            outcomes += await self._try(setting, inlet, rows, now_ms)
        return outcomes

    async def _asked(self, inlet: Inlet, after: int, *, moved: bool) -> list[Quarantined]:
        """The next rows that officers asked for, or that trust may have made acceptable; by offset."""
        place = {"topic": inlet.topic, "offset": Between(low=after + 1)}
        wanted: list[dict[str, Any]] = [{"state": "REPLAY"}]
        if moved:
            reasons = RETRIABLE - {Reason.NOT_YET_VALID}
            wanted += [{"state": "HELD", "reason": reason.value, "retry_ms": 0} for reason in reasons]
        async with self._store.begin() as tx:
            found = [
                row
                for where in wanted
                for row in await tx.find(Quarantined, {**place, **where}, order=("offset",), limit=BATCH)
            ]
        return sorted(found, key=lambda row: row.offset)[:BATCH]

    async def _ripe(self, inlet: Inlet, now_ms: int) -> list[Quarantined]:
        """The next rows that came from the future and whose time has come."""
        due = {"retry_ms": Between(high=now_ms), "state": "HELD", "reason": Reason.NOT_YET_VALID.value}
        async with self._store.begin() as tx:
            where = {"topic": inlet.topic, **due}
            return await tx.find(Quarantined, where, order=("retry_ms", "offset"), limit=BATCH)

    async def _try(self, setting: Setting, inlet: Inlet, rows: Sequence[Quarantined], now_ms: int) -> list[Outcome]:
        outcomes = []
        for row in rows:
            outcomes += await self._again(setting, inlet, row, now_ms)
            await asyncio.sleep(0)  # about a millisecond each, as in `Receive.take`
        return outcomes

    async def _again(self, setting: Setting, inlet: Inlet, row: Quarantined, now_ms: int) -> list[Outcome]:
        """Try one record. What is rejected as before costs no transaction, and a lab no second receipt."""
        record = await self._record(inlet, row)
        verdict = self._receive.judge(setting, inlet, record, now_ms) if record is not None else None
        asked = row.state == "REPLAY"
        if record is None or verdict is None:
            return await self._rest(row, row.reason, now_ms + GONE_MS) if asked or row.retry_ms else []
        if not asked and isinstance(verdict, Rejected) and verdict.reason == row.reason:
            return await self._rest(row, row.reason, verdict.until_ms) if row.retry_ms else []
        try:
            return await self._take(setting, inlet, row, record, verdict, now_ms)
        except (AdapterError, StoreDamaged):
            raise
        except Exception as error:  # noqa: BLE001 - our bug on one record stops no other, nor the node at every start
            self._bug(inlet.topic, error)
            return await self._rest(row, Reason.INTERNAL.value, 0)

    async def _take(
        self, setting: Setting, inlet: Inlet, row: Quarantined, record: Record, verdict: Verdict, now_ms: int
    ) -> list[Outcome]:
        """What the verdict means, and the row's new state, together."""
        async with self._store.begin() as tx:
            if self._setting() is not setting or not await _stands(tx, row):
                return []
            verdict = await self._receive.again_if_held(tx, setting, inlet, record, verdict, now_ms)
            [outcome] = await self._receive.take_in(tx, setting, inlet, [(record, verdict)], now_ms, _no_notes)
            rejected = outcome.what is What.REJECTED
            state, reason = ("HELD", outcome.reason.value) if outcome.reason else ("REPLAYED", row.reason)
            until_ms = verdict.until_ms if isinstance(verdict, Rejected) else 0
            tried = retry_ms(until_ms, row.at_ms)
            await tx.put([dataclasses.replace(row, state=state, reason=reason, retry_ms=tried)])
        return [] if rejected else [outcome]

    async def _rest(self, row: Quarantined, reason: str, until_ms: int) -> list[Outcome]:
        """Nothing came of it: the record rests on, and one from the future at least until then."""
        again_ms = retry_ms(until_ms, row.at_ms) if reason == Reason.NOT_YET_VALID else 0
        async with self._store.begin() as tx:
            if await _stands(tx, row):
                await tx.put([dataclasses.replace(row, state="HELD", reason=reason, retry_ms=again_ms)])
        return []

    async def _record(self, inlet: Inlet, row: Quarantined) -> Record | None:
        """The record as it was; None where its bytes are not kept and its topic no longer has them."""
        if row.kept:
            return record_of(row)
        found = await self._refetch(inlet, row.offset)
        # A topic that was made anew has another record at that offset.
        same = found is not None and hashlib.sha256(found.value).digest() == row.digest
        return found if same else None


async def _stands(tx: Tx, row: Quarantined) -> bool:
    """Whether nobody (an officer who drops it) has dealt with the row meanwhile."""
    now = (await tx.get(Quarantined, [row.key()])).get(row.key())
    return now is not None and now.state == row.state


async def _no_notes(tx: Tx, record: Record, verdict: Verdict) -> list[Note]:
    """The stream noted this record when it arrived."""
    del tx, record, verdict
    return []
