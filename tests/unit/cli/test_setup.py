"""Setting up: what a command writes loads as it stands, nothing is overwritten, nothing half done is left."""

from __future__ import annotations

import errno
import json
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.desk import REPORT, Folder

from tocsin.cli.files import write_new
from tocsin.config import check_files, load
from tocsin.errors import InputError
from tocsin.lab.config import load as load_lab
from tocsin.packaged import packaged
from tocsin.policy.language import parse_policy
from tocsin.reader.config import load as load_reader
from tocsin.trust import load_trust


def trust_of(folder):
    return json.loads((folder.path / "trust.json").read_text())


# ---- init


def test_what_init_writes_is_a_node_that_loads(tmp_path):
    node = Folder(tmp_path / "gb")
    told = node.json("init", "--id", "gb", "--jurisdiction", "GB").line
    config = load(node.config)
    check_files(config)
    assert [p.file.name for p in config.policies] == ["incident.toml"]
    view = load_trust(trust_of(node))
    assert (view.version, set(view.parties)) == (1, {"gb"})
    record = json.loads((node.path / "gb.party.json").read_text())
    assert trust_of(node)["parties"] == [record]
    assert "private" not in json.dumps(record).lower()
    for use in ("event", "relay"):
        assert stat.S_IMODE((node.path / "keys" / f"{use}.pem").stat().st_mode) == 0o600
        assert told[f"{use}_key"].replace(" ", "") in {k.key_id.hex() for k in view.parties["gb"].keys}


def test_a_country_without_an_example_gets_a_policy_that_gives_nothing_and_loads(tmp_path):
    node = Folder(tmp_path / "de")
    node.json("init", "--id", "bsi", "--jurisdiction", "DE")
    assert node.json("policy", "validate", "policies/incident.toml").line["valid"] is True
    text = (node.path / "policies" / "incident.toml").read_text()
    from tocsin.packaged import published_schemas  # noqa: PLC0415 - beside its use

    assert parse_policy(text, published_schemas().exact("incident/1.0")).rules == ()
    uncommented = text.replace("\n#", "\n")
    assert (
        parse_policy(
            uncommented.replace("\n what", "\n# what").replace("\n A", "\n# A").replace("\n Whom", "\n# Whom"),
            published_schemas().exact("incident/1.0"),
        ).rules
        != ()
    )


def test_init_overwrites_nothing_and_leaves_nothing_half_done(tmp_path):
    node = Folder(tmp_path / "gb")
    (node.path / "trust.json").write_text("mine")
    said = node.run("init", "--id", "gb", "--jurisdiction", "GB")
    assert (said.code, "trust.json" in said.err, "overwritten" in said.err) == (1, True, True)
    assert [p.name for p in node.path.iterdir()] == ["trust.json"]


