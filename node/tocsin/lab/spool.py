"""The spool: every submission before it is sent, every receipt that came; both stay, since they are evidence."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tocsin.lab.receipts import SignedReceipt, answers
from tocsin.lab.submission import Submission
from tocsin.light.database import PrivateDatabase
from tocsin.wire.envelope import read_envelope
from tocsin.wire.reasons import Reason

RESEND_MS = 3_600_000
"""A submission without any answer is sent again, same bytes: what a broker acknowledged, a restored one may lack."""
MOST_UNVERIFIED = 1_000
"""Bytes that do not verify are kept for a later trust view, but whoever writes them cannot fill the disk.

Where more of them stand is kept (table `reread`).
"""

# A submission `waits` until it is both sent and answered.
_TABLES = (
    """CREATE TABLE IF NOT EXISTS submission (
        seq INTEGER PRIMARY KEY, record BLOB NOT NULL UNIQUE, leaf BLOB NOT NULL UNIQUE, incident BLOB NOT NULL,
        revision INTEGER NOT NULL, framed BLOB NOT NULL, spooled_ms INTEGER NOT NULL, sent_ms INTEGER,
        waits INTEGER NOT NULL DEFAULT 1, UNIQUE (incident, revision))""",
    """CREATE TABLE IF NOT EXISTS receipt (
        seq INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, node TEXT NOT NULL, lab TEXT NOT NULL,
        record BLOB NOT NULL, leaf BLOB NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL, report BLOB,
        time_ms INTEGER NOT NULL, framed BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS submission_waiting ON submission (seq) WHERE waits",
    "CREATE INDEX IF NOT EXISTS receipt_of ON receipt (record)",
    "CREATE TABLE IF NOT EXISTS unverified (digest BLOB PRIMARY KEY, reason TEXT NOT NULL, framed BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL)",
    # Where to read again what did not verify and found no room.
    "CREATE TABLE IF NOT EXISTS reread (id INTEGER PRIMARY KEY CHECK (id = 1), offset INTEGER NOT NULL)",
)
_ADD = (
    "INSERT INTO submission (record, leaf, incident, revision, framed, spooled_ms)"
    " VALUES (:record, :leaf, :incident, :revision, :framed, :now_ms)"
)
_UNANSWERED = """
    SELECT framed FROM submission
    WHERE waits AND NOT EXISTS (SELECT 1 FROM receipt WHERE receipt.record = submission.record) ORDER BY seq"""
# What was answered and is not known to be sent is sent all the same, lest what follows it in the topic overtake it.
_SENDABLE = "SELECT framed FROM submission WHERE waits AND (sent_ms IS NULL OR sent_ms <= ?) ORDER BY seq LIMIT ?"
_SENT = """
    UPDATE submission
    SET sent_ms = ?, waits = NOT EXISTS (SELECT 1 FROM receipt WHERE receipt.record = submission.record)
    WHERE leaf = ?"""
