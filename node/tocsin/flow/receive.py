"""Receive records: verify, admit, remember the place; one store transaction per fetched batch (design 2).

Receiving is total: a peer's fault is a value (`Rejected`), ours is an `AdapterError`, and a bug of ours on one record
puts that record into quarantine as INTERNAL while the rest goes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tocsin.errors import AdapterError, StoreDamaged
from tocsin.flow import topics
from tocsin.flow.admit import Admission
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import Bug, Outcome, What, untold
from tocsin.flow.ports import Clock, Conflict, LeaseLost, Record, Signer, Store, Tx
from tocsin.flow.rejects import row_of
from tocsin.flow.rows import NoteRow, Quarantined, Report, Row, ShownHead, Source, Spoken, Submission
from tocsin.flow.setting import Setting
from tocsin.flow.tell import Answer, answer
from tocsin.wire.keys import matches_party_id
from tocsin.wire.reasons import Note, Reason, Rejected
from tocsin.wire.statement import Descriptor, PolicyText, StreamHead, VerifiedStatement, is_statement, verify_statement
from tocsin.wire.stream import StreamState, decode_hint, take_head, take_record
from tocsin.wire.verify import Verified, leaf_of, verify


class InletKind(StrEnum):
    """What stands in a topic that is read."""

    STREAM = "STREAM"  # a peer's stream for this node
    SUBMISSIONS = "SUBMISSIONS"  # a lab's submissions; not a stream
    INFO = "INFO"  # a peer's descriptor and policies


@dataclass(frozen=True, slots=True)
class Inlet:
    """A topic that is read, and the party that writes it."""

    topic: str
    kind: InletKind
    party: str

    def came_by(self, node: str) -> tuple[str, str]:
        """(releaser, audience) that content of this topic must bear."""
        return self.party, node


Verdict = Verified | VerifiedStatement | Rejected


class Receive:
    """The only way into the store for what comes from outside."""

    def __init__(
        self,
        setting: Callable[[], Setting],
        store: Store,
        signer: Signer,
        clock: Clock,
        me: str,
        opened: Opened,
        bug: Bug = untold,
    ) -> None:
        """`me` names this process in leases; `setting` gives what holds at the moment of a batch."""
        self._setting = setting
        self._store = store
        self._signer = signer
        self._clock = clock
        self._me = me
        self._opened = opened
        self._bug = bug
        self._left: dict[str, int] = {}
        self.weights: dict[str, int] = {}
        """Bytes of each source's stream state, which every batch reads and writes: a cost that a peer decides."""

    async def take(self, inlet: Inlet, records: Sequence[Record]) -> list[Outcome]:
        """Take one fetched batch. When it returns, every record is durable or was known, and the place is remembered.

        `AdapterError` where the store or the signer fails: then nothing of the batch is remembered, and it may be
        taken again. `LeaseLost` where another process reads this topic; `StoreBehind` where the store no longer knows
        what this process has read (it must be read again from the store's place, or it would be skipped).
        """
        setting, now_ms = self._setting(), self._clock()
        try:
            verdicts: list[Verdict] = []
            for record in records:
                verdicts.append(self._judged(setting, inlet, record, now_ms))
                await asyncio.sleep(0)  # about a millisecond each: the pages and the other streams have their turn
            return await self._remember(setting, inlet, records, verdicts, now_ms)
        except (AdapterError, StoreDamaged):
            raise
        except Exception as error:  # noqa: BLE001 - receiving is total: whatever our bug is, the stream goes on
            # A bug of ours. Alone, the record that shows it goes to quarantine; among others, each is tried singly.
            if len(records) == 1:
                self._bug(inlet.topic, error)
                return await self._remember(setting, inlet, records, [Rejected(Reason.INTERNAL)], now_ms)
            return [outcome for record in records for outcome in await self.take(inlet, [record])]

    def judge(self, setting: Setting, inlet: Inlet, record: Record, now_ms: int) -> Verdict:
        """The verdict on one record; INTERNAL where it shows a bug of ours. Never raises."""
        try:
            return self._judged(setting, inlet, record, now_ms)
        except Exception as error:  # noqa: BLE001 - as in `take`
            self._bug(inlet.topic, error)
            return Rejected(Reason.INTERNAL)

    def _judged(self, setting: Setting, inlet: Inlet, record: Record, now_ms: int) -> Verdict:
        """Steps 1 to 7 of protocol section 6, or the checks of section 5; the frame decides which."""
        came_by = inlet.came_by(setting.node)
        if is_statement(record.value):
            place = came_by if inlet.kind is InletKind.STREAM else None
            statement = verify_statement(record.value, setting.trust, now_ms, place)
            if isinstance(statement, Rejected) or _belongs(statement, inlet):
                return statement
            return Rejected(Reason.STATEMENT_PLACE)
        report = verify(record.value, setting.trust, setting.schemas, now_ms, came_by, lambda _: False)
        if isinstance(report, Verified) and not _may_bring(inlet, report):
            return Rejected(Reason.STREAM_SOURCE, inlet.party)
        return report

    async def _remember(
        self,
        setting: Setting,
        inlet: Inlet,
        records: Sequence[Record],
        verdicts: Sequence[Verdict],
        now_ms: int,
    ) -> list[Outcome]:
        async with self._store.begin() as tx:
            if self._setting() is not setting:
                # Whoever owes everything anew must find these reports, or they must be owed under the new policies.
                raise Conflict("trust, schemas or policies changed meanwhile", place=inlet.topic)
            # 1. Where we are: only the holder of this source may move it.
            source = (await tx.get(Source, [(inlet.topic,)])).get((inlet.topic,))
            if source is None or source.holder != self._me:
                raise LeaseLost("the source is read by another process", place=inlet.topic)
            self._require_not_behind(source)
            fresh = [(r, v) for r, v in zip(records, verdicts, strict=True) if r.offset >= source.offset]
            # 2. A revoked event key is no ground against a leaf that is held (step 6).
            fresh = [(r, await self.again_if_held(tx, setting, inlet, r, v, now_ms)) for r, v in fresh]
            # 3. Admit reports; note what the stream shows; keep statements; put rejects into quarantine; answer labs.
            book = _StreamBook(inlet, source, setting.node, now_ms)
            outcomes = await self.take_in(tx, setting, inlet, fresh, now_ms, book.follow)
            # 4. The place, in the same transaction.
            if fresh:
                offset, stream = fresh[-1][0].offset + 1, book.state.to_json()
                moved = dataclasses.replace(source, offset=offset, stream=stream, head_ms=book.head_ms)
                await tx.swap(moved, expect={"holder": self._me, "offset": source.offset})
        if fresh:
            self._left[inlet.topic] = moved.offset
            self.weights[inlet.topic] = len(moved.stream)
        return outcomes

    def _require_not_behind(self, source: Source) -> None:
        """A store that fell behind (a backup, a replica) has another place than the reader that goes on after ours."""
        if source.offset < self._left.get(source.topic, source.offset):
            left = self._left.pop(source.topic)
            raise StoreBehind(
                f"the store knows offset {source.offset}, but {left} was read",
                place=source.topic,
                remedy="The topic is read again from the store's place.",
            )

    async def lost(self, inlet: Inlet, offset: int, now_ms: int) -> None:
        """The range from the place to `offset` is no longer in the topic: go on there, with a note that says so."""
        async with self._store.begin() as tx:
            source = (await tx.get(Source, [(inlet.topic,)])).get((inlet.topic,))
            if source is None:
                raise LeaseLost("the store no longer knows the source", place=inlet.topic)
            note = NoteRow(inlet.topic, source.offset, -1, Note.GAP.value, f"lost up to {offset}", now_ms)
            await tx.put([note])
            await tx.swap(dataclasses.replace(source, offset=offset), expect={"holder": self._me})
        self._left.pop(inlet.topic, None)

    async def take_in(
        self,
        tx: Tx,
        setting: Setting,
        inlet: Inlet,
        judged: Sequence[tuple[Record, Verdict]],
        now_ms: int,
        follow: Callable[[Tx, Record, Verdict], Awaitable[list[Note]]],
    ) -> list[Outcome]:
        """Write what each verdict means, in order; also for what comes back out of quarantine."""
        reports = [v for _, v in judged if isinstance(v, Verified)]
        admission = await Admission.load(tx, setting, reports, now_ms)
        rows = await _Rows.load(tx, setting, inlet, [verdict for _, verdict in judged], now_ms)
        answers: list[Answer] = []
        outcomes = []
        for record, verdict in judged:
            notes = await follow(tx, record, verdict)
            outcome = self._admit(inlet, record, verdict, admission, notes)
            outcomes.append(outcome)
            rows.keep(record, verdict, outcome)
            if isinstance(verdict, Verified):
                self._opened.keep(verdict, setting)
            if inlet.kind is InletKind.SUBMISSIONS:
                answers.append(_answer_to(record, verdict, outcome))
        await admission.close(tx)
        await rows.close(tx)
        if answers:
            outlet = topics.receipts(setting.node, inlet.party)
            await answer(tx, self._signer, setting.node, inlet.party, outlet, answers, now_ms)
        return outcomes

    async def again_if_held(
        self, tx: Tx, setting: Setting, inlet: Inlet, record: Record, verdict: Verdict, now_ms: int
    ) -> Verdict:
        """The verdict, once more where the event key is revoked but the leaf is held (step 6)."""
        if not isinstance(verdict, Rejected) or verdict.reason is not Reason.KEY_REVOKED:
            return verdict
        leaf = leaf_of(record.value)
        if leaf is None or not await tx.get(Report, [(leaf,)]):
            return verdict
        came_by = inlet.came_by(setting.node)
        return verify(record.value, setting.trust, setting.schemas, now_ms, came_by, lambda _: True)

    def _admit(
        self, inlet: Inlet, record: Record, verdict: Verdict, admission: Admission, notes: list[Note]
    ) -> Outcome:
        if isinstance(verdict, Verified):
            relayed = inlet.kind is InletKind.STREAM
            what, more = admission.take(verdict, inlet.party, owed=relayed)
            leaf, origin, reason = verdict.leaf, verdict.header.origin, None
            notes = [*more, *notes]
        elif isinstance(verdict, Rejected):
            what, leaf, origin, reason = What.REJECTED, leaf_of(record.value) or b"", "", verdict.reason
        else:
            what, leaf, origin, reason = What.STATEMENT, b"", "", None
        size = len(record.value)
        return Outcome(what, inlet.party, record.topic, record.offset, leaf, origin, reason, tuple(notes), size)


