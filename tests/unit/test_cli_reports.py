"""The officer's commands over a real store: nothing is issued, shown or answered but as the law of each test says."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli_desk import POLICY, REPORT, copied, found

from tocsin.flow.rows import Due, Hold, Outgoing, Submission, Withholding
from tocsin.wire.header import Tlp


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("founded")
    found(folder)
    return folder


@pytest.fixture
def world(base, tmp_path):
    return copied(base, tmp_path / "world")


@pytest.fixture
def gb(world):
    return world[0]


@pytest.fixture
def lab(world):
    return world[1]


def issued(gb, lab, **changes):
    """The leaf of a national report from one submission."""
    leaf = gb.submit(lab, **changes)
    return gb.json("issue", leaf[:12]).line["issued"]


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


def test_a_drill_does_not_mix_with_what_happened(gb, lab):
    drill, real = gb.submit(lab, exercise=True), gb.submit(lab)
    said = gb.run("issue", drill, real)
    assert (said.code, "drill" in said.err) == (1, True)
    leaf = gb.json("issue", drill).line["issued"]
    assert gb.json("show", leaf).line["report"]["exercise"] is True


def test_ids_are_prefixes_and_an_ambiguous_one_lists_its_candidates(gb, lab):
    leaves = [issued(gb, lab) for _ in range(17)]  # of 17 ids two begin with the same digit
    digit = next(d for d in "0123456789abcdef" if sum(leaf.startswith(d) for leaf in leaves) > 1)
    said = gb.run("show", digit)
    assert said.code == 1
    for leaf in [leaf for leaf in leaves if leaf.startswith(digit)][:3]:
        assert leaf[:12] in said.err
    assert "Give more digits" in said.err
    assert gb.json("show", leaves[0][:16]).line["report"]["leaf"] == leaves[0]


@pytest.mark.parametrize(
    "command", [("show",), ("trace",), ("policy", "preview"), ("policy", "explain", "--audience", "jp")]
)
@pytest.mark.parametrize(("text", "words"), [("0" * 64, "no report begins"), ("xyz", "is no id")])
def test_an_unknown_id_is_said_with_what_to_do(gb, command, text, words):
    said = gb.run(*command, text)
    assert said.code == 1
    assert words in said.err
    assert "   do " in said.err


def test_show_says_what_was_sent_to_whom_and_what_was_withheld(gb, lab):
    leaf = issued(gb, lab)
    gb.release()
    data = gb.json("show", leaf).line
    sent = {d["audience"]: d for d in data["decisions"]}
    assert set(sent) == {"jp", "public"}
    assert set(sent["public"]["disclosed"]) == {"title", "severity_band"}
    assert [h["rule"] for h in data["holds"]] == ["hold-technical"]
    held = [name for why in sent["jp"]["reasons"] for name in why["fields"]]
    assert "root_cause" in held
    told = gb.run("show", leaf).out
    assert "public" in told
    assert max(map(len, told.splitlines())) <= 80


def test_trace_checks_every_signature_and_ends_with_3_where_one_fails(gb, lab):
    leaf = issued(gb, lab)
    gb.release()
    own = gb.json("trace", leaf).line
    assert (own["verdict"], [s["by"] for s in own["steps"]]) == ("verified", ["gb"])
    sent = gb.json("trace", leaf, "--audience", "public").line
    assert [(s["step"], s["by"], s["reason"]) for s in sent["steps"]] == [("report", "gb", ""), ("hop 0", "gb", "")]
    trust = json.loads((gb.path / "trust.json").read_text())
    party = next(p for p in trust["parties"] if p["party"] == "gb")
    relay = next(k for k in party["keys"] if k["use"] == "relay")
    relay["revoked_at_ms"] = 1
    (gb.path / "trust.json").write_text(json.dumps({**trust, "version": trust["version"] + 1}))
    said = gb.run("trace", leaf, "--audience", "public")
    assert said.code == 3
    assert "HOP_KEY_REVOKED" in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_trace_tells_what_is_no_longer_kept_from_what_was_never_sealed(gb, lab):
    leaf = issued(gb, lab)
    gb.release()

    async def prune(desk):
        async with desk.store.begin() as tx:
            await tx.drop(await tx.find(Outgoing, {}))

    gb.do(prune)
    assert "no longer kept" in gb.run("trace", leaf, "--audience", "public").err
    assert "nothing of it was sealed" in gb.run("trace", leaf, "--audience", "nobody").err


def test_trace_reads_a_file_and_says_what_is_wrong_with_it(gb, lab, tmp_path):
    framed, leaf = lab.sealed(REPORT)
    file = tmp_path / "sub.tocsin"
    file.write_bytes(framed)
    traced = gb.json("trace", file).line
    assert (traced["leaf"], traced["verdict"]) == (leaf.hex(), "verified")
    file.write_bytes(framed[:-2] + bytes([framed[-2] ^ 1]) + framed[-1:])  # the hop's signature is the last field
    said = gb.run("--json", "trace", file)
    assert said.code == 3
    assert said.line["verdict"] == "HOP_SIGNATURE_INVALID"
    file.write_bytes(b"nothing")
    assert gb.run("--json", "trace", file).line["verdict"] == "FRAMING"


def test_a_file_that_is_no_vector_is_named_and_the_others_are_run(gb, tmp_path):
    bad = {
        "missing.json": '{"trust": [], "envelope_hex": "00"}',
        "hex.json": '{"trust": [], "envelope_hex": "zz", "now_ms": 1}',
        "shape.json": '{"trust": [], "stream": []}',
        "list.json": "[]",
        "policy.json": '{"policy": 1}',
        "broken.json": "{",
    }
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
    good = tmp_path / "good.json"
    good.write_text('{"trust": []}')
    said = gb.run("--json", "verify", "--vector", *(tmp_path / name for name in bad), tmp_path, good)
    assert said.code == 1
    assert said.line == {"file": str(good), "loaded": True}
    faults = [json.loads(line) for line in said.err.splitlines()]
    assert [fault["place"] for fault in faults] == [str(tmp_path / name) for name in bad] + [str(tmp_path)]
    assert all(fault["remedy"] for fault in faults)


def test_verify_reads_every_file_that_it_can_and_a_refused_one_hides_no_unread_one(gb, lab, tmp_path):
    good, bad = tmp_path / "good.tocsin", tmp_path / "bad.tocsin"
    good.write_bytes(lab.sealed(REPORT)[0])
    bad.write_bytes(b"nothing")
    assert gb.run("verify", good).code == 0
    assert gb.run("verify", bad, good).code == 3
    said = gb.run("--json", "verify", tmp_path, bad, good)
    assert (said.code, said.error["place"]) == (1, str(tmp_path))
    assert [line.get("reason", "") for line in said.lines] == ["FRAMING", ""]


def test_watch_shows_the_stream_of_an_audience_one_line_per_report(gb, lab):
    leaves = [issued(gb, lab) for _ in range(3)]
    gb.release()
    lines = gb.json("watch", "public", "--once").lines
    assert {line["leaf"] for line in lines} == set(leaves)
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert [line["seq"] for line in gb.json("watch", "public", "--once", "--last", "1").lines] == [3]
    assert "CANARY" not in gb.json("watch", "public", "--once").out
    assert max(map(len, gb.run("watch", "jp", "--once").out.splitlines())) <= 80
    said = gb.run("watch", "nobody", "--once")
    assert (said.code, "jp, public" in said.err) == (1, True)


def test_preview_shows_what_the_release_then_sends(gb, lab):
    leaf = issued(gb, lab)
    before = {line["audience"]: line for line in gb.json("policy", "preview", leaf).lines}
    assert before["public"]["disclosed"] == ["title", "severity_band"]
    assert before["jp"]["open_holds"] == ["hold-technical"]
    gb.release()
    sent = {d["audience"]: d["disclosed"] for d in gb.json("show", leaf).line["decisions"]}
    assert {audience: line["disclosed"] for audience, line in before.items()} == sent
    told = gb.run("policy", "preview", leaf).out
    assert "by time alone it changes at" in told


def test_explain_names_the_rule_that_gives_or_takes_each_field(gb, lab):
    leaf = issued(gb, lab)
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


def test_a_hold_is_seen_approved_and_what_it_kept_back_is_sent(gb, lab):
    leaf = issued(gb, lab)
    gb.release()
    [hold] = gb.json("hold", "list").lines
    assert (hold["leaf"], hold["audience"], hold["rule"], hold["overdue"]) == (leaf, "jp", "hold-technical", False)
    shown = gb.json("hold", "show", hold["id"]).line
    assert "root_cause" in shown["keeps_back"]
    said = gb.run("hold", "approve", hold["id"], "--officer", " ", "--reason", "because")
    assert (said.code, "--officer" in said.err) == (1, True)
    assert gb.run("hold", "approve", hold["id"]).code == 2
    gb.json("hold", "approve", hold["id"], "--officer", "A. Moyo", "--reason", "Minister agrees")
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
    leaf = issued(gb, lab)
    gb.release()
    [hold] = gb.json("hold", "list").lines
    gb.json("hold", "refuse", hold["id"], "--officer", "A", "--reason", "no")
    gb.release()
    assert all("root_cause" not in d["disclosed"] for d in gb.json("show", leaf).line["decisions"])
    gb.json("hold", "approve", hold["id"], "--officer", "B", "--reason", "yes")
    gb.release()
    assert any("root_cause" in d["disclosed"] for d in gb.json("show", leaf).line["decisions"])


def test_what_an_officer_withholds_goes_with_its_finer_rungs_and_every_audience_is_decided_again(gb, lab):
    leaf = issued(gb, lab)
    told = gb.json("withhold", leaf, "severity_band", "--audience", "public", "--officer", "A", "--reason", "law").line
    assert set(told["withheld"]) == {"severity", "severity_band"}
    gb.json("withhold", leaf, "title", "--audience", "public", "--officer", "B", "--reason", "name")
    [row] = gb.rows(Withholding)
    assert row.officer == "B"
    assert {due.audience for due in gb.rows(Due)} == {"jp", "public"}
    gb.release()
    assert [d for d in gb.json("show", leaf).line["decisions"] if d["audience"] == "public"] == []
    [kept] = gb.json("show", leaf).line["officers"]
    assert {"title", "severity", "severity_band"} == set(kept["fields"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no_such_field", "--audience", "public"), "has no field"),
        (("title", "--audience", "nobody"), "no policy names the audience"),
    ],
)
def test_withhold_refuses_what_it_does_not_know(gb, lab, words, said):
    leaf = issued(gb, lab)
    answer = gb.run("withhold", leaf, *words, "--officer", "A", "--reason", "x")
    assert (answer.code, said in answer.err) == (1, True)
    assert gb.rows(Withholding) == []


def test_a_report_of_a_stranger_cannot_move_the_cursor(gb, lab):
    leaf = gb.submit(lab, {"title": "\x1b[2Jall clear \u202egnihton"})
    for words in (["inbox"], ["show", leaf]):
        out = gb.run(*words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "\\u001b" in out


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