def test_a_disk_that_fills_while_a_file_is_made_leaves_no_half_of_it(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tocsin.cli.files.os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_new(tmp_path / "new.toml", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["--id", "GB", "--jurisdiction", "GB"], "--id"),
        (["--id", "public", "--jurisdiction", "GB"], "--id"),
        (["--id", "gb", "--jurisdiction", "gb"], "--jurisdiction"),
        (["--id", "gb", "--jurisdiction", "UK"], "--jurisdiction"),
        (["--jurisdiction", "GB"], "--id"),
        (["--id", "gb", "--jurisdiction", "GB", "--encrypt"], "TOCSIN_EVENT_PASSPHRASE"),
        (["--id", "gb", "--jurisdiction", "GB", "--bootstrap", "nowhere"], "kafka.bootstrap"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_written(tmp_path, monkeypatch, words, place):
    monkeypatch.delenv("TOCSIN_EVENT_PASSPHRASE", raising=False)
    node = Folder(tmp_path / "gb")
    said = node.run("init", *words)
    assert said.code == 1
    assert place in said.err
    assert list(node.path.iterdir()) == []


def test_encrypted_keys_are_opened_by_the_environment_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TOCSIN_EVENT_PASSPHRASE", "phrase-1")
    monkeypatch.setenv("TOCSIN_RELAY_PASSPHRASE", "phrase-2")
    node = Folder(tmp_path / "gb")
    node.json("init", "--id", "gb", "--jurisdiction", "GB", "--encrypt")
    assert b"ENCRYPTED" in (node.path / "keys" / "event.pem").read_bytes()
    assert "phrase-" not in node.config.read_text()
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    assert node.json("issue", "--new", tmp_path / "report.json").line["issued"]
    monkeypatch.setenv("TOCSIN_EVENT_PASSPHRASE", "wrong")
    assert "the passphrase is wrong" in node.run("issue", "--new", tmp_path / "report.json").err


def test_a_reader_and_a_lab_get_files_that_load(world, tmp_path):
    gb, lab = world
    assert load_lab(lab.path / "lab.toml").lab.id == "frontier"
    press = Folder(tmp_path / "press")
    institute = ["--institute", gb.path / "gb.party.json"]
    press.json(
        "reader", "init", *institute, "--bootstrap", "kafka.example:9094", "--audience", "public", "--username", "press"
    )
    config = load_reader(press.path / "reader.toml")
    assert (config.reader.audience, config.kafka.security, config.kafka.password.env) == (
        "public",
        "scram",
        "TOCSIN_KAFKA_PASSWORD",
    )
    (tmp_path / "ca.pem").write_text("a certificate")
    named = ["--id", "second", "--jurisdiction", "GB", "--username", "second", "--ca", tmp_path / "ca.pem"]
    second = Folder(tmp_path / "second")
    told = second.run("lab", "init", *institute, "--bootstrap", "kafka.example:9094", *named).out
    assert load_lab(second.path / "lab.toml").kafka.ca == tmp_path / "ca.pem"
    assert told.split("everybody whom you trust by telephone:")[1].split()[:2] == ["gb", "event"]
    far = Folder(tmp_path / "far")
    said = far.run("reader", "init", *institute, "--bootstrap", "kafka.example:9094", "--audience", "public")
    assert (said.code, "plain text" in said.err, list(far.path.iterdir())) == (1, True, [])


def test_an_authority_that_only_reads_has_a_record_without_keys(world, tmp_path):
    gb, _ = world
    reader = Folder(tmp_path / "regulator")
    words = ["reader", "init", "--institute", gb.path / "gb.party.json", "--bootstrap", "127.0.0.1:1"]
    said = reader.run(*words, "--audience", "gb-regulator")
    assert (said.code, "--kind" in said.err) == (1, True)
    told = reader.json(*words, "--audience", "gb-regulator", "--kind", "AUTHORITY", "--jurisdiction", "GB").line
    gb.json("reader", "add", "gb-regulator", "--record", told["record"], "--yes")
    assert load_trust(trust_of(gb)).parties["gb-regulator"].kind == "AUTHORITY"
    [line] = [one for one in gb.json("peer", "list").lines if one["id"] == "gb-regulator"]
    assert (line["state"], line["keys"]) == ("only trusted", [])


# ---- peers, labs, readers


def test_a_peer_is_added_with_its_comments_kept_and_the_trust_version_grown(gb, tmp_path):
    before = gb.config.read_text()
    peer = Folder(tmp_path / "ke")
    peer.json("init", "--id", "ke", "--jurisdiction", "KE")
    old = trust_of(gb)["version"]
    told = gb.json("peer", "add", peer.path / "ke.party.json", "--bootstrap", "127.0.0.1:9392", "--yes").line
    assert told == {"added": "ke", "trust_version": old + 1}
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in gb.config.read_text().splitlines() if line.startswith("#")] == comments
    assert len(comments) > 50
    assert [p.bootstrap for p in load(gb.config).peers if p.id == "ke"] == ["127.0.0.1:9392"]
    # said again: nothing changes but what is said
    told = gb.json("peer", "add", peer.path / "ke.party.json", "--bootstrap", "127.0.0.1:9393", "--yes").line
    assert told["trust_version"] == old + 1
    assert [p.bootstrap for p in load(gb.config).peers if p.id == "ke"] == ["127.0.0.1:9393"]
    [line] = [one for one in gb.json("peer", "list").lines if one["id"] == "ke"]
    assert (line["state"], line["jurisdiction"], len(line["keys"])) == ("active", "KE", 2)


def test_where_the_configuration_would_not_load_neither_file_is_changed(gb, tmp_path):
    peer = Folder(tmp_path / "ke")
    peer.json("init", "--id", "ke", "--jurisdiction", "KE")
    before = gb.config.read_bytes(), (gb.path / "trust.json").read_bytes()
    said = gb.run("peer", "add", peer.path / "ke.party.json", "--bootstrap", "far.example:9092", "--yes")
    assert said.code == 1
    assert "tocsin.toml: peer[ke]: plain text to far.example" in said.err
    assert (gb.config.read_bytes(), (gb.path / "trust.json").read_bytes()) == before
    assert sorted(p.name for p in gb.path.iterdir() if p.name.startswith(".")) == []


def test_settings_of_a_connection_are_written_as_references(gb, tmp_path):
    peer = Folder(tmp_path / "ke")
    peer.json("init", "--id", "ke", "--jurisdiction", "KE")
    record = peer.path / "ke.party.json"
    where = ["--bootstrap", "far.example:9092", "--yes"]
    assert (
        "--password"
        in gb.run("peer", "add", record, *where, "--security", "scram", "--username", "gb", "--password", "hunter2").err
    )
    gb.json("peer", "add", record, *where, "--security", "scram", "--username", "gb", "--password", "env:KE_PASSWORD")
    [ke] = [p for p in load(gb.config).peers if p.id == "ke"]
    assert (ke.username, ke.password.env) == ("gb", "KE_PASSWORD")


def test_another_way_to_reach_a_peer_takes_the_place_of_the_old_one_whole(gb, tmp_path):
    peer = Folder(tmp_path / "ke")
    peer.json("init", "--id", "ke", "--jurisdiction", "KE")
    again = ["peer", "add", peer.path / "ke.party.json", "--yes", "--bootstrap", "127.0.0.1:9092"]
    gb.json(*again, "--security", "scram", "--username", "gb", "--password", "env:KE_PASSWORD")
    gb.json(*again)
    assert [(p.security, p.username) for p in load(gb.config).peers if p.id == "ke"] == [("scram", "gb")]
    gb.json(*again, "--security", "plaintext")
    [ke] = [p for p in load(gb.config).peers if p.id == "ke"]
    assert (ke.security, ke.username, ke.password) == ("plaintext", None, None)


def test_a_reload_that_comes_while_a_node_starts_does_not_end_it(tmp_path):
    """systemd sends SIGHUP as soon as the process is there."""
    command = [sys.executable, "-m", "tocsin.cli.main", "-c", str(tmp_path / "none.toml"), "run"]
    node = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    ignored = False
    while node.poll() is None and not ignored:
        status = Path(f"/proc/{node.pid}/status").read_text()
        ignored = bool(int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16) & 1 << signal.SIGHUP - 1)
    assert ignored
    node.send_signal(signal.SIGHUP)
    assert node.wait(60) == 1


