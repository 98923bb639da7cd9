"""Recover: compare the store with the node's own topics before anything is signed, so that a node never equivocates.

A store may be older than its topics (a restored backup, a failed-over replica): what the node itself signed is then
read back. A topic may be older than its store, or gone: the sealed rows are sent again, same epoch. Only where both
have lost the stream does a new epoch begin (protocol section 4, design 2).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum

from tocsin.flow import topics
from tocsin.flow.admit import report_row
from tocsin.flow.leases import LEASE_MS
from tocsin.flow.outbox import Item, Outbox, Remembered, new_outlet, require_one_store
from tocsin.flow.ports import Clock, Reader, Record, Signer, Store, Tx
from tocsin.flow.rows import Copy, Decided, Outgoing, Outlet, Report, Submission
from tocsin.flow.send import SKEW_STOP_MS
from tocsin.flow.setting import Setting
from tocsin.flow.shown import Shown, agrees, chains, is_ahead, repeats
from tocsin.flow.tell import seal_head
from tocsin.wire.envelope import Envelope, read_envelope
from tocsin.wire.header import Header
from tocsin.wire.hop import HOP_TYPE, parse_body
from tocsin.wire.keys import KeyUse, pae, verify_signature
from tocsin.wire.reasons import Refused
from tocsin.wire.slots import mask_bytes
from tocsin.wire.statement import Receipt, StreamHead, VerifiedStatement, is_statement, verify_statement
from tocsin.wire.stream import decode_hint, next_head

FIRST_LOOK = 1_000
"""Records of the tail that are read first; four times as many until they begin before the store's last word."""
FETCH_S = 5.0


class Recovered(StrEnum):
    """What the comparison of store and topic found."""

    NEW = "NEW"  # neither knows the stream: its first epoch begins
    EQUAL = "EQUAL"  # the topic shows nothing that the store does not know
    BEHIND = "BEHIND"  # the topic lost what was acknowledged: the sealed rows are sent again
    AHEAD = "AHEAD"  # the store was older: the node's own records were read back
    LOST = "LOST"  # neither can be continued: a new epoch begins, and an alarm is due


