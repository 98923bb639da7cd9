"""How a cluster is reached: what is refused before anything is tried, and what is never shown."""

import asyncio
from contextlib import suppress

import pytest

from tocsin.errors import ConfigError
from tocsin.kafka.connection import Connection, let_go
from tocsin.kafka.faults import BrokerError, Cause, as_fault


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092", "127.0.0.1:1,localhost:2"])
def test_plain_text_is_allowed_on_loopback(bootstrap):
    assert Connection(bootstrap=bootstrap).settings()["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("bootstrap", ["10.0.0.1:9092", "kafka.example:9092", "127.0.0.1:1,kafka.example:2"])
def test_plain_text_is_refused_over_a_network(bootstrap):
    with pytest.raises(ConfigError, match="loopback"):
        Connection(bootstrap=bootstrap)
    assert Connection(bootstrap=bootstrap, tls=True).settings()["security_protocol"] == "SSL"


@pytest.mark.parametrize("bootstrap", ["", "host", "host:", ":9092", "host:port", "host:1,"])
def test_an_address_without_host_or_port_is_refused(bootstrap):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        Connection(bootstrap=bootstrap, tls=True)


def test_a_password_is_never_shown():
    connection = Connection(bootstrap="h:1", tls=True, username="acme", password="hunter2")
    assert "hunter2" not in repr(connection)
    assert connection.settings()["security_protocol"] == "SASL_SSL"


def test_a_certificate_without_its_key_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="together"):
        Connection(bootstrap="h:1", tls=True, certificate=tmp_path / "c.pem")


def test_a_file_that_is_not_there_is_told_with_its_name(tmp_path):
    with pytest.raises(BrokerError, match=r"gone\.pem") as error:
        Connection(bootstrap="h:1", tls=True, ca=tmp_path / "gone.pem").settings()
    assert error.value.cause is Cause.TLS


def test_every_cause_says_what_to_do():
    for cause in Cause:
        assert BrokerError(cause, "thing").remedy


def test_an_error_keeps_its_cause_and_its_words():
    fault = as_fault(TimeoutError("slow"), "topic")
    assert (fault.cause, fault.thing, fault.place) == (Cause.STALLED, "TimeoutError: slow", "topic")
    assert as_fault(fault, "elsewhere") is fault


@pytest.mark.parametrize("how", ["hangs", "is deaf", "raises", "is cancelled"])
async def test_a_stop_of_the_library_is_let_go_whatever_it_does(how):
    """With the broker down it waits for ever, and it may swallow its cancellation or hand one to who never asked."""
    broker_is_back = asyncio.Event()

    async def stop():
        if how == "raises":
            raise OSError("gone")
        if how == "is cancelled":
            raise asyncio.CancelledError
        while how == "is deaf" and not broker_is_back.is_set():
            with suppress(asyncio.CancelledError):
                await broker_is_back.wait()
        await broker_is_back.wait()

    stopping = asyncio.create_task(stop())
    try:
        async with asyncio.timeout(5):
            await let_go(stopping, 0.01)
        assert stopping.done() == (how != "is deaf")
    finally:
        broker_is_back.set()
