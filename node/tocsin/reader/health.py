"""Whether a stream is complete, quiet, or broken: what its signed heads tell (protocol section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tocsin.errors import AdapterError
from tocsin.wire.stream import OpenRange, Position

SILENT_MS = 150_000
"""A stream shows a head every 60 s at the least; two missing ones, and their way here, are silence."""


class Condition(StrEnum):
    """One word for a stream; the first that applies."""

    UNREACHABLE = "UNREACHABLE"  # our way to the broker, or the right to read, is broken; nothing is known beyond it
    GAP = "GAP"  # signed heads prove that records are missing, or other than what came: ask for them again
    CATCHING_UP = "CATCHING_UP"  # there is more to read
    SILENT = "SILENT"  # no fresh signed head: the releaser or its carriage is down, not merely without news
    WHOLE = "WHOLE"  # everything up to the last signed head is here, and that head is fresh: quiet is quiet


@dataclass(frozen=True, slots=True)
class Health:
    """As of the last look at the topic, at `looked_ms`; times in ms since 1970.

    `head_age_ms` is the age now of the newest signed head, by the releaser's clock; `open` are ranges of missing
    records; `lag` is the number of records not yet read; `counts` are since the state file was made: seen, repeat,
    exercise, report (dropped where only drills are shown), and rejected.REASON; what is read again counts again.
    """

    condition: Condition
    position: Position | None
    head_age_ms: int | None
    open: tuple[OpenRange, ...]
    lag: int | None
    looked_ms: int | None
    fault: AdapterError | None
    counts: Mapping[str, int]


def condition_of(
    *,
    fault: AdapterError | None,
    gaps: int,
    lag: int | None,
    head_ms: int | None,
    looked_ms: int | None,
) -> Condition:
    """The word for it. Silence is judged by when the topic was last looked at, not by when its reader was busy."""
    if fault is not None:
        return Condition.UNREACHABLE
    if gaps:
        return Condition.GAP
    if lag is None or lag > 0 or looked_ms is None:
        return Condition.CATCHING_UP
    if head_ms is None or looked_ms - head_ms > SILENT_MS:
        return Condition.SILENT
    return Condition.WHOLE
