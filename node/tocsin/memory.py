"""In-memory twins of every port, which keep the same contracts and fail where a test wants them to.

`faults.arm("store.commit", "after", nth=2)`: the second commit is durable, then the process dies (`Crash`). After
`faults.restart()` new twins over the same `Disk` and `MemoryBroker` are the next process.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, NoReturn, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin.errors import AdapterError
from tocsin.flow import ports
from tocsin.flow.ports import Ack, Between, Clock, Conflict, LeaseLost, Outbound, RangeLost, Record, Tx, WriteFailed
from tocsin.flow.rows import Row
from tocsin.wire.keys import KeyUse, key_id

R = TypeVar("R", bound=Row)
Key = tuple[object, ...]
When = Literal["before", "after"]

POINTS = ("store.begin", "store.commit", "reader.open", "reader.fetch", "writer.write", "signer.sign")
"""Where a process can be made to fail: before the thing happened, or after it did (and nobody was told)."""
BUSY_S = 10  # how long a transaction waits for another one, as over SQLite


class Crash(Exception):
    """The process died here. Nothing of it may catch this; what was persisted stays."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    kept: bool
    later: bool


class Faults:
    """What goes wrong in one process, by plan. After a `Crash` all its ports raise `Crash` until `restart`."""

    def __init__(self) -> None:
        # How often each (point, when) was passed so far: a first run counts, then each can be armed in turn.
        self.passed: Counter[tuple[str, str]] = Counter()
        self.dead = False
        self._armed: dict[tuple[str, str, int], Exception] = {}
        self._written: Counter[str] = Counter()
        self._refusals: dict[tuple[str, int], _Refusal] = {}

    def arm(self, point: str, when: When, nth: int = 1, error: Exception | None = None) -> None:
        """Fail at the nth time from now; with `error` (a `Conflict`, an `AdapterError`) the process lives on."""
        if point not in POINTS:
            raise ValueError(f"no such point: {point}; there are {', '.join(POINTS)}")
        count = self.passed[point, when] + nth
        self._armed[point, when, count] = error or Crash(f"{when} {point}, time {count}")

    def refuse(self, topic: str, nth: int = 1, *, kept: bool = False, later: bool = True) -> None:
        """Refuse the nth record that is written to a topic from now on.

        `kept`: the broker has it all the same, only its answer got lost. `later`: what follows it in the same write
        is kept too, as pipelined records are (measured: 101 refused, 102 and 103 acknowledged).
        """
        self._refusals[topic, self._written[topic] + nth] = _Refusal(kept, later)

    def restart(self) -> None:
        """The next process: it lives, and nothing is armed."""
        self.dead = False
        self._armed, self._refusals = {}, {}

    def hit(self, point: str, when: When) -> None:
        """Called by the twins when they pass a point."""
        if self.dead:
            raise Crash("the process is dead")
        self.passed[point, when] += 1
        error = self._armed.pop((point, when, self.passed[point, when]), None)
        if error is not None:
            self.dead = isinstance(error, Crash)
            raise error

    def refused(self, topic: str) -> _Refusal | None:
        """Called by the writer for each record."""
        self._written[topic] += 1
        return self._refusals.pop((topic, self._written[topic]), None)


