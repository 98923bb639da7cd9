"""`tocsin peer status`: how far each peer's stream was read, and what is missing between its signed heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.cli.node import at_the_desk, in_one
from tocsin.cli.output import command, now_ms, rows
from tocsin.flow import topics
from tocsin.flow.rows import Quarantined, Source
from tocsin.wire.stream import StreamState

if TYPE_CHECKING:
    from tocsin.flow.ports import Tx


@command
async def peer_status() -> None:
    """Show where each peer's stream stands: position, missing ranges, last signed head, quarantine."""
    async with at_the_desk() as desk:
        node = desk.config.node.id

        async def look(tx: Tx) -> list[dict[str, Any]]:
            return [await _row(tx, peer.id, node) for peer in desk.config.peers]

        found = await in_one(desk.store, look)
    rows(found, empty="no peers; `tocsin peer add RECORD --bootstrap HOST:PORT` adds one")


async def _row(tx: Tx, peer: str, node: str) -> dict[str, Any]:
    topic = topics.stream(peer, node)
    source = (await tx.get(Source, [(topic,)])).get((topic,))
    state = StreamState.from_json(source.stream if source else "", peer, node)
    at = state.position
    return {
        "id": peer,
        "epoch": at.epoch if at else None,
        "seq": at.seq if at else None,
        # What `tocsin resend` takes, for the peer's officer to type.
        "missing": [f"{gap.first} {gap.last}" for gap in state.open] or "nothing",
        "head_age_s": (now_ms() - source.head_ms) // 1000 if source and source.head_ms else None,
        "failures": source.failures if source else 0,
        "quarantine": await tx.count(Quarantined, {"topic": [topic, topics.info(peer)], "state": "HELD"}),
    }
