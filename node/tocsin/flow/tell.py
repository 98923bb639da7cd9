"""Tell: signed statements about what the node did: receipts for labs, heads for readers, its descriptor and policies."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tocsin.flow import topics
from tocsin.flow.outbox import Item, Outbox, Remembered, new_outlet
from tocsin.flow.ports import Clock, Signer, Store, Tx
from tocsin.flow.rows import Due, Outlet, Spoken, Submission
from tocsin.flow.setting import MS_PER_MINUTE, Setting
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.statement import (
    Descriptor,
    PolicyText,
    Receipt,
    StatementBody,
    StreamHead,
    encode_statement,
    frame_statement,
)

IDLE_HEAD_MS = 60_000
"""A stream that is idle still shows a head this often: it is the sign of life (protocol section 4)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receipt says of one submission; `leaf` is zeros where it could not be computed."""

    record: bytes
    leaf: bytes
    decision: str
    reason: str = ""
    report: bytes | None = None


async def sealed_statement(signer: Signer, body: StatementBody) -> bytes:
    """The framed statement, signed by the node's relay key (protocol section 5)."""
    kind, raw = encode_statement(body)
    signature = await signer.sign(KeyUse.RELAY, pae(kind, raw))
    return frame_statement(kind, raw, signer.key_id(KeyUse.RELAY), signature)


async def answer(
    tx: Tx, signer: Signer, node: str, lab: str, topic: str, answers: Sequence[Answer], now_ms: int
) -> None:
    """Seal receipts for one lab within the transaction that did what they say."""
    outbox = Outbox(await _outlet(tx, topic), now_ms)
    for one in answers:
        body = Receipt(node, lab, one.record, one.leaf, one.decision, one.reason, one.report, now_ms)
        framed = await sealed_statement(signer, body)
        outbox.statement(Item(framed, key=one.record.hex().encode()))
    await outbox.close(tx)


async def answer_issued(tx: Tx, signer: Signer, node: str, submissions: Sequence[Submission], now_ms: int) -> None:
    """Seal the receipts that say ISSUED, to each lab whose submission became part of a national report.

    A receipt names the national leaf only where the report has that one source (design 2): otherwise a lab would learn
    which other submissions there were.
    """
    by_lab: dict[str, list[Answer]] = {}
    for submission in submissions:
        alone = await tx.count(Submission, {"report": submission.report}) == 1
        report = submission.report if alone else None
        reply = Answer(submission.record, submission.leaf, "ISSUED", submission.basis, report)
        by_lab.setdefault(submission.lab, []).append(reply)
    for lab, answers in by_lab.items():
        await answer(tx, signer, node, lab, topics.receipts(node, lab), answers, now_ms)
    await tx.put([dataclasses.replace(submission, told=True) for submission in submissions])


async def seal_head(tx: Tx, signer: Signer, node: str, outlet: Outlet, now_ms: int) -> Outlet:
    """Seal the signed head of a stream as it stands; returns the outlet after it."""
    outbox = Outbox(outlet, now_ms)
    body = StreamHead(node, outlet.audience, outlet.epoch, outlet.seq, outlet.head, now_ms)
    outbox.statement(Item(await sealed_statement(signer, body), key=b"stream-head"), seq=outlet.seq)
    outbox.headed(outlet.seq)
    await outbox.close(tx)
    return outbox.outlet


async def _outlet(tx: Tx, topic: str) -> Outlet:
    """The outlet of a topic that is no stream; anybody may seal into it, one at a time."""
    found = (await tx.get(Outlet, [(topic,)])).get((topic,))
    if found is None:
        found = new_outlet(topic, "", "", 0, "", 0)
        await tx.add([found])
    return found


