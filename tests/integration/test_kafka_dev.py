"""The development broker: one folder is one broker, whoever starts or stops it, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tocsin.errors import AdapterError

pytestmark = pytest.mark.kafka

_PARENT = """
import sys, time
from pathlib import Path
from tocsin.kafka.dev import DevKafka
DevKafka(Path(sys.argv[1])).start()
print("started", flush=True)
time.sleep(600)
"""


def test_a_broker_ends_with_its_parent_and_starts_again_with_its_ports_and_data(kafka, tmp_path):
    """Its stale pid file neither hides the old one's end nor kills who has the number now."""
    broker = type(kafka)(tmp_path)
    with pytest.raises(AdapterError, match="No broker was ever started"):
        _ = broker.bootstrap
    command = [sys.executable, "-c", _PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "started\n"
        pid, bootstrap = broker.running_pid(), broker.bootstrap
        assert pid is not None
        parent.send_signal(signal.SIGKILL)
    _wait(lambda: not psutil.pid_exists(pid))
    assert broker.running_pid() is None

    (tmp_path / "pid").write_text(str(os.getpid()))
    assert broker.running_pid() is None
    broker.stop()
    broker.start()
    try:
        assert broker.bootstrap == bootstrap
        other = type(kafka)(tmp_path)
        assert other.running_pid() == broker.running_pid() != os.getpid()
        other.start()
        assert other.running_pid() == broker.running_pid()
        other.stop()
        assert broker.running_pid() is None
    finally:
        broker.stop()


def test_a_folder_of_a_plain_broker_is_not_taken_for_a_secured_one(kafka):
    with pytest.raises(AdapterError, match="not a secured one"):
        _ = type(kafka)(kafka.folder, secured=True).bootstrap


def test_private_keys_are_their_owners_alone(secured_kafka):
    secured_kafka.pki.client("someone")
    files = [path for path in secured_kafka.pki.folder.iterdir() if path.name != "ca.pem"]
    assert {"ca.key", "broker.server.pem", "someone.key"} <= {path.name for path in files}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def _wait(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
