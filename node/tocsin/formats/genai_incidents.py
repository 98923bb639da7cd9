"""The package `genai-incidents`: records as documents of `incident/1.0`.

The package's severity words are heuristic by its own notice: they go to `source_severity`, and our severity stays
unknown until somebody assesses it. No record has a field for country or harm type; neither is guessed. What has no field
of its own stands in `additional_information`, in the record's words: its attack vector, whom or what it affected, and a
date that is only a year, since no field holds a year without inventing its month.

Not carried: classifications by others (`owasp_llm`, `owasp_asi`, `nist_ai_rmf`, `tags`), for which the schema has no
field and which the record's id leads to; and what is about the collection's own work (`tier`, `quality_tier`, `corpus`,
`source_freshness`, `rejected_cve_ids`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import Any

from tocsin.errors import InputError

_AIID = re.compile(r"incidentdatabase\.ai/cite/(\d+)")
_DATES = {7: ("MONTH", "occurred_month", "-01"), 10: ("DAY", "occurred_day", "")}
"""What a date of so many characters (YYYY-MM, YYYY-MM-DD) says, the field that holds as much, and what it adds to it."""


def incidents() -> Iterator[Mapping[str, Any]]:
    """Records fit for reports: landmark incidents, not retracted, without terms of their own (`content_license`)."""
    try:
        package = import_module("genai_incidents")
    except ImportError as missing:
        raise InputError(
            "the package genai-incidents is not installed", remedy="Install it, or tocsin with the extra [dev]."
        ) from missing
    for record in package.load_incidents():
        if (
            record.get("tier") == "landmark"
            and not record.get("content_license")
            and record.get("status") != "retracted"
        ):
            yield record


def document(record: Mapping[str, Any]) -> dict[str, Any]:
    """One record as a document (`report/document.py`): field names of `incident/1.0`, values as people write them."""
    written: dict[str, Any] = {
        "title": record["title"],
        "description": record["description"],
        "language": "en",
        # Credit to the collection only: policies give it to everybody, also where `external_ids` are withheld.
        "attribution": f"genai-incidents {metadata.version('genai-incidents')}, CC BY 4.0",
        "source_severity": [{"scale": "genai-incidents", "value": record["severity"]}],
        "external_ids": _external_ids(record),
        "evidence": [{"uri": record["primary_reference"], "digest": "", "media_type": "text/html"}],
        "additional_information": "\n".join(f"{what} as named by the source: {said}" for what, said in _said(record)),
        "report_stage": "NOT_A_REPORT",
        "disclaimer_no_admission": True,
    }
    if len(record["date"]) in _DATES:
        written["occurred_fidelity"], field, first = _DATES[len(record["date"])]
        written[field] = record["date"] + first
    return written


def _said(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "attack vector", record["attack_vector"]
    yield "affected", record["affected"]
    if len(record["date"]) not in _DATES:
        yield "date", record["date"]


def _external_ids(record: Mapping[str, Any]) -> list[dict[str, str]]:
    found = [{"scheme": "genai-incidents", "id": record["id"]}]
    aiid = _AIID.search(record["primary_reference"])
    if aiid:
        found.append({"scheme": "aiid", "id": aiid[1]})
    found += [{"scheme": "cve", "id": cve} for cve in record.get("cve_ids", [])]
    found += [{"scheme": "atlas", "id": technique} for technique in record.get("mitre_atlas", [])]
    return found