_ANSWERED = "UPDATE submission SET waits = 0 WHERE record = ? AND sent_ms IS NOT NULL"
# The columns of a receipt are the fields of SignedReceipt, in their order.
_RECEIPTS = "SELECT node, lab, record, leaf, decision, reason, report, time_ms, framed FROM receipt"
_KEEP = """
    INSERT OR IGNORE INTO receipt (digest, node, lab, record, leaf, decision, reason, report, time_ms, framed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_KEEP_UNVERIFIED = """
    INSERT OR REPLACE INTO unverified SELECT ?1, ?2, ?3
    WHERE (SELECT count(*) FROM unverified) < ?4 OR EXISTS (SELECT 1 FROM unverified WHERE digest = ?1)"""
_REREAD = "INSERT INTO reread VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET offset = min(offset, excluded.offset)"
_GO_BACK = "UPDATE place SET next = min(next, (SELECT offset FROM reread)) WHERE EXISTS (SELECT 1 FROM reread)"


class Spool:
    """One lab's spool for one institute. What a method wrote is on the disk when it returns."""

    def __init__(self, path: Path, *, lab: str, institute: str) -> None:
        """No I/O."""
        self._file = PrivateDatabase(path, _TABLES, {"lab": lab, "institute": institute})

    async def open(self) -> None:
        """Make or open the file; `AdapterError` or `ConfigError` where it cannot be used."""
        await self._file.open()

    async def close(self) -> None:
        """Let go of the file."""
        await self._file.close()

    async def add(self, submission: Submission, now_ms: int) -> None:
        """Keep a new submission."""
        header = submission.header
        row = {
            "record": submission.record,
            "leaf": submission.leaf,
            "incident": header.incident,
            "revision": header.revision,
            "framed": submission.framed,
            "now_ms": now_ms,
        }
        await self._run(_ADD, row)

    async def find(self, leaf: bytes) -> Submission | None:
        """The submission of that leaf."""
        found = await self._run("SELECT framed FROM submission WHERE leaf = ?", (leaf,))
        return _submission(*found[0]) if found else None

    async def newest(self, incident: bytes) -> int:
        """The highest revision of an incident of this spool."""
        found = await self._run("SELECT max(revision) FROM submission WHERE incident = ?", (incident,))
        return int(found[0][0])

    async def unanswered(self) -> list[Submission]:
        """Submissions, in order, of which no receipt says anything yet."""
        found = await self._run(_UNANSWERED)
        return [_submission(*row) for row in found]

    async def sendable(self, now_ms: int, limit: int) -> list[Submission]:
        """The next submissions to send, in order: never sent, or sent long ago and not answered."""
        return [_submission(*row) for row in await self._run(_SENDABLE, (now_ms - RESEND_MS, limit))]

    async def sent(self, submissions: Sequence[Submission], now_ms: int) -> None:
        """The broker has acknowledged these."""
        rows = [(now_ms, submission.leaf) for submission in submissions]
        await self._file.run(lambda db: db.executemany(_SENT, rows))

    async def place(self) -> int | None:
        """The offset at which the receipts are to be read on; None before the first."""
        found = await self._run("SELECT next FROM place")
        return int(found[0][0]) if found else None

    async def go_back(self) -> None:
        """The trust view has moved: the place is again where something was passed over that may verify now."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(_GO_BACK)
            db.execute("DELETE FROM reread")

        await self._file.run(write)

    async def keep(self, arrived: Sequence[tuple[bytes, SignedReceipt | Reason]], read: range | None) -> None:
        """Keep what verified and what did not, and the place, together. Receipts for other spools of the lab pass by.

        `read` are the offsets where it stood; None for what was kept before.
        A receipt for one of our records that names another leaf does not count as one; it is kept as unverified.
        """

        def write(db: sqlite3.Connection) -> None:
            for framed, verdict in arrived:
                if not _keep(db, framed, verdict) and read is not None:
                    db.execute(_REREAD, (read.start,))
            if read is not None:
                db.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (read.stop,))

        await self._file.run(write)

    async def receipts(self, record: bytes | None = None) -> list[SignedReceipt]:
        """Receipts in the order of their arrival: all, or those about one record."""
        if record is None:
            found = await self._run(f"{_RECEIPTS} ORDER BY seq")
        else:
            found = await self._run(f"{_RECEIPTS} WHERE record = ? ORDER BY seq", (record,))
        return [SignedReceipt(*row) for row in found]

    async def unverified(self) -> list[tuple[Reason, bytes]]:
        """What came by the receipts' topic and did not verify, with why."""
        return [(Reason(why), framed) for why, framed in await self._run("SELECT reason, framed FROM unverified")]

    async def _run(self, query: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[Any]:
        return await self._file.run(lambda db: db.execute(query, parameters).fetchall())


def _submission(framed: bytes) -> Submission:
    envelope, header = read_envelope(framed)
    return Submission(envelope.leaf, header, framed)


def _keep(db: sqlite3.Connection, framed: bytes, verdict: SignedReceipt | Reason) -> bool:
    """False where there was no room for it."""
    digest = hashlib.sha256(framed).digest()
    if isinstance(verdict, SignedReceipt):
        of = db.execute("SELECT leaf FROM submission WHERE record = ?", (verdict.record,)).fetchone()
        if of is None or answers(verdict, of[0]):
            db.execute("DELETE FROM unverified WHERE digest = ?", (digest,))
            if of is not None:
                db.execute(_KEEP, (digest, *(getattr(verdict, field.name) for field in fields(verdict))))
                db.execute(_ANSWERED, (verdict.record,))
            return True
        verdict = Reason.STATEMENT_PLACE
    return db.execute(_KEEP_UNVERIFIED, (digest, verdict.value, framed, MOST_UNVERIFIED)).rowcount > 0
