"""Release: decide what is due, seal each decision, all in one transaction; `send` then carries the bytes (design 2).

Whether and what is decided by `decide` alone; this file brings it the facts and keeps the order. A sealed decision is
final; what changes it is a new decision, recorded with its cause.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tocsin.errors import AdapterError, StoreDamaged
from tocsin.flow.decide import Decision, Nothing, decide
from tocsin.flow.facts import Facts
from tocsin.flow.holds import new_holds
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import Item, Outbox, Remembered
from tocsin.flow.outcome import Bug, untold
from tocsin.flow.ports import Between, Clock, Signer, Store, Tx
from tocsin.flow.rows import Copy, Decided, Due, Outlet, Report, Row, Submission
from tocsin.flow.setting import MS_PER_MINUTE, Setting
from tocsin.flow.tell import answer_issued
from tocsin.wire.envelope import frame_envelope, with_hop, withhold
from tocsin.wire.hop import HOP_TYPE, AudienceKind, Hop, HopBody, encode_body, hop_hash, parse_body
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.slots import mask_bytes
from tocsin.wire.verify import Verified

INTERNAL = "INTERNAL"
"""Why nothing was released: a bug of ours."""
BATCH = 64
"""Due rows per transaction: large enough to share its cost, small enough not to delay what comes next."""


@dataclass(frozen=True, slots=True)
class Done:
    """One due row that was dealt with: what was sealed, or why nothing was. Identifiers only."""

    audience: str
    leaf: bytes
    cause: str
    since_ms: int
    sealed: tuple[Decision, ...] = ()
    nothing: str = ""


class Release:
    """Decides and seals for the streams that this process holds."""

    def __init__(
        self,
        setting: Callable[[], Setting],
        store: Store,
        signer: Signer,
        clock: Clock,
        me: str,
        opened: Opened,
        remembered: Remembered,
        bug: Bug = untold,
    ) -> None:
        """`me` names this process in leases; `opened` and `remembered` are shared with receive, tell and recover."""
        self._setting = setting
        self._store = store
        self._signer = signer
        self._clock = clock
        self._me = me
        self._opened = opened
        self._remembered = remembered
        self._bug = bug

    async def run(self) -> list[Done]:
        """Decide and seal one batch of what is due; empty where nothing is. `StoreBehind`: recover first."""
        setting, now_ms = self._setting(), self._clock()
        done: list[Done] = []
        async with self._store.begin() as tx:
            # 1. What is due, for the streams that are ours to write.
            outlets = {o.audience: o for o in await tx.find(Outlet, {"holder": self._me}) if o.audience}
            dues = await tx.find(
                Due,
                {"audience": sorted(outlets), "minute": Between(high=now_ms // MS_PER_MINUTE)},
                order=("minute", "since_ms", "leaf"),
                limit=BATCH,
            )
            if not dues:
                return []
            facts = await Facts.load(tx, [(due.leaf, due.audience) for due in dues])
            await self._answer_labs(tx, setting, facts, now_ms)
            boxes: dict[str, Outbox] = {}
            rows: list[Row] = []
            # 2. Decide and seal each, in order.
            for due in dues:
                outlet = outlets[due.audience]
                self._remembered.check(outlet)
                box = boxes.setdefault(due.audience, Outbox(outlet, now_ms))
                done.append(await self._spared(setting, facts, due, box, rows, now_ms))
                await asyncio.sleep(0)  # about a millisecond each: the pages and the streams have their turn
            # 3. What was decided, the sealed rows and the streams' new state, together.
            await tx.drop(dues)
            await tx.put(rows)
            for box in boxes.values():
                await box.close(tx)
        for box in boxes.values():
            self._remembered.keep(box.outlet)
        return done

    async def _answer_labs(self, tx: Tx, setting: Setting, facts: Facts, now_ms: int) -> None:
        """A lab's receipt is sealed before what its submission became is released, and sent before it (`Send`).

        Receipts are all that a restored store knows of what was issued: without one the submission would be offered to
        an officer, or issued by a rule, a second time, and readers would see two incidents.
        """
        own = [leaf for leaf, report in facts.reports.items() if report.origin == setting.node]
        sources = await tx.find(Submission, {"report": own}) if own else []
        untold = [source for source in sources if source.state == "ISSUED" and not source.told]
        await answer_issued(tx, self._signer, setting.node, untold, now_ms)

    async def _spared(
        self, setting: Setting, facts: Facts, due: Due, box: Outbox, rows: list[Row], now_ms: int
    ) -> Done:
        """A bug of ours that one due row shows puts that row off by a day, with an alarm; the others go on."""
        mark, written = box.mark(), len(rows)
        try:
            return await self._one(setting, facts, due, box, rows, now_ms)
        except (AdapterError, StoreDamaged):
            raise
        except Exception as error:  # noqa: BLE001 - one poisonous report may not stop every audience
            self._bug(f"release/{due.audience}", error)
            box.back(mark)
            del rows[written:]
            rows.append(dataclasses.replace(due, minute=now_ms // MS_PER_MINUTE + 1_440, cause=INTERNAL))
            return Done(due.audience, due.leaf, due.cause, due.since_ms, nothing=INTERNAL)

    async def _one(self, setting: Setting, facts: Facts, due: Due, box: Outbox, rows: list[Row], now_ms: int) -> Done:
        """One report for one audience: a decision for every chain that brought it; `rows` takes what is to be written."""
        report = facts.reports[due.leaf]
        sealed: list[Decision] = []
        why, later = "CHAIN", None
        for copy in facts.copies[due.leaf]:
            verified = self._opened.open(copy, setting, now_ms)
            if verified is None:
                continue
            question = facts.question(setting, copy, verified, due.audience, now_ms)
            decision = decide(question)
            later = min((m for m in (later, decision.next) if m is not None), default=None)
            rows += new_holds(setting, facts, due, decision.open_holds, question.policy, now_ms)
            if isinstance(decision, Nothing):
                why = decision.why.value
                continue
            if self._said_before(setting, facts, copy, verified, decision, now_ms):
                why = "SAID"
                continue
            decided = await self._seal(due, report, verified, decision, box, now_ms)
            facts.add(decided)
            rows.append(decided)
            sealed.append(decision)
        if later is not None:
            rows.append(Due(due.leaf, due.audience, later, "TIME", later * MS_PER_MINUTE))
        return Done(due.audience, due.leaf, due.cause, due.since_ms, tuple(sealed), "" if sealed else why)

    def _said_before(
        self,
        setting: Setting,
        facts: Facts,
        copy: Copy,
        verified: Verified,
        decision: Decision,
        now_ms: int,
    ) -> bool:
        """No (leaf, mask, audience, tlp, limits as they bind from now on) is decided twice (design 3).

        What went out along a chain that a revoked key has broken since does not count: its readers refuse it.
        """
        earlier = facts.decided.get((decision.body.audience, copy.leaf))
        if not earlier:
            return False
        n = verified.envelope.n
        now = _binding([*verified.hops, decision.body], decision.body.minute)
        chains = {c.chain: c for c in facts.copies[copy.leaf]}
        for row in earlier:
            before = parse_body(row.body, n)
            if before.mask_out != decision.body.mask_out or before.tlp is not decision.body.tlp:
                continue
            along = chains.get(row.chain)
            opened = self._opened.open(along, setting, now_ms) if along is not None else None
            hops = opened.hops if opened is not None else ()
            if along is not None and opened is None:
                continue
            if _binding([*hops, before], decision.body.minute) == now:
                return True
        return False

    async def _seal(
        self, due: Due, report: Report, verified: Verified, decision: Decision, box: Outbox, now_ms: int
    ) -> Decided:
        """Sign the hop, withhold what it does not let through, and put the exact bytes into the outbox."""
        n = verified.envelope.n
        body = encode_body(decision.body, n)
        signature = await self._signer.sign(KeyUse.RELAY, pae(HOP_TYPE, body))
        hop = Hop(body, self._signer.key_id(KeyUse.RELAY), signature)
        envelope = with_hop(withhold(verified.envelope, decision.body.mask_out), hop)
        item = Item(frame_envelope(envelope), key=report.incident.hex().encode(), leaf=report.leaf)
        row = box.envelope(item)
        return Decided(
            audience=due.audience,
            leaf=report.leaf,
            hop=hop_hash(hop),
            origin=report.origin,
            incident=report.incident,
            chain=verified.chain,
            body=body,
            mask=mask_bytes(decision.body.mask_out, n),
            cause=due.cause,
            epoch=row.epoch,
            seq=row.seq,
            decided_ms=now_ms,
        )


def _binding(hops: Iterable[HopBody], minute: int) -> dict[tuple[AudienceKind, int], int]:
    """(kind, slot) → the minute before which it may not go on, over a chain, as far as it still binds."""
    until: dict[tuple[AudienceKind, int], int] = {}
    for hop in hops:
        for limit in hop.limits:
            if limit.until > minute:
                for slot in range(limit.slots.bit_length()):
                    if limit.slots >> slot & 1:
                        key = (limit.kind, slot)
                        until[key] = max(until.get(key, 0), limit.until)
    return until
