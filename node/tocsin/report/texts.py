"""Single values as people write and read them: dates and times in ISO 8601, bytes in hex, the rest as JSON has it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tocsin.report.types import Type

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = EPOCH.date().toordinal()
_MS = timedelta(milliseconds=1)


class Unreadable(Exception):
    """A text that should be a date, a time or bytes and is none; `expected` says what would be one."""

    def __init__(self, place: str, value: object, expected: str) -> None:
        """`place` is within the value, `[0].at`, or empty."""
        super().__init__(place)
        self.place = place
        self.value = value
        self.expected = expected


def read(of: Type, written: Any, place: str = "") -> Any:
    """The wire's value; what is no form of this type stays as it is, for the vocabulary to name. `Unreadable`."""
    if of.items is not None and _is_list(written):
        return [read(of.items, item, f"{place}[{i}]") for i, item in enumerate(written)]
    if of.kind == "record" and isinstance(written, Mapping):
        types = dict(of.fields)
        return {k: read(types[k], part, f"{place}.{k}") if k in types else part for k, part in written.items()}
    if of.logical == "date":
        return _read_date(written, place)
    if of.logical == "timestamp-millis":
        return _read_time(written, place)
    if isinstance(written, str):
        return _read_hex(written, place) if of.kind in {"bytes", "fixed"} else str(written)
    return written


def write(of: Type, value: Any) -> Any:
    """What JSON can hold, from a value of the wire."""
    if of.items is not None:
        return [write(of.items, item) for item in value]
    if of.kind == "record":
        return {name: write(part, value[name]) for name, part in of.fields}
    if of.logical == "date":
        return date_text(value)
    if of.logical == "timestamp-millis":
        return time_text(value)
    return value.hex() if isinstance(value, bytes) else value


def date_text(day: int) -> str | int:
    """`2026-06-18`; the number itself where no calendar of Python reaches, which is read back as well."""
    try:
        return date.fromordinal(day + _EPOCH_DAY).isoformat()
    except (ValueError, OverflowError):
        return day


def time_text(ms: int) -> str | int:
    """`2026-06-18T09:30:00.000Z`; the number itself where no calendar of Python reaches."""
    try:
        return (EPOCH + ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return ms


def _is_list(written: Any) -> bool:
    return isinstance(written, Iterable) and not isinstance(written, str | bytes | Mapping)


def _read_hex(written: str, place: str) -> bytes:
    try:
        return bytes.fromhex(written)
    except ValueError:
        raise Unreadable(place, written, "hex digits, two a byte") from None


def _read_date(written: Any, place: str) -> Any:
    if isinstance(written, str):
        try:
            written = date.fromisoformat(written)
        except ValueError:
            raise Unreadable(place, written, "a date such as 2026-06-18") from None
    if isinstance(written, datetime):
        raise Unreadable(place, written.isoformat(), "a date without a time, such as 2026-06-18")
    return written.toordinal() - _EPOCH_DAY if isinstance(written, date) else written


def _read_time(written: Any, place: str) -> Any:
    """A day alone is no time: nobody knows that it happened at midnight."""
    expected = (
        "a time with its offset, such as 2026-06-18T09:30:00Z; where only the day is known there is a field for it"
    )
    if isinstance(written, str) and len(written) > len("YYYY-MM-DD"):
        try:
            written = datetime.fromisoformat(written)
        except ValueError:
            raise Unreadable(place, written, expected) from None
    if isinstance(written, str | date) and (not isinstance(written, datetime) or written.tzinfo is None):
        raise Unreadable(place, str(written), expected)
    return (written - EPOCH) // _MS if isinstance(written, datetime) else written
