"""The way to a node's topics, and one of them read for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tocsin.config.tables import Cluster
from tocsin.errors import AdapterError
from tocsin.flow.ports import RangeLost, Reader, Record, Writer
from tocsin.kafka.configured import reach
from tocsin.kafka.faults import BrokerError, Cause
from tocsin.kafka.read import TopicReader
from tocsin.kafka.write import TopicWriter

FIRST_REST_S = 0.5
MOST_REST_S = 60.0


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def rest_s(failures: int) -> float:
    """How long to rest after so many failures in a row, in seconds; each doubles it."""
    return float(min(MOST_REST_S, FIRST_REST_S * 2.0 ** min(failures - 1, 30)))


@dataclass(frozen=True, slots=True)
class Carriage:
    """Makes writers, and readers of topics: over Kafka, or the in-memory twins."""

    writer: Callable[[], Writer]
    reader: Callable[[str], Reader]


def over_kafka(cluster: Cluster, me: str) -> Carriage:
    """The carriage of a configured cluster. `AdapterError` where its password cannot be read."""
    connection = reach(cluster, me)
    return Carriage(lambda: TopicWriter(connection), lambda topic: TopicReader(connection, topic))


class Topic:
    """One topic. After any fault it is closed, and the next `fetch` opens it again where it is told to."""

    def __init__(self, new_reader: Callable[[], Reader]) -> None:
        """No I/O."""
        self._new_reader = new_reader
        self._reader: Reader | None = None

    async def fetch(self, place: int | None, limit: int, wait_s: float) -> list[Record]:
        """The next records; `place` is the offset at which a closed topic is opened (None: the oldest retained).

        Where that place is lost (retention, or a topic made anew), what is left is read: an offset is only a hint, and
        what a stream lacks its signed heads show. Raises `AdapterError`, never hangs.
        """
        try:
            if self._reader is None:
                self._reader = self._new_reader()
                await self._open(self._reader, place)
            return await self._reader.fetch(limit, wait_s)
        except BaseException:
            await self.close()
            raise

    async def lag(self) -> int:
        """How many offsets lie after the last record that was fetched. Raises `AdapterError`, never hangs."""
        if self._reader is None:
            raise AdapterError("the topic is not open")
        try:
            return max(0, await self._reader.end() - await self._reader.position())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go; never raises and never hangs."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    @staticmethod
    async def _open(reader: Reader, place: int | None) -> None:
        try:
            await reader.open(place)
        except (RangeLost, BrokerError) as fault:
            if isinstance(fault, BrokerError) and fault.cause is not Cause.RANGE_LOST:
                raise
            await reader.open(None)
