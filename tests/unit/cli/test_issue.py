"""The officer's acts on submissions: nothing is issued but as the law of each test says, and nothing twice."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli.desk import REPORT

from tocsin.flow.issue import Issue
from tocsin.flow.ports import Conflict
from tocsin.flow.rows import Copy, Outgoing, Report, Submission
from tocsin.wire.envelope import frame_envelope, read_envelope
from tocsin.wire.header import Tlp
from tocsin.wire.slots import mask_bytes


def test_a_submission_is_seen_issued_and_no_longer_waits(gb, lab):
    leaf = gb.submit(lab)
    [waiting] = gb.json("inbox").lines
    assert (waiting["leaf"], waiting["lab"], waiting["title"], waiting["severity"]) == (
        leaf,
        "frontier",
        REPORT["title"],
        3,
    )
    told = gb.json("issue", leaf[:8]).line
    assert (told["stage"], told["tlp"], told["sources"]) == ("INITIAL", "CLEAR", [leaf])
    assert gb.json("inbox").lines == []
    [row] = gb.rows(Submission)
    assert (row.state, row.report.hex()) == ("ISSUED", told["issued"])
    assert [line["state"] for line in gb.json("inbox", "--all").lines] == ["ISSUED"]
    [listed] = gb.json("list").lines
    assert (listed["leaf"], listed["origin"], listed["title"]) == (told["issued"], "gb", REPORT["title"])
    assert len(gb.json("list", "--origin", "frontier").lines) == 1


def test_an_issue_that_others_get_in_between_is_tried_again_and_issued_once(gb, lab, monkeypatch):
    leaf, real, beaten = gb.submit(lab), Issue._issue, [True, True]

    async def issue(self, tx, wanted, schema):
        made = await real(self, tx, wanted, schema)
        if beaten and beaten.pop():
            raise Conflict("another transaction got in between")
        return made

    monkeypatch.setattr(Issue, "_issue", issue)
    told = gb.json("issue", leaf).line["issued"]
    assert (beaten, [row.leaf.hex() for row in gb.rows(Report, origin="gb")]) == ([], [told])


def test_a_dismissed_submission_no_longer_waits_and_the_inbox_says_why_and_it_can_still_be_issued(gb, lab):
    one, two = gb.submit(lab), gb.submit(lab, {"title": "a real one"})
    by = ["--officer", "Ada", "--reason", "sent twice"]
    assert gb.json("dismiss", one[:12], *by).line == {"leaf": one, "lab": "frontier", "state": "DISMISSED"}
    assert [line["leaf"] for line in gb.json("inbox").lines] == [two]
    assert {line["leaf"]: line["dismissed"] for line in gb.json("inbox", "--all").lines} == {
        one: "Ada: sent twice",
        two: "",
    }
    assert f"{one[:12]} was dismissed by Ada: sent twice" in gb.run("inbox", "--all").out
    said = gb.run("dismiss", one, *by).err
    assert ("dismissed already" in said, "tocsin issue" in said) == (True, True)
    gb.json("issue", one)
    assert [(row.state, row.basis) for row in gb.rows(Submission) if row.leaf.hex() == one] == [("ISSUED", "")]
    assert "issued already" in gb.run("dismiss", one, *by).err


def test_submissions_are_dismissed_all_or_none_by_somebody_for_a_reason(gb, lab):
    leaf = gb.submit(lab)
    assert gb.run("dismiss", leaf, "ffff", "--officer", "Ada", "--reason", "x").code == 1
    assert gb.run("dismiss", leaf, "--officer", "Ada", "--reason", " ").code == 1
    assert gb.run("dismiss", leaf, "--officer", "Ada").code == 2
    assert len(gb.json("inbox").lines) == 1


def test_what_the_officer_says_goes_over_what_the_lab_said_and_its_ladder_follows(gb, lab, tmp_path):
    leaf = gb.submit(lab, {"occurred_day": "2026-06-18", "severity": 3})
    officers = tmp_path / "officer.toml"
    officers.write_text('occurred_day = 2026-07-02\nseverity = 5\nseverity_assessed_by = "gb"\n')
    shown = gb.json("issue", leaf, "--with", officers, "--dry-run").line["values"]
    assert (shown["occurred_day"], shown["severity"], shown["title"]) == ("2026-07-02", 5, REPORT["title"])
    report = gb.json("issue", leaf, "--with", officers).line["issued"]
    fields = {f["field"]: f["value"] for f in gb.json("show", report).line["fields"]}
    assert (fields["occurred_month"], fields["severity_band"]) == ("2026-07-01", "HIGH")


def test_a_null_of_the_officer_takes_a_value_away(gb, lab, tmp_path):
    leaf = gb.submit(lab)
    officers = tmp_path / "officer.json"
    officers.write_text(json.dumps({"root_cause": None}))
    shown = gb.json("issue", leaf, "--with", officers, "--dry-run").line["values"]
    assert "root_cause" not in shown
    assert shown["title"] == REPORT["title"]


def test_sources_are_joined_and_their_disagreements_are_the_officers(gb, lab, tmp_path):
    one = gb.submit(lab, {"sectors": ["K_FINANCE_INSURANCE"], "severity": 2})
    two = gb.submit(lab, {"sectors": ["P_EDUCATION"], "severity": 4})
    said = gb.run("issue", one, two)
    assert said.code == 1
    assert "the sources disagree on severity" in said.err
    officers = tmp_path / "officer.json"
    officers.write_text(json.dumps({"severity": 4}))
    report = gb.json("issue", one, two, "--with", officers).line
    assert sorted(report["sources"]) == sorted([one, two])
    fields = {f["field"]: f["value"] for f in gb.json("show", report["issued"]).line["fields"]}
    assert sorted(fields["sectors"]) == ["K_FINANCE_INSURANCE", "P_EDUCATION"]
    assert sorted(fields["sources"]) == sorted([one, two])


def test_every_problem_of_a_report_is_said_at_once_and_nothing_is_issued(gb, lab, tmp_path):
    leaf = gb.submit(lab)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"countries": ["XX"], "sektor": 1, "severity": 9}))
    said = gb.run("--json", "issue", leaf, "--with", bad)
    assert said.code == 1
    assert {p["field"] for p in said.error["problems"]} >= {"countries[0]", "sektor", "severity"}
    assert len(gb.json("inbox").lines) == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("bad.json", "{", "no JSON"),
        ("bad.toml", "= 1", "no TOML"),
        ("list.json", "[]", "this is no report"),
    ],
)
def test_a_file_that_is_no_report_is_named(gb, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    said = gb.run("issue", "--new", tmp_path / name)
    assert said.code == 1
    assert words in said.err
    assert name in said.err


def test_a_tlp_wider_than_the_sources_needs_a_basis(gb, lab):
    leaf = gb.submit(lab, tlp=Tlp.AMBER)
    said = gb.run("issue", leaf, "--tlp", "clear")
    assert said.code == 1
    assert "--basis" in said.err
    gb.json("issue", leaf, "--tlp", "clear", "--basis", "Act 1, section 2")
    assert [row.basis for row in gb.rows(Submission)] == ["Act 1, section 2"]


def test_a_report_without_a_submission_and_its_update_and_its_retraction(gb, tmp_path):
    new = tmp_path / "new.json"
    new.write_text(json.dumps(REPORT))
    first = gb.json("issue", "--new", new).line
    assert first["tlp"] == "AMBER"
    update = tmp_path / "update.json"
    update.write_text(json.dumps({"title": "Two databases"}))
    second = gb.json("issue", "--follows", first["issued"][:10], "--with", update).line
    assert second["stage"] == "UPDATE"
    fields = {f["field"]: f["value"] for f in gb.json("show", second["issued"]).line["fields"]}
    assert (fields["title"], fields["description"]) == ("Two databases", REPORT["description"])
    incident = gb.json("show", second["issued"]).line["report"]["incident"]
    third = gb.json("issue", "--follows", incident[:10], "--stage", "retraction").line
    assert gb.json("show", third["issued"]).line["fields"] == []
    assert gb.json("show", incident).line["report"]["leaf"] == third["issued"]
    said = gb.run("issue", "--follows", first["issued"])
    assert said.code == 1


def test_an_update_rests_on_all_that_a_restored_node_still_holds_and_says_unknown_over_nothing_else(gb, lab, tmp_path):
    """What came back from the node's own topics are several copies, each with less than was issued."""
    leaf = gb.issued(lab)
    gb.release()
    sent = [read_envelope(row.value)[0] for row in gb.rows(Outgoing, leaf=bytes.fromhex(leaf))]
    [own] = gb.rows(Copy, leaf=bytes.fromhex(leaf))
    gb.drop(own)
    gb.put(
        *(
            Copy(e.leaf, e.hops[-1].hash, "gb", mask_bytes(e.mask, e.n), frame_envelope(e), own.accepted_ms)
            for e in sent
        )
    )
    said = gb.run("issue", "--follows", leaf)
    assert (said.code, "no longer holds these fields of the revision before: " in said.err) == (1, True)
    assert "root_cause" in said.err
    assert "title" not in said.err
    lost = said.err.split("before: ")[1].split("\n")[0].split(", ")
    update = tmp_path / "update.json"
    update.write_text(json.dumps(dict.fromkeys(lost) | {"root_cause": "as we know from paper"}))
    later = gb.json("issue", "--follows", leaf, "--with", update).line["issued"]
    fields = {f["field"]: f["value"] for f in gb.json("show", later).line["fields"]}
    assert fields["description"] == REPORT["description"]  # which the public was never sent
    assert fields["root_cause"] == "as we know from paper"
    assert gb.json("issue", "--follows", later, "--stage", "retraction").line["stage"] == "RETRACTION"


def test_a_drill_does_not_mix_with_what_happened(gb, lab):
    drill, real = gb.submit(lab, exercise=True), gb.submit(lab)
    said = gb.run("issue", drill, real)
    assert (said.code, "drill" in said.err) == (1, True)
    leaf = gb.json("issue", drill).line["issued"]
    assert gb.json("show", leaf).line["report"]["exercise"] is True
