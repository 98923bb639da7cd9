"""What is owed: a decision on every report for every audience, and a correction to whoever was told."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.flow.ports import Tx
from tocsin.flow.rows import Decided, Due, Report
from tocsin.wire.header import Header


async def told(tx: Tx, retractions: Iterable[Header | Report]) -> dict[tuple[str, bytes], set[str]]:
    """Who was sent some revision of these incidents, whatever the policies name today: a correction is owed to them."""
    found: dict[tuple[str, bytes], set[str]] = {}
    for header in retractions:
        for row in await tx.find(Decided, {"origin": header.origin, "incident": header.incident}):
            found.setdefault((header.origin, header.incident), set()).add(row.audience)
    return found


def owe(leaves: Iterable[bytes], audiences: Iterable[str], now_ms: int, cause: str) -> list[Due]:
    """Decisions that are owed at once: every report to every audience."""
    named = sorted(audiences)
    return [Due(leaf, audience, now_ms // 60_000, cause, now_ms) for leaf in leaves for audience in named]