@dataclass
class Disk:
    """What survives a process: rows by class and key, and who may write."""

    rows: dict[type[Row], dict[Key, Row]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def copy(self) -> "Disk":
        """A backup, to be restored by giving it to the next store."""
        return Disk(dict(self.rows))


class MemoryStore:
    """`tocsin.flow.ports.Store`. Several over one `disk` are several processes; their transactions queue."""

    def __init__(self, disk: Disk | None = None, faults: Faults | None = None) -> None:
        self.disk = disk or Disk()
        self._faults = faults or Faults()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction; `Conflict` where another does not end within 10 s (so one inside another is one, too)."""
        self._faults.hit("store.begin", "before")
        try:
            async with asyncio.timeout(BUSY_S):
                await self.disk.lock.acquire()
        except TimeoutError:
            raise Conflict("other transactions kept the store busy", place="memory") from None
        try:
            self._faults.hit("store.begin", "after")
            tx = _MemoryTx(self.disk.rows)
            yield tx
            tx.require_sound()
            self._faults.hit("store.commit", "before")
            tx.persist()
            self._faults.hit("store.commit", "after")
        finally:
            self.disk.lock.release()


class _MemoryTx:
    """Writes go into `_written` (None: deleted) until `persist`. After a failure nothing more is done."""

    def __init__(self, kept: dict[type[Row], dict[Key, Row]]) -> None:
        self._kept = kept
        self._written: dict[type[Row], dict[Key, Row | None]] = {}
        self._failure: AdapterError | None = None

    def require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure

    def persist(self) -> None:
        for kind, written in self._written.items():
            merged = {**self._kept.get(kind, {}), **written}
            self._kept[kind] = {key: row for key, row in merged.items() if row is not None}

    async def get(self, kind: type[R], keys: Sequence[Key]) -> dict[Key, R]:
        return {key: row for key in keys if (row := self._one(kind, key)) is not None}

    async def find(
        self, kind: type[R], where: Mapping[str, Any], *, order: Sequence[str] = (), limit: int | None = None
    ) -> list[R]:
        self.require_sound()
        merged: dict[Key, Any] = {**self._kept.get(kind, {}), **self._written.get(kind, {})}
        found = [row for row in merged.values() if row is not None and _fits(row, where)]
        found.sort(key=attrgetter(*kind.KEY))
        for name in reversed(order):  # sorting is stable: the first name is sorted by last
            found.sort(key=attrgetter(name.removeprefix("-")), reverse=name.startswith("-"))
        return found[:limit]

    async def count(self, kind: type[R], where: Mapping[str, Any]) -> int:
        return len(await self.find(kind, where))

    async def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self._one(type(row), row.key()) is not None:
                self._fail(Conflict("the key is there already", place=type(row).__name__))
            self._write(row)

    async def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._write(row)

    async def swap(self, row: Row, *, expect: Mapping[str, object]) -> None:
        there = self._one(type(row), row.key())
        if there is None or not _fits(there, expect):
            self._fail(LeaseLost("another process holds or has moved it", place=type(row).__name__))
        self._write(row)

    async def drop(self, rows: Sequence[Row]) -> None:
        self.require_sound()
        for row in rows:
            self._written.setdefault(type(row), {})[row.key()] = None

    def _one(self, kind: type[R], key: Key) -> R | None:
        self.require_sound()
        written: dict[Key, Any] = self._written.get(kind, {})
        kept: dict[Key, Any] = self._kept.get(kind, {})
        found: R | None = written[key] if key in written else kept.get(key)
        return found

    def _write(self, row: Row) -> None:
        self.require_sound()
        try:
            stored = _stored(row)
        except (OverflowError, UnicodeError) as error:
            self._fail(AdapterError(f"no column can hold it: {type(error).__name__}", place=type(row).__name__))
        self._written.setdefault(type(row), {})[stored.key()] = stored

    def _fail(self, failure: AdapterError) -> NoReturn:
        self._failure = failure
        raise failure


def _fits(row: Row, where: Mapping[str, Any]) -> bool:
    return all(_matches(getattr(row, name), wanted) for name, wanted in where.items())


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Between):
        return (wanted.low is None or wanted.low <= value) and (wanted.high is None or value <= wanted.high)
    return value in wanted if isinstance(wanted, list | tuple | set | frozenset) else bool(value == wanted)


def _stored(row: Row) -> Row:
    """The row as a database gives it back: enumerations are their symbols; 64 bits, Unicode, no NUL, or it is refused."""
    changed: dict[str, Any] = {}
    for column in fields(row):
        match getattr(row, column.name):
            case int(value) if type(value) not in (int, bool):
                changed[column.name] = int(value)
            case str(value) if type(value) is not str:
                changed[column.name] = str(value)
            case str(value):
                if b"\0" in value.encode():  # PostgreSQL holds none
                    raise UnicodeError(column.name)
            case int(value) if not -(2**63) <= value < 2**63:
                raise OverflowError(column.name)
    return replace(row, **changed) if changed else row


@dataclass
class _Topic:
    first: int = 0
    records: list[Record] = field(default_factory=list)


class MemoryBroker:
    """Topics with offsets; `clock` gives each record's LogAppendTime. `down` makes every call to it fail."""

    def __init__(self, clock: Clock = lambda: -1) -> None:
        self.down = False
        self.arrival = asyncio.Event()  # set, and replaced, when a record arrives
        self._clock = clock
        self._topics: dict[str, _Topic] = {}

    def create(self, *names: str) -> None:
        """Make empty topics; those that are there stay as they are."""
        self._topics |= {name: _Topic() for name in names if name not in self._topics}

    def delete(self, name: str) -> None:
        """The topic and its records are gone."""
        del self._topics[name]

    def cut(self, name: str, first: int) -> None:
        """Retention: records before offset `first` are gone."""
        topic = self.topic(name)
        gone = max(0, min(first - topic.first, len(topic.records)))
        del topic.records[:gone]
        topic.first += gone

    def truncate(self, name: str, end: int) -> None:
        """A failover that lost the tail: records from offset `end` on are gone, and their offsets are given again."""
        del self.topic(name).records[max(end - self.topic(name).first, 0) :]

    def records(self, name: str) -> list[Record]:
        """Everything that the topic retains."""
        return list(self.topic(name).records)

    def append(self, record: Outbound) -> Ack:
        """Keep a record; anybody's, as a test of the reading side writes it."""
        topic, now_ms = self.topic(record.topic), self._clock()
        offset = topic.first + len(topic.records)
        topic.records.append(Record(record.topic, offset, record.key, record.value, record.headers, now_ms))
        self.arrival.set()
        self.arrival = asyncio.Event()
        return Ack(offset, now_ms)

    def topic(self, name: str) -> _Topic:
        """`AdapterError` where the broker is down, `TopicMissing` where it has no such topic."""
        if self.down:
            raise AdapterError("the broker cannot be reached", place=name)
        if name not in self._topics:
            raise ports.TopicMissing("there is no such topic", place=name)
        return self._topics[name]


class MemoryReader:
    """`tocsin.flow.ports.Reader` of one topic."""

    def __init__(self, broker: MemoryBroker, topic: str, faults: Faults | None = None) -> None:
        self._broker, self._name, self._faults = broker, topic, faults or Faults()
        self._next: int | None = None

    async def open(self, offset: int | None) -> None:
        """Read from `offset`, or from the oldest record that is retained."""
        self._faults.hit("reader.open", "before")
        self._next = self._broker.topic(self._name).first if offset is None else offset
        self._retained()
        self._faults.hit("reader.open", "after")

    async def fetch(self, limit: int, wait_s: float) -> list[Record]:
        """The next records, or none after `wait_s`."""
        self._faults.hit("reader.fetch", "before")
        found = self._retained()[:limit]
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not found:
                    await self._broker.arrival.wait()
                    found = self._retained()[:limit]
        self._faults.hit("reader.fetch", "after")
        if found:
            self._next = found[-1].offset + 1
        return found

    async def end(self) -> int:
        """The offset after the last record."""
        topic = self._broker.topic(self._name)
        return topic.first + len(topic.records)

    async def position(self) -> int:
        """The offset of the next record to read."""
        self._retained()
        return self._next or 0

    async def close(self) -> None:
        """Let go."""
        self._next = None

    def _retained(self) -> list[Record]:
        """From the position on; `RangeLost` where the topic does not have it."""
        if self._next is None:
            raise AdapterError("the reader is not open", place=self._name)
        topic = self._broker.topic(self._name)
        if not 0 <= self._next - topic.first <= len(topic.records):
            raise RangeLost(f"offset {self._next} is not retained", place=self._name)
        return topic.records[self._next - topic.first :]


class MemoryWriter:
    """`tocsin.flow.ports.Writer`. After a failure it writes nothing more, like an aiokafka producer."""

    def __init__(self, broker: MemoryBroker, faults: Faults | None = None) -> None:
        self._broker, self._useless, self._faults = broker, "", faults or Faults()

    async def write(self, records: Sequence[Outbound]) -> dict[str, list[Ack]]:
        """Acknowledgements per topic, in order."""
        self._faults.hit("writer.write", "before")
        if self._useless:
            raise WriteFailed(self._useless, acked={}, failed=frozenset(record.topic for record in records))
        acked: dict[str, list[Ack]] = {}
        refusals: dict[str, _Refusal] = {}
        for record in records:
            earlier, refusal = refusals.get(record.topic), self._faults.refused(record.topic)
            try:
                if (earlier is None or earlier.later) and (refusal is None or refusal.kept):
                    ack = self._broker.append(record)
                    if earlier is None and refusal is None:
                        acked.setdefault(record.topic, []).append(ack)
            except AdapterError:
                refusal = _Refusal(kept=False, later=False)
            if earlier is None and refusal is not None:
                refusals[record.topic] = refusal
        self._faults.hit("writer.write", "after")
        if refusals:
            self._useless = "the broker refused a record"
            raise WriteFailed(self._useless, acked=acked, failed=frozenset(refusals))
        return acked

    async def close(self) -> None:
        """Let go."""
        self._useless = "the writer is closed"


class MemorySigner:
    """`tocsin.flow.ports.Signer` over Ed25519 seeds of 32 bytes, one per use."""

    def __init__(self, keys: Mapping[KeyUse, bytes], faults: Faults | None = None) -> None:
        self._keys = {use: Ed25519PrivateKey.from_private_bytes(seed) for use, seed in keys.items()}
        self._faults = faults or Faults()

    def public(self, use: KeyUse) -> bytes:
        """The 32-byte public key, for a trust view."""
        return self._key(use).public_key().public_bytes_raw()

    def key_id(self, use: KeyUse) -> bytes:
        """The 16-byte key id."""
        return key_id(1, use, self.public(use))

    async def sign(self, use: KeyUse, message: bytes) -> bytes:
        """The 64-byte signature."""
        self._faults.hit("signer.sign", "before")
        signature = self._key(use).sign(message)
        self._faults.hit("signer.sign", "after")
        return signature

    def _key(self, use: KeyUse) -> Ed25519PrivateKey:
        if use not in self._keys:
            raise AdapterError("there is no key of that use", place=use)
        return self._keys[use]