class _Rows:
    """What belongs to single records: notes, inbox rows, quarantine rows, peers' statements; written together."""

    def __init__(self, setting: Setting, inlet: Inlet, now_ms: int) -> None:
        """Create it with `load`."""
        self._setting = setting
        self._inlet = inlet
        self._now_ms = now_ms
        self._issued: frozenset[bytes] = frozenset()
        self._values = 0
        self._new: list[Row] = []
        self._spoken: list[Spoken] = []

    @classmethod
    async def load(cls, tx: Tx, setting: Setting, inlet: Inlet, verdicts: Sequence[Verdict], now_ms: int) -> _Rows:
        """Read what the rows of these verdicts depend on."""
        rows = cls(setting, inlet, now_ms)
        if inlet.kind is InletKind.SUBMISSIONS:
            leaves = [(v.leaf,) for v in verdicts if isinstance(v, Verified)]
            rows._issued = frozenset(row.leaf for row in (await tx.get(Submission, leaves)).values())
        if any(isinstance(v, Rejected) for v in verdicts):
            values = {"topic": inlet.topic, "state": "HELD", "kept": True}
            rows._values = await tx.count(Quarantined, values)
        return rows

    def keep(self, record: Record, verdict: Verdict, outcome: Outcome) -> None:
        """The rows of one record, in order."""
        if outcome.notes:
            subject = (outcome.leaf or hashlib.sha256(record.value).digest()).hex()
            self._new += [
                NoteRow(record.topic, record.offset, i, note.value, subject, self._now_ms)
                for i, note in enumerate(outcome.notes)
            ]
        if isinstance(verdict, Rejected):
            self._new.append(self._quarantine(record, verdict))
        elif isinstance(verdict, Verified):
            # A leaf that is in the inbox already was read back from our own receipts: it was issued.
            received = self._inlet.kind is InletKind.SUBMISSIONS and outcome.what is What.ACCEPTED
            if received and verdict.leaf not in self._issued:
                digest = hashlib.sha256(record.value).digest()
                self._new.append(
                    Submission(verdict.leaf, self._inlet.party, digest, "NEW", self._now_ms, b"", told=False, basis="")
                )
        elif self._inlet.kind is InletKind.INFO:
            self._spoken.append(_spoken(verdict))

    def _quarantine(self, record: Record, verdict: Rejected) -> Quarantined:
        """A row with the original bytes; what no trust makes valid, or beyond the cap of its source, stays at the broker."""
        full = verdict.reason is Reason.SIZE or self._values >= self._setting.caps.quarantined_values
        self._values += not full
        return row_of(record, self._inlet.party, verdict, self._now_ms, kept=not full)

    async def close(self, tx: Tx) -> None:
        """Write what was kept."""
        await tx.put(self._new)
        for spoken in self._spoken:
            await _keep_spoken(tx, spoken)


