"""What an officer adds to a record of `genai-incidents` at issue: `assessments.toml`, read and bound to its record."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tocsin.formats.genai_incidents import incidents
from tocsin.wire.header import Tlp

FILE = Path(__file__).with_name("assessments.toml")
SCHEME = "genai-incidents"
"""The scheme of the external id by which a submission names its record."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """One officer's assessment; `fields` are fields of incident/1.0 as people write them (`report/document.py`)."""

    record: str
    institute: str
    tlp: Tlp
    fields: Mapping[str, Any]


@cache
def assessments() -> Mapping[str, Assessment]:
    """By record id, in the order of the file."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    common = tables.pop("common")
    found = {}
    for record, table in tables.items():
        institute, tlp = table.pop("institute"), Tlp[table.pop("tlp")]
        found[record] = Assessment(record, institute, tlp, {**common, **table})
    return found


@cache
def assessed_records() -> Mapping[str, list[Mapping[str, Any]]]:
    """By institute: the records that somebody assessed, in the order of the file."""
    records = {record["id"]: record for record in incidents()}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for assessment in assessments().values():
        found.setdefault(assessment.institute, []).append(records[assessment.record])
    return found


def other_records(count: int) -> list[Mapping[str, Any]]:
    """The first records that nobody assessed: what they do not say stays unknown."""
    known = assessments()
    return [record for record in incidents() if record["id"] not in known][:count]
