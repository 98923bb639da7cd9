"""The lab's client: `report` spools and returns; two tasks behind it send what is spooled and collect the receipts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

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
from tocsin.report.schema import Schema
from tocsin.report.typed import values_of
from tocsin.signer import FileSigner
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.keys import KeyUse
from tocsin.wire.verify import Rejected, verify

R = TypeVar("R")

LEAVE_S = 15.0
"""How long leaving the block waits for what is spooled to be sent; what is not sent then, the next client sends."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pending:
    """A report that is in the spool: it cannot be lost any more. `record` names it in receipts."""

    leaf: bytes
    incident: bytes
    revision: int
    record: bytes
    _reporter: Reporter = field(repr=False, compare=False)

    async def receipt(self, timeout: float | None = None) -> SignedReceipt:  # noqa: ASYNC109 - the plain word for it
        """The first receipt that says ACCEPTED or REJECTED; `TimeoutError` after `timeout` seconds without one.

        A rejection for a reason that may pass (a key not known yet) can be followed by an acceptance: see `receipts`.
        """
        return await self._reporter.answer(self, ("ACCEPTED", "REJECTED"), timeout)

    async def issued(self, timeout: float | None = None) -> SignedReceipt:  # noqa: ASYNC109 - as above
        """The receipt that says that it became part of a national report, however long an officer takes."""
        return await self._reporter.answer(self, ("ISSUED",), timeout)

    async def receipts(self) -> list[SignedReceipt]:
        """Every receipt so far, in the order of their arrival."""
        return await self._reporter.receipts(self.record)


class Reporter:
    """`async with Reporter.from_file("lab.toml") as reporter`. One running client per spool."""

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
        self._signer = _signer(config)
        self._trust = TrustFile(config.trust.file)
        self._spool = Spool(config.lab.spool, lab=config.lab.id, institute=config.node.id)
        self._errands: Errands | None = None
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    def from_file(cls, path: str | Path) -> Reporter:
        """The client that a file configures. `BadConfigError` with all that is wrong in it."""
        return cls(load(Path(path)))

    async def __aenter__(self) -> Self:
        """Open keys, trust view and spool, and begin to send what an earlier client left. Needs no network."""
        await self._signer().open()
        self._trust.open()
        await self._spool.open()
        config = self._config
        carriage = self._carriage or over_kafka(config.kafka, config.lab.id)
        self._errands = Errands(config.node.id, config.lab.id, self._spool, self._trust, carriage, self._clock)
        self._errands.begin()
        return self
