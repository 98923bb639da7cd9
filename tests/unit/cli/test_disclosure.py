"""What goes to whom: policies explained as the release then decides, holds answered, fields withheld by officers."""

from __future__ import annotations

import re

import pytest
from tests.unit.cli.desk import POLICY

from tocsin.flow.rows import Due, Hold, Withholding
from tocsin.wire.header import Tlp


def test_preview_shows_what_the_release_then_sends(gb, lab):
    leaf = gb.issued(lab)
    before = {line["audience"]: line for line in gb.json("policy", "preview", leaf).lines}
    assert before["public"]["disclosed"] == ["title", "severity_band"]
    assert before["jp"]["open_holds"] == ["hold-technical"]
    gb.release()
    sent = {d["audience"]: d["disclosed"] for d in gb.json("show", leaf).line["decisions"]}
    assert {audience: line["disclosed"] for audience, line in before.items()} == sent
    told = gb.run("policy", "preview", leaf).out
    assert "by time alone it changes at" in told


def test_preview_promises_no_relay_what_the_tlp_forbids(gb, lab):
    red = " ".join(gb.run("policy", "preview", gb.issued(lab, tlp=Tlp.RED)).out.split())
    assert "by its TLP, RED, it may be passed on to nobody" in red
    assert "may pass on to" not in red
    amber = " ".join(gb.run("policy", "preview", gb.issued(lab, tlp=Tlp.AMBER)).out.split())
    assert "by its TLP, AMBER, it may be passed on to AUTHORITY alone" in amber
    assert "to PUBLIC" not in amber
    clear = " ".join(gb.run("policy", "preview", gb.issued(lab)).out.split())
    assert "by its TLP" not in clear


def test_explain_names_the_rule_that_gives_or_takes_each_field(gb, lab):
    leaf = gb.issued(lab)
    line = gb.json("policy", "explain", leaf, "--audience", "jp").line
    because = {f["field"]: [(b["rule"], b["effect"], b["answer"]) for b in f["because"]] for f in line["fields"]}
    assert because["root_cause"] == [("all-to-jp", "GRANT", ""), ("hold-technical", "HOLD", "")]
    public = gb.json("policy", "explain", leaf, "--audience", "public").line
    month = next(f for f in public["fields"] if f["field"] == "occurred_month")
    assert (month["given"], month["since"] is not None) == (False, True)
    told = " ".join(gb.run("policy", "explain", leaf, "--audience", "jp").out.split())
    assert "not given: given by all-to-jp; held by hold-technical (open) root_cause" in told
    nobody = gb.json("policy", "explain", leaf, "--audience", "nobody").line
    assert nobody["nothing"] == "AUDIENCE"
    assert "the policy names jp, public" in gb.run("policy", "explain", leaf, "--audience", "nobody").out
    told = " ".join(gb.run("policy", "explain", leaf, "--audience", "public").out.split())
    [moment] = {field["since"] for field in public["fields"] if field["field"] == "occurred_month"}
    assert f"given by later from {moment[:10]} {moment[11:16]}Z occurred_month" in told


