"""The lab's client: `report` validates, signs, spools and returns; what is spooled is sent behind it (`errands`)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tocsin.errors import AdapterError, InputError
from tocsin.flow.admit import report_row
from tocsin.flow.issue import Wanted
from tocsin.flow.ports import Clock, Entropy
from tocsin.flow.rows import Report
from tocsin.lab.config import LabConfig, load
from tocsin.lab.errands import Errands
from tocsin.lab.receipts import SignedReceipt
from tocsin.lab.spool import Spool
from tocsin.lab.submission import Submission, require_continuable, seal
from tocsin.light.topic import Carriage, now_ms, over_kafka
from tocsin.light.trust_file import TrustFile
from tocsin.packaged import published_schemas
from tocsin.report.document import from_document
from tocsin.report.incident import Incident
from tocsin.report.typed import values_of
from tocsin.signer import FileSigner
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.keys import KeyUse
from tocsin.wire.reasons import Reason, Rejected
from tocsin.wire.verify import verify

LEAVE_S = 15.0
"""How long leaving the block waits for what is spooled to be sent; what is not sent then, the next client sends."""

_LOG = logging.getLogger("tocsin.lab")
_SCHEMA = "incident/1.0"
_OWN_FAULTS = {
    Reason.HOP_KEY_UNKNOWN: "the trust view does not list the lab's relay key",
    Reason.HOP_KEY_WINDOW: "the lab's relay key is not in its window",
    Reason.HOP_KEY_REVOKED: "the lab's relay key is revoked",
    Reason.KEY_UNKNOWN: "the trust view does not list the lab's event key",
    Reason.KEY_WINDOW: "the lab's event key is not in its window",
    Reason.KEY_REVOKED: "the lab's event key is revoked",
    Reason.HOP_READER_UNKNOWN: "the trust view does not list the institute",
    Reason.HOP_HANDLING: "the trust view does not list this lab as LAB and the institute as MEMBER",
}


@dataclass(frozen=True, slots=True)
class Pending:
    """A report that is in the spool: it cannot be lost any more. By `record` the institute's receipts name it."""

    leaf: bytes
    incident: bytes
    revision: int
    record: bytes
    _reporter: Reporter = field(repr=False, compare=False)

    async def receipt(self, timeout: float | None = None) -> SignedReceipt:  # noqa: ASYNC109 - the plain word for it
        """The first receipt that says ACCEPTED or REJECTED; `TimeoutError` after `timeout` seconds without one.

        A rejection for a reason that may pass (a key not known yet) can be followed by an acceptance: see `receipts`.
        """
        return await self._reporter.answer(self.record, frozenset({"ACCEPTED", "REJECTED"}), timeout)

    async def issued(self, timeout: float | None = None) -> SignedReceipt:  # noqa: ASYNC109 - the plain word for it
        """The receipt that says that it became part of a national report, however long an officer takes.

        Of several the last: an institute that lost what it had sent to nobody yet issues it again.
        """
        first = await self._reporter.answer(self.record, frozenset({"ISSUED"}), timeout)
        return [r for r in await self.receipts() if r.decision == first.decision][-1]

    async def receipts(self) -> list[SignedReceipt]:
        """Every receipt for it so far, in the order of their arrival."""
        return await self._reporter.receipts(self.record)