class _StreamBook:
    """The reader's side of one stream within one transaction; other topics have none."""

    def __init__(self, inlet: Inlet, source: Source, node: str, now_ms: int) -> None:
        self.state = StreamState.from_json(source.stream, inlet.party, node)
        self.head_ms = source.head_ms
        self._inlet = inlet
        self._now_ms = now_ms

    async def follow(self, tx: Tx, record: Record, verdict: Verdict) -> list[Note]:
        """Every record that is not a statement is noted under its hint, whatever its verdict; heads are taken."""
        if self._inlet.kind is not InletKind.STREAM:
            return []
        if not is_statement(record.value):
            hint = decode_hint(dict(record.headers).get("tocsin-seq"))
            self.state, notes = take_record(self.state, record.value, hint)
            return notes
        if isinstance(verdict, VerifiedStatement) and isinstance(verdict.body, StreamHead):
            head = verdict.body
            # Its signed time, not its arrival: an old head that is played back is no sign of life.
            self.head_ms = max(self.head_ms, min(head.time_ms, self._now_ms))
            where = {"topic": self._inlet.topic, "epoch": head.epoch, "seq": head.seq}
            shown = await tx.find(ShownHead, where, order=("shown_ms",), limit=1)
            first = shown[0] if shown else None
            self.state, notes = take_head(self.state, head, first.head if first else None)
            if first is None or first.head != head.head:
                # The first stays the first, also within its millisecond and where the clock was set back.
                at_ms = max(self._now_ms, first.shown_ms + 1) if first else self._now_ms
                key = self._inlet.topic, head.epoch, head.seq, head.head
                await tx.put([ShownHead(*key, verdict.framed, at_ms)])
            return notes
        return []


