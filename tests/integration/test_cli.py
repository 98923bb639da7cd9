"""The command line against a real broker: a first hour of an institute, a lab and a peer, by commands alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from tests.federation.nodes import wait_until
from tests.unit.cli.desk import POLICY, REPORT, Folder, Lab, Node

pytestmark = pytest.mark.kafka


def process(folder, *words):
    """A command as a process of its own, its words printed to a file."""
    log = (folder.path / "process.log").open("ab")
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "tocsin.cli.main", *map(str, words)],
            cwd=folder.path,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    finally:
        log.close()


@pytest.fixture
def hour(tmp_path, second_kafka):
    """gb, its lab and a reader of its public stream, on one cluster."""
    base = tmp_path / "hour"
    gb, lab, jp, press = Node(base / "gb"), Lab(base / "lab"), Folder(base / "jp"), Folder(base / "press")
    where = ["--bootstrap", second_kafka.bootstrap]
    gb.json("init", "--id", "gb", "--jurisdiction", "GB", *where)
    (gb.path / "policies" / "incident.toml").write_text(POLICY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gb.config.write_text(gb.config.read_text().replace("[http]\n", f'[http]\nlisten = "127.0.0.1:{port}"\n'))
    institute = ["--institute", gb.path / "gb.party.json", *where]
    lab.json("lab", "init", "--id", "frontier", "--jurisdiction", "GB", *institute)
    press.json("reader", "init", "--audience", "public", *institute)
    jp.json("init", "--id", "jp", "--jurisdiction", "JP")
    gb.json("lab", "enrol", lab.path / "frontier.party.json", "--yes")
    gb.json("peer", "add", jp.path / "jp.party.json", "--yes")
    gb.json("reader", "add", "jp")
    return gb, lab, press


def test_topics_apply_shows_the_plan_makes_it_and_is_quiet_the_second_time(hour):
    gb, _, _ = hour
    planned = gb.json("topics", "apply", "--dry-run").line
    assert "tocsin.gb.out.public" in planned["create"]
    assert gb.json("topics", "apply", "--dry-run").line["create"] == planned["create"]
    made = gb.json("topics", "apply").line
    assert made["create"] == planned["create"]
    again = gb.json("topics", "apply").line
    assert (again["create"], again["change"], again["grant"]) == ([], [], [])
    assert "no authorizer" in gb.run("topics", "apply").out


def test_a_report_goes_from_the_lab_to_a_public_reader_by_commands_alone(hour, tmp_path):
    """report → receipt → inbox → issue → hold approved → the public stream, read and verified by its own client."""
    gb, lab, press = hour
    gb.json("topics", "apply")
    running = process(gb, "run")
    try:
        (tmp_path / "report.json").write_text(json.dumps(REPORT))
        spooled, receipt = lab.json("report", tmp_path / "report.json", "--tlp", "clear", "--wait", "90").lines
        assert spooled["leaf"] == receipt["leaf"]
        assert (receipt["receipt"], receipt["from"]) == ("ACCEPTED", "gb")
        [waiting] = gb.json("inbox").lines
        assert waiting["leaf"] == receipt["leaf"]
        issued = gb.json("issue", waiting["leaf"][:10]).line["issued"]
        [hold] = wait_until(lambda: gb.json("hold", "list").lines, "the hold that the policy opens")
        gb.json("hold", "approve", hold["id"], "--officer", "A. Moyo", "--reason", "agreed")
        wait_until(lambda: "APPROVED" in [d["cause"] for d in gb.json("show", issued).line["decisions"]], "the release")
        [seen] = wait_until(lambda: press.json("watch", "--reader", "reader.toml", "--once").lines, "the public stream")
        assert (seen["leaf"], seen["came_by"], set(seen["fields"])) == (issued, ["gb"], {"title", "severity_band"})
        assert press.json("watch", "--reader", "reader.toml", "--once").lines == []
        gb.json("resend", "public", "1", "1")
        answered = wait_until(
            lambda: [r for r in gb.json("trace", issued, "--audience", "jp").lines if len(r["steps"]) == 2], "jp's"
        )
        assert {trace["verdict"] for trace in answered} == {"verified"}
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, (gb.path / "process.log").read_text()


def test_a_right_that_the_configuration_does_not_know_is_shown_and_taken_away_on_request(secured_kafka, tmp_path):
    gb = Node(tmp_path / "gb")
    admin = secured_kafka.pki.client("broker")
    gb.json("init", "--id", "gb", "--jurisdiction", "GB")
    (gb.path / "policies" / "incident.toml").write_text(POLICY)
    (tmp_path / "admin.toml").write_text(
        f'[kafka]\nbootstrap = "{secured_kafka.bootstrap}"\nsecurity = "mtls"\nca = "{secured_kafka.pki.ca}"\n'
        f'certificate = "{admin.certificate}"\nkey = "{admin.key}"\n'
    )
    gb.json("reader", "add", "press", "--audience", "public", "--principal", "press")
    apply = ["topics", "apply", "--admin", tmp_path / "admin.toml"]
    gb.json(*apply)
    gb.json("reader", "remove", "press")
    told = gb.json(*apply).line
    assert any("press" in right for right in told["unknown"])
    assert any("press" in right for right in gb.json(*apply).line["unknown"])
    gb.json(*apply, "--revoke-unknown")
    assert [right for right in gb.json(*apply).line["unknown"] if "press" in right] == []


def test_dev_kafka_up_stays_until_down(tmp_path):
    """The command ends, the broker stays; whoever says it again is told of the same one."""
    folder = Folder(tmp_path / "work")

    def up():
        words = [sys.executable, "-m", "tocsin.cli.main", "--json", "dev", "kafka", "up", "--folder", "broker"]
        return json.loads(subprocess.run(words, cwd=folder.path, check=True, capture_output=True).stdout)

    told = up()
    try:
        host, port = told["bootstrap"].split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        assert up()["bootstrap"] == told["bootstrap"]
    finally:
        down = folder.run("dev", "kafka", "down", "--folder", "broker")
    assert (down.code, down.out.strip()) == (0, "stopped")
    assert folder.run("dev", "kafka", "down", "--folder", "broker").out.strip() == "it was not running"
