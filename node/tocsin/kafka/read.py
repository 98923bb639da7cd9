"""Reading one topic of one cluster: the flow's Reader over aiokafka.

The client library never waits here without a limit, never skips, never commits, and never says nothing: each trap that
was measured in it has its rule at the place where it would bite (design section 5).
"""

import time
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tocsin.flow.ports import Record
from tocsin.kafka.connection import Connection, explain, let_go, within
from tocsin.kafka.faults import BrokerError, Cause, LostRange, as_fault
from tocsin.kafka.metadata import topic_faults
from tocsin.kafka.undecodable import fetch_leniently
from tocsin.kafka.unpacking import bound_unpacking

# The largest record that a topic of ours holds is 1 MiB; what one fetch may bring is bounded, since a peer's broker
# decides how far it unpacks.
_PARTITION_BYTES = 2 * 1024 * 1024
_FETCH_WAIT_MS = 500
_CLOSE_S = 5.0
# What aiokafka says when it cannot decode a batch; it may be damaged, or only strange.
_UNDECODED = (Cause.CORRUPT, Cause.REFUSED)


bound_unpacking()


class TopicReader:
    """The flow's Reader (flow/ports.py) for partition 0, the only one, of one topic.

    `call_s` bounds every call to the broker. `stall_s` is how long nothing may move, while there is something to read
    or no answer to whether there is, before that is a fault.
    """

    def __init__(self, connection: Connection, topic: str, *, call_s: float = 10.0, stall_s: float = 30.0) -> None:
        self.topic = topic
        self._connection = connection
        self._call_s = call_s
        self._stall_s = stall_s
        self._partition = TopicPartition(topic, 0)
        self._consumer: AIOKafkaConsumer | None = None
        # For the watchdog: the last sign of an answered fetch, the last position, and when either of them moved.
        self._seen: tuple[int | None, int] = (None, -1)
        self._answered_at = 0.0
        self._moved_at = 0.0

    async def open(self, offset: int | None) -> None:
        """Make ready to read from `offset`; None is the oldest that the topic retains. Raises BrokerError."""
        await self.close()
        try:
            self._consumer = AIOKafkaConsumer(
                **self._connection.settings(),
                group_id=None,
                enable_auto_commit=False,
                # A range that is lost must raise: "earliest" and "latest" would skip it in silence.
                auto_offset_reset="none",
                check_crcs=True,
                max_partition_fetch_bytes=_PARTITION_BYTES,
                fetch_max_bytes=_PARTITION_BYTES,
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                request_timeout_ms=int(self._call_s * 1000),
            )
            await within(self._call_s, self._consumer.start(), "Connecting", self._connection.bootstrap)
            await self._check_topic(self._consumer)
            first, end = await self._range(self._consumer)
            position = first if offset is None else offset
            self._require(first, position, end)
            # A group would stall or loop after rebalances and deletions; the store knows the position.
            self._consumer.assign([self._partition])
            self._consumer.seek(self._partition, position)
        except BrokerError as fault:
            raise await self._broken(fault) from fault
        except BaseException:
            await self.close()
            raise
        self._seen = (None, position)
        self._answered_at = self._moved_at = time.monotonic()

    async def fetch(self, limit: int, wait_s: float) -> list[Record]:
        """The next records, at most `limit`; empty after `wait_s` without any. Raises BrokerError, never hangs.

        After a fault the reader is closed; `open` makes it ready again.
        """
        consumer = self._ready()
        try:
            # The library may answer later than it was asked to, or never.
            records = await within(
                wait_s + self._call_s,
                consumer.getmany(self._partition, timeout_ms=int(wait_s * 1000), max_records=limit),
                "A fetch",
                self.topic,
            )
            found = [_record(record) for record in records.get(self._partition, [])]
            if found:
                self._moved_at = self._answered_at = time.monotonic()
            else:
                await self._watch(consumer)
        except Exception as error:  # what the library raises on a peer's bytes is not a closed set
            fault = as_fault(error, self.topic)
            if fault.cause not in _UNDECODED:
                raise await self._broken(fault) from error
            return await self._fetch_leniently(consumer, limit)
        return found

    async def end(self) -> int:
        """The offset after the topic's last record now. Raises BrokerError, never hangs."""
        _, end = await self._range(self._ready())
        return end

    async def position(self) -> int:
        """The offset of the next record to read. Raises BrokerError where the reader is not open."""
        consumer = self._ready()
        return int(await within(self._call_s, consumer.position(self._partition), "Asking the position", self.topic))

    async def close(self) -> None:
        """Let go of everything; never raises and never hangs, whatever happened before."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await let_go(consumer.stop(), _CLOSE_S)
            # Where stop() was cut short, its connections are still open.
            await let_go(consumer._client.close(), _CLOSE_S)  # noqa: SLF001

    def _ready(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerError(Cause.STALLED, "The reader is not open", place=self.topic, remedy="Open it again")
        return self._consumer

    async def _check_topic(self, consumer: AIOKafkaConsumer) -> None:
        """An assigned consumer of a topic that is missing or forbidden says nothing: ask first."""
        faults = await topic_faults(consumer._client, [self.topic], self._call_s)  # noqa: SLF001
        for fault in faults.values():
            raise fault

    async def _range(self, consumer: AIOKafkaConsumer) -> tuple[int, int]:
        """The offsets of the oldest record and after the newest; on a topic that was just checked, or never returns."""
        here = [self._partition]
        first = await within(self._call_s, consumer.beginning_offsets(here), "Asking the first offset", self.topic)
        end = await within(self._call_s, consumer.end_offsets(here), "Asking the end offset", self.topic)
        return first[self._partition], end[self._partition]

    def _require(self, first: int, position: int, end: int) -> None:
        if not first <= position <= end:
            words = f"Offset {position} is lost: the topic holds {first} to {end}"
            raise LostRange(words, place=self.topic)

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Nothing came: right while fetches are answered and the end is reached; else a fault after `stall_s`."""
        now = time.monotonic()
        polled, position = consumer.last_poll_timestamp(self._partition), await self.position()
        if polled != self._seen[0]:
            self._answered_at = now
        if position != self._seen[1] or (consumer.highwater(self._partition) or 0) <= position:
            self._moved_at = now
        self._seen = (polled, position)
        if now - self._answered_at > self._stall_s:
            await self._check_topic(consumer)
            raise BrokerError(Cause.STALLED, f"No fetch was answered for {self._stall_s:g} s", place=self.topic)
        if now - self._moved_at > self._stall_s:
            words = f"The position {position} did not move for {self._stall_s:g} s though there is more to read"
            raise BrokerError(Cause.STALLED, words, place=self.topic)

    async def _fetch_leniently(self, consumer: AIOKafkaConsumer, limit: int) -> list[Record]:
        """A peer's bytes that the library cannot decode must not stop the stream that they came by."""
        try:
            position = await self.position()
            found, after = await fetch_leniently(consumer, self._partition, position, _PARTITION_BYTES, self._call_s)
        except BrokerError as fault:
            raise await self._broken(fault) from fault
        if len(found) > limit:
            found, after = found[:limit], found[limit].offset
        consumer.seek(self._partition, after)
        self._moved_at = self._answered_at = time.monotonic()
        return found

    async def _broken(self, fault: BrokerError) -> BrokerError:
        """Close, and find out what is behind a fault that only says that nothing came through."""
        await self.close()
        return await explain(self._connection, fault)


async def read_to_end(reader: TopicReader, offset: int | None, batch: int = 500) -> AsyncIterator[list[Record]]:
    """Every record from `offset` to the end as it is at the start, in batches; the reader is opened and closed.

    For recovery: a node's own topic as it stands. Raises BrokerError.
    """
    try:
        await reader.open(offset)
        end = await reader.end()
        # The position, not the last record: an offset may be a transaction's marker, or compacted away.
        while await reader.position() < end:
            yield [record for record in await reader.fetch(batch, 1.0) if record.offset < end]
    finally:
        await reader.close()


def _record(raw: "ConsumerRecord[bytes | None, bytes | None]") -> Record:
    headers = tuple((name, value or b"") for name, value in raw.headers)
    return Record(raw.topic, raw.offset, raw.key or b"", raw.value or b"", headers, raw.timestamp)
