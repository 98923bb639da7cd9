"""The registered rung functions (protocol section 7): from a finer rung to a coarser one, and what a coarser allows.

A ladder is pure and total: `apply` gives the coarser value or `UNDEFINED`. For the analysis of policies each of them
can also be read backwards: `Span` is an interval of whole numbers, `Choice` the sets of strings that a set of
regions allows. Values are those of the wire: dates are days, times are milliseconds, enums are symbols.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tocsin.report.regions import REGIONS
from tocsin.report.types import INT, Type

NO_REGION: Final = "000"
"""What region/1 gives for a code that the table lacks, and for the listed ones without an M49 sub-region."""

_BANDS: Final[Mapping[str, range]] = {
    "NONE": range(1),
    "LOW": range(1, 3),
    "MEDIUM": range(3, 5),
    "HIGH": range(5, 8),
}
_DAY_MS = 86_400_000


class _Undefined:
    """The value of a function outside its domain: every disclosed coarser rung disagrees with it."""

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = _Undefined()


@dataclass(frozen=True, slots=True)
class Span:
    """The whole numbers from `low` to `high`, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Group:
    """Codes of region-1.csv; `open` adds every string that the table does not list."""

    codes: frozenset[str]
    open: bool = False

    def __contains__(self, code: str) -> bool:
        return code in self.codes or (self.open and code not in REGIONS)


@dataclass(frozen=True, slots=True)
class Choice:
    """The sets that draw at least one member from each group and none from elsewhere; no group: the empty set."""

    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """One registered function. `fits(finer, finer_is_set, coarser, coarser_is_set)`; `apply` takes no null."""

    name: str
    fits: Callable[[Type, bool, Type, bool], bool]
    apply: Callable[[Any], Any]
    finer: Callable[[Any], Span | None] | None = None
    """The finer values that one coarser value allows, None for none. Absent for dates and sets."""


def _day(ms: int) -> Any:
    day = ms // _DAY_MS
    return day if day in INT else UNDEFINED


def _month(day: int) -> Any:
    """The first day of the month, in the proleptic Gregorian calendar, without the bounds of a library's years.

    Years begin on 1 March here, so that the leap day is the last of its year; 146,097 days are 400 years.
    """
    in_era = (day + 719_468) % 146_097
    year = (in_era - in_era // 1_460 + in_era // 36_524 - in_era // 146_096) // 365
    in_year = in_era - (365 * year + year // 4 - year // 100)
    month = (5 * in_year + 2) // 153
    first = day - (in_year - (153 * month + 2) // 5)
    return first if first in INT else UNDEFINED


def _band(severity: int) -> Any:
    return next((band for band, levels in _BANDS.items() if severity in levels), UNDEFINED)


def _band_span(band: str) -> Span | None:
    levels = _BANDS.get(band)
    return Span(levels.start, levels.stop - 1) if levels else None


def _magnitude(count: int) -> Any:
    if count < 0:
        return UNDEFINED
    return len(str(count)) - 1 if count else -1


def _magnitude_span(magnitude: int) -> Span | None:
    if magnitude == -1:
        return Span(0, 0)
    # no count of 64 bits has a magnitude above 18
    return Span(10**magnitude, 10 ** (magnitude + 1) - 1) if 0 <= magnitude <= 18 else None


def _regions(codes: Iterable[str]) -> list[str]:
    """Sorted as a set of the wire is: three digits each, so the order of the encodings is that of the texts."""
    return sorted({REGIONS.get(code, NO_REGION) for code in codes})


def _is(of: Type, *kinds: str, logical: str | None = None) -> bool:
    return of.kind in kinds and of.logical == logical


def _is_strings(of: Type) -> bool:
    return of.kind == "array" and of.items is not None and _is(of.items, "string")


FUNCTIONS: Final[Mapping[str, Ladder]] = {
    ladder.name: ladder
    for ladder in (
        Ladder(
            "day/1",
            lambda a, _s, b, _t: _is(a, "long", logical="timestamp-millis") and _is(b, "int", logical="date"),
            _day,
        ),
        Ladder(
            "month/1",
            lambda a, _s, b, _t: _is(a, "int", logical="date") and _is(b, "int", logical="date"),
            _month,
        ),
        Ladder("region/1", lambda a, s, b, t: _is_strings(a) and s and _is_strings(b) and t, _regions),
        Ladder(
            "band/1",
            lambda a, _s, b, _t: _is(a, "int", "long") and b.kind == "enum" and set(_BANDS) <= set(b.symbols),
            _band,
            _band_span,
        ),
        Ladder(
            "magnitude/1",
            lambda a, _s, b, _t: _is(a, "int", "long") and _is(b, "int", "long"),
            _magnitude,
            _magnitude_span,
        ),
    )
}


def compose(path: Iterable[str], value: Any) -> Any:
    """The functions of `path`, finest first, applied one after the other; UNDEFINED where one of them is."""
    for name in path:
        if value is UNDEFINED:
            return UNDEFINED
        value = FUNCTIONS[name].apply(value)
    return value


def allowed(path: tuple[str, ...], finest: Type, coarser: Any) -> Span | Choice | None:
    """What a visible, non-null `coarser` says about the finest rung, through the functions of `path`, finest first.

    None where it allows no value, or where the ladder is of dates, which no policy can test.
    """
    if set(path) == {"region/1"}:
        return _allowed_sets(len(path), coarser)
    span: Span | None = None
    for name in reversed(path):
        finer = FUNCTIONS[name].finer
        if finer is None:
            return None
        if span is None:
            span = finer(coarser)
        else:
            # magnitudes only grow, so the ends of an interval give the ends of what it comes from
            ends = [found for found in map(finer, _within(span, -1, 18)) if found]
            span = Span(ends[0].low, ends[-1].high) if ends else None
        if span is None:
            return None
    bounds = finest.bounds()
    if span is None or not bounds or span.low >= bounds.stop or span.high < bounds.start:
        return None
    return Span(max(span.low, bounds.start), min(span.high, bounds.stop - 1))


def _within(span: Span, low: int, high: int) -> range:
    return range(max(span.low, low), min(span.high, high) + 1)


def _allowed_sets(steps: int, regions: Iterable[str]) -> Choice | None:
    groups = []
    for region in regions:
        group = _drawn_from(region.__eq__)
        for _ in range(steps - 1):
            group = _drawn_from(group.__contains__)
        groups.append(group)
    return Choice(tuple(groups)) if all(group.codes or group.open for group in groups) else None


def _drawn_from(holds: Callable[[str], bool]) -> Group:
    """The codes whose region is one of those that `holds` is true for."""
    return Group(frozenset(code for code, region in REGIONS.items() if holds(region)), open=holds(NO_REGION))
