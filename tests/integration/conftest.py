"""Real brokers for the integration tests: one plain, a second cluster, one with TLS, SCRAM and access control.

Each is started once a session, from packages alone. Where that is impossible the tests are skipped with the reason, but
in CI they fail.
"""

import asyncio
import importlib
import itertools
import os
import re

import pytest

from tocsin.errors import TocsinError
from tocsin.kafka.admin import Admin
from tocsin.kafka.connection import Connection
from tocsin.kafka.plan import Plan, WantedTopic


def _started(folder, **options):
    try:
        dev = importlib.import_module("tocsin.kafka.dev")
        kafka = dev.DevKafka(folder, **options)
        kafka.start()
    except (ImportError, TocsinError) as error:
        if os.environ.get("CI"):
            pytest.fail(f"no Apache Kafka for the tests: {error}")
        pytest.skip(f"no Apache Kafka here: {error}")
    return kafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A plain broker; who stops it starts it again."""
    broker = _started(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def second_kafka(tmp_path_factory):
    """Another cluster, plain as well."""
    broker = _started(tmp_path_factory.mktemp("second-kafka"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory):
    """A broker with mutual TLS for peers, SCRAM over TLS for labs, and default deny."""
    broker = _started(tmp_path_factory.mktemp("secured-kafka"), secured=True)
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def plain(kafka):
    """The way to the plain broker."""
    return Connection(bootstrap=kafka.bootstrap)


@pytest.fixture(scope="session")
def as_party(secured_kafka):
    """A function: the way to the secured broker for the party with a certificate of that name."""

    def connect(name, pki=secured_kafka.pki, bootstrap=secured_kafka.bootstrap, **changes):
        pair = pki.client(name)
        settings = {"tls": True, "ca": secured_kafka.pki.ca, "certificate": pair.certificate, "key": pair.key}
        return Connection(bootstrap=bootstrap, **{**settings, **changes})

    return connect


@pytest.fixture(scope="session")
def as_lab(secured_kafka):
    """A function: the way to the secured broker for a lab with that password; the user is made where it is missing."""

    def connect(name, password):
        bootstrap = secured_kafka.labs_bootstrap
        return Connection(bootstrap=bootstrap, tls=True, ca=secured_kafka.pki.ca, username=name, password=password)

    return connect


@pytest.fixture(scope="session")
def operator(as_party):
    """The administrator of the secured broker: its super user."""
    return Admin(as_party("broker"))


_numbers = itertools.count()


@pytest.fixture
def new_topic(request, plain):
    """A function: a fresh topic on the plain broker, with these settings besides LogAppendTime; returns its name."""

    def make(settings=None, connection=plain):
        stem = re.sub(r"[^a-z0-9]+", "-", request.node.name)
        name = f"tocsin.gb.out.{stem[:60]}-{next(_numbers)}"
        topic = WantedTopic(name, {"message.timestamp.type": "LogAppendTime", **(settings or {})})
        asyncio.run(Admin(connection).apply(Plan(create=(topic,))))
        return name

    return make


@pytest.fixture
def topic(new_topic):
    """One fresh topic on the plain broker."""
    return new_topic()