class Reporter:
    """`async with Reporter.from_file("lab.toml") as reporter`; one running client per spool."""

    def __init__(
        self,
        config: LabConfig,
        *,
        carriage: Carriage | None = None,
        clock: Clock = now_ms,
        entropy: Entropy = os.urandom,
    ) -> None:
        """No I/O. `carriage` is Kafka as configured, unless another is given."""
        self._config = config
        self._carriage = carriage
        self._clock = clock
        self._entropy = entropy
        self._trust = TrustFile(config.trust.file)
        self._spool = Spool(config.lab.spool, lab=config.lab.id, institute=config.node.id)
        self._one_at_a_time = asyncio.Lock()
        self._signer: FileSigner
        self._errands: Errands

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The client that a file configures. `BadConfigError` with all that is wrong in it."""
        return cls(load(Path(path)))

    async def __aenter__(self) -> Self:
        """Open keys, trust view and spool, and begin to send what an earlier client left. Needs no network."""
        config = self._config
        self._signer = _signer(config)
        await self._signer.open()
        self._trust.open()
        carriage = self._carriage or over_kafka(config.kafka, config.lab.id)
        await self._spool.open()
        self._errands = Errands(config.node.id, config.lab.id, self._spool, self._trust, carriage, self._clock)
        self._errands.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait a while for what is spooled to be sent, unless the block failed; then let go."""
        try:
            if kind is None:
                await self._wait_until_sent()
        finally:
            try:
                await self._errands.end()
            finally:
                await self._spool.close()

    async def report(
        self,
        document: Mapping[str, Any] | Incident,
        *,
        tlp: str | Tlp = Tlp.AMBER,
        exercise: bool = False,
        follows: bytes | None = None,
        stage: str | Stage | None = None,
    ) -> Pending:
        """Sign one report and put it into the spool; when this returns it is on the disk, network or not.

        `follows` is the leaf of an earlier report of this spool that this one continues; `stage` is then UPDATE unless
        FINAL or RETRACTION is said. `VocabularyError` with all problems of the document at once; `InputError` where it
        cannot follow, or the institute would reject it; `AdapterError` where key or disk fail: then nothing is spooled.
        """
        schema = published_schemas().exact(_SCHEMA)
        assert schema is not None  # noqa: S101 - it is published
        values = values_of(document, schema) if isinstance(document, Incident) else from_document(document, schema)
        default = Stage.UPDATE if follows is not None else Stage.INITIAL
        wanted = Wanted(
            values=values,
            tlp=_named(tlp, Tlp.__members__, "tlp"),
            stage=_named(stage or default, Stage.__members__, "stage"),
            follows=follows,
            exercise=exercise,
        )
        async with self._one_at_a_time:  # two at once could follow the same revision
            # 1. What it follows.
            previous = await self._previous(wanted)
            require_continuable(wanted, previous)
            # 2. The signed bytes, which are sent as they are, now and at every retry.
            now_ms = self._clock()
            submission = await seal(
                wanted,
                previous,
                lab=self._config.lab.id,
                institute=self._config.node.id,
                schema=schema,
                signer=self._signer,
                now_ms=now_ms,
                entropy=self._entropy,
            )
            # 3. What the institute would reject for the lab's own keys is said here and now.
            self._require_acceptable(submission, now_ms)
            # 4. On the disk; then somebody may send it.
            await self._spool.add(submission, now_ms)
        self._errands.spooled()
        return self._pending(submission)

    async def pending(self) -> list[Pending]:
        """Reports that no receipt speaks of yet, in the order in which they were made; earlier clients' too."""
        return [self._pending(one) for one in await self._spool.unanswered()]

    async def find(self, leaf: bytes) -> Pending:
        """An earlier report of this spool. `InputError` where there is none."""
        return self._pending(await self._known(leaf))

    async def receipts(self, record: bytes | None = None) -> list[SignedReceipt]:
        """Every receipt so far, in the order of their arrival: of all reports, or of one."""
        return await self._spool.receipts(record)

    @property
    def faults(self) -> Mapping[str, AdapterError]:
        """What keeps `sending` or `receipts` from the institute's cluster at the moment; tried again by itself."""
        return self._errands.faults

    async def unverified(self) -> list[tuple[Reason, bytes]]:
        """What came as a receipt and does not verify under today's trust view, with why."""
        return await self._spool.unverified()

    async def answer(self, record: bytes, decisions: frozenset[str], timeout: float | None) -> SignedReceipt:  # noqa: ASYNC109 - as in Pending
        """The first receipt for a record with one of these decisions; `TimeoutError` where it does not come in time."""

        async def find() -> SignedReceipt | None:
            return next((r for r in await self._spool.receipts(record) if r.decision in decisions), None)

        try:
            async with asyncio.timeout(timeout):
                return await self._errands.until(find)
        except TimeoutError as late:
            faults = "; ".join(f"{errand}: {fault}" for errand, fault in self._errands.faults.items())
            words = f"no receipt {' or '.join(sorted(decisions))} within {timeout:g} s; the report stays in the spool"
            raise TimeoutError(f"{words} ({faults})" if faults else words) from late

    async def _previous(self, wanted: Wanted) -> Report | None:
        if wanted.follows is None:
            return None
        found = await self._known(wanted.follows)
        newest = await self._spool.newest(found.header.incident)
        if newest != found.header.revision:
            raise InputError(
                f"revision {found.header.revision} is not the newest of its incident, {newest} is",
                place=wanted.follows.hex()[:16],
                remedy="Continue the newest revision: two leaves for one revision are a fork, and are released to nobody",
            )
        return report_row(found.leaf, found.header, 0)

    async def _known(self, leaf: bytes) -> Submission:
        found = await self._spool.find(leaf)
        if found is None:
            remedy = "Only a report of this spool can be continued"
            raise InputError("the spool has no such report", place=leaf.hex()[:16], remedy=remedy)
        return found

    def _require_acceptable(self, submission: Submission, now_ms: int) -> None:
        came_by = (self._config.lab.id, self._config.node.id)
        verdict = verify(
            submission.framed, self._trust.current(), published_schemas(), now_ms, came_by, lambda _: False
        )
        if isinstance(verdict, Rejected):
            raise InputError(
                f"the institute would reject this report: {_OWN_FAULTS.get(verdict.reason, verdict.reason)}",
                place=str(self._config.trust.file),
                remedy="Ask the institute for the trust view that lists this lab's keys of today",
            )

    def _pending(self, submission: Submission) -> Pending:
        header = submission.header
        return Pending(submission.leaf, header.incident, header.revision, submission.record, self)

    async def _wait_until_sent(self) -> None:
        async def all_sent() -> bool | None:
            return not await self._spool.sendable(self._clock(), 1) or None

        try:
            async with asyncio.timeout(LEAVE_S):
                await self._errands.until(all_sent)
        except TimeoutError:
            words = "reports are still in the spool and will be sent by the next client: %s"
            _LOG.warning(words, "; ".join(map(str, self._errands.faults.values())))


def _signer(config: LabConfig) -> FileSigner:
    keys = config.keys
    given = {KeyUse.EVENT: keys.event_passphrase, KeyUse.RELAY: keys.relay_passphrase}
    passphrases = {use: secret.read().encode() for use, secret in given.items() if secret is not None}
    return FileSigner(relay=keys.relay, event=keys.event, passphrases=passphrases)


def _named(given: Any, members: Mapping[str, Any], what: str) -> Any:
    """A member by its name, or the member itself."""
    name = getattr(given, "name", given)
    if name not in members:
        raise InputError(f"{given!r} is no {what}", remedy="One of " + ", ".join(members))
    return members[name]
