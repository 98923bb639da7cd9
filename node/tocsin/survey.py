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
        read = {inlet.topic: inlet for inlet in inlets}
        known = {source.topic: source for source in await tx.find(Source, {})}
        sources = [
            await _source(tx, topic, read.get(topic), known.get(topic), now_ms, since_ms) for topic in read | known
        ]
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


async def _source(
    tx: Tx, topic: str, inlet: Inlet | None, source: Source | None, now_ms: int, since_ms: int
) -> tuple[str, SourceGauges]:
    """One topic that is read, or was once: what rests of it waits for an officer all the same."""
    open_ranges, age_s = 0, None
    if inlet is not None and inlet.kind is InletKind.STREAM:
        open_ranges = len(json.loads(source.stream)["open"]) if source is not None and source.stream else 0
        age_s = (now_ms - max(since_ms, source.head_ms if source is not None else 0)) / 1000
    held = {"topic": topic, "state": "HELD"}
    unkept = await tx.find(Quarantined, {**held, "kept": False}, order=("at_ms",), limit=1)
    return inlet.party if inlet is not None else "", SourceGauges(
        head_age_s=age_s,
        open_ranges=open_ranges,
        quarantine_rows=await tx.count(Quarantined, held),
        unkept_age_s=(now_ms - unkept[0].at_ms) / 1000 if unkept else 0.0,
    )
