"""A report that breaks the vocabulary is refused with all its problems at once, each with field, value and the right."""

import json
import tomllib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from tocsin.errors import InputError
from tocsin.packaged import published_schemas
from tocsin.report import incident as kinds
from tocsin.report.document import from_document, to_document
from tocsin.report.problem import VocabularyError
from tocsin.report.schema import load_schema
from tocsin.report.typed import incident_of, values_of
from tocsin.report.vocabulary import MAX_VALUES, complete, encode_slots, problems

SCHEMA = published_schemas().exact("incident/1.0")
DAY = 86_400_000
NAIVE = datetime.fromisoformat("2026-06-18T00:00")
AXIS = {"axis": "PEOPLE", "level": 4}
LOSS = {"currency": "EUR", "at_least": 1, "at_most": 2}
ASSESSED = {"severity": 4, "severity_assessed_by": "gb"}


def fields(values):
    return [problem.field for problem in problems(values, SCHEMA)]


@pytest.mark.parametrize(
    ("values", "field", "value", "expected"),
    [
        ({"severity": 4}, "severity_assessed_by", "None", "who assessed"),
        ({"severity": 4, "severity_assessed_by": " "}, "severity_assessed_by", "' '", "who assessed"),
        ({"severity": 4, "severity_assessed_by": "\u200b"}, "severity_assessed_by", "'\\u200b'", "who assessed"),
        ({"severity": 8, "severity_assessed_by": "gb"}, "severity", "8", "7 DISASTER"),
        ({"severity_provisional": True}, "severity", "None", "severity_provisional"),
        (ASSESSED | {"severity_axes": [{"axis": "PEOPLE", "level": 5}]}, "severity", "4", "5, the highest"),
        (ASSESSED | {"severity_axes": [AXIS, {"axis": "RIGHTS", "level": -1}]}, "severity_axes[1].level", "-1", "0 BELOW_SCALE"),
        (ASSESSED | {"severity_axes": [AXIS, {"axis": "PEOPLE", "level": 3}]}, "severity_axes", "PEOPLE", "once"),
        (ASSESSED | {"severity_band": "HIGH"}, "severity_band", "'HIGH'", "'MEDIUM', as severity"),
        ({"occurred_from": DAY, "occurred_to": DAY - 1}, "occurred_to", "1970-01-01T23:59:59.999Z", "1970-01-02T00:00:00.000Z"),
        ({"occurred_day": 1, "occurred_to_day": 0}, "occurred_to_day", "1970-01-01", "occurred_day"),
        ({"occurred_month": 31, "occurred_to_month": 0}, "occurred_to_month", "1970-01-01", "1970-02-01"),
        ({"occurred_month": 17}, "occurred_month", "1970-01-18", "the first day of that month, 1970-01-01"),
        ({"occurred_to_month": 17}, "occurred_to_month", "1970-01-18", "the first day of that month, 1970-01-01"),
        ({"occurred_from": 0, "occurred_month": 31}, "occurred_month", "'1970-02-01'", "'1970-01-01', as occurred_from"),
        ({"occurred_from": 2**62}, "occurred_from", str(2**62), "occurred_day can be made"),
        ({"countries": ["GB", "UK"]}, "countries[1]", "'UK'", "ISO 3166-1"),
        ({"countries": ["gb"]}, "countries[0]", "'gb'", "capitals"),
        ({"regions": ["155", "150"]}, "regions[1]", "'150'", "sub-region"),
        ({"countries": ["GB"], "regions": ["155"]}, "regions", "['155']", "['154']"),
        ({"countries": ["GB", "JP", "GB"]}, "countries", "twice", "once"),
        ({"deaths": -1}, "deaths", "-1", "0 or more"),
        ({"injured_magnitude": 19}, "injured_magnitude", "19", "18"),
        ({"deaths": 10, "deaths_magnitude": 2}, "deaths_magnitude", "2", "1, as deaths"),
        ({"loss": [LOSS | {"currency": "euro"}]}, "loss[0].currency", "'euro'", "ISO 4217"),
        ({"loss": [LOSS | {"at_least": 3}]}, "loss[0].at_most", "2", "at least 3"),
        ({"loss": [LOSS | {"at_least": -3}]}, "loss[0].at_least", "-3", "0 or more"),
        ({"loss": [{"currency": "EUR", "at_least": 1}]}, "loss[0].at_most", "None", "64 bits"),
        ({"loss": [LOSS | {"exact": 1}]}, "loss[0].exact", "'exact'", "at_least"),
        ({"evidence": [{"uri": "", "digest": "", "media_type": ""}]}, "evidence[0].uri", "''", "where"),
        ({"evidence": [{"uri": "x", "digest": "md5:0", "media_type": ""}]}, "evidence[0].digest", "'md5:0'", "sha256:"),
        ({"external_ids": [{"scheme": "CVE", "id": "1"}]}, "external_ids[0].scheme", "'CVE'", "lower case"),
        ({"external_ids": [{"scheme": "cve", "id": ""}]}, "external_ids[0].id", "''", "identifier"),
        ({"same_as": ["gb/12"]}, "same_as[0]", "'gb/12'", "32 hex"),
        ({"part_of": ["GB/" + "0" * 32]}, "part_of[0]", "'GB/0", "32 hex"),
        ({"language": "English"}, "language", "'English'", "BCP 47"),
        ({"failure_confidence": "CONFIRMED"}, "failure_modes", "None", "failure_confidence"),
        ({"critical_sectors": ["NONE", "ENERGY"]}, "critical_sectors", "'NONE'", "alone"),
        ({"actions_taken": [{"kind": "OTHER", "text": "x", "at": "June"}]}, "actions_taken[0].at", "'June'", "ISO 8601"),
        ({"actions_taken": [{"kind": "OTHER", "text": "x", "at": "2026-06-18T10:00"}]}, "actions_taken[0].at", "'2026-06-18T10:00'", "offset"),
        ({"harm_types": ["PHYSICAL_DETH"]}, "harm_types[0]", "'PHYSICAL_DETH'", "perhaps PHYSICAL_DEATH"),
        ({"geo_scale": "local"}, "geo_scale", "'local'", "perhaps LOCAL"),
        ({"severity": "4"}, "severity", "'4'", "whole number"),
        ({"critical_function": 1}, "critical_function", "1", "true or false"),
        ({"title": "\ud800"}, "title", "'\\ud800'", "surrogates"),
        ({"title": ["x"]}, "title", "['x']", "a text"),
        ({"sources": [b"\1"]}, "sources[0]", "b'\\x01'", "32 bytes"),
        ({"titel": "x"}, "titel", "unknown", "perhaps title"),
        ({"qwertyuiop": "x"}, "qwertyuiop", "unknown", "incident/1.0"),
        ({"tlp": "RED"}, "tlp", "header", "leave it out"),
    ],
)  # fmt: skip
def test_one_problem_is_named_by_field_value_and_what_would_be_right(values, field, value, expected):
    (problem,) = problems(values, SCHEMA)
    assert problem.field == field
    assert value in problem.value
    assert expected in problem.expected