def _may_bring(inlet: Inlet, report: Verified) -> bool:
    """Streams bring reports; a submission is the lab's own (design 2), or a lab could relay what others made public."""
    if inlet.kind is InletKind.SUBMISSIONS:
        return report.header.origin == inlet.party
    return inlet.kind is InletKind.STREAM


def _belongs(statement: VerifiedStatement, inlet: Inlet) -> bool:
    """Heads stand in streams, descriptors and policies of the peer itself in its info topic; nothing else anywhere."""
    body = statement.body
    if inlet.kind is InletKind.STREAM:
        return isinstance(body, StreamHead)
    return inlet.kind is InletKind.INFO and isinstance(body, Descriptor | PolicyText) and body.node == inlet.party


def _spoken(statement: VerifiedStatement) -> Spoken:
    body = statement.body
    digest = hashlib.sha256(statement.framed).digest()
    if isinstance(body, PolicyText):
        digest = hashlib.sha256(body.text).digest()
        return Spoken(body.node, "policy", body.id, body.version, digest, statement.framed, body.time_ms)
    assert isinstance(body, Descriptor)  # noqa: S101 - _belongs let nothing else pass
    return Spoken(body.node, "descriptor", "", 0, digest, statement.framed, body.time_ms)


async def _keep_spoken(tx: Tx, spoken: Spoken) -> None:
    """Of descriptors the latest stays; of policies every version and, as evidence, every text (protocol section 5).

    Nothing about a body is a ground to refuse it, but a policy whose id no hop may name is not kept: no index of a
    database holds just any text.
    """
    if not matches_party_id(spoken.id or spoken.node):
        return
    if spoken.type == "descriptor":
        known = await tx.find(Spoken, {"node": spoken.node, "type": "descriptor"})
        if any(other.time_ms >= spoken.time_ms for other in known):
            return
        await tx.drop(known)
    await tx.put([spoken])


def _answer_to(record: Record, verdict: Verdict, outcome: Outcome) -> Answer:
    rejected = isinstance(verdict, Rejected)
    return Answer(
        record=hashlib.sha256(record.value).digest(),
        leaf=outcome.leaf or bytes(32),
        decision="REJECTED" if rejected else "ACCEPTED",
        reason=verdict.reason.value if isinstance(verdict, Rejected) else "",
    )
