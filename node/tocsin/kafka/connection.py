"""How to reach one cluster: address, trust, certificate or password. And, where it cannot be reached, why not."""

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from tocsin.errors import ConfigError
from tocsin.kafka.faults import BrokerError, Cause, as_fault

T = TypeVar("T")

_SCRAM = "SCRAM-SHA-512"
_PROBE_S = 5.0
# ApiVersions, version 0, correlation 0, no client id: the one request that any broker answers before authentication.
_API_VERSIONS = b"\x00\x00\x00\x0a" + b"\x00\x12\x00\x00" + b"\x00\x00\x00\x00" + b"\xff\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One cluster as one party reaches it.

    Without `tls` the traffic is plain text, which is allowed on the loopback address only (protocol section 8).
    `ca` None trusts what the system trusts. A certificate with its key, or a name with its password (SCRAM-SHA-512),
    says who we are.
    """

    bootstrap: str
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    client_id: str = "tocsin"

    def __post_init__(self) -> None:
        """Raise ConfigError for an address without port, or for plain text over a network."""
        for host, _ in self.hosts():
            if not self.tls and not _is_loopback(host):
                remedy = "Set tls = true, with the certificate authority of that cluster"
                raise ConfigError("Plain text is allowed on the loopback address only", place=host, remedy=remedy)
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("A certificate and its key come together", place=self.bootstrap)

    def hosts(self) -> list[tuple[str, int]]:
        """Host and port of every bootstrap address. Raises ConfigError."""
        found = []
        for address in self.bootstrap.split(","):
            host, colon, port = address.strip().rpartition(":")
            if not colon or not host or not port.isdigit():
                raise ConfigError("A broker's address is HOST:PORT", place=address)
            found.append((host.strip("[]"), int(port)))
        return found

    def settings(self) -> dict[str, Any]:
        """Keyword arguments that aiokafka and kafka-python share. Raises BrokerError where a file cannot be used."""
        settings: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "client_id": self.client_id,
            "security_protocol": self._protocol(),
        }
        if self.tls:
            settings["ssl_context"] = self._ssl_context()
        if self.username:
            settings |= {
                "sasl_mechanism": _SCRAM,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return settings

    def _protocol(self) -> str:
        return ("SASL_" if self.username else "") + ("SSL" if self.tls else "PLAINTEXT")

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            files = ", ".join(str(file) for file in (self.ca, self.certificate, self.key) if file is not None)
            raise BrokerError(Cause.TLS, f"A certificate or key cannot be used ({error})", place=files) from error
        return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def within(seconds: float, work: Awaitable[T], what: str, place: str) -> T:
    """The result of one call to a client library, never waiting longer: STALLED, or the library's error as ours."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise BrokerError(Cause.STALLED, f"{what} took more than {seconds:g} s", place=place) from error
    except (errors.KafkaError, OSError) as error:
        raise as_fault(error, place) from error


async def diagnose(connection: Connection) -> BrokerError | None:
    """Why this cluster cannot be used, found out step by step on each address; None where one of them can be.

    The client library says "Unable to bootstrap" for a closed port, an untrusted broker, a missing or foreign
    certificate and a wrong password alike. Never raises and takes at most some seconds an address.
    """
    fault = None
    for host, port in connection.hosts():
        try:
            async with asyncio.timeout(_PROBE_S):
                await _probe(connection, host, port)
        except BrokerError as found:
            fault = found
        except (TimeoutError, errors.KafkaError, OSError) as error:
            fault = BrokerError(Cause.UNREACHABLE, f"No sensible answer ({error!r})", place=f"{host}:{port}")
        else:
            return None
    return fault


async def explain(connection: Connection, error: BrokerError) -> BrokerError:
    """`error`, or what `diagnose` finds behind it where the library could only say that it did not get through."""
    if error.cause in (Cause.UNREACHABLE, Cause.STALLED):
        return await diagnose(connection) or error
    return error


async def _probe(connection: Connection, host: str, port: int) -> None:
    place = f"{host}:{port}"
    context = connection.settings().get("ssl_context")
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.close()
    except OSError as error:
        raise BrokerError(Cause.UNREACHABLE, f"No connection ({error.strerror or error})", place=place) from error
    # Now that the port is open: does it speak TLS as we do, and take our certificate? With TLS 1.3 the refusal of a
    # client's certificate arrives only with the first answer.
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            writer.write(_API_VERSIONS)
            answer = await reader.readexactly(4)
        finally:
            writer.transport.abort()
    except ssl.SSLError as error:
        raise BrokerError(Cause.TLS, _tls_words(error, connection), place=place) from error
    except (asyncio.IncompleteReadError, OSError) as error:
        words = "The port does not speak TLS" if connection.tls else "The port hung up; it may want TLS"
        raise BrokerError(Cause.TLS, words, place=place) from error
    if answer[:2] != b"\x00\x00":
        # A TLS alert (15 03) in answer to plain text.
        raise BrokerError(Cause.TLS, "The port wants TLS, and the connection is plain text", place=place)
    try:
        opened = await create_conn(host, port, **_one_host(connection))
        try:
            # A listener that wants a password answers nothing else, and hangs up.
            await opened.send(MetadataRequest([]))
        finally:
            await opened.close()
    except errors.KafkaError as error:
        words = f"The broker wants another proof of who we are ({error})"
        if isinstance(error, errors.SaslAuthenticationFailed):
            words = f"The name or the password of {connection.username!r} is refused ({error})"
        raise BrokerError(Cause.AUTHENTICATION, words, place=place) from error


def _one_host(connection: Connection) -> dict[str, Any]:
    settings = connection.settings()
    del settings["bootstrap_servers"]
    return settings


def _tls_words(error: ssl.SSLError, connection: Connection) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        ca = connection.ca or "the system's trust store"
        return f"The broker's certificate is not trusted by {ca} ({error.verify_message})"
    reason = error.reason or str(error)
    if "CERTIFICATE_REQUIRED" in reason or (connection.certificate is None and "ALERT" in reason):
        return f"The broker asks for a client certificate, and the connection has none ({reason})"
    if "ALERT" in reason:
        return f"The broker refuses the client certificate {connection.certificate} ({reason})"
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        return f"The port does not speak TLS ({reason})"
    return f"TLS fails ({reason})"


async def let_go(stop: Awaitable[object], seconds: float) -> None:
    """Wait for a client library's stop or close, but never longer, and whatever it raises.

    It runs in a task of its own: such a call may raise CancelledError at a caller whom nobody cancelled.
    """
    task = asyncio.ensure_future(stop)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        task.cancel()
    await asyncio.wait([task], timeout=seconds)
    if task.done() and not task.cancelled():
        task.exception()