def test_all_problems_come_at_once_and_in_words():
    values = {
        "severity": 9,
        "severity_band": "LOW",
        "countries": ["UK"],
        "occurred_from": 1,
        "occurred_to": 0,
        "deaths": -1,
        "titel": "",
    }
    assert fields(values) == ["titel", "severity", "severity_assessed_by", "occurred_to", "countries[0]", "deaths"]
    with pytest.raises(VocabularyError) as caught:
        encode_slots(values, SCHEMA)
    assert [problem.field for problem in caught.value.problems] == fields(values)
    assert "6 problems" in str(caught.value)
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)


def test_a_field_that_does_not_fit_hides_no_other():
    assert fields({"severity": "high", "deaths": -1, "occurred_from": "x", "occurred_to": 1}) == [
        "occurred_from",
        "severity",
        "deaths",
    ]


def test_a_value_too_large_is_named_with_its_size_the_limit_and_a_remedy():
    (problem,) = problems({"description": "x" * 65_532}, SCHEMA)
    assert problem.field == "description"
    assert "65,536" in problem.value
    assert "65,535" in problem.value
    assert "evidence" in problem.expected
    assert "xxx" not in str(problem)
    assert problems({"description": "x" * 65_531}, SCHEMA) == []


def test_values_together_have_a_limit_too():
    """Texts that fit by themselves do not fit into one envelope; at the limit exactly they do, filled rungs included."""
    full = dict.fromkeys(("title", "description"), "x" * 65_531) | {"countries": ["GB"]}
    rest = (len(SCHEMA.fields) - 5) + 6 + 7  # nulls, {GB}, {154}
    room = MAX_VALUES - 2 * 65_535 - rest - 4
    (size,) = {sum(map(len, encode_slots(full | {"root_cause": "x" * room}, SCHEMA)))}
    assert size == MAX_VALUES
    (problem,) = problems(full | {"root_cause": "x" * (room + 1)}, SCHEMA)
    assert "196,609" in problem.value
    assert "196,608" in problem.expected