def test_a_program_gets_minutes_with_their_zone(gb, lab):
    leaf = gb.issued(lab)
    preview = {line["audience"]: line for line in gb.json("policy", "preview", leaf).lines}
    explained = gb.json("policy", "explain", leaf, "--audience", "public").line
    gb.release()
    sent = next(d for d in gb.json("show", leaf).line["decisions"] if d["audience"] == "public")
    hop = gb.json("trace", leaf, "--audience", "public").line["steps"][1]
    minutes = [preview["public"]["next"], hop["minute"]]
    minutes += [why["until"] for why in (*preview["public"]["withheld"], *sent["reasons"]) if why["until"]]
    minutes += [field["since"] for field in explained["fields"] if field["since"]]
    assert [minute for minute in minutes if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00.000Z", minute)] == []


def test_a_hold_is_seen_approved_and_what_it_kept_back_is_sent(gb, lab):
    leaf = gb.issued(lab)
    gb.release()
    [hold] = gb.json("hold", "list").lines
    assert len(hold["id"]) == 64
    assert (hold["leaf"], hold["audience"], hold["rule"], hold["overdue"]) == (leaf, "jp", "hold-technical", False)
    shown = gb.json("hold", "show", hold["id"]).line
    assert "root_cause" in shown["keeps_back"]
    said = gb.run("hold", "approve", hold["id"], "--officer", " ", "--reason", "because")
    assert (said.code, "--officer" in said.err) == (1, True)
    assert gb.run("hold", "approve", hold["id"]).code == 2
    by = ["--officer", "A. Moyo", "--reason", "Minister agrees"]
    assert gb.json("hold", "approve", hold["id"][:12], *by).line["id"] == hold["id"]
    [row] = gb.rows(Hold)
    assert (row.state, row.officer, row.reason) == ("APPROVED", "A. Moyo", "Minister agrees")
    gb.release()
    sent = [d for d in gb.json("show", leaf).line["decisions"] if d["audience"] == "jp"]
    assert ["root_cause" in d["disclosed"] for d in sent] == [False, True]
    assert sent[1]["cause"] == "APPROVED"
    again = gb.run("hold", "refuse", hold["id"], "--officer", "B", "--reason", "no")
    assert (again.code, "A. Moyo has approved it already" in again.err) == (1, True)
    assert gb.json("hold", "list").lines == []
    assert [line["state"] for line in gb.json("hold", "list", "--all").lines] == ["APPROVED"]


def test_a_refused_hold_may_be_approved_after_all(gb, lab):
    leaf = gb.issued(lab)
    gb.release()
    [hold] = gb.json("hold", "list").lines
    gb.json("hold", "refuse", hold["id"], "--officer", "A", "--reason", "no")
    gb.release()
    assert all("root_cause" not in d["disclosed"] for d in gb.json("show", leaf).line["decisions"])
    gb.json("hold", "approve", hold["id"], "--officer", "B", "--reason", "yes")
    gb.release()
    assert any("root_cause" in d["disclosed"] for d in gb.json("show", leaf).line["decisions"])


def test_what_an_officer_withholds_goes_with_its_finer_rungs_and_every_audience_is_decided_again(gb, lab):
    leaf = gb.issued(lab)
    told = gb.json("withhold", leaf, "severity_band", "--audience", "public", "--officer", "A", "--reason", "law").line
    assert set(told["withheld"]) == {"severity", "severity_band"}
    gb.json("withhold", leaf, "title", "--audience", "public", "--officer", "B", "--reason", "name")
    assert [(row.officer, row.reason) for row in gb.rows(Withholding)] == [("A", "law"), ("B", "name")]
    assert {due.audience for due in gb.rows(Due)} == {"jp", "public"}
    gb.release()
    assert [d for d in gb.json("show", leaf).line["decisions"] if d["audience"] == "public"] == []
    first, second = gb.json("show", leaf).line["officers"]
    assert (set(first["fields"]), first["officer"], first["reason"]) == ({"severity", "severity_band"}, "A", "law")
    assert (second["fields"], second["officer"], second["reason"]) == (["title"], "B", "name")


def test_what_is_withheld_too_late_is_said(gb, lab):
    leaf = gb.issued(lab)
    gb.release()
    words = ("--audience", "public", "--officer", "A", "--reason", "law")
    late = gb.json("withhold", leaf, "title", "description", *words).line
    assert (late["withheld"], late["sent_already"]) == (["title", "description"], ["title"])
    assert "sent already  title" in gb.run("withhold", leaf, "title", *words).out
    assert "sent_already" not in gb.json("withhold", gb.issued(lab), "title", *words).line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no_such_field", "--audience", "public"), "has no field"),
        (("title", "--audience", "nobody"), "no policy names the audience"),
    ],
)
def test_withhold_refuses_what_it_does_not_know(gb, lab, words, said):
    leaf = gb.issued(lab)
    answer = gb.run("withhold", leaf, *words, "--officer", "A", "--reason", "x")
    assert (answer.code, said in answer.err) == (1, True)
    assert gb.rows(Withholding) == []


def test_a_policy_is_validated_with_line_and_column(gb, tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(POLICY)
    bad.write_text(POLICY.replace('to = ["jp"]', 'to = ["jq"]').replace('"P30D"', '"30 days"'))
    assert gb.json("policy", "validate", good).line["valid"] is True
    said = gb.run("policy", "validate", bad)
    assert said.code == 1
    assert len(said.out.splitlines()) == 3, said.out
    assert "bad.toml:13:" in said.out
    assert len(gb.run("--json", "policy", "validate", bad).line["problems"]) == 3
