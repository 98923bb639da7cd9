"""What several files share: gb alone, in memory, for the light clients; a founded folder for the command line."""

import pytest
from tests.crash.world import World
from tests.unit.cli_desk import found


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
