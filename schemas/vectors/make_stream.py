# ruff: noqa: INP001 - scripts beside their data
"""Stream vectors (protocol section 4). What each step must show is written by hand beside it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from schemas.vectors.make_report import Plan, build
from schemas.vectors.make_statement import EPOCH, signed
from schemas.vectors.make_world import NOW, fixed_bytes, private, trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Named = tuple[str, dict[str, Any]]
OTHER = fixed_bytes("another head")
LAST = 2**63 - 1


def record(seq: int, epoch: int = EPOCH) -> bytes:
    """Record `seq` of an epoch; what it says does not matter to the stream."""
    return f"record {epoch}/{seq}".encode()


def head(seq: int, epoch: int = EPOCH) -> bytes:
    """The head of the releaser's own chain, written out from the protocol's formulas."""
    value = sha256(b"tocsin/stream/v1\0\x02gb\x02jp" + epoch.to_bytes(8, "big")).digest()
    for s in range(1, seq + 1):
        value = sha256(b"tocsin/head/v1\0" + value + s.to_bytes(8, "big") + sha256(record(s, epoch)).digest()).digest()
    return value


class Story:
    """A stream as it arrives, and what each step must show; `at` and `open` hold until they are said anew."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.at: list[Any] | None = None
        self.open: list[list[int]] = []

    def _step(self, item: dict[str, Any], notes: tuple[str, ...]) -> None:
        self.items.append(item)
        self.steps.append({"notes": list(notes), "position": self.at, "open": [list(gap) for gap in self.open]})

    def take(
        self,
        seq: int,
        *notes: str,
        epoch: int = EPOCH,
        data: bytes | None = None,
        hint: bytes | None = b"",
        open: list[list[int]] | None = None,  # noqa: A002 - the vector's word
    ) -> None:
        """A record arrives, hinted as `seq` unless another hint is given."""
        self.open = self.open if open is None else open
        hinted = epoch.to_bytes(8, "big") + seq.to_bytes(8, "big") if hint == b"" else hint
        data = record(seq, epoch) if data is None else data
        self._step({"record_hex": data.hex(), "hint_hex": hinted if hinted is None else hinted.hex()}, notes)

    def show(
        self,
        seq: int,
        *notes: str,
        epoch: int = EPOCH,
        value: bytes | None = None,
        moves: bool = True,
        open: list[list[int]] | None = None,  # noqa: A002 - the vector's word
        **statement: Any,
    ) -> None:
        """A StreamHead arrives; where it `moves` the position, it is the new one."""
        value = head(seq, epoch) if value is None else value
        if moves:
            self.at = [epoch, seq, value.hex()]
        self.open = self.open if open is None else open
        framed = signed(epoch=epoch, seq=seq, head=value, **statement)[0]
        self._step({"statement_hex": framed.hex()}, notes)

    def vector(self, about: str) -> dict[str, Any]:
        """The vector of the whole story."""
        listed = [party for party in trust() if party["party"] in {"gb", "jp", "ke"}]
        return {
            "about": about,
            "stream": {"releaser": "gb", "audience": "jp"},
            "trust": listed,
            "now_ms": NOW,
            "items": self.items,
            "expect": {"steps": self.steps},
        }


def streams() -> Iterator[Named]:
    """Every stream vector, by name of its file."""
    for tell in (
        in_order,
        base_late,
        gap_healed,
        mismatch_healed,
        two_gaps,
        last_arrival_counts,
        fork,
        fork_of_a_repeat,
        repeats,
        epoch,
        epoch_behind,
        hints,
        refused_heads,
        far_head,
        frame_decides,
    ):
        story = Story()
        yield tell.__name__.replace("_", "-"), story.vector(_tell(tell, story))


def _tell(tell: Callable[[Story], None], story: Story) -> str:
    tell(story)
    return str(tell.__doc__).rstrip(".")


def in_order(s: Story) -> None:
    """Records and heads in order, from head 0: no note."""
    s.show(0)
    s.take(1)
    s.show(1)
    s.take(2)
    s.take(3)
    s.show(3)
    s.show(3, moves=False)
    s.take(4, data=build(Plan()).framed)
    chained = sha256(b"tocsin/head/v1\0" + head(3) + (4).to_bytes(8, "big") + sha256(build(Plan()).framed).digest())
    s.show(4, value=chained.digest())


def base_late(s: Story) -> None:
    """The first head is the base, wherever it stands; records before it are not noted."""
    s.take(4)
    s.take(6)
    s.show(5)
    s.take(7)
    s.show(7, "GAP", open=[[EPOCH, 6, 7]])
    s.take(6, "HEALED", open=[])


def gap_healed(s: Story) -> None:
    """A missing record is a GAP; sent again, in any order, it heals; the position goes on meanwhile."""
    s.show(0)
    s.take(1)
    s.take(3)
    s.show(4, "GAP", open=[[EPOCH, 1, 4]])
    s.take(5)
    s.show(5)
    s.take(4)
    s.take(9)
    s.take(2, "HEALED", open=[])
    s.take(2)


def mismatch_healed(s: Story) -> None:
    """All there and another result is a MISMATCH; the right record heals it."""
    s.show(0)
    s.take(1)
    s.take(2, data=b"another record")
    s.show(2, "MISMATCH", open=[[EPOCH, 1, 2]])
    s.take(2, data=b"a third one")
    s.take(1)
    s.take(2, "HEALED", open=[])


