"""Quarantine: rejected records at rest, and their second trial when trust, schemas or the clock have moved."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping

from tocsin.flow.outcome import Outcome, What
from tocsin.flow.ports import Clock, Record, Store, Tx
from tocsin.flow.receive import Inlet, Receive, Verdict
from tocsin.flow.rows import Quarantined
from tocsin.flow.setting import Setting
from tocsin.wire.reasons import RETRIABLE, Note, Reason

NOT_YET_MS = 7 * 86_400_000
"""A record from the future is tried again for at most 7 days (protocol section 6)."""
BATCH = 64

Refetch = Callable[[Inlet, int], Awaitable[Record | None]]


class Quarantine:
    """Tries again what may have become acceptable, and what an officer asks for, in stream order."""

    def __init__(
        self, setting: Callable[[], Setting], store: Store, receive: Receive, clock: Clock, refetch: Refetch
    ) -> None:
        """`refetch` reads a record again from its topic, for rows whose bytes are not kept; None where it is gone."""
        self._setting = setting
        self._store = store
        self._receive = receive
        self._clock = clock
        self._refetch = refetch

    async def retry(self, inlets: Mapping[str, Inlet], *, moved: bool) -> list[Outcome]:
        """One round. `moved`: trust or schemas changed since the last one; otherwise only clocks and officers count."""
        now_ms, setting = self._clock(), self._setting()
        outcomes: list[Outcome] = []
        for row in await self._candidates(now_ms, moved=moved):
            inlet = inlets.get(row.topic)
            if inlet is None:
                continue
            record = self._record(row) if row.value else await self._refetch(inlet, row.offset)
            if record is None:
                continue
            outcomes += await self._again(setting, inlet, row, record, now_ms)
        return outcomes

    async def _candidates(self, now_ms: int, *, moved: bool) -> list[Quarantined]:
        reasons = [r.value for r in RETRIABLE] if moved else [Reason.NOT_YET_VALID.value]
        async with self._store.begin() as tx:
            asked = await tx.find(Quarantined, {"state": "REPLAY"}, limit=BATCH)
            held = await tx.find(Quarantined, {"state": "HELD", "reason": reasons}, limit=None if moved else BATCH)
        kept = [r for r in held if r.reason != Reason.NOT_YET_VALID or now_ms - r.at_ms <= NOT_YET_MS]
        return sorted([*asked, *kept], key=lambda row: row.key())

    async def _again(
        self, setting: Setting, inlet: Inlet, row: Quarantined, record: Record, now_ms: int
    ) -> list[Outcome]:
        verdict = self._receive.judge(setting, inlet, record, now_ms)
        async with self._store.begin() as tx:
            outcomes = await self._receive.take_in(tx, setting, inlet, [(record, verdict)], now_ms, _no_notes)
            rejected = outcomes[0].what is What.REJECTED
            reason = outcomes[0].reason.value if outcomes[0].reason else row.reason
            state = "HELD" if rejected else "REPLAYED"
            await tx.put([dataclasses.replace(row, state=state, reason=reason)])
        return [] if rejected else outcomes

    @staticmethod
    def _record(row: Quarantined) -> Record:
        headers = tuple((name, bytes.fromhex(value)) for name, value in json.loads(row.headers))
        return Record(row.topic, row.offset, row.record_key, row.value, headers, row.at_ms)


async def _no_notes(tx: Tx, record: Record, verdict: Verdict) -> list[Note]:
    """The stream noted this record when it arrived."""
    del tx, record, verdict
    return []
