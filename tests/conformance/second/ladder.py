"""The registered rung functions and the types that they take (section 7 of the protocol)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.conformance.second.avro import Type

REGION_TABLE = Path(__file__).parents[3] / "schemas" / "region-1.csv"
_DAY_MS = 86_400_000
_BANDS = ("NONE", "LOW", "LOW", "MEDIUM", "MEDIUM", "HIGH", "HIGH", "HIGH")


class UndefinedError(Exception):
    """The function has no value there."""


@dataclass(frozen=True)
class Rung:
    """A rung function, and whether a finer and a coarser field (type, is a set) fit it."""

    function: Callable[[Any], Any]
    fits: Callable[[Type, bool, Type, bool], bool]


def day_1(finer: int) -> int:
    """Milliseconds to the day, floor."""
    day = finer // _DAY_MS
    if not -(2**31) <= day < 2**31:
        raise UndefinedError
    return day


def month_1(finer: int) -> int:
    """A day to the first day of its month, in the proleptic Gregorian calendar without end."""
    # Days are counted from 0000-03-01, in eras of 400 years; in such a year the leap day comes last.
    in_era = (finer + 719_468) % 146_097
    year = (in_era - in_era // 1_460 + in_era // 36_524 - in_era // 146_096) // 365
    in_year = in_era - (365 * year + year // 4 - year // 100)
    month = (5 * in_year + 2) // 153
    return finer - (in_year - (153 * month + 2) // 5)


def region_1(finer: list[str]) -> list[str]:
    """Country codes to M49 sub-region codes, a set again."""
    return sorted({region_table().get(code, "000") for code in finer})


def band_1(finer: int) -> str:
    """A severity from 0 to 7 to its band."""
    if not 0 <= finer < len(_BANDS):
        raise UndefinedError
    return _BANDS[finer]


def magnitude_1(finer: int) -> int:
    """A count to the floor of its decimal logarithm, -1 for zero."""
    if finer < 0:
        raise UndefinedError
    return len(str(finer)) - 1 if finer else -1


@cache
def region_table(path: Path = REGION_TABLE) -> dict[str, str]:
    """The table of region/1: country to sub-region."""
    with path.open(encoding="ascii", newline="") as file:
        return {row["alpha2"]: row["m49_subregion"] for row in csv.DictReader(file)}


def _is(kind: Type, name: str, logical: str) -> bool:
    return kind.kind == name and kind.logical == logical


def _is_number(kind: Type) -> bool:
    return kind.kind in {"int", "long"} and kind.logical is None


def _is_text_set(kind: Type, is_set: bool) -> bool:
    return is_set and kind.kind == "array" and kind.parts[0].kind == "string"


RUNGS = {
    "day/1": Rung(day_1, lambda a, _s, b, _t: _is(a, "long", "timestamp-millis") and _is(b, "int", "date")),
    "month/1": Rung(month_1, lambda a, _s, b, _t: _is(a, "int", "date") and _is(b, "int", "date")),
    "region/1": Rung(region_1, lambda a, s, b, t: _is_text_set(a, s) and _is_text_set(b, t)),
    "band/1": Rung(band_1, lambda a, _s, b, _t: _is_number(a) and b.kind == "enum" and set(_BANDS) <= set(b.symbols)),
    "magnitude/1": Rung(magnitude_1, lambda a, _s, b, _t: _is_number(a) and _is_number(b)),
}
