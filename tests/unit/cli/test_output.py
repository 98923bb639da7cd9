"""What commands say to programs: JSON throughout, with the same meaning whatever the stream can hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.unit.cli.desk import Folder

from tocsin.cli.output import INTERRUPTED, Minute, print_json
from tocsin.wire.hop import NEVER

TITLE = "☕ 日本語 \x9b31m \u202egnihton"
TOCSIN = [sys.executable, "-m", "tocsin.cli.main"]


def process(folder, *words, **variables):
    """(exit code, output, errors) of a command in a process of its own; the last two as bytes."""
    done = subprocess.run(
        [*TOCSIN, *map(str, words)], cwd=folder.path, env={**os.environ, **variables}, capture_output=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "UTF-8"])
def test_a_stream_that_cannot_hold_a_title_shows_it_all_the_same(world, encoding):
    gb, lab = world
    gb.submit(lab, {"title": TITLE})
    code, out, _ = process(gb, "inbox", PYTHONIOENCODING=encoding)
    assert (code, ("日本語" if encoding == "UTF-8" else "\\u65e5") in out.decode(encoding)) == (0, True)
    code, out, _ = process(gb, "--json", "inbox", PYTHONIOENCODING=encoding)
    assert (code, json.loads(out.decode(encoding))["title"]) == (0, TITLE)


def test_json_holds_nothing_that_a_terminal_obeys_and_means_the_same(world):
    gb, lab = world
    gb.submit(lab, {"title": TITLE})
    said = gb.json("inbox")
    assert said.line["title"] == TITLE
    assert [c for c in said.out if not c.isprintable()] == ["\n"]


def test_a_minute_that_never_comes_is_null_to_a_program(capsys):
    print_json({"never": Minute(NEVER), "late": Minute(NEVER - 1), "first": Minute(0)})
    told = json.loads(capsys.readouterr().out)
    assert told == {"never": None, "late": "6053-01-23T02:06:00.000Z", "first": "1970-01-01T00:00:00.000Z"}
    assert [str(Minute(NEVER)), str(Minute(1))] == ["never", "1970-01-01 00:01Z"]


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["--nothing"],
        ["show"],
        ["show", "--nothing"],
        ["hold"],
        ["withhold", "ab", "title"],
        ["list", "-n0"],
    ],
)
def test_wrong_usage_is_an_error_object_like_any_other(tmp_path, words):
    said = Folder(tmp_path / "any").run(*words, "--json")
    assert (said.code, bool(said.error["error"]), bool(said.error["remedy"])) == (2, True, True)


def test_what_a_client_logs_is_json_among_the_errors(world, tmp_path):
    _, lab = world
    (tmp_path / "report.json").write_text(json.dumps({"title": "a title"}))
    code, _, err = process(lab, "--json", "report", tmp_path / "report.json", "--wait", "0.5")
    told = [json.loads(line) for line in err.splitlines()]
    assert (code, {line.get("library") for line in told} >= {"tocsin.lab"}, "error" in told[-1]) == (1, True, True)


def test_a_report_whose_receipt_nobody_awaits_any_more_has_said_its_leaf(world, tmp_path):
    _, lab = world
    (tmp_path / "report.json").write_text(json.dumps({"title": "a title"}))
    run = [*TOCSIN, "--json", "report", str(tmp_path / "report.json"), "--wait", "250"]
    with subprocess.Popen(run, cwd=lab.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        spooled = json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        assert running.wait() == INTERRUPTED
    (tmp_path / "update.json").write_text(json.dumps({"title": "it goes on"}))
    later = process(lab, "--json", "report", tmp_path / "update.json", "--follows", spooled["leaf"], "--wait", "0.1")
    assert json.loads(later[1])["incident"] == spooled["incident"]
