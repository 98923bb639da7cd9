"""What the tail of one of the node's own topics shows, and how it stands to what the store knows (design 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.flow.rows import Outlet
from tocsin.wire.statement import StreamHead
from tocsin.wire.stream import next_head


@dataclass
class Shown:
    """What of a topic's tail verifies under the node's own keys."""

    heads: list[StreamHead] = field(default_factory=list)
    envelopes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """The records beyond the store's place, by (epoch, seq)."""
    places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """SHA-256 of each record, whether the store knows it or not, and where it says that it stands."""

    def clear(self) -> None:
        """Forget all: the look begins anew, further back."""
        self.heads.clear()
        self.envelopes.clear()
        self.places.clear()

    def top(self) -> StreamHead | None:
        """The latest head, wherever it stands."""
        return max(self.heads, key=lambda head: (head.epoch, head.seq), default=None)


def repeats(first: tuple[int, int] | None, at: tuple[int, int]) -> bool:
    """Whether a record was sealed for an earlier place of that epoch: whoever can repeat it can write a false hint."""
    return first is not None and first[0] == at[0] and first[1] < at[1]


def is_ahead(shown: Shown, top: StreamHead, outlet: Outlet) -> bool:
    """Whether the topic shows a record or a head of ours that the store does not know, or another head for its own."""
    here = (outlet.epoch, outlet.seq)
    if (top.epoch, top.seq) > here or any(at > here for at in shown.envelopes):
        return True
    return not agrees(outlet, shown)


def agrees(outlet: Outlet, shown: Shown) -> bool:
    """Whether no head of ours at the store's place differs from the store's: a second one may never be signed."""
    here = (outlet.epoch, outlet.seq)
    return all(h.head == outlet.head for h in shown.heads if (h.epoch, h.seq) == here)


def chains(outlet: Outlet | None, shown: Shown, top: StreamHead) -> bool:
    """Whether the records between the store's place and the last signed head lead from the one to the other."""
    if outlet is None or outlet.epoch != top.epoch:
        return True
    head = outlet.head
    for seq in range(outlet.seq + 1, top.seq + 1):
        value = shown.envelopes.get((top.epoch, seq))
        if value is None:
            return False
        head = next_head(head, seq, value)
    return head == top.head
