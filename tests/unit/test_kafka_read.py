"""The reader's watchdog, over a broker as no real one is: it takes every call, and gives nothing that it has."""

import itertools
from functools import partial
from types import SimpleNamespace

import pytest

from tocsin.kafka import read
from tocsin.kafka.connection import Connection
from tocsin.kafka.faults import BrokerError, Cause

END = 10


class Consumer:
    """The library's consumer of a topic of `END` records of which none ever comes."""

    answered = True

    def __init__(self, **settings):
        self._client = SimpleNamespace(close=self.start)
        self._polled, self._at = 0, 0

    async def start(self):
        pass

    stop = start

    async def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions):
        return dict.fromkeys(partitions, END)

    def assign(self, partitions):
        pass

    def seek(self, partition, position):
        self._at = position

    async def position(self, partition):
        return self._at

    def highwater(self, partition):
        return END

    def last_poll_timestamp(self, partition):
        return self._polled

    async def getmany(self, *partitions, timeout_ms, max_records):
        self._polled += self.answered
        return {}


@pytest.fixture
def reader(monkeypatch):
    """Each look at the clock is a second later than the one before."""

    async def no_faults(client, topics, seconds):
        return {}

    async def as_it_is(connection, fault):
        return fault

    monkeypatch.setattr(read, "AIOKafkaConsumer", Consumer)
    monkeypatch.setattr(read, "topic_faults", no_faults)
    monkeypatch.setattr(read, "explain", as_it_is)
    monkeypatch.setattr(read, "time", SimpleNamespace(monotonic=partial(next, itertools.count())))
    return read.TopicReader(Connection(bootstrap="127.0.0.1:1"), "t", stall_s=30)


async def fetches(reader, count=100):
    for done in range(count):
        try:
            assert await reader.fetch(1, 0) == []
        except BrokerError as fault:
            return done, fault
    return count, None


async def test_a_position_that_does_not_move_though_there_is_more_is_a_fault(reader):
    """Or a peer's broker could hold its stream up for ever, and the node would take that for quiet."""
    await reader.open(3)
    done, fault = await fetches(reader)
    assert done == 30
    assert (fault.cause, fault.place) == (Cause.STALLED, "t")
    assert "position 3 did not move for 30 s" in fault.thing


async def test_fetches_that_nobody_answers_are_a_fault_also_at_the_end(reader, monkeypatch):
    monkeypatch.setattr(Consumer, "answered", False)
    await reader.open(END)
    _, fault = await fetches(reader)
    assert fault.cause is Cause.STALLED
    assert "No fetch was answered for 30 s" in fault.thing


async def test_at_the_end_a_position_may_rest(reader):
    await reader.open(END)
    assert await fetches(reader) == (100, None)
