"""What the vocabulary asks of an incident report beyond types: one rule, one function (issue point 1.2)."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from tocsin.report.ladders import NO_REGION, UNDEFINED, compose
from tocsin.report.problem import Problem, shortened
from tocsin.report.regions import REGIONS
from tocsin.report.texts import date_text, time_text
from tocsin.wire.keys import is_party_id

SEVERITIES: Final = (
    "BELOW_SCALE",
    "ANOMALY",
    "SAFETY_FAILURE",
    "INCIDENT",
    "SERIOUS_INCIDENT",
    "WIDE_SERIOUS",
    "CATASTROPHIC",
    "DISASTER",
)
"""The symbols of severity 0 to 7."""

_LEVELS = range(len(SEVERITIES))
_SCALE = "one of " + ", ".join(f"{level} {symbol}" for level, symbol in enumerate(SEVERITIES))
_SUBREGIONS = frozenset(REGIONS.values())
_COUNTS = ("deaths", "injured", "affected", "loss_usd")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_INCIDENT = re.compile(r"[0-9a-f]{32}")
_SCHEME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Values = Mapping[str, Any]


def _severity(values: Values) -> Iterator[Problem]:
    severity, assessor = values.get("severity"), values.get("severity_assessed_by")
    if severity is None:
        for name in ("severity_axes", "severity_provisional", "severity_confidence"):
            if values.get(name) is not None:
                yield Problem("severity", "None", f"a severity, since {name} speaks of one")
        return
    if severity not in _LEVELS:
        yield Problem("severity", shortened(severity), _SCALE)
    if not any(map(str.isalnum, assessor or "")):
        yield Problem("severity_assessed_by", shortened(assessor), "who assessed the severity")


def _severity_axes(values: Values) -> Iterator[Problem]:
    severity, axes = values.get("severity"), values.get("severity_axes")
    if not axes:
        return
    for i, axis in enumerate(axes):
        if axis["level"] not in _LEVELS:
            yield Problem(f"severity_axes[{i}].level", shortened(axis["level"]), _SCALE)
    named = Counter(axis["axis"] for axis in axes)  # a lab decides how many there are
    for name in sorted(name for name, times in named.items() if times > 1):
        yield Problem("severity_axes", name, "each axis once")
    highest = max(axis["level"] for axis in axes)
    if severity is not None and severity != highest:
        yield Problem("severity", shortened(severity), f"{highest}, the highest of severity_axes")


def _times(values: Values) -> Iterator[Problem]:
    """The end is not before the beginning, by the finest rung that both have, or that a finer one gives."""
    finer_first = finer_last = None
    for start, end, by, text in (
        ("occurred_from", "occurred_to", "", time_text),
        ("occurred_day", "occurred_to_day", "day/1", date_text),
        ("occurred_month", "occurred_to_month", "month/1", date_text),
    ):
        first, last = _or_coarsened(values.get(start), by, finer_first), _or_coarsened(values.get(end), by, finer_last)
        if first is not None and last is not None:
            if last < first:
                yield Problem(end, str(text(last)), f"not before {start}, {text(first)}")
            return
        finer_first, finer_last = first, last


def _months(values: Values) -> Iterator[Problem]:
    """A month is its first day: another day in it would be given to whoever may know the month alone."""
    for name in ("occurred_month", "occurred_to_month"):
        month = values.get(name)
        if month is not None and (first := _or_coarsened(None, "month/1", month)) not in {None, month}:
            yield Problem(name, str(date_text(month)), f"the first day of that month, {date_text(first)}")


def _or_coarsened(value: int | None, by: str, finer: int | None) -> int | None:
    """The value, or what the ladder makes of the finer one; None where there is neither."""
    if value is not None or finer is None:
        return value
    coarser = compose([by], finer)
    return None if coarser is UNDEFINED else int(coarser)


def _places(values: Values) -> Iterator[Problem]:
    for i, code in enumerate(values.get("countries") or ()):
        if code not in REGIONS:
            right = "a country of ISO 3166-1 alpha-2, in capitals, such as GB"
            yield Problem(f"countries[{i}]", shortened(code), right)
    for i, code in enumerate(values.get("regions") or ()):
        if code not in _SUBREGIONS:
            yield Problem(f"regions[{i}]", shortened(code), f"a UN M49 sub-region such as 154, or {NO_REGION}")


def _quantities(values: Values) -> Iterator[Problem]:
    for name in _COUNTS:
        count, magnitude = values.get(name), values.get(f"{name}_magnitude")
        if count is not None and count < 0:
            yield Problem(name, shortened(count), "0 or more")
        if magnitude is not None and magnitude not in range(-1, 19):
            yield Problem(f"{name}_magnitude", shortened(magnitude), "-1 for none, else 0 to 18")
    for i, loss in enumerate(values.get("loss") or ()):
        if not _CURRENCY.fullmatch(loss["currency"]):
            yield Problem(f"loss[{i}].currency", shortened(loss["currency"]), "a code of ISO 4217 such as EUR")
        if loss["at_least"] < 0:
            yield Problem(f"loss[{i}].at_least", shortened(loss["at_least"]), "0 or more")
        if loss["at_most"] < loss["at_least"]:
            yield Problem(f"loss[{i}].at_most", shortened(loss["at_most"]), f"at least {loss['at_least']}")


def _references(values: Values) -> Iterator[Problem]:
    for i, item in enumerate(values.get("evidence") or ()):
        if not item["uri"].strip():
            yield Problem(f"evidence[{i}].uri", shortened(item["uri"]), "where the material is")
        if item["digest"] and not _DIGEST.fullmatch(item["digest"]):
            yield Problem(f"evidence[{i}].digest", shortened(item["digest"]), "sha256: and 64 hex digits, or empty")
    for i, item in enumerate(values.get("external_ids") or ()):
        if not _SCHEME.fullmatch(item["scheme"]):
            yield Problem(f"external_ids[{i}].scheme", shortened(item["scheme"]), "lower case, such as aiid or cve")
        if not item["id"].strip():
            yield Problem(f"external_ids[{i}].id", shortened(item["id"]), "the identifier there")
    for name in ("same_as", "part_of"):
        for i, text in enumerate(values.get(name) or ()):
            origin, _, incident = text.partition("/")
            if not (is_party_id(origin) and _INCIDENT.fullmatch(incident)):
                yield Problem(f"{name}[{i}]", shortened(text), "origin/incident, such as gb/ and 32 hex digits")


def _words(values: Values) -> Iterator[Problem]:
    language = values.get("language")
    if language is not None and not _LANGUAGE.fullmatch(language):
        yield Problem("language", shortened(language), "a BCP 47 tag such as en or pt-BR")
    if values.get("failure_confidence") is not None and not values.get("failure_modes"):
        yield Problem(
            "failure_modes", shortened(values.get("failure_modes")), "the modes of which failure_confidence speaks"
        )
    sectors = values.get("critical_sectors") or ()
    if "NONE" in sectors and len(sectors) > 1:
        yield Problem("critical_sectors", "'NONE'", "NONE alone, or the sectors without it")
    for i, action in enumerate(values.get("actions_taken") or ()):
        if action["at"] and not _is_moment(action["at"]):
            right = "an ISO 8601 date, or a time with its offset, or empty"
            yield Problem(f"actions_taken[{i}].at", shortened(action["at"]), right)


def _is_moment(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text).tzinfo is not None
        except ValueError:
            return False
    return True


RULES: Final[tuple[Callable[[Values], Iterator[Problem]], ...]] = (
    _severity,
    _severity_axes,
    _times,
    _months,
    _places,
    _quantities,
    _references,
    _words,
)
"""Each takes fitting values by name, and gives the problems that it sees. A value that does not fit is left out."""
