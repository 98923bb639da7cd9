"""The commands that show: what is shown verifies, or is said not to, and no stranger's text does anything."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli.desk import REPORT

from tocsin.flow.rows import Outgoing, Report
from tocsin.wire.header import Stage


def test_ids_are_prefixes_and_an_ambiguous_one_lists_its_candidates(gb, lab):
    leaves = [gb.issued(lab) for _ in range(17)]  # of 17 ids two begin with the same digit
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
    leaf = gb.issued(lab)
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


def test_a_retracted_report_a_drill_and_what_is_no_first_report_are_told_at_a_glance(gb, lab):
    first = gb.submit(lab)
    issued = gb.json("issue", first).line["issued"]
    later = gb.json("issue", "--follows", issued, "--stage", "retraction").line["issued"]
    drill = gb.issued(lab, exercise=True)
    about = gb.json("show", issued).line["report"]
    assert (about["newest_revision"], about["retracted_by"]) == (later, later)
    assert not {"newest_revision", "retracted_by"} & gb.json("show", later).line["report"].keys()
    assert {line["leaf"]: line["retracted"] for line in gb.json("list").lines} == {
        issued: True,
        later: False,
        drill: False,
    }
    assert all(line["title"] in {REPORT["title"], None} for line in gb.json("list").lines)
    listed = {line.split()[0]: line for line in gb.run("list").out.splitlines()}
    assert "(retracted) " in listed[issued[:12]]
    assert "(retracted)" not in listed[later[:12]]
    assert "(drill) " in listed[drill[:12]]
    [row] = gb.rows(Report, leaf=bytes.fromhex(first))
    taken_back = gb.submit(lab, dict.fromkeys(REPORT), stage=Stage.RETRACTION, previous=row)
    waits = gb.json("inbox", "--all").lines
    assert [(w["stage"], w["retracted"]) for w in waits if w["leaf"] in {first, taken_back}] == [
        ("INITIAL", True),
        ("RETRACTION", False),
    ]
    told = gb.run("inbox", "--all").out
    assert "(retracted) Agent" in told
    assert "(retraction) " in told
    assert max(map(len, told.splitlines())) <= 80


def test_trace_checks_every_signature_and_ends_with_3_where_one_fails(gb, lab):
    leaf = gb.issued(lab)
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
    leaf = gb.issued(lab)
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


@pytest.mark.parametrize("text", ['{"trust": [{"party": "gb", "party": "jp"}]}', '{"trust": [NaN]}'])
def test_a_trust_view_that_json_readers_differ_on_is_not_loaded(gb, tmp_path, text):
    (tmp_path / "view.json").write_text(text)
    assert gb.json("verify", "--vector", tmp_path / "view.json").line["loaded"] is False


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
    leaves = [gb.issued(lab) for _ in range(3)]
    gb.release()
    lines = gb.json("watch", "public", "--once").lines
    assert {line["leaf"] for line in lines} == set(leaves)
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert [line["seq"] for line in gb.json("watch", "public", "--once", "--last", "1").lines] == [3]
    assert "CANARY" not in gb.json("watch", "public", "--once").out
    assert max(map(len, gb.run("watch", "jp", "--once").out.splitlines())) <= 80
    said = gb.run("watch", "nobody", "--once")
    assert (said.code, "jp, public" in said.err) == (1, True)


def test_a_report_of_a_stranger_cannot_move_the_cursor(gb, lab):
    leaf = gb.submit(lab, {"title": "\x1b[2Jall clear \u202egnihton"})
    for words in (["inbox"], ["show", leaf]):
        out = gb.run(*words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "\\u001b" in out
