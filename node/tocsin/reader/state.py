"""What a reader remembers in its file: the place, the stream, what it holds, what it noted, what it refused.

Of a report's content only the rungs of ladders are kept, to be compared with those of later copies, and the bytes of
what was refused.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tocsin.flow.ports import Record
from tocsin.wire.header import Header
from tocsin.wire.reasons import NOT_YET_MS, RETRIABLE, Note, Reason, Rejected
from tocsin.wire.statement import StreamHead
from tocsin.wire.stream import StreamState

KEPT_VALUES = 1_000
"""Rejected records whose bytes are kept; of more only place, hash and reason: the topic is read again for them."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER, stream TEXT NOT NULL)",
    "INSERT OR IGNORE INTO place VALUES (1, NULL, '')",
    """CREATE TABLE IF NOT EXISTS held (
        leaf BLOB NOT NULL, chain BLOB NOT NULL, origin TEXT NOT NULL, incident BLOB NOT NULL,
        revision INTEGER NOT NULL, stage TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (leaf, chain))""",
    "CREATE INDEX IF NOT EXISTS held_revision ON held (origin, incident, revision)",
    "CREATE TABLE IF NOT EXISTS rung (leaf BLOB NOT NULL, slot INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (leaf, slot))",
    """CREATE TABLE IF NOT EXISTS head (
        epoch INTEGER NOT NULL, seq INTEGER NOT NULL, head BLOB NOT NULL, order_shown INTEGER NOT NULL,
        time_ms INTEGER NOT NULL, framed BLOB NOT NULL, PRIMARY KEY (epoch, seq, head))""",
    "CREATE INDEX IF NOT EXISTS head_shown ON head (epoch, seq, order_shown)",
    "CREATE INDEX IF NOT EXISTS head_time ON head (time_ms)",
    "CREATE TABLE IF NOT EXISTS note (seq INTEGER PRIMARY KEY, note TEXT NOT NULL, subject TEXT, at_ms INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS quarantine (
        seq INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, offset INTEGER NOT NULL, headers TEXT NOT NULL,
        reason TEXT NOT NULL, accused TEXT NOT NULL, size INTEGER NOT NULL, value BLOB, at_ms INTEGER NOT NULL)""",
    # Apart from each other: those with their bytes are at most KEPT_VALUES, the others as many as somebody sends.
    "CREATE INDEX IF NOT EXISTS quarantine_kept ON quarantine (reason, at_ms, offset) WHERE value IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS quarantine_valueless ON quarantine (reason, offset) WHERE value IS NULL",
    "CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, n INTEGER NOT NULL)",
)


_QUARANTINE = """
    INSERT OR IGNORE INTO quarantine (digest, offset, headers, reason, accused, size, value, at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_RETRIABLE = "SELECT offset, seq FROM quarantine WHERE value IS NOT NULL AND reason = ? AND at_ms >= ?"
_VALUELESS = "FROM quarantine WHERE value IS NULL AND reason = ?"


@dataclass(frozen=True, slots=True)
class Noted:
    """A note as it was recorded: about a report's leaf, or a head as epoch/seq, in hex and text; ms since 1970."""

    note: Note
    subject: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A record in quarantine. `value` is None beyond the number of records whose bytes are kept."""

    reason: Reason
    accused: str
    offset: int
    digest: bytes
    size: int
    value: bytes | None
    at_ms: int


class Place:
    """Where the reader is: kept in memory between commits, read from the file at the start and after anything undone."""

    def __init__(self, db: sqlite3.Connection, releaser: str, audience: str) -> None:
        """Read from the file."""
        following, stream = db.execute("SELECT next, stream FROM place").fetchone()
        self.next: int | None = following
        self.stream = StreamState.from_json(stream, releaser, audience)
        self.counts: Counter[str] = Counter(dict(db.execute("SELECT name, n FROM tally")))
        self.head_ms: int | None = db.execute("SELECT max(time_ms) FROM head").fetchone()[0]

    def save(self, db: sqlite3.Connection) -> None:
        """Write into the open transaction."""
        db.execute("UPDATE place SET next = ?, stream = ?", (self.next, self.stream.to_json()))
        db.executemany("INSERT OR REPLACE INTO tally VALUES (?, ?)", self.counts.items())


def holds_leaf(db: sqlite3.Connection, leaf: bytes) -> bool:
    """Whether a report of that leaf was shown or dropped before."""
    return db.execute("SELECT 1 FROM held WHERE leaf = ?", (leaf,)).fetchone() is not None


def holds(db: sqlite3.Connection, leaf: bytes, chain: bytes) -> bool:
    """Whether that very copy was."""
    return db.execute("SELECT 1 FROM held WHERE leaf = ? AND chain = ?", (leaf, chain)).fetchone() is not None


def hold(db: sqlite3.Connection, leaf: bytes, chain: bytes, header: Header, now_ms: int) -> None:
    """From now on this copy is a repeat."""
    row = (leaf, chain, header.origin, header.incident, header.revision, header.stage.value, now_ms)
    db.execute("INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def rungs(db: sqlite3.Connection, leaf: bytes) -> dict[int, bytes]:
    """The encoded rungs, by slot, of every copy of that leaf that is held."""
    return dict(db.execute("SELECT slot, value FROM rung WHERE leaf = ?", (leaf,)))


def keep_rungs(db: sqlite3.Connection, leaf: bytes, found: Mapping[int, bytes]) -> None:
    """Keep the rungs of a copy; a slot has one value in all copies of a leaf."""
    db.executemany(
        "INSERT OR IGNORE INTO rung VALUES (?, ?, ?)", [(leaf, slot, value) for slot, value in found.items()]
    )


def holds_revision(db: sqlite3.Connection, header: Header) -> bool:
    """Whether a report of the same revision of the same incident is held."""
    of = (header.origin, header.incident, header.revision)
    found = db.execute("SELECT 1 FROM held WHERE origin = ? AND incident = ? AND revision = ?", of)
    return found.fetchone() is not None


def previous(db: sqlite3.Connection, header: Header) -> tuple[str, bytes, int, str] | None:
    """Origin, incident, revision and stage of the report that this one says it follows, where it is held."""
    found = db.execute("SELECT origin, incident, revision, stage FROM held WHERE leaf = ?", (header.prev,)).fetchone()
    return tuple(found) if found else None


def show_head(db: sqlite3.Connection, head: StreamHead, framed: bytes) -> bytes | None:
    """Keep a valid head, as evidence; returns the one that was shown first for its (epoch, seq), if any was."""
    first = db.execute(
        "SELECT head FROM head WHERE epoch = ? AND seq = ? ORDER BY order_shown", (head.epoch, head.seq)
    ).fetchone()
    db.execute(
        """INSERT INTO head
        VALUES (?, ?, ?, (SELECT ifnull(max(order_shown) + 1, 0) FROM head WHERE epoch = ? AND seq = ?), ?, ?)
        ON CONFLICT (epoch, seq, head) DO UPDATE SET time_ms = max(time_ms, excluded.time_ms)""",
        (head.epoch, head.seq, head.head, head.epoch, head.seq, head.time_ms, framed),
    )
    return bytes(first[0]) if first else None


def note(db: sqlite3.Connection, notes: list[Note], subject: str, now_ms: int) -> None:
    """Record notes about one subject."""
    rows = [(one.value, subject, now_ms) for one in notes]
    db.executemany("INSERT INTO note (note, subject, at_ms) VALUES (?, ?, ?)", rows)


def noted(db: sqlite3.Connection) -> list[Noted]:
    """Every note, oldest first."""
    return [
        Noted(Note(one), subject, at_ms)
        for one, subject, at_ms in db.execute("SELECT note, subject, at_ms FROM note ORDER BY seq")
    ]


def quarantine(db: sqlite3.Connection, record: Record, verdict: Rejected, now_ms: int) -> None:
    """Keep a rejected record; the same bytes again change nothing."""
    kept = db.execute("SELECT count(*) FROM quarantine WHERE value IS NOT NULL").fetchone()[0]
    row = (
        hashlib.sha256(record.value).digest(),
        record.offset,
        json.dumps([[name, value.hex()] for name, value in record.headers[:16]]),
        verdict.reason.value,
        verdict.accused,
        len(record.value),
        record.value if kept < KEPT_VALUES else None,
        now_ms,
    )
    db.execute(_QUARANTINE, row)


def refused(db: sqlite3.Connection) -> list[Refused]:
    """The quarantine, oldest first."""
    rows = db.execute("SELECT reason, accused, offset, digest, size, value, at_ms FROM quarantine ORDER BY seq")
    return [Refused(Reason(reason), *rest) for reason, *rest in rows]


def retriable(db: sqlite3.Connection, now_ms: int, *, moved: bool) -> list[int]:
    """Rows to try again, in stream order: all that trust may change where it `moved`, else only what was too early."""
    found: list[tuple[int, int]] = []
    for reason in RETRIABLE if moved else {Reason.NOT_YET_VALID}:
        since = now_ms - NOT_YET_MS if reason is Reason.NOT_YET_VALID else 0
        found += db.execute(_RETRIABLE, (reason, since))
    return [seq for _, seq in sorted(found)]


def forget_valueless(db: sqlite3.Connection) -> int | None:
    """Where to read the topic again for records that may verify now and whose bytes were not kept; None for none."""
    first = [db.execute(f"SELECT min(offset) {_VALUELESS}", (reason,)).fetchone()[0] for reason in RETRIABLE]
    db.executemany(f"DELETE {_VALUELESS}", [(reason,) for reason in RETRIABLE])
    return min((offset for offset in first if offset is not None), default=None)


def resting(db: sqlite3.Connection, seq: int) -> bytes:
    """The bytes of a record in quarantine, as they arrived."""
    return bytes(db.execute("SELECT value FROM quarantine WHERE seq = ?", (seq,)).fetchone()[0])


def release_from_quarantine(db: sqlite3.Connection, seq: int) -> None:
    """It verified after all."""
    db.execute("DELETE FROM quarantine WHERE seq = ?", (seq,))


def still_refused(db: sqlite3.Connection, seq: int, verdict: Rejected) -> None:
    """It was tried again; the reason may be another now."""
    db.execute("UPDATE quarantine SET reason = ?, accused = ? WHERE seq = ?", (verdict.reason, verdict.accused, seq))
