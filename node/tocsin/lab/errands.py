"""What runs behind `report`: one task sends what is spooled, in order; one collects the institute's receipts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from tocsin.errors import AdapterError
from tocsin.flow import topics
from tocsin.flow.outbox import CONTENT_TYPE
from tocsin.flow.ports import Clock, Outbound, WriteFailed, Writer
from tocsin.lab.receipts import judge_receipt
from tocsin.lab.spool import Spool
from tocsin.lab.submission import Submission
from tocsin.light.topic import Carriage, Topic, rest_s
from tocsin.light.trust_file import TrustFile
from tocsin.wire.keys import TrustView

R = TypeVar("R")

BATCH = 64
POLL_S = 1.0
LOOK_S = 60.0
"""How often the sender looks for submissions that are due to be sent again."""

_LOG = logging.getLogger("tocsin.lab")


class Errands:
    """Both tasks, and the news of what they did. A fault of the network is rested upon and tried again for ever."""

    def __init__(
        self, institute: str, lab: str, spool: Spool, trust: TrustFile, carriage: Carriage, clock: Clock
    ) -> None:
        """No I/O."""
        self.faults: dict[str, AdapterError] = {}
        self._institute = institute
        self._lab = lab
        self._spool = spool
        self._trust = trust
        self._carriage = carriage
        self._clock = clock
        self._out = topics.submissions(institute, lab)
        self._spooled = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start both tasks."""
        self._tasks = [
            asyncio.create_task(self._send(), name="tocsin.lab: send"),
            asyncio.create_task(self._collect(), name="tocsin.lab: receipts"),
        ]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._tell())  # a bug that ended one: who waits must not wait for ever

    async def end(self) -> None:
        """Stop both; a bug that ended one of them is raised here at the latest."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def spooled(self) -> None:
        """There is something new to send."""
        self._spooled.set()

    async def until(self, find: Callable[[], Awaitable[R | None]]) -> R:
        """What `find` gives, as soon as it gives something; it is asked again whenever there is news."""
        while True:
            news = self._news  # taken before looking, so that what happens while we look is not missed
            found = await find()
            if found is not None:
                return found
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()
            await news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _send(self) -> None:
        """Oldest first. After a failure nothing more goes to that writer; a new one goes on where it is acknowledged."""
        writer: Writer | None = None
        failures = 0
        try:
            while True:
                self._spooled.clear()
                try:
                    waiting = await self._spool.sendable(self._clock(), BATCH)
                    if waiting:
                        writer = writer or self._carriage.writer()
                        await self._write(writer, waiting)
                        failures = self._well("sending")
                        continue
                except AdapterError as fault:
                    if writer is not None:
                        await writer.close()
                        writer = None
                    failures = await self._rest("sending", fault, failures)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._spooled.wait(), LOOK_S)
        finally:
            if writer is not None:
                await writer.close()

    async def _write(self, writer: Writer, waiting: list[Submission]) -> None:
        records = [
            Outbound(self._out, one.header.incident.hex().encode(), one.framed, (("content-type", CONTENT_TYPE),))
            for one in waiting
        ]
        try:
            await writer.write(records)
        except WriteFailed as failed:
            await self._spool.sent(waiting[: len(failed.acked.get(self._out, []))], self._clock())
            raise
        await self._spool.sent(waiting, self._clock())
        self._tell()

    async def _collect(self) -> None:
        """Read on from the place in the spool; what did not verify is judged again when the trust view moves."""
        topic = Topic(lambda: self._carriage.reader(topics.receipts(self._institute, self._lab)))
        failures = 0
        judged_by: TrustView | None = None
        try:
            while True:
                try:
                    trust = self._trust.current()
                    if trust is not judged_by:
                        await self._keep([framed for _, framed in await self._spool.unverified()], None, trust)
                        await self._spool.go_back()
                        await topic.close()  # it is opened again where the spool says
                        judged_by = trust
                    place = await self._spool.place()
                    records = await topic.fetch(place, BATCH, POLL_S)
                    if records:
                        read = range(records[0].offset, records[-1].offset + 1)
                        await self._keep([record.value for record in records], read, self._trust.current())
                    failures = self._well("receipts")
                except AdapterError as fault:
                    await topic.close()  # it is opened again where the spool says
                    failures = await self._rest("receipts", fault, failures)
        finally:
            await topic.close()

    async def _keep(self, arrived: list[bytes], read: range | None, trust: TrustView) -> None:
        now_ms = self._clock()
        verdicts = [judge_receipt(one, trust, now_ms, self._institute, self._lab) for one in arrived]
        await self._spool.keep(list(zip(arrived, verdicts, strict=True)), read)
        if arrived:
            self._tell()

    def _well(self, errand: str) -> int:
        if self.faults.pop(errand, None) is not None:
            _LOG.info("%s works again", errand)
        return 0

    async def _rest(self, errand: str, fault: AdapterError, failures: int) -> int:
        self.faults[errand] = fault
        rest = rest_s(failures + 1)
        _LOG.warning("%s: %s; tried again in %g s, nothing is lost", errand, fault, rest)
        await asyncio.sleep(rest)
        return failures + 1
