"""The reader's side of a stream: position, noted hashes, open ranges (section 4 of the protocol)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.conformance.second import statement
from tests.conformance.second.messages import STATEMENT_FRAME, RefusedError, sha256
from tests.conformance.second.trust import View

MAX_NOTED = 65_536
MAX_OPEN = 1_024


@dataclass(frozen=True)
class OpenRange:
    """What is missing or does not fit between two signed heads; `first` and `last` are seqs, inclusive."""

    epoch: int
    first: int
    last: int
    lower: bytes
    upper: bytes


@dataclass
class Reader:
    """What a reader keeps for one stream."""

    view: View
    now_ms: int
    stream: dict[str, str]
    position: tuple[int, int, bytes] | None = None
    noted: dict[tuple[int, int], bytes] = field(default_factory=dict)
    open: list[OpenRange] = field(default_factory=list)
    shown: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def take(self, record: bytes, hint: bytes | None) -> list[str]:
        """Take one record as it arrives; its notes."""
        if not record.startswith(STATEMENT_FRAME):
            # Its verdict as content changes nothing here, so it is not asked for.
            return self._take_content(record, hint)
        try:
            said = statement.verify(record, self.view, self.now_ms, self.stream)
        except RefusedError:
            return []
        if said.name != "stream-head":
            return []
        return self._take_head(said.body["epoch"], said.body["seq"], said.body["head"])

    def _take_content(self, record: bytes, hint: bytes | None) -> list[str]:
        place = _place(hint)
        if place is None or not self._wanted(place):
            return []
        self.noted[place] = sha256(record)
        if len(self.noted) > MAX_NOTED:
            del self.noted[max(self.noted)]
        notes = []
        for gap in list(self.open):
            if _is_in(place, gap) and self._chain(gap.epoch, gap.first - 1, gap.lower, gap.last) == gap.upper:
                self.open.remove(gap)
                notes.append("HEALED")
        if notes:
            self._forget()
        return notes

    def _take_head(self, epoch: int, seq: int, head: bytes) -> list[str]:
        if self.shown.setdefault((epoch, seq), head) != head:
            return ["FORK"]
        notes = []
        if self.position is None:
            self.position = (epoch, seq, head)
        elif epoch > self.position[0]:
            notes.append("EPOCH")
            first = statement.head_0(self.stream["releaser"], self.stream["audience"], epoch)
            if first is None:
                raise ValueError("a stream whose names are too long for it")
            self.position = (epoch, 0, first)
        if epoch == self.position[0] and seq > self.position[1]:
            notes += self._move(epoch, seq, head)
        self._forget()
        return notes

    def _move(self, epoch: int, seq: int, head: bytes) -> list[str]:
        if self.position is None:
            raise AssertionError
        _, before, lower = self.position
        chained = self._chain(epoch, before, lower, seq)
        self.position = (epoch, seq, head)
        if chained == head:
            return []
        if len(self.open) < MAX_OPEN:
            self.open.append(OpenRange(epoch, before + 1, seq, lower, head))
        return ["GAP" if chained is None else "MISMATCH"]

    def _chain(self, epoch: int, after: int, head: bytes, last: int) -> bytes | None:
        """The head that the noted hashes give for `last`; None where one is missing."""
        for seq in range(after + 1, last + 1):
            noted = self.noted.get((epoch, seq))
            if noted is None:
                return None
            head = statement.next_head(head, seq, noted)
        return head

    def _wanted(self, place: tuple[int, int]) -> bool:
        after = self.position is not None and place[0] == self.position[0] and place[1] > self.position[1]
        return after or any(_is_in(place, gap) for gap in self.open)

    def _forget(self) -> None:
        """Drop the hashes that would not be noted today."""
        self.noted = {place: noted for place, noted in self.noted.items() if self._wanted(place)}


def _place(hint: bytes | None) -> tuple[int, int] | None:
    if hint is None or len(hint) != 16:
        return None
    epoch, seq = int.from_bytes(hint[:8], "big"), int.from_bytes(hint[8:], "big")
    return (epoch, seq) if max(epoch, seq) < 2**63 else None


def _is_in(place: tuple[int, int], gap: OpenRange) -> bool:
    return place[0] == gap.epoch and gap.first <= place[1] <= gap.last


def run(items: list[dict[str, Any]], reader: Reader) -> list[dict[str, Any]]:
    """The steps of a stream vector: notes, position and open ranges after each item."""
    steps = []
    for item in items:
        hint_hex = item.get("hint_hex")
        record = bytes.fromhex(item["record_hex"] if "record_hex" in item else item["statement_hex"])
        notes = reader.take(record, None if hint_hex is None else bytes.fromhex(hint_hex))
        position = reader.position
        steps.append(
            {
                "notes": notes,
                "position": None if position is None else [position[0], position[1], position[2].hex()],
                "open": [[gap.epoch, gap.first, gap.last] for gap in reader.open],
            }
        )
    return steps
