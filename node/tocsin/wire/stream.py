"""The reader's side of a stream: whether what arrived is complete and in order (protocol section 4).

A pure state machine. What it finds are notes; none of them refuses content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from tocsin.wire.reasons import Note

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_NOTED = 65_536
"""Noted hashes of one stream: what a reader keeps while heads are missing, about 4 MB."""
MAX_OPEN = 1_024
"""Open ranges of one stream: about 200 kB as JSON, which every batch reads and writes."""
_HINT_BYTES = 16
_HINT_LIMIT = 2**63


def head_zero(releaser: str, audience: str, epoch: int) -> bytes:
    """The head with which an epoch begins; ValueError for names of more than 255 bytes."""
    names = (releaser.encode(), audience.encode())
    if any(len(name) > 0xFF for name in names):
        raise ValueError("a name of more than 255 bytes has no stream")
    framed = b"".join(bytes((len(name),)) + name for name in names)
    return sha256(b"tocsin/stream/v1\0" + framed + epoch.to_bytes(8, "big")).digest()


def next_head(head: bytes, seq: int, framed: bytes) -> bytes:
    """The head after record `seq`, from the head before it and the record's framed bytes."""
    return _chain(head, seq, sha256(framed).digest())


def encode_hint(epoch: int, seq: int) -> bytes:
    """The Kafka header `tocsin-seq`."""
    return epoch.to_bytes(8, "big") + seq.to_bytes(8, "big")


def decode_hint(raw: bytes | None) -> tuple[int, int] | None:
    """(epoch, seq) of the Kafka header `tocsin-seq`; None where there is none."""
    if raw is None or len(raw) != _HINT_BYTES:
        return None
    epoch, seq = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
    return (epoch, seq) if epoch < _HINT_LIMIT and seq < _HINT_LIMIT else None


@dataclass(frozen=True, slots=True)
class StreamHead:
    """Where a stream stands after record `seq` of its epoch."""

    releaser: str
    audience: str
    epoch: int
    seq: int
    head: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class Position:
    """The last signed head that was taken."""

    epoch: int
    seq: int
    head: bytes


@dataclass(frozen=True, slots=True)
class OpenRange:
    """Records `first` to `last` of an epoch, between two signed heads that what arrived does not connect.

    `noted` maps seq to the SHA-256 of the last record that arrived for it.
    """

    epoch: int
    first: int
    last: int
    lower: bytes
    upper: bytes
    noted: dict[int, bytes]

    def connected(self) -> bool:
        """Whether the noted hashes chain from the lower head to the upper one."""
        if len(self.noted) != self.last - self.first + 1:
            return False
        head = self.lower
        for seq in range(self.first, self.last + 1):
            head = _chain(head, seq, self.noted[seq])
        return head == self.upper