def test_nobody_is_trusted_unasked(gb, tmp_path):
    peer = Folder(tmp_path / "ke")
    peer.json("init", "--id", "ke", "--jurisdiction", "KE")
    before = trust_of(gb)
    said = gb.run("peer", "add", peer.path / "ke.party.json")
    assert (said.code, "--yes" in said.err) == (1, True)
    assert trust_of(gb) == before
    shown = said.out.replace(" ", "")
    assert all(key.key_id.hex() in shown for key in load_trust(trust_of(peer)).parties["ke"].keys)


def test_new_keys_of_a_party_are_added_and_the_old_ones_stay(gb, tmp_path):
    again = Folder(tmp_path / "jp2")
    again.json("init", "--id", "jp", "--jurisdiction", "JP")
    gb.json("peer", "add", again.path / "jp.party.json", "--yes")
    assert len(load_trust(trust_of(gb)).parties["jp"].keys) == 4
    other = Folder(tmp_path / "jp3")
    other.json("init", "--id", "jp", "--jurisdiction", "KE")
    said = gb.run("peer", "add", other.path / "jp.party.json", "--yes")
    assert (said.code, "jurisdiction" in said.err) == (1, True)


def test_suspended_resumed_removed(gb):
    gb.json("peer", "suspend", "jp")
    assert load(gb.config).peers[0].suspended is True
    gb.json("peer", "resume", "jp")
    assert load(gb.config).peers[0].suspended is False
    gb.json("peer", "remove", "jp")
    assert load(gb.config).peers == ()
    assert "jp" in load_trust(trust_of(gb)).parties
    said = gb.run("peer", "suspend", "jp")
    assert (said.code, "no peer 'jp'" in said.err) == (1, True)


