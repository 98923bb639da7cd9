"""Send: carry sealed rows to the node's own topics, in order, and remember what is acknowledged (protocol section 4).

Only sealed bytes are ever sent, the same for the same row. `acked` moves over the unbroken acknowledged prefix; after
any doubt a new writer goes on from `acked` + 1. What a topic shows is never taken as proof of what it keeps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tocsin.flow.outbox import outbound
from tocsin.flow.ports import Ack, Between, Clock, Store, Tx, WriteFailed, Writer
from tocsin.flow.rows import Outgoing, Outlet, Resend

BATCH = 256
"""Rows in flight per topic: enough to keep the producer busy, few enough to send again after a doubt."""
SKEW_ALARM_MS = 30_000
SKEW_STOP_MS = 240_000
"""LogAppendTime against our clock: half a minute apart is an alarm, four minutes stop signing (design 2)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What one round did: rows acknowledged per topic, topics that failed and why, the largest clock skew seen.

    `anew`: audiences whose topic had lost what was acknowledged; all of it is sent again.
    """

    acked: Mapping[str, int]
    failed: Mapping[str, str]
    skew_ms: int = 0
    anew: Sequence[str] = ()


class Send:
    """The only task of a process that writes to Kafka."""

    def __init__(self, store: Store, new_writer: Callable[[], Awaitable[Writer]], clock: Clock, me: str) -> None:
        """`new_writer` builds and starts a writer; it is called again after every failure."""
        self._store = store
        self._new_writer = new_writer
        self._clock = clock
        self._me = me
        self._writer: Writer | None = None
        self.failing: dict[str, str] = {}
        """What was said of each topic whose last write failed: why the node is not ready."""
        self._resting: dict[str, tuple[int, int]] = {}
        self._ahead: dict[str, tuple[int, Outgoing]] = {}
        """Per topic: the place that the store knows, and the last row that was acknowledged since."""
        self._offsets: dict[str, int] = {}

    async def run(self) -> Sent:
        """Send one batch of what is sealed and not acknowledged; `AdapterError` where no writer can be had.

        What is acknowledged is written down once nothing waits, or after `BATCH` rows, since to wait for the disk at
        every batch would delay the next one: call again until nothing is sent. Whoever dies before that sends the same
        bytes again.
        """
        outlets, rows = await self._next()
        if not rows:
            return Sent({}, {})
        acks: dict[str, list[Ack]] = {}
        failed: dict[str, str] = {}
        # Receipts first, and all that wait: what a restored store would issue again must not be in a stream before them.
        receipts = [row for row in rows if not outlets[row.topic].audience]
        streams = [row for row in rows if outlets[row.topic].audience] if len(receipts) < BATCH else []
        for part in filter(None, (receipts, streams)):
            try:
                acks |= await self._write(part)
            except WriteFailed as fault:
                acks |= fault.acked
                failed |= dict.fromkeys(fault.failed, fault.thing)
        of_topic: dict[str, list[Outgoing]] = {}
        for row in rows:
            of_topic.setdefault(row.topic, []).append(row)
        self._rest(of_topic, failed)
        for topic, got in acks.items():
            if got:
                known, _ = self._ahead.get(topic, (outlets[topic].acked, None))
                self._ahead[topic] = known, of_topic[topic][len(got) - 1]
        anew = {topic: outlets[topic] for topic in self._made_anew(acks)}
        for outlet in anew.values():
            await self._from_the_beginning(outlet)
        told = {topic: len(got) for topic, got in acks.items() if got}
        return Sent(told, failed, self._skew(acks), tuple(outlet.audience for outlet in anew.values()))

    def _made_anew(self, acks: Mapping[str, Sequence[Ack]]) -> list[str]:
        """Topics whose offsets fell: somebody made them anew, or the broker lost their end. What was sent is lost there."""
        found = []
        for topic, got in acks.items():
            offsets = [ack.offset for ack in got if ack.offset >= 0]
            if offsets and offsets[0] <= self._offsets.get(topic, -1):
                found.append(topic)
            self._offsets[topic] = offsets[-1] if offsets else self._offsets.get(topic, -1)
        return found

    async def _from_the_beginning(self, outlet: Outlet) -> None:
        """Every row that is held goes out again: the same bytes under the same seq, which readers know already."""
        self._ahead.pop(outlet.topic, None)
        async with self._store.begin() as tx:
            now = (await tx.get(Outlet, [outlet.key()])).get(outlet.key())
            oldest = await tx.find(Outgoing, {"topic": outlet.topic}, order=("row",), limit=1)
            if now is not None and now.holder == outlet.holder and oldest:
                await tx.put([dataclasses.replace(now, acked=oldest[0].row - 1)])

    async def _next(self) -> tuple[dict[str, Outlet], list[Outgoing]]:
        """The outlets that are ours, moved over what was acknowledged, and the rows that wait in them."""
        now_ms = self._clock()
        rows: list[Outgoing] = []
        async with self._store.begin() as tx:
            outlets = {o.topic: o for o in await tx.find(Outlet, {"holder": [self._me, ""]})}
            await self._move(tx, outlets)
            for topic, outlet in outlets.items():
                if outlet.rows > outlet.acked and self._resting.get(topic, (0, 0))[1] <= now_ms:
                    after = Between(low=outlet.acked + 1)
                    rows += await tx.find(Outgoing, {"topic": topic, "row": after}, order=("row",), limit=BATCH)
            due = not rows or any(last.row - known >= BATCH for known, last in self._ahead.values())
            if due:
                for topic, (known, _) in self._ahead.items():
                    await tx.swap(outlets[topic], expect={"holder": outlets[topic].holder, "acked": known})
        if due:
            self._ahead.clear()
        return outlets, rows

    async def _move(self, tx: Tx, outlets: dict[str, Outlet]) -> None:
        """Move the outlets over what was acknowledged and is not written down yet.

        Not those that another process holds now (it sends the rows again), nor those of a store that fell behind and
        knows another place or other rows: `recover` sees to them.
        """
        rows = await tx.get(Outgoing, [last.key() for _, last in self._ahead.values()])
        for topic, (known, last) in list(self._ahead.items()):
            outlet = outlets.get(topic)
            if outlet is not None and outlet.acked == known and rows.get(last.key()) == last:
                outlets[topic] = dataclasses.replace(outlet, acked=last.row)
            else:
                del self._ahead[topic]

    def _rest(self, tried: Iterable[str], failed: Mapping[str, str]) -> None:
        """A topic that fails rests a while, so that it does not cost the others a writer each round."""
        for topic in tried:
            self.failing.pop(topic, None)
            if topic in failed:
                self.failing[topic] = failed[topic]
                times = self._resting.get(topic, (0, 0))[0] + 1
                self._resting[topic] = (times, self._clock() + min(60_000, 250 * 2**times))
            else:
                self._resting.pop(topic, None)

    def _skew(self, acks: Mapping[str, Sequence[Ack]]) -> int:
        now_ms = self._clock()
        apart = [abs(now_ms - ack.append_ms) for got in acks.values() for ack in got if ack.append_ms >= 0]
        return max(apart, default=0)

    async def ask_clock(self) -> int:
        """How far the broker's clock is from ours, by a repeat of a row that it keeps already; 0 where there is none."""
        async with self._store.begin() as tx:
            outlets = [o for o in await tx.find(Outlet, {"holder": [self._me, ""]}) if o.acked]
            rows = await tx.get(Outgoing, [(o.topic, o.acked) for o in outlets[:1]])
        return self._skew(await self._write(list(rows.values()))) if rows else 0

    async def _write(self, rows: Sequence[Outgoing]) -> dict[str, list[Ack]]:
        if self._writer is None:
            self._writer = await self._new_writer()
        try:
            return await self._writer.write([outbound(row) for row in rows])
        except WriteFailed:
            await self._discard()
            raise

    async def resend(self) -> int:
        """Send again the ranges that officers asked for: the same bytes under the same seq; returns how many rows."""
        async with self._store.begin() as tx:
            asked = await tx.find(Resend, {}, order=("asked_ms",), limit=1)
            if not asked:
                return 0
            order = asked[0]
            outlet = (await tx.get(Outlet, [(order.topic,)])).get((order.topic,))
            epoch = outlet.epoch if outlet else 0
            where = {"topic": order.topic, "epoch": epoch, "seq": Between(order.from_seq, order.to_seq)}
            rows = await tx.find(Outgoing, where, order=("row",))
        for start in range(0, len(rows), BATCH):
            await self._write(rows[start : start + BATCH])
        async with self._store.begin() as tx:
            await tx.drop([order])
        return len(rows)

    async def _discard(self) -> None:
        """After a doubt nothing more goes to this writer (design 2)."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    async def close(self) -> None:
        """Let go of the writer."""
        await self._discard()