@dataclass(slots=True)
class StreamState:
    """What a reader remembers of one stream. `take_record` and `take_head` change it in place.

    `ahead` maps the seqs after the position, in its epoch, to the SHA-256 of the last record that arrived for each;
    together with those in the open ranges these are the protocol's noted hashes. `open` is in the order in which the
    ranges arose. The heads that were shown are not in here: they only grow, and their keeper gives `take_head` the one
    that it needs.
    """

    releaser: str
    audience: str
    position: Position | None = None
    ahead: dict[int, bytes] = field(default_factory=dict)
    open: list[OpenRange] = field(default_factory=list)

    @classmethod
    def empty(cls, releaser: str, audience: str) -> StreamState:
        """A reader that was shown nothing yet."""
        return cls(releaser, audience)

    def copy(self) -> StreamState:
        """A state of its own, for work that may be rolled back."""
        opened = [replace(gap, noted=dict(gap.noted)) for gap in self.open]
        return replace(self, ahead=dict(self.ahead), open=opened)

    def to_json(self) -> str:
        """The state as JSON text, without the names of the stream."""
        at = self.position
        return json.dumps(
            {
                "position": at and [at.epoch, at.seq, at.head.hex()],
                "ahead": _hex(self.ahead),
                "open": [
                    [gap.epoch, gap.first, gap.last, gap.lower.hex(), gap.upper.hex(), _hex(gap.noted)]
                    for gap in self.open
                ],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str, releaser: str, audience: str) -> StreamState:
        """The state that `to_json` wrote; empty text is an empty state."""
        state = cls(releaser, audience)
        if not text:
            return state
        kept = json.loads(text)
        if kept["position"]:
            epoch, seq, head = kept["position"]
            state.position = Position(epoch, seq, bytes.fromhex(head))
        state.ahead = _unhex(kept["ahead"])
        state.open = [
            OpenRange(epoch, first, last, bytes.fromhex(lower), bytes.fromhex(upper), _unhex(noted))
            for epoch, first, last, lower, upper, noted in kept["open"]
        ]
        return state


def take_record(state: StreamState, framed: bytes, hint: tuple[int, int] | None) -> tuple[StreamState, list[Note]]:
    """Note a record that is not framed as a statement, under its hint, whatever its verdict; HEALED where it closes a gap.

    The same state comes back, changed.
    """
    at = state.position
    if hint is None or at is None:
        return state, []
    epoch, seq = hint
    if epoch == at.epoch and seq > at.seq:
        _note(state, state.ahead, seq, framed)
        return state, []
    for gap in state.open:
        if gap.epoch == epoch and gap.first <= seq <= gap.last:
            if _note(state, gap.noted, seq, framed) and gap.connected():
                state.open.remove(gap)
                return state, [Note.HEALED]
            break  # ranges do not overlap
    return state, []


def take_head(state: StreamState, head: StreamHead, first: bytes | None = None) -> tuple[StreamState, list[Note]]:
    """Take a valid StreamHead of this stream. `first` is the head that was shown first for its (epoch, seq), if any.

    The same state comes back, changed. The caller keeps every head that differs from `first`, as evidence.
    """
    if first is not None and first != head.head:
        return state, [Note.FORK]
    at = state.position
    if at is None:
        state.position = Position(head.epoch, head.seq, head.head)
        return state, []
    notes = []
    if head.epoch > at.epoch:
        notes.append(Note.EPOCH)
        at = state.position = Position(head.epoch, 0, head_zero(state.releaser, state.audience, head.epoch))
        state.ahead = {}
    if head.epoch == at.epoch and head.seq > at.seq:
        notes += _advance(state, at, head)
    return state, notes


def _advance(state: StreamState, at: Position, head: StreamHead) -> list[Note]:
    """Move the position to a later head of its epoch; what does not chain to it becomes an open range."""
    between = {seq: noted for seq, noted in state.ahead.items() if seq <= head.seq}
    state.ahead = {seq: noted for seq, noted in state.ahead.items() if seq > head.seq}
    state.position = Position(head.epoch, head.seq, head.head)
    gap = OpenRange(head.epoch, at.seq + 1, head.seq, at.head, head.head, between)
    if gap.connected():
        return []
    if len(state.open) < MAX_OPEN:
        state.open.append(gap)
    return [Note.MISMATCH if len(between) == head.seq - at.seq else Note.GAP]


def _note(state: StreamState, noted: dict[int, bytes], seq: int, framed: bytes) -> bool:
    """Note a record's hash; whether that changed anything. Where the noted hashes are full, the greatest one goes."""
    digest = sha256(framed).digest()
    if noted.get(seq) == digest:
        return False
    noted[seq] = digest
    if len(state.ahead) + sum(len(gap.noted) for gap in state.open) > MAX_NOTED:
        # what is ahead of the position is greater than anything in an open range
        greatest = (
            state.ahead or max((gap for gap in state.open if gap.noted), key=lambda gap: (gap.epoch, gap.last)).noted
        )
        del greatest[max(greatest)]
    return seq in noted


def _chain(head: bytes, seq: int, digest: bytes) -> bytes:
    return sha256(b"tocsin/head/v1\0" + head + seq.to_bytes(8, "big") + digest).digest()


def _hex(noted: Mapping[int, bytes]) -> dict[str, str]:
    return {str(seq): digest.hex() for seq, digest in noted.items()}


def _unhex(noted: Mapping[str, str]) -> dict[int, bytes]:
    return {int(seq): bytes.fromhex(digest) for seq, digest in noted.items()}
