"""Writing to the node's own cluster: the flow's Writer over aiokafka's idempotent producer.

One writer may serve many topics, because what they share is only the way there. Sequence numbers are per partition, so
a refused record spoils nothing but its own topic; each topic is sent by a task of its own, so that one that must wait
(for its metadata, for room in its batch) holds up no other; and before a spent producer is let go, every record of
every topic is given the time to be acknowledged. What the caller must do: go on for each topic from its own
acknowledged prefix, and give a topic that fails again a writer and a back-off of its own.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer, errors
from aiokafka.structs import RecordMetadata

from tocsin.flow.ports import Ack, Outbound, WriteFailed
from tocsin.kafka.connection import Connection, explain, let_go, within
from tocsin.kafka.faults import BrokerError, as_fault
from tocsin.kafka.metadata import topic_faults

# A batch must fit into a topic of the smallest max.message.bytes that a node starts with, 300,000.
_BATCH_BYTES = 262_144
_REQUEST_BYTES = 1024 * 1024
_CLOSE_S = 3.0
_LOG_APPEND_TIME = 1
_NEW_WRITER = "A new writer goes on after the acknowledged prefix"


class _Lane:
    """What was given for one topic, and what became of it."""

    def __init__(self) -> None:
        self.records: list[Outbound] = []
        self.sent: list[asyncio.Future[RecordMetadata]] = []
        self.error: BaseException | None = None

    def follow(self, future: asyncio.Future[RecordMetadata]) -> None:
        """Keep a record's future, and the first error of any."""
        self.sent.append(future)
        future.add_done_callback(self._note)

    def acked(self) -> list[Ack]:
        """The acknowledgements of the unbroken prefix. What is acknowledged after a gap proves nothing."""
        acks = []
        for future in self.sent:
            if not future.done() or future.cancelled() or future.exception() is not None:
                break
            acks.append(_ack(future.result()))
        return acks

    def _note(self, future: asyncio.Future[RecordMetadata]) -> None:
        # Each exception is taken, or the loop would complain of it; the first counts.
        error = None if future.cancelled() else future.exception()
        self.error = self.error or error


class TopicWriter:
    """The flow's Writer (flow/ports.py). It connects at the first `write`; after `WriteFailed` it is closed for good.

    `call_s` bounds every call to the broker, `delivery_s` the wait for acknowledgements.
    """

    def __init__(self, connection: Connection, *, call_s: float = 10.0, delivery_s: float = 30.0) -> None:
        self._connection = connection
        self._call_s = call_s
        self._delivery_s = delivery_s
        self._producer: AIOKafkaProducer | None = None
        self._known: set[str] = set()
        self._spent = False

    @property
    def longest_s(self) -> float:
        """No `write` takes longer, and after it nothing more is sent: a lease must outlive this."""
        return 2 * self._call_s + self._delivery_s + 4 * _CLOSE_S

    async def write(self, records: Sequence[Outbound]) -> dict[str, list[Ack]]:
        """Acknowledgements per topic, in order; WriteFailed with the unbroken prefixes otherwise. Never hangs."""
        lanes: dict[str, _Lane] = {}
        for record in records:
            lanes.setdefault(record.topic, _Lane()).records.append(record)
        if self._spent:
            raise WriteFailed("The writer is spent", acked={}, failed=frozenset(lanes), remedy=_NEW_WRITER)
        # Spent unless all goes well: also where the caller is cancelled in the middle.
        self._spent = True
        try:
            producer = await self._start()
            await self._check_topics(producer, lanes)
        except BrokerError as fault:
            await self.close()
            fault = await explain(self._connection, fault)
            raise WriteFailed(str(fault), acked={}, failed=frozenset(lanes), remedy=_NEW_WRITER) from fault
        await _deliver(producer, lanes, self._delivery_s)
        # The futures tell their lanes in the loop's next round.
        await asyncio.sleep(0)
        acked = {topic: lane.acked() for topic, lane in lanes.items()}
        failed = frozenset(topic for topic, lane in lanes.items() if len(acked[topic]) < len(lane.records))
        if failed:
            await self.close()
            said = await self._words({topic: lanes[topic] for topic in sorted(failed)})
            raise WriteFailed(said, acked=acked, failed=failed, remedy=_NEW_WRITER)
        self._spent = False
        return acked

    async def close(self) -> None:
        """Let go of everything; never raises and never hangs. Nothing is sent after it."""
        producer, self._producer, self._spent = self._producer, None, True
        if producer is not None:
            # What is not acknowledged now is in doubt; without this, stop() would wait for it for ever where the
            # broker is down, and a producer left running would deliver it behind the back of the next one.
            producer._message_accumulator.fail_all(errors.ProducerClosed())  # noqa: SLF001
            await let_go(producer.stop(), _CLOSE_S)
            await let_go(producer.client.close(), _CLOSE_S)

    async def _start(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._connection.settings(),
                enable_idempotence=True,
                acks="all",
                max_batch_size=_BATCH_BYTES,
                max_request_size=_REQUEST_BYTES,
                request_timeout_ms=int(self._call_s * 1000),
            )
            await within(self._call_s, self._producer.start(), "Connecting", self._connection.bootstrap)
        return self._producer

    async def _check_topics(self, producer: AIOKafkaProducer, lanes: dict[str, _Lane]) -> None:
        """Sending to a topic that is missing or forbidden waits; one that fails here holds up no other."""
        new = lanes.keys() - self._known
        if new:
            for topic, fault in (await topic_faults(producer.client, new, self._call_s)).items():
                lanes[topic].error = fault
            self._known |= new

    async def _words(self, lanes: dict[str, _Lane]) -> str:
        """What the broker or the client said about each topic, or why it said nothing."""
        said = {}
        for topic, lane in lanes.items():
            said[topic] = as_fault(lane.error, topic) if lane.error else None
        if None in said.values():
            silence = f"No acknowledgement within {self._delivery_s:g} s"
            behind = await explain(self._connection, as_fault(TimeoutError(silence), self._connection.bootstrap))
            said = {topic: fault or behind for topic, fault in said.items()}
        return "; ".join(dict.fromkeys(fault.thing for fault in said.values() if fault is not None))


async def _deliver(producer: AIOKafkaProducer, lanes: dict[str, _Lane], seconds: float) -> None:
    """Send every topic's records in order, all topics at once, until each is acknowledged, refused or late."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_send(producer, topic, lane) for topic, lane in lanes.items()))
            waiting = [future for lane in lanes.values() for future in lane.sent if not future.done()]
            if waiting:
                await asyncio.wait(waiting)


async def _send(producer: AIOKafkaProducer, topic: str, lane: _Lane) -> None:
    try:
        for record in lane.records:
            # Nothing after a refused record: it would only be acknowledged out of order.
            if lane.error is not None:
                return
            headers = list(record.headers)
            lane.follow(await producer.send(topic, record.value, key=record.key, partition=0, headers=headers))
    except (errors.KafkaError, OSError) as error:
        lane.error = error


def _ack(metadata: RecordMetadata) -> Ack:
    stamped = metadata.timestamp_type == _LOG_APPEND_TIME
    return Ack(metadata.offset, metadata.timestamp if stamped and metadata.timestamp is not None else -1)
