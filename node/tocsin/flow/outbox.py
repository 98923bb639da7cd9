"""The outbox: exact bytes put away, in order, before the first of them is sent (protocol section 4, design 2)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tocsin.errors import AdapterError, StoreDamaged
from tocsin.flow.ports import Outbound, Tx
from tocsin.flow.rows import Outgoing, Outlet
from tocsin.wire.envelope import REPORT_TYPE
from tocsin.wire.stream import encode_hint, head_zero, next_head

CONTENT_TYPE = b"application/vnd.apache.avro+binary"
STATEMENT_EVENT = "application/vnd.tocsin.statement.v1+avro"


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be sealed: framed bytes, the Kafka key, and the leaf of the report (empty for a statement)."""

    framed: bytes
    key: bytes
    leaf: bytes = b""


class StoreBehind(AdapterError):
    """The store lost what this process has sealed (a restored backup, a failed-over replica): recover first."""


class Remembered:
    """The highest (epoch, seq, head) per stream that this process has sealed, so that it never signs a second one."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int, bytes]] = {}

    def check(self, outlet: Outlet) -> None:
        """`StoreBehind` if the store is behind what was sealed here, or shows another head for it."""
        epoch, seq, head = self._last.get(outlet.topic, (0, 0, b""))
        behind = (outlet.epoch, outlet.seq) < (epoch, seq)
        other = (outlet.epoch, outlet.seq) == (epoch, seq) and outlet.head != head
        if behind or other:
            raise StoreBehind(
                f"the store knows seq {outlet.seq} of epoch {outlet.epoch}, but {seq} of {epoch} is sealed",
                place=outlet.topic,
                remedy="The node reads its own topic back before it signs again; see `recover` in the handbook.",
            )

    def keep(self, outlet: Outlet) -> None:
        """Call when the transaction that sealed is durable."""
        self._last[outlet.topic] = (outlet.epoch, outlet.seq, outlet.head)

    def forget(self, topic: str) -> None:
        """Call when `recover` has compared store and topic."""
        self._last.pop(topic, None)


class Outbox:
    """Appends to one outlet within one transaction; `close` writes rows and the outlet's new state together."""

    def __init__(self, outlet: Outlet, now_ms: int) -> None:
        """`outlet` as the transaction read it."""
        self._read = outlet
        self.outlet = outlet
        self._now_ms = now_ms
        self._rows: list[Outgoing] = []

    def envelope(self, item: Item) -> Outgoing:
        """Give an envelope its seq and chain it into the stream's head."""
        seq = self.outlet.seq + 1
        head = next_head(self.outlet.head, seq, item.framed)
        return self._append(dataclasses.replace(self.outlet, rows=self.outlet.rows + 1, seq=seq, head=head), item, seq)

    def statement(self, item: Item, *, seq: int = 0) -> Outgoing:
        """Put a signed statement in its place; `seq` is the stream head's own."""
        return self._append(dataclasses.replace(self.outlet, rows=self.outlet.rows + 1), item, seq, statement=True)

    def mark(self) -> tuple[Outlet, int]:
        """Where the box stands, for `back`."""
        return self.outlet, len(self._rows)

    def back(self, mark: tuple[Outlet, int]) -> None:
        """Take out what was put in since `mark`; nothing of it was written yet."""
        self.outlet, kept = mark
        del self._rows[kept:]

    def headed(self, seq: int) -> None:
        """Remember that a head for `seq` is sealed."""
        self.outlet = dataclasses.replace(self.outlet, headed=seq, headed_ms=self._now_ms)

    def _append(self, moved: Outlet, item: Item, seq: int, *, statement: bool = False) -> Outgoing:
        self.outlet = moved
        sealed = Outgoing(
            topic=moved.topic,
            row=moved.rows,
            epoch=moved.epoch,
            seq=seq,
            statement=statement,
            record_key=item.key,
            value=item.framed,
            leaf=item.leaf,
            sealed_ms=self._now_ms,
        )
        self._rows.append(sealed)
        return sealed

    async def close(self, tx: Tx) -> None:
        """Write the sealed rows; `LeaseLost` if anybody else sealed, or holds the outlet, in between."""
        if self.outlet == self._read:
            return
        await tx.add(self._rows)
        expect = {"rows": self._read.rows, "holder": self._read.holder, "seq": self._read.seq}
        await tx.swap(self.outlet, expect=expect)


def new_outlet(topic: str, node: str, audience: str, epoch: int, holder: str, until_ms: int) -> Outlet:
    """An outlet before its first row; a stream (an audience is named) begins at its epoch's head zero."""
    head = head_zero(node, audience, epoch) if audience else b""
    return Outlet(topic, audience, epoch, 0, head, 0, 0, -1, 0, holder, until_ms)


def outbound(row: Outgoing) -> Outbound:
    """The record that carries a sealed row. Headers are unsigned hints (protocol section 8): CloudEvents, binary mode."""
    kind = STATEMENT_EVENT if row.statement else REPORT_TYPE
    headers: list[tuple[str, bytes]] = [
        ("content-type", CONTENT_TYPE),
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{row.topic}/{row.row}".encode()),
        ("ce_source", f"/tocsin/{row.topic.split('.')[1]}".encode()),
        ("ce_type", kind.encode()),
    ]
    if row.seq and not row.statement:
        headers.append(("tocsin-seq", encode_hint(row.epoch, row.seq)))
    return Outbound(row.topic, row.record_key, row.value, tuple(headers))


async def require_one_store(tx: Tx, outlet: Outlet | None) -> None:
    """The last row that was sealed and the last that was acknowledged are there, or parts of two stores were mixed."""
    keys = {(outlet.topic, row) for row in (outlet.acked, outlet.rows) if row} if outlet is not None else set()
    if outlet is not None and len(await tx.get(Outgoing, sorted(keys))) < len(keys):
        raise StoreDamaged(
            "the store contradicts itself: what it says was sealed last is not in it",
            place=outlet.topic,
            remedy="It is damaged, or mixed with another one: stop the node and restore a backup",
        )
