"""Take one record of a stream: verify, note, remember, show. It reads from top to bottom, and never raises on a record.

Everything happens in the open transaction of the reader's file, in its thread; `Subscriber` fetches, and commits when
the reader asks for the next report.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from tocsin.flow.ports import Record
from tocsin.flow.union import rungs_disagree
from tocsin.reader import state
from tocsin.reader.seen import Seen, seen_of
from tocsin.report.lifecycle import can_follow
from tocsin.report.schema import KnownSchemas
from tocsin.wire.header import Header, Stage
from tocsin.wire.keys import TrustView
from tocsin.wire.reasons import Note, Reason, Rejected
from tocsin.wire.statement import StreamHead, is_statement, verify_statement
from tocsin.wire.stream import decode_hint, take_head, take_record
from tocsin.wire.verify import Verified, verify


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one record: shown, refused, or neither; with the notes that it gave rise to."""

    subject: str
    seen: Seen | None = None
    rejected: Rejected | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Judged:
    """A verified copy: what is shown of it, its encoded rungs, and whether they disagree with those of held copies."""

    seen: Seen
    rungs: dict[int, bytes]
    mismatch: bool


@dataclass(frozen=True, slots=True)
class Intake:
    """The reader's side of the stream of `releaser` for `audience`. `drills` says which of the two kinds is shown."""

    releaser: str
    audience: str
    drills: bool
    schemas: KnownSchemas

    def take(self, db: sqlite3.Connection, place: state.Place, record: Record, trust: TrustView, now_ms: int) -> Taken:
        """One record as it was fetched."""
        place.next = record.offset + 1
        # 1. The frame decides what it is.
        if is_statement(record.value):
            return self._take_statement(db, place, record, trust, now_ms)
        # 2. What the stream shows is noted under the record's hint, whatever the verdict.
        hint = decode_hint(dict(record.headers).get("tocsin-seq"))
        place.stream, notes = take_record(place.stream, record.value, hint)
        # 3. Steps 1 to 7 of protocol section 6.
        judged = self._judge(db, record.value, trust, now_ms)
        if isinstance(judged, Rejected):
            return self._refuse(db, place, record, judged, notes, now_ms)
        return self._admit(db, place, judged, notes, now_ms)

    def again(self, db: sqlite3.Connection, place: state.Place, row: int, trust: TrustView, now_ms: int) -> Taken:
        """One record out of quarantine; the stream noted it when it arrived."""
        judged = self._judge(db, state.resting(db, row), trust, now_ms)
        if isinstance(judged, Rejected):
            state.still_refused(db, row, judged, now_ms)
            return Taken("")
        return self._admit(db, place, judged, [], now_ms)

    def _judge(self, db: sqlite3.Connection, framed: bytes, trust: TrustView, now_ms: int) -> _Judged | Rejected:
        came_by = (self.releaser, self.audience)
        try:
            verdict = verify(framed, trust, self.schemas, now_ms, came_by, lambda leaf: state.holds_leaf(db, leaf))
            if isinstance(verdict, Rejected):
                return verdict
            mismatch = rungs_disagree(verdict.judged, state.rungs(db, verdict.leaf))
            return _Judged(seen_of(verdict), _rungs(verdict), mismatch)
        except sqlite3.Error:
            raise
        except Exception:  # noqa: BLE001 - whatever our bug is, the stream goes on
            return Rejected(Reason.INTERNAL)

    def _take_statement(
        self, db: sqlite3.Connection, place: state.Place, record: Record, trust: TrustView, now_ms: int
    ) -> Taken:
        verdict = verify_statement(record.value, trust, now_ms, (self.releaser, self.audience))
        if isinstance(verdict, Rejected):
            return self._refuse(db, place, record, verdict, [], now_ms)
        head = verdict.body
        if not isinstance(head, StreamHead):  # a true statement, but of no place in a stream
            return self._refuse(db, place, record, Rejected(Reason.STATEMENT_PLACE, self.releaser), [], now_ms)
        first = state.show_head(db, head, verdict.framed)
        place.stream, notes = take_head(place.stream, head, first)
        place.head_ms = max(head.time_ms, place.head_ms or 0)
        subject = f"{head.epoch}/{head.seq}"
        state.note(db, notes, subject, now_ms)
        return Taken(subject, notes=tuple(notes))

    def _refuse(
        self,
        db: sqlite3.Connection,
        place: state.Place,
        record: Record,
        verdict: Rejected,
        notes: list[Note],
        now_ms: int,
    ) -> Taken:
        place.counts[f"rejected.{verdict.reason}"] += 1
        state.quarantine(db, record, verdict, now_ms)
        subject = f"offset {record.offset}"
        state.note(db, notes, subject, now_ms)
        return Taken(subject, rejected=verdict, notes=tuple(notes))

    def _admit(
        self, db: sqlite3.Connection, place: state.Place, judged: _Judged, notes: list[Note], now_ms: int
    ) -> Taken:
        seen = judged.seen
        leaf, header = seen.leaf, seen.header
        state.release_from_quarantine(db, seen.framed)
        repeat = state.holds(db, leaf, seen.chain)
        if not repeat:
            union = [Note.LADDER_MISMATCH] if judged.mismatch else []
            notes = [*union, *_incident_notes(db, leaf, header), *notes]
            state.hold(db, leaf, seen.chain, header, now_ms)
            state.keep_rungs(db, leaf, judged.rungs)
        state.note(db, notes, leaf.hex(), now_ms)
        if repeat:
            place.counts["repeat"] += 1
        elif header.exercise != self.drills:
            place.counts["exercise" if header.exercise else "report"] += 1
        else:
            place.counts["seen"] += 1
            return Taken(leaf.hex(), replace(seen, notes=tuple(notes)), notes=tuple(notes))
        return Taken(leaf.hex(), notes=tuple(notes))


def _rungs(verified: Verified) -> dict[int, bytes]:
    """The disclosed slots that stand on a ladder."""
    schema = verified.judged.schema
    known = range(len(schema.fields))
    disclosed = verified.envelope.disclosed.items()
    return {i: value for i, value in disclosed if i in known and (schema.coarser(i) or schema.finer(i))}


def _incident_notes(db: sqlite3.Connection, leaf: bytes, header: Header) -> list[Note]:
    """REVISION_FORK, REVISION_MISSING, LIFECYCLE (protocol section 6, at its end); none for another copy of a leaf."""
    if state.holds_leaf(db, leaf):
        return []
    notes = []
    if state.holds_revision(db, header):
        notes.append(Note.REVISION_FORK)
    if header.revision:
        previous, before = state.previous(db, header), (header.origin, header.incident, header.revision - 1)
        if previous is None:
            notes.append(Note.REVISION_MISSING)
        elif previous[:3] != before or not can_follow(Stage(previous[3]), header.stage):
            notes.append(Note.LIFECYCLE)
    return notes
