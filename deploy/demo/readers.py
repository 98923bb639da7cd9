"""Readers: one client for each stream that is not an institute's, which verifies everything by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.demo.officers import counts, way
from deploy.demo.screen import Screen

from tocsin.reader import Seen, Subscriber
from tocsin.wire.reasons import Note

_BAD = frozenset({Note.GAP, Note.MISMATCH, Note.FORK, Note.EPOCH})


@dataclass
class Reader:
    """The reader of one stream, and what it was shown, in order."""

    country: str
    audience: str
    subscriber: Subscriber
    screen: Screen
    seen: list[Seen] = field(default_factory=list)
    shown: bool = True

    @property
    def name(self) -> str:
        """As the screen names it."""
        return f"{self.country} {self.audience.removeprefix(self.country + '-').removeprefix('community-')}"

    async def read(self) -> None:
        """Read for ever; faults of the network are waited out."""
        async for seen in self.subscriber:
            self.seen.append(seen)
            if self.shown:
                self.screen.line(self.name, f"reads  {way(seen):<24} {counts(seen)}")

    def copy_of(self, leaf: bytes) -> Seen | None:
        """The first copy of a report that it was shown."""
        return next((seen for seen in self.seen if seen.leaf == leaf), None)

    async def troubles(self) -> list[str]:
        """Notes that tell of records missing, changed, or said in two ways."""
        return [f"{noted.note} {noted.subject}" for noted in await self.subscriber.notes() if noted.note in _BAD]
