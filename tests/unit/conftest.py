"""What the tests of the light clients share: gb alone, in memory."""

import pytest
from tests.crash.world import World


@pytest.fixture
def world():
    return World(nodes=("gb",))


@pytest.fixture
def gb(world):
    return world.nodes["gb"]
