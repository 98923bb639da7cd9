"""Leases: which process reads a source, and which writes a stream (design 2).

A lease outlives the producer's delivery timeout, so that a process that lost it can no longer be sending.
"""

from __future__ import annotations

import dataclasses

from tocsin.flow.ports import Store
from tocsin.flow.rows import Outlet, Source

LEASE_MS = 60_000
"""Longer than a write and a close may take (45 s); renewed every third of it."""


async def claim_source(store: Store, topic: str, me: str, now_ms: int) -> Source | None:
    """Hold a source, new or renewed; None while another process holds it."""
    async with store.begin() as tx:
        found = (await tx.get(Source, [(topic,)])).get((topic,))
        if found is None:
            found = Source(topic, -1, "", me, now_ms + LEASE_MS)
            await tx.add([found])
            return found
        if not _free(found, me, now_ms):
            return None
        held = dataclasses.replace(found, holder=me, until_ms=now_ms + LEASE_MS)
        await tx.swap(held, expect={"holder": found.holder, "until_ms": found.until_ms})
        return held


async def claim_outlet(store: Store, topic: str, me: str, now_ms: int) -> bool:
    """Hold a stream that exists; False while another process holds it. A stream that does not exist is recover's."""
    async with store.begin() as tx:
        found = (await tx.get(Outlet, [(topic,)])).get((topic,))
        if found is None:
            return True
        if not _free(found, me, now_ms):
            return False
        held = dataclasses.replace(found, holder=me, until_ms=now_ms + LEASE_MS)
        await tx.swap(held, expect={"holder": found.holder, "until_ms": found.until_ms})
        return True


async def is_held_elsewhere(store: Store, topic: str, me: str, now_ms: int) -> bool:
    """Whether another process holds a stream now."""
    async with store.begin() as tx:
        found = (await tx.get(Outlet, [(topic,)])).get((topic,))
    return found is not None and not _free(found, me, now_ms)


def _free(row: Source | Outlet, me: str, now_ms: int) -> bool:
    return row.holder in {me, ""} or row.until_ms <= now_ms
