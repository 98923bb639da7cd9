"""The demonstration as its users run it: a process of its own, looked at from outside."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "deploy.demo"]
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def environment(folder):
    return {**os.environ, "TOCSIN_DEMO_DIR": str(folder), "COLUMNS": "80"}


def begin(folder, *words):
    """The demonstration as a process that has begun; its output goes to a file beside its folder."""
    with folder.with_suffix(".out").open("wb") as out:
        return subprocess.Popen(
            [*DEMO, *words],
            cwd=ROOT,
            env=environment(folder),
            stdout=out,
            stderr=subprocess.STDOUT,
            # pytest in the background of a shell ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - one thread
        )


def once(folder):
    """A run that is expected to end at once."""
    return subprocess.run(
        DEMO, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False, timeout=60
    )


def said(folder):
    return folder.with_suffix(".out").read_text()


def left_of(folder):
    """The processes that have to do with that folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        told = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if any(str(folder) in word for word in told):
            found.append(process)
    return found


def wait_for(condition, what, seconds=240.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def ended(folder):
    """Nothing is left: children die with a parent that was killed, but a moment later."""
    wait_for(lambda: not left_of(folder), "no process is left", 30)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One run to its end."""
    folder = tmp_path_factory.mktemp("whole") / "demo"
    code = begin(folder, "--seconds", "1").wait(500)
    return folder, code, said(folder)


def test_a_run_ends_by_itself_with_code_0_and_every_claim_true(whole_run):
    folder, code, out = whole_run
    assert code == 0, out
    assert re.search(r"All \d+ claims were true", out), out
    assert "✗" not in out
    ended(folder)


def test_what_is_shown_fits_into_80_columns_and_has_no_colours_where_it_is_no_terminal(whole_run):
    _, _, out = whole_run
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert "\x1b" not in out


def test_a_report_is_traced_from_a_reader_in_kenya_to_the_signature_of_gb(whole_run):
    _, _, out = whole_run
    assert re.search(r"✓ gb → (jp → )?ke → public: every signature is good", out)
    assert "signature BAD" not in out


@pytest.mark.parametrize(
    "reason", ["HOP_PREV", "SIGNATURE_INVALID", "HOP_KEY_UNKNOWN", "STREAM_SOURCE", "HOP_LIMIT", "HOP_HANDLING"]
)
def test_what_must_be_stopped_is_stopped_with_its_reason(whole_run, reason):
    _, _, out = whole_run
    assert re.search(rf"✓ [^✓]*{reason}", out)


def test_a_killed_node_loses_nothing(whole_run):
    _, _, out = whole_run
    assert "SIGKILL" in out
    assert "✓ 7 of 7 readers' streams are complete by their signed heads" in re.sub(r"\s+", " ", out)
    assert "✓ the six streams between the institutes are complete" in out


def test_private_keys_and_passphrases_are_their_owners_alone_and_an_institutes_keys_are_encrypted(whole_run):
    folder, _, _ = whole_run
    private = [*folder.glob("*/keys/*.pem"), *folder.glob("*/lab/keys/*.pem"), *folder.glob("*/secrets/*")]
    assert len(private) == 3 * (2 + 2 + 2)
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert all(b"ENCRYPTED" in path.read_bytes() for path in folder.glob("*/keys/*.pem"))


def test_interrupted_while_its_brokers_start_it_ends_soon_and_leaves_no_process(tmp_path):
    folder = tmp_path / "demo"
    demo = begin(folder)
    wait_for((folder / "gb" / "kafka" / "instance.json").exists, "a broker is starting")
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 130, said(folder)
    ended(folder)


def test_in_the_middle_of_the_story_a_second_run_says_so_and_the_first_one_can_be_ended(tmp_path):
    folder = tmp_path / "demo"
    demo = begin(folder)
    try:
        wait_for(lambda: "1. Labs report" in said(folder) or demo.poll() is not None, "the story has begun")
        second = once(folder)
        assert second.returncode == 1
        assert "running already" in second.stderr
        assert demo.poll() is None, "the first one goes on"
    finally:
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 130, said(folder)
    ended(folder)


def test_a_killed_run_leaves_no_process_and_its_folder_is_no_hindrance(tmp_path):
    folder = tmp_path / "demo"
    for _ in range(2):
        demo = begin(folder)
        wait_for(lambda: left_of(folder), "a broker is being made")
        demo.kill()
        demo.wait()
        ended(folder)


def test_a_folder_that_no_demonstration_made_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("precious")
    done = once(tmp_path)
    assert done.returncode == 1
    assert "$TOCSIN_DEMO_DIR" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
