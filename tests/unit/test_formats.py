"""Records of another collection as documents: what a record says is kept where it belongs, and nothing is invented."""

import pytest

from tocsin.formats.genai_incidents import document, incidents

RECORDS = list(incidents())


def one(digits):
    """The first record whose date has so many characters."""
    return next(record for record in RECORDS if len(record["date"]) == digits)


def test_a_year_alone_is_kept_in_words_and_becomes_no_month():
    record = one(4)
    written = document(record)
    assert [name for name in written if name.startswith("occurred")] == []
    assert f"date as named by the source: {record['date']}" in written["additional_information"]


@pytest.mark.parametrize(("digits", "field", "more"), [(7, "occurred_month", "-01"), (10, "occurred_day", "")])
def test_a_date_goes_into_the_field_that_holds_as_much(digits, field, more):
    record = one(digits)
    written = document(record)
    assert {name for name in written if name.startswith("occurred")} == {"occurred_fidelity", field}
    assert written[field] == record["date"] + more
    assert "date as" not in written["additional_information"]


def test_the_credit_which_everybody_gets_leads_to_no_record():
    for record in RECORDS:
        written = document(record)
        assert record["id"] not in written["attribution"]
        assert {"scheme": "genai-incidents", "id": record["id"]} in written["external_ids"]


def test_whom_a_record_says_to_be_affected_is_kept_in_its_words():
    for record in RECORDS:
        assert f"affected as named by the source: {record['affected']}" in document(record)["additional_information"]