def two_gaps(s: Story) -> None:
    """Open ranges stand in the order in which they arose, and heal each by itself."""
    s.show(0)
    s.show(2, "GAP", open=[[EPOCH, 1, 2]])
    s.show(3, "GAP", open=[[EPOCH, 1, 2], [EPOCH, 3, 3]])
    s.take(4)
    s.show(5, "GAP", open=[[EPOCH, 1, 2], [EPOCH, 3, 3], [EPOCH, 4, 5]])
    s.take(3, "HEALED", open=[[EPOCH, 1, 2], [EPOCH, 4, 5]])
    s.take(5, "HEALED", open=[[EPOCH, 1, 2]])
    s.take(2)
    s.take(1, "HEALED", open=[])


def last_arrival_counts(s: Story) -> None:
    """Of several records for one seq the last that arrived counts, for better and for worse."""
    s.show(0)
    s.take(1, data=b"another record")
    s.take(1)
    s.show(1)
    s.take(2)
    s.take(2, data=b"another record")
    s.show(2, "MISMATCH", open=[[EPOCH, 2, 2]])
    s.show(4, "GAP", open=[[EPOCH, 2, 2], [EPOCH, 3, 4]])
    s.take(3)
    s.take(3, data=b"another record")
    s.take(4)
    s.take(3, "HEALED", open=[[EPOCH, 2, 2]])


def fork(s: Story) -> None:
    """A head that differs from the first for its (epoch, seq) is a FORK each time, and moves nothing."""
    s.show(0)
    s.take(1)
    s.show(1)
    s.show(1, "FORK", value=OTHER, moves=False)
    s.show(1, "FORK", value=OTHER, moves=False)
    s.show(1, moves=False)
    s.take(2)
    s.show(2)
    s.show(1, "FORK", value=OTHER, moves=False)


def fork_of_a_repeat(s: Story) -> None:
    """A head before the position is a repeat; the first that arrives for its seq counts, even where it is wrong."""
    s.show(5)
    s.show(3, value=OTHER, moves=False)
    s.show(3, "FORK", moves=False)
    s.show(3, value=OTHER, moves=False)


def repeats(s: Story) -> None:
    """Records and heads from before the position are repeats, without a note."""
    s.show(2)
    s.take(1)
    s.take(2)
    s.show(1, moves=False)
    s.show(2, moves=False)
    s.take(3)
    s.take(3)
    s.show(3)


def epoch(s: Story) -> None:
    """A greater epoch begins at its head 0; open ranges outlive the old one, what was ahead in it does not."""
    new = EPOCH + 1
    s.show(0)
    s.show(2, "GAP", open=[[EPOCH, 1, 2]])
    s.take(3)
    s.take(1, epoch=new)
    s.show(0, "EPOCH", epoch=new)
    s.take(1, epoch=new)
    s.show(1, epoch=new)
    s.show(3, moves=False)
    s.take(1)
    s.take(2, "HEALED", open=[])
    s.take(3)
    s.show(3, "EPOCH", "GAP", epoch=new + 7, open=[[new + 7, 1, 3]])
    for seq in (3, 1):
        s.take(seq, epoch=new + 7)
    s.take(2, "HEALED", epoch=new + 7, open=[])


def epoch_behind(s: Story) -> None:
    """A head of an earlier epoch is a repeat; of two for one seq of it the second is a FORK."""
    s.show(2, epoch=EPOCH + 1)
    s.show(4, moves=False)
    s.take(5)
    s.show(5, moves=False)
    s.show(5, "FORK", value=OTHER, moves=False)


def hints(s: Story) -> None:
    """A hint that is none, or of another epoch, notes nothing; numbers are below 2^63."""
    s.show(0)
    big, one = (2**63).to_bytes(8, "big"), (1).to_bytes(8, "big")
    for hint in (None, one, EPOCH.to_bytes(8, "big") + one + b"\0", big + one, EPOCH.to_bytes(8, "big") + big):
        s.take(1, hint=hint)
    s.take(1, epoch=EPOCH + 1, data=record(1))
    s.take(0, data=record(1))
    s.take(LAST)
    s.show(1, "GAP", open=[[EPOCH, 1, 1]])
    s.take(1, "HEALED", open=[])


def refused_heads(s: Story) -> None:
    """A statement that is refused, or is no stream head, changes nothing."""
    s.show(0)
    s.take(1)
    s.show(1, moves=False, audience="ke")
    s.show(1, moves=False, sign=lambda m: private("ke", "relay").sign(m))
    s.show(1, moves=False, time_ms=NOW + 300_001)
    s.show(0, moves=False, epoch=EPOCH + 1, value=OTHER)
    s._step({"statement_hex": signed("policy")[0].hex()}, ())  # noqa: SLF001 - an item of its own kind
    s.show(1)


def far_head(s: Story) -> None:
    """A head far ahead opens a range that nobody could hold; nothing is allocated for it."""
    s.show(0)
    s.take(LAST)
    s.take(2)
    s.show(LAST, "GAP", value=OTHER, open=[[EPOCH, 1, LAST]])
    s.take(1)
    s.show(2, moves=False)


def frame_decides(s: Story) -> None:
    """An item's frame decides what it is, not the member that carries it, nor a hint."""
    zero = signed(epoch=EPOCH, seq=0, head=head(0))[0]
    s.at = [EPOCH, 0, head(0).hex()]
    s.take(1, data=zero)
    s._step({"statement_hex": record(1).hex()}, ())  # noqa: SLF001 - an item of its own kind
    s.take(2)
    s.show(2, "GAP", open=[[EPOCH, 1, 2]])
    s.take(1, data=zero)
    s.take(1, "HEALED", open=[])
