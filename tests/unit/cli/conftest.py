"""Folders of the command line: founded once by `tocsin init` and its like, and a copy of them for each test."""

import pytest
from tests.unit.cli.desk import copied, found


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("founded")
    found(folder)
    return folder


@pytest.fixture
def world(base, tmp_path):
    return copied(base, tmp_path / "world")


@pytest.fixture
def gb(world):
    return world[0]


@pytest.fixture
def lab(world):
    return world[1]
