"""What several files share: gb alone, in memory, for the light clients; a founded folder for the command line."""

import pytest
from tests.crash.world import World
from tests.unit.cli_desk import found
from tests.unit.clients import in_memory, subscribe

from tocsin.reader import Subscriber
from tocsin.reader.config import load


@pytest.fixture
def world():
    return World(nodes=("gb",))


@pytest.fixture
def gb(world):
    return world.nodes["gb"]


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("founded")
    found(folder)
    return folder


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