def test_a_distrusted_peer_leaves_the_trust_view(gb):
    assert gb.run("peer", "remove", "jp", "--distrust").code == 1
    assert len(load(gb.config).peers) == 1
    gb.json("peer", "remove", "jp", "--distrust", "--yes")
    assert "jp" not in load_trust(trust_of(gb)).parties


def test_a_lab_is_no_peer_and_a_peer_no_lab(world, tmp_path):
    gb, lab = world
    assert "tocsin lab enrol" in gb.run("peer", "add", lab.path / "frontier.party.json", "--yes").err
    said = gb.run("lab", "enrol", gb.path / "gb.party.json", "--yes").err
    assert ("is no lab" in said, "tocsin peer add" in said) == (True, True)
    assert "the node itself" in gb.run("peer", "add", gb.path / "gb.party.json", "--yes").err
    [line] = gb.json("lab", "list").lines
    assert (line["id"], line["principal"]) == ("frontier", "frontier")
    gb.json("lab", "remove", "frontier")
    assert load(gb.config).labs == ()


def test_readers_are_added_listed_and_removed(gb):
    gb.json("reader", "add", "press", "--audience", "public", "--principal", "p1")
    assert gb.json("reader", "list").lines[-1] == {"id": "press", "audience": "public", "principal": "p1"}
    gb.json("reader", "remove", "press")
    told = gb.run("reader", "add", "press", "--audience", "pubic").out
    assert "No policy names the audience 'pubic': nothing goes to it. Named are: jp, public" in " ".join(told.split())
    gb.json("reader", "remove", "press")
    assert "No policy" not in gb.run("reader", "add", "jp").out
    assert [line["id"] for line in gb.json("reader", "list").lines] == ["jp"]


@pytest.mark.parametrize("text", ["{", "[]", '{"party": "ke"}'])
def test_a_bad_record_is_named_with_its_file(gb, tmp_path, text):
    bad = tmp_path / "bad.party.json"
    bad.write_text(text)
    said = gb.run("peer", "add", bad, "--yes")
    assert said.code == 1
    assert "bad.party.json" in said.err


def test_a_schema_in_place_of_a_published_one_is_named_with_its_file(gb, tmp_path):
    """By another file of the same id no report that anybody sends would verify, and nothing would say why."""
    file = tmp_path / "extra" / "incident" / "1.0" / "incident.avsc"
    file.parent.mkdir(parents=True)
    config = gb.config.read_text()
    gb.config.write_text(config.replace("#extra = []", f'extra = ["{tmp_path / "extra"}"]'))
    file.write_bytes(packaged("incident/1.0/incident.avsc"))
    assert gb.run("list").code == 0
    file.write_bytes(file.read_bytes().replace(b"The level on one axis.", b"A level on one axis."))
    said = gb.run("list")
    assert said.code == 1
    assert "another incident/1.0" in said.err
    assert "incident.avsc" in said.err


@pytest.mark.parametrize("levels", [65, 100_000])
@pytest.mark.parametrize(
    "words",
    [
        ["peer", "add"],
        ["lab", "enrol"],
        ["reader", "add", "jp", "--record"],
        ["report"],
        ["issue", "--new"],
        ["verify", "--vector"],
        ["verify", "gb.party.json", "--trust"],
    ],
)
def test_whatever_others_wrote_that_is_nested_too_deeply_is_named(gb, tmp_path, words, levels):
    deep = tmp_path / "deep.json"
    deep.write_text('{"party": ' + "[" * levels + "]" * levels + "}")
    said = gb.run("--json", *words, deep)
    assert said.code == 1
    assert (said.error["place"], "too deeply" in said.error["error"]) == (str(deep), True)
