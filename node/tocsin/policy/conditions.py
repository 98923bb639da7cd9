"""Conditions over closed domains, and their three-valued truth (design 4, "Three-valued").

Every test is exact: where its field cannot be seen, it is judged over all the values that what can be seen allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from typing import Any, Final

from tocsin.report.ladders import Choice, Span, allowed
from tocsin.report.types import Type
from tocsin.wire.header import Stage, Tlp


class Truth(IntEnum):
    """A conjunction is the least of its members."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


class Unseen(Enum):
    """What stands in place of the value of a slot that has none to look at; a disclosed null is None."""

    WITHHELD = "not in the mask of the copy"
    UNREADABLE = "cannot be decoded"


WITHHELD: Final = Unseen.WITHHELD
UNREADABLE: Final = Unseen.UNREADABLE


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition may look at of the header; `tlp` is the strictest that binds the report (design 3)."""

    origin: str
    stage: Stage
    tlp: Tlp
    exercise: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """A list: any of these labels; on an array: any member is one of them."""

    labels: frozenset[str]

    def holds(self, value: Any) -> bool:
        """Whether a visible value passes."""
        return value in self.labels if isinstance(value, str) else any(item in self.labels for item in value)

    def over(self, domain: Span | Choice) -> Truth:
        """Over all sets of the choice: each draws from every group, so one group within the labels makes all true."""
        if not isinstance(domain, Choice):
            return Truth.UNKNOWN
        if not any(label in group for group in domain.groups for label in self.labels):
            return Truth.FALSE
        surely = any(not group.open and group.codes <= self.labels for group in domain.groups)
        return Truth.TRUE if surely else Truth.UNKNOWN


@dataclass(frozen=True, slots=True)
class AtLeast:
    """`>= n`."""

    n: int

    def holds(self, value: Any) -> bool:
        """Whether a visible value passes."""
        return bool(value >= self.n)

    def over(self, domain: Span | Choice) -> Truth:
        """Over all numbers of the span."""
        return _over(domain, self.n, _LAST)


@dataclass(frozen=True, slots=True)
class AtMost:
    """`<= n`."""

    n: int

    def holds(self, value: Any) -> bool:
        """Whether a visible value passes."""
        return bool(value <= self.n)

    def over(self, domain: Span | Choice) -> Truth:
        """Over all numbers of the span."""
        return _over(domain, _FIRST, self.n)


@dataclass(frozen=True, slots=True)
class Is:
    """`true` or `false`."""

    wanted: bool

    def holds(self, value: Any) -> bool:
        """Whether a visible value passes."""
        return value is self.wanted

    def over(self, domain: Span | Choice) -> Truth:  # noqa: ARG002 - no ladder leads from a boolean
        """Nothing coarser says anything about a boolean."""
        return Truth.UNKNOWN


_FIRST, _LAST = -(2**63), 2**63 - 1


def _over(domain: Span | Choice, low: int, high: int) -> Truth:
    if not isinstance(domain, Span) or domain.low > high or domain.high < low:
        return Truth.FALSE if isinstance(domain, Span) else Truth.UNKNOWN
    return Truth.TRUE if low <= domain.low and domain.high <= high else Truth.UNKNOWN


Predicate = OneOf | AtLeast | AtMost | Is


@dataclass(frozen=True, slots=True)
class HeaderTest:
    """A test of a header field; the header is always seen."""

    field: str
    predicate: Predicate

    def truth(self, facts: Facts) -> Truth:
        """TRUE or FALSE."""
        return Truth.TRUE if self.predicate.holds(getattr(facts, self.field)) else Truth.FALSE


@dataclass(frozen=True, slots=True)
class SlotTest:
    """A test of slot `slot`. `rungs`: its coarser rungs, finest first, each with the functions that lead to it."""

    slot: int
    field: str
    type: Type
    predicate: Predicate
    rungs: tuple[tuple[int, tuple[str, ...]], ...]

    def truth(self, values: Sequence[Any], seen: int) -> Truth:
        """`seen` has a bit for each slot whose value may be looked at and is neither null nor unreadable."""
        if seen >> self.slot & 1:
            return Truth.TRUE if self.predicate.holds(values[self.slot]) else Truth.FALSE
        for rung, path in self.rungs:
            if seen >> rung & 1:
                domain = allowed(path, self.type, values[rung])
                return Truth.UNKNOWN if domain is None else self.predicate.over(domain)
        return Truth.UNKNOWN


@dataclass(frozen=True)
class Condition:
    """A conjunction of tests; without any it is true."""

    header: tuple[HeaderTest, ...]
    slots: tuple[SlotTest, ...]

    def truth(self, facts: Facts, values: Sequence[Any], seen: int) -> Truth:
        """False if any member is, else unknown if any is."""
        found = Truth.TRUE
        for test in self.header:
            if test.truth(facts) is Truth.FALSE:
                return Truth.FALSE
        for slot_test in self.slots:
            truth = slot_test.truth(values, seen)
            if truth is Truth.FALSE:
                return truth
            if truth is Truth.UNKNOWN:
                found = truth
        return found

    @cached_property
    def looks_at(self) -> int:
        """The slots that its truth may depend on: those tested and their coarser rungs."""
        slots = {test.slot for test in self.slots} | {rung for test in self.slots for rung, _ in test.rungs}
        return sum(1 << slot for slot in slots)
