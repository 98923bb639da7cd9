"""What a reader remembers in its file: the place, the stream, what it holds, what it noted, what it refused.

Of a report's content only the rungs of ladders are kept, to be compared with those of later copies, and the bytes of
what was refused, where they may become valid or tell something.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tocsin.flow.ports import Record
from tocsin.flow.rejects import headers_kept
from tocsin.wire.header import Header
from tocsin.wire.reasons import NOT_YET_MS, RETRIABLE, Note, Reason, Rejected
from tocsin.wire.statement import StreamHead
from tocsin.wire.stream import StreamState

KEPT_VALUES = 1_000
"""Records with their bytes that may still become valid; for more of them the topic is read again (table `reread`)."""
KEPT_REFUSED = 100
"""Other records in quarantine, the newest of each reason: whoever writes to the topic decides how many there are.

Of each, lest a flood of one reason push out what another tells; `tally` has counted them all.
"""
KEPT_NOTES = 1_000
"""Notes, the newest of each kind: records with false hints raise as many as somebody sends. What proves a FORK stays:
it is the heads, which their releaser signed."""

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
    "CREATE INDEX IF NOT EXISTS note_kind ON note (note, seq)",
    """CREATE TABLE IF NOT EXISTS quarantine (
        seq INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, offset INTEGER NOT NULL, headers TEXT NOT NULL,
        reason TEXT NOT NULL, accused TEXT NOT NULL, size INTEGER NOT NULL, value BLOB, at_ms INTEGER NOT NULL,
        due_ms INTEGER)""",
    # Those that wait for a second trial have a `due_ms`: from when it may go well; 0 where trust or schemas must move.
    "CREATE INDEX IF NOT EXISTS quarantine_waiting ON quarantine (due_ms, offset) WHERE due_ms IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS quarantine_refused ON quarantine (reason, seq) WHERE due_ms IS NULL",
    # Where to read again, and from when, for those that may become valid and found no room.
    "CREATE TABLE IF NOT EXISTS reread (reason TEXT PRIMARY KEY, offset INTEGER NOT NULL, due_ms INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, n INTEGER NOT NULL)",
)


_QUARANTINE = """
    INSERT INTO quarantine (digest, offset, headers, reason, accused, size, value, at_ms, due_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE
    SET reason = excluded.reason, accused = excluded.accused, value = excluded.value, due_ms = excluded.due_ms"""
_STILL = """
    UPDATE quarantine SET reason = ?, accused = ?, due_ms = ?, value = CASE WHEN ? THEN value END WHERE seq = ?"""
_REREAD = """
    INSERT INTO reread VALUES (?, ?, ?)
    ON CONFLICT (reason) DO UPDATE SET offset = min(offset, excluded.offset), due_ms = min(due_ms, excluded.due_ms)"""
_NEWEST_REFUSED = """
    DELETE FROM quarantine WHERE due_ms IS NULL AND reason = ?1 AND seq <= (
        SELECT seq FROM quarantine WHERE due_ms IS NULL AND reason = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)"""
_NEWEST_NOTES = """
    DELETE FROM note WHERE note = ?1 AND seq <= (
        SELECT seq FROM note WHERE note = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)"""


@dataclass(frozen=True, slots=True)
class Noted:
    """A note as it was recorded: about a report's leaf, or a head as epoch/seq, in hex and text; ms since 1970."""

    note: Note
    subject: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A record in quarantine. `value` is there where it is tried again, accuses somebody, or shows a bug of ours."""

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
    for one in notes:
        db.execute("INSERT INTO note (note, subject, at_ms) VALUES (?, ?, ?)", (one.value, subject, now_ms))
        db.execute(_NEWEST_NOTES, (one.value, KEPT_NOTES))


def noted(db: sqlite3.Connection) -> list[Noted]:
    """Every note that is kept, oldest first."""
    return [
        Noted(Note(one), subject, at_ms)
        for one, subject, at_ms in db.execute("SELECT note, subject, at_ms FROM note ORDER BY seq")
    ]


def quarantine(db: sqlite3.Connection, record: Record, verdict: Rejected, now_ms: int) -> None:
    """Keep a rejected record; of the same bytes that wait already nothing changes, of others the last verdict counts."""
    digest = hashlib.sha256(record.value).digest()
    if db.execute("SELECT 1 FROM quarantine WHERE digest = ? AND due_ms IS NOT NULL", (digest,)).fetchone():
        return
    due_ms = _due_ms(verdict, now_ms)
    value = record.value if due_ms is not None or _tells(verdict) else None
    if due_ms is not None and _waiting(db) >= KEPT_VALUES:
        db.execute(_REREAD, (verdict.reason, record.offset, due_ms))
        due_ms = value = None
    row = (
        digest,
        record.offset,
        headers_kept(record),
        verdict.reason,
        verdict.accused,
        len(record.value),
        value,
        now_ms,
        due_ms,
    )
    db.execute(_QUARANTINE, row)
    db.execute(_NEWEST_REFUSED, (verdict.reason, KEPT_REFUSED))


def _waiting(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM quarantine WHERE due_ms IS NOT NULL").fetchone()[0])


def _tells(verdict: Rejected) -> bool:
    """Whether the bytes tell something although they stay refused: they prove who signed them, or show a bug of ours."""
    return bool(verdict.accused) or verdict.reason is Reason.INTERNAL


def _due_ms(verdict: Rejected, now_ms: int) -> int | None:
    """When a second trial may go well; None for what is final, or is not tried again that late (protocol section 6)."""
    due = verdict.reason in RETRIABLE and verdict.until_ms <= now_ms + NOT_YET_MS
    return verdict.until_ms if due else None


def refused(db: sqlite3.Connection) -> list[Refused]:
    """The quarantine, oldest first."""
    rows = db.execute("SELECT reason, accused, offset, digest, size, value, at_ms FROM quarantine ORDER BY seq")
    return [Refused(Reason(reason), *rest) for reason, *rest in rows]


def retriable(db: sqlite3.Connection, now_ms: int, *, moved: bool) -> list[int]:
    """Rows to try again, in stream order: those whose time has come, and where trust `moved` those that it may change."""
    found = db.execute("SELECT offset, seq FROM quarantine WHERE due_ms BETWEEN ? AND ?", (0 if moved else 1, now_ms))
    return [seq for _, seq in sorted(found)]


def read_again(db: sqlite3.Connection, now_ms: int, *, moved: bool) -> int | None:
    """Where to read the topic again for records as `retriable`, whose bytes are not kept; None for none.

    Asked once, forgotten: whatever is refused there again, says so again. What the topic no longer has stays refused.
    """
    due = (0 if moved else 1, now_ms)
    found = db.execute("SELECT min(offset) FROM reread WHERE due_ms BETWEEN ? AND ?", due).fetchone()[0]
    db.execute("DELETE FROM reread WHERE due_ms BETWEEN ? AND ?", due)
    return found if found is None else int(found)


def resting(db: sqlite3.Connection, seq: int) -> bytes:
    """The bytes of a record in quarantine, as they arrived."""
    return bytes(db.execute("SELECT value FROM quarantine WHERE seq = ?", (seq,)).fetchone()[0])


def release_from_quarantine(db: sqlite3.Connection, framed: bytes) -> None:
    """It verified, perhaps after all."""
    db.execute("DELETE FROM quarantine WHERE digest = ?", (hashlib.sha256(framed).digest(),))


def still_refused(db: sqlite3.Connection, seq: int, verdict: Rejected, now_ms: int) -> None:
    """It was tried again; the reason may be another now."""
    due_ms = _due_ms(verdict, now_ms)
    row = (verdict.reason, verdict.accused, due_ms, due_ms is not None or _tells(verdict), seq)
    db.execute(_STILL, row)
    db.execute(_NEWEST_REFUSED, (verdict.reason, KEPT_REFUSED))
