"""What several files share: gb alone, in memory, and a light client of it."""

import pytest
from tests.crash.world import World
from tests.unit.clients import in_memory, subscribe

from tocsin.reader import Subscriber
from tocsin.reader.config import load


@pytest.fixture
def world():
    return World(nodes=("gb",))


@pytest.fixture
def gb(world):
    return world.nodes["gb"]


@pytest.fixture
def client(tmp_path, world, gb):
    """A function: another client of a reader over the same files, on gb's broker or another one."""

    def make(broker=gb.broker, more="", faults=None):
        path = (
            subscribe(tmp_path, more=more)
            if more or not (tmp_path / "reader.toml").exists()
            else tmp_path / "reader.toml"
        )
        return Subscriber(load(path), carriage=in_memory(broker, faults), clock=world.clock)

    return make
