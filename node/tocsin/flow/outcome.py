"""What became of one record: a value that is counted once and logged once, at the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tocsin.wire.reasons import Note, Reason

Bug = Callable[[str, BaseException], None]
"""Is told of a bug of ours that was survived, with the task that met it: to log its kind and place, never its words."""


def untold(task: str, error: BaseException) -> None:
    """A `Bug` for whoever has no log."""
    del task, error


class What(StrEnum):
    """The closed list of fates of a record."""

    ACCEPTED = "ACCEPTED"  # a report that was not held
    MERGED = "MERGED"  # a held report by a new chain
    DUPLICATE = "DUPLICATE"  # report and chain are held
    STATEMENT = "STATEMENT"  # a verified statement was taken
    REJECTED = "REJECTED"  # in quarantine, with a reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """Identifiers only, never payload. `size`: bytes of the record's value."""

    what: What
    party: str
    topic: str
    offset: int
    leaf: bytes = b""
    origin: str = ""
    reason: Reason | None = None
    notes: tuple[Note, ...] = ()
    size: int = 0
