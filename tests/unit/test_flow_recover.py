"""Recovery reads no more of a topic than it needs, and that in as few connections."""

from __future__ import annotations

import pytest
from tests.crash.test_flow import story
from tests.crash.world import World

from tocsin.flow import recover, topics
from tocsin.memory import Disk, Faults, MemoryReader


async def opened(gb, monkeypatch, first_look):
    """How often the reader was opened to recover gb's stream for jp, and what recovery found."""
    monkeypatch.setattr(recover, "FIRST_LOOK", first_look)
    faults = Faults()
    gb.boot()
    gb.recover._reader = lambda topic: MemoryReader(gb.broker, topic, faults)
    found = await gb.recover.stream("jp")
    return faults.passed["reader.open", "before"], found


@pytest.mark.parametrize(("first_look", "times"), [(1_000, 1), (4, 3), (1, 4)])
async def test_each_look_at_a_topic_opens_its_reader_once_and_so_does_finding_its_beginning(
    monkeypatch, first_look, times
):
    """Where the store is lost the whole topic is read: at once, or its last 4 and then all, or its last, 4 and all."""
    world = World(nodes=("gb",))
    for _ in range(4):
        await story(world, 1)
    gb = world.nodes["gb"]
    assert 4 < len(gb.broker.records(topics.stream("gb", "jp"))) <= 16
    gb.disk = Disk()
    assert await opened(gb, monkeypatch, first_look) == (times, "AHEAD")


async def test_a_look_back_to_before_the_stores_last_word_is_the_last(monkeypatch):
    """The last record alone is not enough, the last four go back an hour; the whole topic would be a look more."""
    world = World(nodes=("gb",))
    for _ in range(4):
        world.clock.ms += 3_600_000
        await story(world, 1)
    assert await opened(world.nodes["gb"], monkeypatch, 1) == (3, "EQUAL")
