"""Prune: let go of what the store needs no more after the days that the operator keeps (decision 0015).

What goes: outbox rows long acknowledged, quarantine rows that are settled or hold no bytes, old notes. Whatever keeps
a thing from being done twice stays for ever: reports, copies, decisions, submissions, officers' answers, heads shown.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from tocsin.flow.ports import Between, Clock, Store
from tocsin.flow.rows import NoteRow, Outgoing, Outlet, Quarantined, Resend, Row, Source

MS_PER_DAY = 86_400_000
BATCH = 64
"""Rows in one transaction, which hold up nobody: with the largest values 16 MB are in memory at once."""


class Prune:
    """Deletes what is older than the days kept; a death in between leaves less to do, and nothing else."""

    def __init__(self, store: Store, clock: Clock, days: int) -> None:
        """`days` as in `[store] keep_days`; 0 keeps everything."""
        self._store = store
        self._clock = clock
        self._days = days

    async def run(self) -> int:
        """One round: at most `BATCH` rows of a kind, of each topic and state that has its own; returns how many went.

        Each is a transaction of its own. Call it again at once while anything goes.
        """
        if not self._days:
            return 0
        before = self._clock() - self._days * MS_PER_DAY
        async with self._store.begin() as tx:
            written = [outlet.topic for outlet in await tx.find(Outlet, {})]
            read = [source.topic for source in await tx.find(Source, {})]
        gone = sum([await self._outbox(topic, before) for topic in written])
        # Settled by acceptance or by an officer; or only ever a place and a hash, which its topic no longer has.
        for state, kept in (("DROPPED", False), ("REPLAYED", True), ("REPLAYED", False), ("HELD", False)):
            for topic in read:
                gone += await self._older(Quarantined, {"topic": topic, "state": state, "kept": kept}, before)
        gone += await self._older(NoteRow, {}, before)
        return gone

    async def _outbox(self, topic: str, before: int) -> int:
        """From the oldest row on, without a hole: what is left can be sent again in order.

        The last acknowledged row stays, since recovery looks for it in the topic; and while an officer's order to send
        a range again is open, every row of that topic does.
        """
        async with self._store.begin() as tx:
            outlet = (await tx.get(Outlet, [(topic,)])).get((topic,))
            if outlet is None or await tx.find(Resend, {"topic": topic}, limit=1):
                return 0
            where = {"topic": topic, "row": Between(high=outlet.acked - 1)}
            rows: list[Outgoing] = []
            for limit in (1, BATCH):  # mostly nothing is old: then one row was read, and not 64 with their bytes
                found = await tx.find(Outgoing, where, order=("row",), limit=limit)
                rows = list(takewhile(lambda row: row.sealed_ms <= before, found))
                if not rows:
                    return 0
            await tx.drop(rows)
        return len(rows)

    async def _older(self, kind: type[Row], where: dict[str, Any], before: int) -> int:
        """The oldest rows of a kind, by the time of their record."""
        async with self._store.begin() as tx:
            rows = await tx.find(kind, {**where, "at_ms": Between(high=before)}, order=("at_ms",), limit=BATCH)
            await tx.drop(rows)
        return len(rows)