class Recover:
    """Makes one stream of the node fit to be signed again."""

    def __init__(
        self,
        setting: Callable[[], Setting],
        store: Store,
        signer: Signer,
        clock: Clock,
        me: str,
        remembered: Remembered,
        reader: Callable[[str], Reader],
    ) -> None:
        """`reader` builds a reader of one of the node's own topics; `me` names this process in leases."""
        self._setting = setting
        self._store = store
        self._signer = signer
        self._clock = clock
        self._me = me
        self._remembered = remembered
        self._reader = reader

    async def stream(self, audience: str) -> Recovered:
        """Compare and mend one stream; afterwards this process may sign it. `AdapterError` where it cannot look."""
        setting = self._setting()
        topic = topics.stream(setting.node, audience)
        async with self._store.begin() as tx:
            outlet = (await tx.get(Outlet, [(topic,)])).get((topic,))
        # 1. Look at the tail of the topic; only what verifies under our own keys counts.
        shown = await self._look(setting, topic, audience, outlet)
        async with self._store.begin() as tx:
            await require_one_store(tx, outlet)
            await _forget_repeats(tx, audience, outlet, shown)
            # 2. Neither knows the stream.
            top = shown.top()
            if outlet is None and top is None:
                await self._begin(tx, setting.node, topic, audience, after=0)
                found = Recovered.NEW
            # 3. The topic is ahead, or the only one that knows: continue from its last head and what follows it.
            elif top is not None and (outlet is None or is_ahead(shown, top, outlet)):
                found = await self._read_back(tx, setting, topic, audience, outlet, shown, top)
            # 4. The store knows all that the topic shows; is what was acknowledged still there?
            else:
                assert outlet is not None  # noqa: S101 - of (2) and (3)
                found = await self._send_again(tx, outlet, shown)
            mended = (await tx.get(Outlet, [(topic,)]))[topic,]
        # From here on a store that falls behind is noticed, even before this process has sealed anything.
        self._remembered.forget(topic)
        self._remembered.keep(mended)
        return found

    async def require_topic(self, audience: str) -> None:
        """`TopicMissing` where there is no topic for that stream yet, and any other `AdapterError` that says why."""
        reader = self._reader(topics.stream(self._setting().node, audience))
        try:
            await reader.open(None)
        finally:
            await reader.close()

    async def receipts(self, lab: str) -> int:
        """Read back which submissions were issued, as the node itself told the lab; returns how many were news.

        Without it, a restored store would offer its officers the same submissions again. Streams are recovered first:
        what was sent to anybody is known by then.
        """
        setting, now_ms = self._setting(), self._clock()
        told: list[Receipt] = []

        def take(record: Record) -> None:
            statement = verify_statement(record.value, setting.trust, now_ms, None)
            body = statement.body if isinstance(statement, VerifiedStatement) else None
            if isinstance(body, Receipt) and (body.node, body.lab, body.decision) == (setting.node, lab, "ISSUED"):
                told.append(body)

        await self._tail(topics.receipts(setting.node, lab), take, told.clear)
        async with self._store.begin() as tx:
            held = await tx.get(Submission, sorted({(r.leaf,) for r in told}))
            issued = await tx.get(Report, sorted({(r.report,) for r in told if r.report}))
            # A report that the store lost and no reader was ever sent is gone: it is to be issued again.
            last = {r.leaf: r for r in told if r.report is None or (r.report,) in issued}
            rows = [_as_told(held.get((leaf,)), receipt) for leaf, receipt in last.items()]
            rows = [row for row in rows if row != held.get(row.key())]
            await tx.put(rows)
        return len(rows)

    async def _look(self, setting: Setting, topic: str, audience: str, outlet: Outlet | None) -> Shown:
        shown = Shown()

        here = (outlet.epoch, outlet.seq) if outlet is not None else (-1, -1)

        def take(record: Record) -> None:
            self._show(setting, audience, record.value, dict(record.headers).get("tocsin-seq"), here, shown)

        await self._tail(topic, take, shown.clear)
        return shown

    async def _tail(self, topic: str, take: Callable[[Record], None], clear: Callable[[], None]) -> None:
        """Give `take` the tail of one of our topics, back to before the store's last word on it, or all of it.

        What the store does not know was sealed after the last thing that it knows, and appended later still; the clocks
        of node and broker are at most four minutes apart while anything is signed. No record shows as much: an old one
        may stand anywhere again, since what is in doubt is sent again, and others can repeat it.

        A wider look reads the narrower one's records again: at most a third more in all. Keeping them instead, until
        the older ones are before them, would be a whole topic in memory.
        """
        enough_ms = await self._last_word_ms(topic) - SKEW_STOP_MS
        reader, window = self._reader(topic), FIRST_LOOK
        try:
            await reader.open(None)
            first = await reader.position()
            while True:
                clear()
                first_ms = -1
                end = await reader.end()
                start = max(first, end - window)
                if start != await reader.position():
                    await reader.open(start)
                while await reader.position() < end:
                    for record in await reader.fetch(500, FETCH_S):
                        first_ms = record.timestamp_ms if first_ms < 0 else first_ms
                        take(record)
                if start == first or 0 <= first_ms < enough_ms:
                    return
                window *= 4
        finally:
            await reader.close()

    async def _last_word_ms(self, topic: str) -> int:
        """When the store sealed the last that it knows of a topic; 0 where it knows of nothing."""
        async with self._store.begin() as tx:
            outlet = (await tx.get(Outlet, [(topic,)])).get((topic,))
            sealed = await tx.get(Outgoing, [(topic, outlet.rows)]) if outlet is not None else {}
        return min((row.sealed_ms for row in sealed.values()), default=0)

    def _show(
        self, setting: Setting, audience: str, value: bytes, hint: bytes | None, here: tuple[int, int], shown: Shown
    ) -> None:
        digest = hashlib.sha256(value).digest()
        if is_statement(value):
            place = (setting.node, audience)
            statement = verify_statement(value, setting.trust, self._clock(), place)
            if isinstance(statement, VerifiedStatement) and isinstance(statement.body, StreamHead):
                shown.heads.append(statement.body)
                shown.places[digest] = (statement.body.epoch, statement.body.seq)
            return
        at = decode_hint(hint)
        if at is None or repeats(shown.places.get(digest), at):
            return
        if at <= here:  # the store's business: it is neither checked nor kept here
            shown.places.setdefault(digest, at)
        elif own_envelope(value, setting, audience) is not None:
            shown.envelopes.setdefault(at, value)
            shown.places.setdefault(digest, at)

    async def _begin(self, tx: Tx, node: str, topic: str, audience: str, *, after: int) -> Outlet:
        """Begin an epoch: the Unix second, greater than any that is known; its head of seq 0 is sealed at once."""
        now_ms = self._clock()
        outlet = new_outlet(topic, node, audience, max(now_ms // 1000, after + 1), self._me, now_ms + LEASE_MS)
        await tx.add([outlet])
        return await seal_head(tx, self._signer, node, outlet, now_ms)

    async def _read_back(
        self,
        tx: Tx,
        setting: Setting,
        topic: str,
        audience: str,
        outlet: Outlet | None,
        shown: Shown,
        top: StreamHead,
    ) -> Recovered:
        now_ms = self._clock()
        # The later of the store's place and the last signed head is the base. Records after it follow by their hints,
        # without a hole; or they are not ours to continue: what we cannot send again with the same bytes is lost.
        known = outlet is not None and (outlet.epoch, outlet.seq) >= (top.epoch, top.seq)
        seq, head = (outlet.seq, outlet.head) if outlet is not None and known else (top.seq, top.head)
        whole = agrees(outlet, shown) if outlet is not None and known else chains(outlet, shown, top)
        while (top.epoch, seq + 1) in shown.envelopes:
            seq += 1
            head = next_head(head, seq, shown.envelopes[top.epoch, seq])
        if not whole or any(epoch == top.epoch and at > seq for epoch, at in shown.envelopes):
            await self._new_epoch(tx, setting.node, topic, audience, outlet, top.epoch)
            return Recovered.LOST
        same = outlet is not None and outlet.epoch == top.epoch
        after = outlet.seq if outlet is not None and same else 0
        until_ms = now_ms + LEASE_MS
        base = outlet or new_outlet(topic, setting.node, audience, top.epoch, self._me, until_ms)
        if outlet is None:
            await tx.add([base])
        rows = [
            Outgoing(topic, base.rows + i, top.epoch, at, False, b"", value, b"", now_ms)
            for i, (at, value) in enumerate(
                ((at, v) for (epoch, at), v in sorted(shown.envelopes.items()) if epoch == top.epoch and at > after),
                start=1,
            )
        ]
        rows = [await self._known_again(tx, setting, audience, row, now_ms) for row in rows]
        await tx.add(rows)
        # What was read back is in the topic; what the older store had sealed and not acknowledged goes out again.
        total = base.rows + len(rows)
        acked = total if base.acked == base.rows else base.acked
        moved = dataclasses.replace(
            base,
            epoch=top.epoch,
            seq=seq,
            head=head,
            rows=total,
            acked=acked,
            headed=max(top.seq, base.headed) if same else top.seq,
            headed_ms=now_ms,
            holder=self._me,
            until_ms=until_ms,
        )
        await tx.swap(moved, expect={"rows": base.rows, "seq": base.seq, "holder": base.holder})
        return Recovered.AHEAD

    async def _known_again(self, tx: Tx, setting: Setting, audience: str, row: Outgoing, now_ms: int) -> Outgoing:
        """A record of ours, its report, its decision: what was decided once is not decided again."""
        found = own_envelope(row.value, setting, audience)
        assert found is not None  # noqa: S101 - `_show` took only these
        envelope, header = found
        leaf, last = envelope.leaf, envelope.hops[-1]
        before = envelope.hops[-2].hash if len(envelope.hops) > 1 else b""
        mask = mask_bytes(envelope.mask, envelope.n)
        if not await tx.get(Report, [(leaf,)]):
            await tx.add([report_row(leaf, header, now_ms)])
        await tx.put([Copy(leaf, last.hash, setting.node, mask, row.value, now_ms)])
        decided = Decided(
            audience=audience,
            leaf=leaf,
            hop=last.hash,
            origin=header.origin,
            incident=header.incident,
            chain=before,
            body=last.body,
            mask=mask,
            cause="RECOVERED",
            epoch=row.epoch,
            seq=row.seq,
            decided_ms=now_ms,
        )
        await tx.put([decided])
        return dataclasses.replace(row, record_key=header.incident.hex().encode(), leaf=leaf)

    async def _send_again(self, tx: Tx, outlet: Outlet, shown: Shown) -> Recovered:
        """Is the last acknowledged row still in the topic? If not, every sealed row that is held goes out again."""
        last = (await tx.get(Outgoing, [(outlet.topic, outlet.acked)])).get((outlet.topic, outlet.acked))
        if last is None or hashlib.sha256(last.value).digest() in shown.places:
            return Recovered.EQUAL
        [oldest] = await tx.find(Outgoing, {"topic": outlet.topic}, order=("row",), limit=1)
        mended = dataclasses.replace(outlet, acked=oldest.row - 1)
        await tx.swap(mended, expect={"rows": outlet.rows, "holder": outlet.holder})
        return Recovered.BEHIND

    async def _new_epoch(self, tx: Tx, node: str, topic: str, audience: str, outlet: Outlet | None, known: int) -> None:
        """Both sides lost it: a new epoch, which first says again, in order, every envelope that is still held."""
        now_ms = self._clock()
        held: Sequence[Outgoing] = []
        if outlet is None:
            began = await self._begin(tx, node, topic, audience, after=known)
        else:
            held = await tx.find(Outgoing, {"topic": topic, "statement": False}, order=("row",))
            fresh = new_outlet(topic, node, audience, max(now_ms // 1000, known + 1), self._me, now_ms + LEASE_MS)
            began = dataclasses.replace(fresh, rows=outlet.rows, acked=outlet.rows)
            await tx.swap(began, expect={"rows": outlet.rows, "holder": outlet.holder})
            began = await seal_head(tx, self._signer, node, began, now_ms)
        outbox, said = Outbox(began, now_ms), set()
        for row in held:
            if row.value not in said:
                said.add(row.value)
                outbox.envelope(Item(row.value, row.record_key, row.leaf))
        await outbox.close(tx)


def _as_told(held: Submission | None, receipt: Receipt) -> Submission:
    """The submission as the receipt says; one that the store knows to be ISSUED keeps its own words, and is told."""
    if held is not None and held.state == "ISSUED":
        return dataclasses.replace(held, told=held.told or receipt.report in {None, held.report})
    report = receipt.report or b""
    of = receipt.leaf, receipt.lab, receipt.record
    return Submission(*of, "ISSUED", receipt.time_ms, report, told=True, basis=receipt.reason)


def own_envelope(value: bytes, setting: Setting, audience: str) -> tuple[Envelope, Header] | None:
    """The envelope, if its last hop is this node's own, to this audience, and verifies under its own relay key."""
    try:
        envelope, header = read_envelope(value)
        last = parse_body(envelope.hops[-1].body, envelope.n) if envelope.hops else None
    except Refused:
        return None
    if last is None or (last.releaser, last.audience) != (setting.node, audience):
        return None
    hop = envelope.hops[-1]
    key = setting.trust.key(setting.node, hop.key_id, KeyUse.RELAY)
    if key is None or not verify_signature(key.public, pae(HOP_TYPE, hop.body), hop.signature):
        return None
    return envelope, header


async def _forget_repeats(tx: Tx, audience: str, outlet: Outlet | None, shown: Shown) -> None:
    """Of what stands beyond the store's place, forget what was sealed before it: it is a repeat under a false hint."""
    for at in [at for at in shown.envelopes if outlet is not None and at > (outlet.epoch, outlet.seq)]:
        envelope, _ = read_envelope(shown.envelopes[at])
        decided = await tx.find(Decided, {"audience": audience, "leaf": envelope.leaf})
        if any(row.hop == envelope.hops[-1].hash and repeats((row.epoch, row.seq), at) for row in decided):
            del shown.envelopes[at]