def test_no_long_value_is_shown():
    (problem,) = problems({"language": "secret " * 100}, SCHEMA)
    assert len(problem.value) <= 40


def test_coarser_rungs_are_filled_and_sets_sorted():
    values = ASSESSED | {
        "occurred_from": 40 * DAY,
        "countries": ["JP", "GB", "TW"],
        "deaths": 12,
        "injured": 0,
        "title": None,
    }
    assert complete(values, SCHEMA) == ASSESSED | {
        "occurred_from": 40 * DAY, "occurred_day": 40, "occurred_month": 31, "countries": ["GB", "JP", "TW"],
        "regions": ["000", "030", "154"], "severity_band": "MEDIUM", "deaths": 12, "deaths_magnitude": 1, "injured": 0,
        "injured_magnitude": -1,
    }  # fmt: skip
    assert complete({"occurred_day": 40}, SCHEMA) == {"occurred_day": 40, "occurred_month": 31}
    assert complete({"regions": ["154", "030"]}, SCHEMA) == {"regions": ["030", "154"]}


def test_slots_are_one_a_field_and_read_back():
    slots = encode_slots(ASSESSED | {"harm_types": ["OTHER", "PSYCHOLOGICAL"]}, SCHEMA)
    assert len(slots) == len(SCHEMA.fields)
    read = {of.name: of.decode(slot) for of, slot in zip(SCHEMA.fields, slots, strict=True)}
    given = {name: value for name, value in read.items() if value is not None}
    assert given == ASSESSED | {"severity_band": "MEDIUM", "harm_types": ["PSYCHOLOGICAL", "OTHER"]}
    assert encode_slots({}, SCHEMA) == (b"\0",) * len(SCHEMA.fields)


@pytest.mark.parametrize(
    "text",
    [
        "\N{FIRE}\N{ZERO WIDTH JOINER}\N{DOG}",
        "שלום \u202e عالم",
        "e\u0301 \u0915\u094d\u0937",
        "a\0b",
        "",
        "\ufeff",
        "\U0010ffff",
    ],
)
def test_texts_are_free_unicode(text):
    slots = encode_slots({"title": text, "rights_impacted": [text]}, SCHEMA)
    assert SCHEMA.decode_slot(SCHEMA.index("title"), slots[SCHEMA.index("title")]) == text
    document = json.loads(json.dumps(to_document({"title": text}, SCHEMA)))
    assert from_document(document, SCHEMA) == {"title": text}


def test_rules_of_incidents_are_for_incidents():
    text = (
        b'{"type": "record", "name": "T", "fields": [{"name": "severity", "type": ["null", "int"], "default": null}]}'
    )
    assert problems({"severity": 99}, load_schema("test/1.0", text)) == []


# --- documents ----------------------------------------------------------------------------------------------------

TOML = """
title = "Portal entered"
severity = 4
severity_assessed_by = "gb"
occurred_from = 2026-06-18T11:30:00.1239+02:00
occurred_to = "2026-09-15T00:00:00Z"
occurred_to_day = 2026-09-15
countries = ["AU"]
sources = ["0000000000000000000000000000000000000000000000000000000000000001"]

[[ai_system]]
name = "agent"
version = ""
model = "m"
serial = ""
eu_db_id = ""
"""


