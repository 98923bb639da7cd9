"""The demo's assessments: each keeps the vocabulary, and belongs to a record that may be used."""

from collections import Counter

import pytest
from deploy.demo.assessments import assessed_records, assessments
from deploy.demo.countries import INSTITUTES, incident_schema

from tocsin.formats.genai_incidents import document, incidents
from tocsin.report.document import from_document
from tocsin.report.vocabulary import encode_slots

FIT = {record["id"]: record for record in incidents()}


def test_about_forty_records_are_assessed_and_every_country_has_some():
    assert 38 <= len(assessments()) <= 48
    assert set(assessed_records()) == set(INSTITUTES)
    assert Counter(a.tlp.name for a in assessments().values()).keys() == {
        "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED",
    }  # fmt: skip


@pytest.mark.parametrize("record_id", assessments())
def test_an_assessment_is_of_a_fit_record_and_makes_a_report_that_keeps_the_vocabulary(record_id):
    assessment, schema = assessments()[record_id], incident_schema()
    record = FIT[record_id]
    values = from_document({**document(record), **assessment.fields}, schema)
    assert encode_slots(values, schema)
    for needed in ("severity", "severity_axes", "oecd_severity", "materialisation", "harm_types", "system_relation"):
        assert values[needed] is not None, needed
    assert values["severity_assessed_by"].strip()
    assert isinstance(values["critical_function"], bool)


@pytest.mark.parametrize("record_id", assessments())
def test_an_assessment_copies_no_sentence_of_its_record(record_id):
    said = f"{FIT[record_id]['title']} {FIT[record_id]['description']}".lower()
    texts = [v for v in assessments()[record_id].fields.values() if isinstance(v, str) and " " in v]
    assert not [text for text in texts if text.lower() in said]


@pytest.mark.parametrize("record_id", assessments())
def test_a_party_is_named_only_where_its_record_names_it(record_id):
    record, fields = FIT[record_id], assessments()[record_id].fields
    said = f"{record['title']} {record['description']} {record.get('affected', '')}".lower()
    for party in [*fields.get("developer", ()), *fields.get("deployer", ())]:
        assert party.lower() in said, party
