"""The ports: what the flow needs of the world, as contracts in words. Adapters and the in-memory twins keep them.

Every failure of an adapter is an `AdapterError`; `Conflict` and `LeaseLost` are the two that the flow acts upon by
running its transaction again, or by letting go of what another process holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tocsin.errors import AdapterError
from tocsin.flow.rows import Row
from tocsin.wire.keys import KeyUse

R = TypeVar("R", bound=Row)

Clock = Callable[[], int]
"""Milliseconds since 1970, UTC."""
Entropy = Callable[[int], bytes]
"""So many fresh random bytes, fit for keys and salts."""


class Conflict(AdapterError):
    """Another transaction got in between; nothing of this one is persisted, and it may be run again."""


class LeaseLost(AdapterError):
    """What this process held is held by another; nothing of this transaction may be persisted."""


class RangeLost(AdapterError):
    """The offset that was asked for is no longer, or not yet, in the topic; a reader says so and never skips."""


class TopicMissing(AdapterError):
    """There is no topic of that name, or not yet."""


@dataclass(frozen=True, slots=True)
class Between:
    """A condition on a column: low ≤ value ≤ high; None leaves an end open."""

    low: int | bytes | None = None
    high: int | bytes | None = None


class Tx(Protocol):
    """One transaction. It sees its own writes; all of them become durable together, or none does."""

    async def get(self, kind: type[R], keys: Sequence[tuple[object, ...]]) -> dict[tuple[object, ...], R]:
        """Rows by key; keys that have no row are absent from the answer."""
        ...

    async def find(
        self, kind: type[R], where: Mapping[str, Any], *, order: Sequence[str] = (), limit: int | None = None
    ) -> list[R]:
        """Rows whose columns equal `where` (a value, a `Between`, or a list or set: any of its members).

        Ordered by `order` (a leading "-" is descending); without order by the key. At most `limit`.
        """
        ...

    async def count(self, kind: type[R], where: Mapping[str, Any]) -> int:
        """The number of rows that `find` would give."""
        ...

    async def add(self, rows: Sequence[Row]) -> None:
        """Insert rows of any kinds; a key that is there already is a `Conflict`."""
        ...

    async def put(self, rows: Sequence[Row]) -> None:
        """Insert rows of any kinds, or replace those with the same key."""
        ...

    async def swap(self, row: Row, *, expect: Mapping[str, object]) -> None:
        """Replace the row of that key if its columns still equal `expect`; otherwise `LeaseLost`."""
        ...

    async def drop(self, rows: Sequence[Row]) -> None:
        """Delete the rows of those keys; absent ones are no error."""
        ...


class Store(Protocol):
    """What the node knows.

    `begin()` gives a transaction. Where its block ends normally, everything it wrote is durable (a power cut does not
    undo it) *before* the block returns; where it raises, or the process dies, nothing of it is. Transactions are
    serialisable; one that cannot be is a `Conflict`.
    """

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """Open a transaction for `async with`."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka message as it was read; headers are hints, never decided upon."""

    topic: str
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


class Reader(Protocol):
    """One topic of one cluster, read by one task, in the order of its offsets, without groups or commits."""

    async def open(self, offset: int | None) -> None:
        """Make ready to read from `offset`; None is the oldest that the topic retains.

        A lost range (offset no longer retained) is `RangeLost`, a missing topic `TopicMissing`; a forbidden topic and an
        unreachable or untrusted broker are each an `AdapterError` that says so; nothing is ever skipped in silence.
        """
        ...

    async def fetch(self, limit: int, wait_s: float) -> list[Record]:
        """The next records, at most `limit`; empty after `wait_s` without any. Raises `AdapterError`, never hangs."""
        ...

    async def end(self) -> int:
        """The offset after the topic's last record now. Raises `AdapterError`, never hangs."""
        ...

    async def position(self) -> int:
        """The offset of the next record to read."""
        ...

    async def close(self) -> None:
        """Let go of everything; never raises and never hangs, whatever happened before."""
        ...


@dataclass(frozen=True, slots=True)
class Outbound:
    """One record to write: exact bytes, to one topic."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker keeps the record: its offset, and the broker's LogAppendTime in ms (−1 where the topic has none)."""

    offset: int
    append_ms: int


class WriteFailed(AdapterError):
    """Some record was refused or is in doubt.

    `acked` holds, per topic, the acknowledgements of the unbroken prefix of what was given for that topic; `failed` the
    topics that have a refused or doubtful record. After it only a new writer may go on.
    """

    def __init__(self, thing: str, *, acked: dict[str, list[Ack]], failed: frozenset[str], remedy: str = "") -> None:
        """`thing` says what the broker or the client said."""
        super().__init__(thing, place=", ".join(sorted(failed)), remedy=remedy)
        self.acked = acked
        self.failed = failed


class Writer(Protocol):
    """An idempotent producer with acks=all to the node's own cluster.

    `write` returns when every record is acknowledged by all in-sync replicas, in the order given per topic.
    """

    async def write(self, records: Sequence[Outbound]) -> dict[str, list[Ack]]:
        """Acknowledgements per topic, in order. `WriteFailed` otherwise; never hangs."""
        ...

    async def close(self) -> None:
        """Let go of everything; never raises and never hangs."""
        ...


class Signer(Protocol):
    """Holds private keys; the core gives the bytes to sign. Event keys and relay keys are different keys."""

    def key_id(self, use: KeyUse) -> bytes:
        """The 16-byte key id of the key of that use."""
        ...

    async def sign(self, use: KeyUse, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature; `AdapterError` where the key cannot be used."""
        ...