def test_a_report_file_is_read_into_values_and_shown_again():
    values = from_document(tomllib.loads(TOML), SCHEMA)
    begun = (datetime(2026, 6, 18, 9, 30, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert values["occurred_from"] == begun + 123
    assert values["occurred_to_day"] == (date(2026, 9, 15) - date(1970, 1, 1)).days
    assert values["sources"] == [bytes(31) + b"\1"]
    shown = to_document(complete(values, SCHEMA), SCHEMA)
    assert shown["occurred_from"] == "2026-06-18T09:30:00.123Z"
    assert shown["occurred_month"] == "2026-06-01"
    assert shown["sources"] == ["00" * 31 + "01"]
    assert from_document(json.loads(json.dumps(shown)), SCHEMA) == complete(values, SCHEMA)


@pytest.mark.parametrize(
    ("document", "field", "expected"),
    [
        ({"occurred_from": "2026-06-18T11:30:00"}, "occurred_from", "offset"),
        ({"occurred_from": "2026-06-18"}, "occurred_from", "only the day is known"),
        ({"occurred_from": "20260618"}, "occurred_from", "offset"),
        ({"occurred_from": date(2026, 6, 18)}, "occurred_from", "only the day is known"),
        ({"occurred_from": NAIVE}, "occurred_from", "offset"),
        ({"occurred_from": "last summer"}, "occurred_from", "2026-06-18T09:30:00Z"),
        ({"occurred_from": "2026-06-18T09:30:60Z"}, "occurred_from", "2026-06-18T09:30:00Z"),
        ({"occurred_from": 1.5}, "occurred_from", "milliseconds"),
        ({"occurred_day": "2026-02-30"}, "occurred_day", "2026-06-18"),
        ({"occurred_day": datetime(2026, 6, 18, tzinfo=UTC)}, "occurred_day", "without a time"),
        ({"sources": ["xyz"]}, "sources[0]", "hex"),
        ({"sources": "00"}, "sources", "a list"),
        ({"sources": ["00"]}, "sources[0]", "32 bytes"),
        ({"countries": "GB"}, "countries", "a list"),
        ({"evidence": {"uri": "x"}}, "evidence", "a list"),
        ({"evidence": ["x"]}, "evidence[0]", "uri"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_problem_like_any_other(document, field, expected):
    with pytest.raises(VocabularyError) as caught:
        from_document(document | {"deaths": -1}, SCHEMA)
    first, second = caught.value.problems
    assert (first.field, second.field) == (field, "deaths")
    assert expected in first.expected


def test_a_time_beyond_the_calendar_is_shown_as_the_number_that_it_is():
    """No date of the wire is out of range; what no calendar of Python reaches is read back as it was shown."""
    values = {"occurred_to": -(2**47), "occurred_to_day": 2**31 - 1, "title": None}
    shown = to_document(values, SCHEMA)
    assert shown == {"title": None, "occurred_to": -(2**47), "occurred_to_day": 2**31 - 1}
    assert to_document({"occurred_to": 2**62}, SCHEMA) == {"occurred_to": 2**62}
    assert from_document({"occurred_to_day": 2**31 - 1}, SCHEMA) == {"occurred_to_day": 2**31 - 1}


# --- typed classes ------------------------------------------------------------------------------------------------


def test_typed_reports_become_values_and_back():
    report = kinds.Incident(
        title="Portal entered",
        occurred_from=datetime(2026, 6, 18, 11, 30, tzinfo=timezone(timedelta(hours=2))),
        occurred_to_day=date(2026, 9, 15),
        event_kind=kinds.EventKind.INCIDENT,
        severity=4,
        severity_assessed_by="gb",
        severity_axes=(kinds.SeverityAxis(axis=kinds.Axis.CONTROL_SECURITY, level=4),),
        harm_types=(kinds.HarmType.OTHER,),
        critical_function=True,
        sources=(bytes(32),),
        ai_system=(kinds.AiSystem(name="agent", version="", model="", serial="", eu_db_id=""),),
    )
    values = values_of(report, SCHEMA)
    assert values["severity_axes"] == [{"axis": "CONTROL_SECURITY", "level": 4}]
    assert incident_of(values) == report
    assert incident_of(complete(values, SCHEMA)).severity_band is kinds.SeverityBand.MEDIUM
    assert incident_of({"title": None}) == kinds.Incident()


def test_a_typed_report_shows_all_its_problems_too():
    with pytest.raises(VocabularyError) as caught:
        values_of(kinds.Incident(severity=4, deaths=-1, occurred_from=NAIVE), SCHEMA)
    assert [problem.field for problem in caught.value.problems] == ["occurred_from", "severity_assessed_by", "deaths"]


def test_what_typed_classes_cannot_hold_is_refused_by_name():
    for values, place in (
        ({"added_later": 1}, "added_later"),
        ({"occurred_day": 2**31 - 1}, "occurred_day"),
        ({"occurred_from": 2**62}, "occurred_from"),
    ):
        with pytest.raises(InputError) as caught:
            incident_of(values)
        assert caught.value.place == place
