"""Admit verified reports: accepted, merged or a duplicate, with their notes and with what is now owed to whom.

One `Admission` serves one transaction: it loads what is held about a batch in a few queries, judges each report in
order, and writes everything at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tocsin.flow import holds
from tocsin.flow.outcome import What
from tocsin.flow.owed import owe, told
from tocsin.flow.ports import Tx
from tocsin.flow.rows import Copy, Due, Report, Row
from tocsin.flow.setting import Setting
from tocsin.flow.union import rungs_disagree
from tocsin.report.lifecycle import can_follow
from tocsin.wire.envelope import parse_envelope
from tocsin.wire.header import Header, Stage
from tocsin.wire.reasons import Note
from tocsin.wire.slots import mask_bytes
from tocsin.wire.verify import Verified


class Admission:
    """What is held about a batch of reports, and what the batch adds to it."""

    def __init__(self, setting: Setting, now_ms: int) -> None:
        """Create it with `load`."""
        self._setting = setting
        self._now_ms = now_ms
        self._reports: dict[bytes, Report] = {}
        self._revisions: set[tuple[str, bytes, int]] = set()
        self._copies: dict[bytes, dict[bytes, Copy]] = defaultdict(dict)
        self._new: list[Row] = []
        self._owed: dict[tuple[bytes, str], Due] = {}
        self._told: dict[tuple[str, bytes], set[str]] = {}

    @classmethod
    async def load(cls, tx: Tx, setting: Setting, verified: Iterable[Verified], now_ms: int) -> Admission:
        """Read, in a few queries, what is held of these reports and of others of the same revisions."""
        found = list(verified)
        admission = cls(setting, now_ms)
        if found:
            incidents = sorted({v.header.incident for v in found})
            leaves = sorted({v.leaf for v in found})
            previous = sorted({v.header.prev for v in found if v.header.revision})
            origins = sorted({v.header.origin for v in found})
            same = {"incident": incidents, "origin": origins, "revision": sorted({v.header.revision for v in found})}
            for report in await tx.find(Report, same):
                admission._know(report)
            for report in (await tx.get(Report, [(leaf,) for leaf in previous])).values():
                admission._know(report)
            retracted = [v.header for v in found if v.header.stage is Stage.RETRACTION]
            admission._told = await told(tx, retracted)
            for copy in await tx.find(Copy, {"leaf": leaves}):
                admission._copies[copy.leaf][copy.chain] = copy
        return admission

    def _know(self, report: Report) -> None:
        self._reports[report.leaf] = report
        self._revisions.add((report.origin, report.incident, report.revision))

    def take(self, verified: Verified, party: str, *, owed: bool = True) -> tuple[What, tuple[Note, ...]]:
        """Judge one report that came from `party`; `owed` is false for submissions, which never go onward."""
        header, leaf = verified.header, verified.leaf
        held = self._copies[leaf]
        if verified.chain in held:
            return What.DUPLICATE, ()
        if sum(copy.releaser == party for copy in held.values()) >= self._setting.caps.chains_per_leaf:
            return What.DUPLICATE, (Note.CHAINS_CAPPED,)
        notes = list(self._union_notes(verified, held.values()))
        what = What.MERGED
        if leaf not in self._reports:
            what = What.ACCEPTED
            notes += self._incident_notes(verified)
            report = report_row(leaf, header, self._now_ms)
            self._know(report)
            self._new.append(report)
        envelope = verified.envelope
        copy = Copy(leaf, verified.chain, party, mask_bytes(envelope.mask, envelope.n), verified.framed, self._now_ms)
        held[verified.chain] = copy
        self._new.append(copy)
        if owed:
            audiences = self._setting.audiences() | self._told.get((header.origin, header.incident), set())
            for due in owe([leaf], audiences, self._now_ms, what.value):
                self._owed[leaf, due.audience] = due
        return what, tuple(notes)

    def _incident_notes(self, verified: Verified) -> Iterable[Note]:
        """REVISION_MISSING, REVISION_FORK, LIFECYCLE (protocol section 6, at its end)."""
        header = verified.header
        if (header.origin, header.incident, header.revision) in self._revisions:
            yield Note.REVISION_FORK
        if header.revision:
            previous, before = self._reports.get(header.prev), (header.origin, header.incident, header.revision - 1)
            if previous is None:
                yield Note.REVISION_MISSING
            elif (previous.origin, previous.incident, previous.revision) != before or not can_follow(
                Stage(previous.stage), header.stage
            ):
                yield Note.LIFECYCLE

    def _union_notes(self, verified: Verified, held: Iterable[Copy]) -> Iterable[Note]:
        """LADDER_MISMATCH: rungs that arrive in different copies are compared in the union (protocol section 7)."""
        slots = {slot: value for copy in held for slot, value in parse_envelope(copy.framed).disclosed.items()}
        if rungs_disagree(verified.judged, slots):
            yield Note.LADDER_MISMATCH

    async def close(self, tx: Tx) -> None:
        """Write what the batch added."""
        for row in self._new:
            if isinstance(row, Report):
                await tx.put(await holds.retracted(tx, row, self._now_ms))
        await tx.add(self._new)
        await tx.put(list(self._owed.values()))


def report_row(leaf: bytes, header: Header, now_ms: int) -> Report:
    """What the store knows of a report besides its copies."""
    return Report(
        leaf=leaf,
        origin=header.origin,
        incident=header.incident,
        revision=header.revision,
        stage=header.stage.value,
        retracts=header.incident if header.stage is Stage.RETRACTION else b"",
        prev=header.prev,
        tlp=int(header.tlp),
        created_day=header.created_day,
        schema=header.schema,
        exercise=header.exercise,
        accepted_ms=now_ms,
    )
