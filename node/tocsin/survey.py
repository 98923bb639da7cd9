"""What the store says to an operator, read every few seconds beside the work, never by who draws a page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tocsin.flow.ports import Between, Store, Tx
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rows import OPEN, Hold, Outgoing, Outlet, Quarantined, Source, Submission
from tocsin.flow.setting import Setting, minute_up
from tocsin.metrics import Snapshot, SourceGauges
from tocsin.wire.keys import KeyUse


async def survey(
    store: Store, setting: Setting, inlets: Iterable[Inlet], now_ms: int, since_ms: int, keys: Mapping[KeyUse, int]
) -> Snapshot:
    """One look. `since_ms` is when this node began to wait for heads; `keys` are the ends of its own keys."""
    async with store.begin() as tx:
        waiting, oldest_ms = await _outbox(tx, now_ms)
        sources = {inlet.party: await _source(tx, inlet, now_ms, since_ms) for inlet in inlets if _counts(inlet)}
        return Snapshot(
            outbox_rows=waiting,
            outbox_oldest_s=(now_ms - oldest_ms) / 1000,
            sources=sources,
            holds_open=await tx.count(Hold, {"state": OPEN}),
            holds_overdue=await tx.count(Hold, {"state": OPEN, "due_ms": Between(high=now_ms)}),
            submissions_waiting=await tx.count(Submission, {"state": "NEW"}),
            key_not_after_ms=keys,
            unknown_audiences=len(setting.strangers()),
            unserved_schemas=len(setting.unserved(minute_up(now_ms))),
        )


def _counts(inlet: Inlet) -> bool:
    return inlet.kind is not InletKind.INFO


async def _outbox(tx: Tx, now_ms: int) -> tuple[int, int]:
    """Rows not acknowledged, and when the oldest of them was sealed (now, where there is none)."""
    rows, oldest = 0, now_ms
    for outlet in await tx.find(Outlet, {}):
        if outlet.rows > outlet.acked:
            rows += outlet.rows - outlet.acked
            first = (outlet.topic, outlet.acked + 1)
            found = await tx.get(Outgoing, [first])
            oldest = min(oldest, found[first].sealed_ms if first in found else now_ms)
    return rows, oldest


async def _source(tx: Tx, inlet: Inlet, now_ms: int, since_ms: int) -> SourceGauges:
    stream = (await tx.get(Source, [(inlet.topic,)])).get((inlet.topic,))
    open_ranges = len(json.loads(stream.stream)["open"]) if stream is not None and stream.stream else 0
    age_s = None
    if inlet.kind is InletKind.STREAM:
        age_s = (now_ms - max(since_ms, stream.head_ms if stream is not None else 0)) / 1000
    unkept = await tx.find(
        Quarantined, {"topic": inlet.topic, "state": "HELD", "kept": False}, order=("at_ms",), limit=1
    )
    return SourceGauges(
        head_age_s=age_s,
        open_ranges=open_ranges,
        quarantine_rows=await tx.count(Quarantined, {"topic": inlet.topic, "state": "HELD"}),
        unkept_age_s=(now_ms - unkept[0].at_ms) / 1000 if unkept else 0.0,
    )
