"""The reader's client: an iterator over verified reports that outlives every fault of the network."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tocsin.errors import AdapterError
from tocsin.flow import topics
from tocsin.flow.ports import Clock, Record
from tocsin.light.database import PrivateDatabase
from tocsin.light.topic import Carriage, Topic, now_ms, over_kafka, rest_s
from tocsin.light.trust_file import TrustFile
from tocsin.packaged import published_schemas
from tocsin.reader import state
from tocsin.reader.config import ReaderConfig, load
from tocsin.reader.health import Health, condition_of
from tocsin.reader.seen import Seen
from tocsin.reader.take import Intake, Taken
from tocsin.wire.keys import TrustView
from tocsin.wire.reasons import Note

R = TypeVar("R")

BATCH = 200
POLL_S = 1.0
TOO_EARLY_MS = 60_000
"""How often is looked for records from the future whose time has come."""

_CALM = frozenset({Note.HEALED, Note.REVISION_MISSING})
_LOG = logging.getLogger("tocsin.reader")


class Subscriber:
    """`async with Subscriber.from_file("reader.toml") as subscriber: async for seen in subscriber`.

    A report counts as handled, and is then never shown again, when the next one is asked for, or when the block of
    `async with` ends without an exception. Until then a crash shows it again. One running client per state file.
    """

    def __init__(self, config: ReaderConfig, *, carriage: Carriage | None = None, clock: Clock = now_ms) -> None:
        """No I/O. `carriage` is Kafka as configured, unless another is given."""
        releaser, stream = config.node.id, config.reader
        self._config = config
        self._carriage = carriage
        self._clock = clock
        self._trust = TrustFile(config.trust.file)
        owner = {"node": releaser, "audience": stream.audience, "exercises": stream.exercises}
        self._file = PrivateDatabase(stream.state, state.TABLES, owner)
        self._intake = Intake(releaser, stream.audience, stream.exercises == "only", published_schemas())
        self._topic: Topic
        self._place: state.Place
        self._sound = False
        self._dirty = False
        self._at_end = False
        self._fetched: deque[Record] = deque()
        self._again: deque[int] = deque()
        self._tried_ms = 0
        self._tried_by: TrustView | None = None
        self._fault: AdapterError | None = None
        self._lag: int | None = None
        self._looked_ms: int | None = None

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The client that a file configures. `BadConfigError` with all that is wrong in it."""
        return cls(load(Path(path)))

    async def __aenter__(self) -> Self:
        """Open trust view and state file. Needs no network."""
        self._trust.open()
        config = self._config
        carriage = self._carriage or over_kafka(config.kafka, config.reader.audience)
        name = topics.stream(config.node.id, config.reader.audience)
        self._topic = Topic(lambda: carriage.reader(name))
        await self._file.open()
        try:
            await self._resume()
        except BaseException:
            await self._file.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was shown last counts as handled, unless the block failed; then let go."""
        try:
            if kind is None and self._sound:
                await self._commit()
        finally:
            await self._topic.close()
            await self._file.close()

    def __aiter__(self) -> AsyncIterator[Seen]:
        """Itself: it waits for ever for the next report."""
        return self

    async def __anext__(self) -> Seen:
        """The next report. `AdapterError` only where the state file fails; faults of the network are waited out."""
        failures = 0
        while True:
            try:
                seen = await self._next()
            except AdapterError as fault:
                if fault is not self._fault:
                    raise
                failures += 1
                rest = rest_s(failures)
                _LOG.warning("the stream cannot be read: %s; tried again in %g s", fault, rest)
                await asyncio.sleep(rest)
            else:
                if seen is not None:
                    return seen
                failures = 0

    async def available(self) -> AsyncIterator[Seen]:
        """What is there now, to the end of the topic, and no waiting. `AdapterError` where it cannot be read."""
        while True:
            seen = await self._next()
            if seen is not None:
                yield seen
            elif self._at_end:
                return

    def health(self) -> Health:
        """How the stream stands; without I/O."""
        place, now_ms = self._place, self._clock()
        gaps = tuple(place.stream.open)
        lag = None if self._lag is None else self._lag + len(self._fetched)
        return Health(
            condition=condition_of(
                fault=self._fault,
                gaps=len(gaps),
                lag=lag,
                head_ms=place.head_ms,
                looked_ms=self._looked_ms,
            ),
            position=place.stream.position,
            head_age_ms=None if place.head_ms is None else max(0, now_ms - place.head_ms),
            open=gaps,
            lag=lag,
            looked_ms=self._looked_ms,
            fault=self._fault,
            counts=dict(place.counts),
        )

    async def notes(self) -> list[state.Noted]:
        """The notes that were recorded (GAP, HEALED, FORK and so on), oldest first; of each kind the newest."""
        return await self._ask(state.noted)

    async def quarantine(self) -> list[state.Refused]:
        """The records that were refused and still are, oldest first; of what is not tried again the newest a reason."""
        return await self._ask(state.refused)

    async def _ask(self, work: Callable[[sqlite3.Connection], R]) -> R:
        try:
            return await self._file.run(work, commit=False)
        except AdapterError:
            self._sound = False  # what was shown and not yet handled is undone with it
            raise

    async def _next(self) -> Seen | None:
        """The next report, out of quarantine or fetched; None where one look at the topic brought none."""
        # 1. Asking for the next one is the word that the last one was handled.
        sound, self._sound, self._at_end = self._sound, False, False
        await (self._commit() if sound else self._resume())
        # 2. What may verify by now; else more of the topic. Whoever is cancelled while waiting for it has lost nothing.
        if self._trust.current() is not self._tried_by or self._clock() - self._tried_ms >= TOO_EARLY_MS:
            await self._find_retriable()
        self._sound = True
        if not self._again and not self._fetched:
            await self._look()
        # 3. One record after the other, until one is to be shown. Who is cancelled here begins where the file says.
        self._sound, seen = False, None
        while seen is None and (self._again or self._fetched):
            seen = await self._take_one()
        self._sound = True
        return seen

    async def _take_one(self) -> Seen | None:
        intake, place, trust, now_ms = self._intake, self._place, self._trust.current(), self._clock()
        if self._again:
            row = self._again.popleft()
            taken = await self._file.run(lambda db: intake.again(db, place, row, trust, now_ms), commit=False)
        else:
            record = self._fetched.popleft()
            taken = await self._file.run(lambda db: intake.take(db, place, record, trust, now_ms), commit=False)
        self._dirty = True
        _log(taken)
        return taken.seen

    async def _look(self) -> None:
        """What is new in the topic."""
        try:
            records = await self._topic.fetch(self._place.next, BATCH, POLL_S)
            lag = await self._topic.lag()
        except AdapterError as fault:
            self._fault, self._lag = fault, None
            raise
        if self._fault is not None:
            _LOG.info("the stream can be read again")
        self._fault, self._lag, self._looked_ms = None, lag, self._clock()
        self._at_end = not records and lag == 0
        self._fetched.extend(records)

    async def _find_retriable(self) -> None:
        """What time or another trust view may have made acceptable, in stream order."""
        trust, now_ms = self._trust.current(), self._clock()
        moved = trust is not self._tried_by
        self._tried_by, self._tried_ms = trust, now_ms
        found = await self._file.run(lambda db: state.retriable(db, now_ms, moved=moved), commit=False)
        self._again = deque(dict.fromkeys([*self._again, *found]))  # a reader that takes its time may have some left
        earlier = await self._file.run(lambda db: state.read_again(db, now_ms, moved=moved), commit=False)
        if earlier is not None:
            _LOG.info("the stream is read again from offset %d, for what may verify now", earlier)
            self._place.next, self._dirty = min(earlier, self._place.next or 0), True
            self._fetched.clear()  # it comes again, in its turn
            await self._topic.close()

    async def _resume(self) -> None:
        """Begin where the file says; nothing that was not committed counts."""
        releaser, audience = self._intake.releaser, self._intake.audience
        self._fetched.clear()
        self._again.clear()
        await self._topic.close()
        await self._file.undo()
        self._place = await self._file.run(lambda db: state.Place(db, releaser, audience), commit=False)
        self._dirty = False
        self._tried_by = None  # everything that rests is tried again

    async def _commit(self) -> None:
        if self._dirty:
            await self._file.run(self._place.save)
            self._dirty = False


def _log(taken: Taken) -> None:
    """Identifiers only."""
    if taken.rejected is not None:
        _LOG.warning(
            "refused: %s %s (accused: %s)", taken.rejected.reason, taken.subject, taken.rejected.accused or "-"
        )
    for note in taken.notes:
        _LOG.log(logging.INFO if note in _CALM else logging.WARNING, "%s at %s", note, taken.subject)