class Tell:
    """The side of the node that speaks without being asked."""

    def __init__(
        self,
        setting: Callable[[], Setting],
        store: Store,
        signer: Signer,
        clock: Clock,
        me: str,
        remembered: Remembered,
    ) -> None:
        """`me` names this process in leases; `remembered` is shared with `Release`."""
        self._setting = setting
        self._store = store
        self._signer = signer
        self._clock = clock
        self._me = me
        self._remembered = remembered

    async def heads(self) -> int:
        """Seal a head for each held stream that has a new record, or was silent for a minute; returns how many."""
        now_ms, node = self._clock(), self._setting().node
        told: list[Outlet] = []
        async with self._store.begin() as tx:
            for outlet in await tx.find(Outlet, {"holder": self._me}):
                if not outlet.audience:
                    continue
                self._remembered.check(outlet)  # every round: a store that fell behind is noticed at once
                if outlet.seq <= outlet.headed and now_ms - outlet.headed_ms < IDLE_HEAD_MS:
                    continue
                told.append(await seal_head(tx, self._signer, node, outlet, now_ms))
        for outlet in told:
            self._remembered.keep(outlet)
        return len(told)

    async def issued(self) -> int:
        """Answer ISSUED for what became part of a national report that goes to nobody now; returns how many.

        While a decision on it is due, that is `Release`'s: a receipt that stands alone names, after the restore of an
        older store, a report that nobody can produce, and the submission is issued a second time.
        """
        now_ms, node = self._clock(), self._setting().node
        async with self._store.begin() as tx:
            waiting = await tx.find(Submission, {"state": "ISSUED", "told": False}, limit=256)
            if not waiting:  # as at nearly every look, twice a second
                return 0
            held = {outlet.audience for outlet in await tx.find(Outlet, {"holder": self._me})}
            dues = await tx.find(Due, {"leaf": sorted({submission.report for submission in waiting})})
            due = {row.leaf for row in dues if row.audience in held and row.minute <= now_ms // MS_PER_MINUTE}
            alone = [submission for submission in waiting if submission.report not in due]
            await answer_issued(tx, self._signer, node, alone, now_ms)
        return len(alone)

    async def speak(self, jurisdiction: str, software: str) -> list[Spoken]:
        """Publish the descriptor, and each policy version that this store has not spoken yet (design 4).

        Returns what the node has spoken: the descriptor first, then every policy that it holds.
        """
        setting, now_ms = self._setting(), self._clock()
        node = setting.node
        async with self._store.begin() as tx:
            spoken = await tx.find(Spoken, {"node": node, "type": "policy"})
            known = {(s.id, s.version, s.digest) for s in spoken}
            outbox = Outbox(await _outlet(tx, topics.info(node)), now_ms)
            for policy in setting.policies:
                if (policy.id, policy.version, policy.sha256) not in known:
                    text = PolicyText(node, policy.id, policy.version, policy.schema.id, policy.text, now_ms)
                    framed = await sealed_statement(self._signer, text)
                    outbox.statement(Item(framed, key=f"policy/{policy.id}/{policy.version}".encode()))
                    await tx.put([Spoken(node, "policy", policy.id, policy.version, policy.sha256, framed, now_ms)])
            entries = tuple((p.schema.id, p.id, p.version, p.sha256) for p in setting.policies)
            schemas = tuple(s.sha256 for s in setting.schemas)
            descriptor = Descriptor(node, jurisdiction, software, 1, entries, schemas, now_ms)
            framed = await sealed_statement(self._signer, descriptor)
            outbox.statement(Item(framed, key=b"descriptor"))
            digest = hashlib.sha256(framed).digest()
            await tx.drop(await tx.find(Spoken, {"node": node, "type": "descriptor"}))
            said = Spoken(node, "descriptor", "", 0, digest, framed, now_ms)
            await tx.put([said])
            await outbox.close(tx)
            held = {(p.id, p.version, p.sha256) for p in setting.policies}
            policies = await tx.find(Spoken, {"node": node, "type": "policy"})
        return [said, *(p for p in policies if (p.id, p.version, p.digest) in held)]
