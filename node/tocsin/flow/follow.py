"""Follow: read one source for ever, whatever fails; what is read is taken, and the place is the store's."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tocsin.errors import AdapterError
from tocsin.flow.leases import LEASE_MS, claim_source
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import Outcome
from tocsin.flow.parts import Parts
from tocsin.flow.ports import Conflict, LeaseLost, RangeLost, Reader, Record, Tx
from tocsin.flow.receive import Inlet
from tocsin.flow.rows import Source

WAIT_S = 0.25
"""How soon a source is looked at again that may not be heard yet, or whose store was busy."""
LAG_S = 1.0
"""How often a busy source is asked for its end: two calls to the broker, which must not slow every batch."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """First rest after a failure and the longest one, in seconds; each failure doubles it (design 5)."""

    first_s: float = 10.0
    most_s: float = 6 * 3600.0

    def rest_s(self, failures: int) -> float:
        """The rest after so many failures in a row."""
        return float(min(self.most_s, self.first_s * 2.0 ** min(failures, 40)))


Pace = Callable[[int, int], float]
"""Seconds to rest after so many records and bytes of one source."""


class Follow:
    """One source of one process."""

    def __init__(
        self,
        parts: Parts,
        inlet: Inlet,
        new_reader: Callable[[], Reader],
        *,
        back_off: BackOff,
        batch: int,
        pace: Pace,
        may_take: Callable[[], Awaitable[bool]],
        taken: Callable[[list[Outcome]], None],
        doubt: Callable[[], None],
    ) -> None:
        """`pace` says how long to rest after so many bytes, to keep the source's quota.

        `may_take` is asked before anything is read, `taken` told what was, and `doubt` that the store fell behind.
        """
        self._parts = parts
        self._inlet = inlet
        self._new_reader = new_reader
        self._back_off = back_off
        self._batch = batch
        self._pace = pace
        self._may_take = may_take
        self._taken = taken
        self._doubt = doubt

    async def run(self) -> None:
        """Read for ever. A dead or slow source costs nothing but this task."""
        parts, topic = self._parts, self._inlet.topic
        while True:
            source = await self._claimed()
            await asyncio.sleep(max(0.0, (source.retry_ms - parts.clock()) / 1000))
            reader = self._new_reader()
            try:
                await self._read(reader, source)
            except LeaseLost as lost:
                parts.watch.fault(topic, lost, LEASE_MS / 3000)
                await asyncio.sleep(LEASE_MS / 3000)
            except Conflict:
                await asyncio.sleep(WAIT_S)
            except StoreBehind as behind:
                self._doubt()
                parts.watch.fault(topic, behind, 1.0)
                await asyncio.sleep(1.0)
            except AdapterError as fault:
                rest_s = self._back_off.rest_s(source.failures)
                parts.watch.fault(topic, fault, rest_s)
                await self._remember_failure(rest_s)
            finally:
                await reader.close()

    async def _claimed(self) -> Source:
        parts, topic = self._parts, self._inlet.topic
        while True:
            try:
                source = await claim_source(parts.store, topic, parts.me, parts.clock())
            except AdapterError as fault:
                parts.watch.fault(topic, fault, 1.0)
                source = None
            if source is not None:
                return source
            await asyncio.sleep(1.0)

    async def _read(self, reader: Reader, source: Source) -> None:
        parts, inlet = self._parts, self._inlet
        try:
            await reader.open(source.offset if source.offset >= 0 else None)
        except RangeLost as lost:
            # The place is gone (retention, or a topic made anew): what is left is read; the signed heads show a gap.
            parts.watch.fault(inlet.topic, lost, 0.0)
            await reader.open(None)
            await parts.receive.lost(inlet, await reader.position(), parts.clock())
        renewed, loop, measure_at = parts.clock(), asyncio.get_running_loop(), 0.0
        while True:
            heard = await self._may_take()
            records = await reader.fetch(self._batch, 1.0) if heard else []
            if parts.clock() - renewed > LEASE_MS // 3 or source.failures:
                source = await self._renew()
                renewed = parts.clock()
            if not heard:
                await asyncio.sleep(WAIT_S)
                continue
            if not records:
                parts.watch.lag(inlet, 0)
                continue
            outcomes = await self._take(records)
            for outcome in outcomes:
                parts.watch.outcome(outcome)
            self._taken(outcomes)
            if loop.time() >= measure_at:
                measure_at = loop.time() + LAG_S
                parts.watch.lag(inlet, await reader.end() - records[-1].offset - 1)
            # 65,536 noted hashes are 5 MB that each batch reads and writes again: they count towards the quota, or a
            # peer that sends no heads could keep the node busy with one record at a time.
            size = sum(len(record.value) for record in records) + parts.receive.weights.get(inlet.topic, 0)
            await asyncio.sleep(self._pace(len(records), size))

    async def _take(self, records: list[Record]) -> list[Outcome]:
        while True:
            try:
                async with self._parts.turn:
                    if await self._may_take():  # asked again: it may have waited for its turn
                        return await self._parts.receive.take(self._inlet, records)
            except Conflict:
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(WAIT_S)

    async def _renew(self) -> Source:
        """Renew the lease; contact was made, so earlier failures no longer count."""
        parts = self._parts
        async with parts.store.begin() as tx:
            source = await self._found(tx)
            kept = dataclasses.replace(source, until_ms=parts.clock() + LEASE_MS, failures=0, retry_ms=0)
            await tx.swap(kept, expect={"holder": parts.me})
        return kept

    async def _remember_failure(self, rest_s: float) -> None:
        parts = self._parts
        try:
            async with parts.store.begin() as tx:
                source = await self._found(tx)
                retry_ms = parts.clock() + int(rest_s * 1000)
                await tx.put([dataclasses.replace(source, failures=source.failures + 1, retry_ms=retry_ms)])
        except AdapterError as fault:
            parts.watch.fault(self._inlet.topic, fault, 1.0)
            await asyncio.sleep(1.0)

    async def _found(self, tx: Tx) -> Source:
        topic = self._inlet.topic
        source = (await tx.get(Source, [(topic,)])).get((topic,))
        if source is None:
            raise LeaseLost("the store no longer knows the source", place=topic)
        return source
