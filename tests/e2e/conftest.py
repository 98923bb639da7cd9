"""One plain broker for the end-to-end tests; where it cannot be had they are skipped with the reason, but fail in CI."""

import importlib
import os

import pytest

from tocsin.errors import TocsinError


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A plain broker of its own."""
    try:
        broker = importlib.import_module("tocsin.kafka.dev").DevKafka(tmp_path_factory.mktemp("e2e-kafka"))
        broker.start()
    except (ImportError, TocsinError) as error:
        if os.environ.get("CI"):
            pytest.fail(f"no Apache Kafka for the tests: {error}")
        pytest.skip(f"no Apache Kafka here: {error}")
    yield broker
    broker.stop()
