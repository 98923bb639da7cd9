"""The development broker: one folder is one broker, whoever starts or stops it, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tocsin.errors import AdapterError

pytestmark = pytest.mark.kafka

_PARENT = """
import sys, time
from pathlib import Path
from tocsin.kafka.dev import DevKafka
DevKafka(Path(sys.argv[1]), cache=Path(sys.argv[2]) if sys.argv[2:] else None).start()
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


def test_formatting_ends_with_the_process_that_started_it(kafka, cache, tmp_path):
    """Otherwise it would go on writing into a folder that the next run has made anew."""
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path), str(cache)]) as parent:
        _wait(lambda: _processes_in(tmp_path))
        (formatting,) = _processes_in(tmp_path)
        parent.send_signal(signal.SIGKILL)
    _wait(lambda: not psutil.pid_exists(formatting.pid))
    assert not (tmp_path / "data" / "meta.properties").exists(), "it came to its end"


def test_brokers_of_one_head_start_are_clusters_of_their_own(kafka, cache, tmp_path):
    """A formatted folder is kept, and used by others under ids and ports of their own; a damaged one is not."""
    brokers = [type(kafka)(tmp_path / name, cache=cache) for name in ("first", "second", "third")]
    with brokers[0].running(), brokers[1].running():
        assert len({_cluster(broker) for broker in brokers[:2]}) == 2
    (kept,) = cache.glob("head-start/*/formatted")
    (kept / "meta.properties").write_text("damaged")
    with brokers[2].running():
        assert _cluster(brokers[2]) not in {_cluster(broker) for broker in brokers[:2]}


def test_classes_made_ahead_of_time_are_used_and_damaged_ones_cost_only_time(kafka, cache, tmp_path):
    """Whoever learns makes them once; a broker that is ended while it starts does not make anybody forget them."""
    broker = type(kafka)(tmp_path / "broker", learns=True, cache=cache)
    broker.start()
    assert broker.is_learning
    broker.stop()
    (classes,) = cache.glob("head-start/*/classes.aot")
    broker.start()
    assert not broker.is_learning
    assert f"-XX:AOTCache={classes}" in psutil.Process(broker.running_pid()).cmdline()
    broker.stop()

    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(broker.start)
        _wait(lambda: broker.running_pid() is not None)
        broker.kill()
        with pytest.raises(AdapterError, match="did not start"):
            starting.result()
    assert broker.running_pid() is None
    assert classes.exists()

    with classes.open("r+b") as file:
        file.seek(classes.stat().st_size // 2)
        file.write(os.urandom(1 << 20))
    with broker.running():
        assert not [word for word in psutil.Process(broker.running_pid()).cmdline() if "AOTCache=" in word]
    assert classes.exists(), "made anew by the one that learns"


@pytest.fixture
def cache(kafka, tmp_path_factory):
    """A cache with the jars, in which no broker has left anything."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "jars").symlink_to(kafka.cache / "jars")
    return folder


def _processes_in(folder):
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]


def _cluster(broker):
    """The id of the cluster, as the broker keeps it."""
    lines = (broker.folder / "data" / "meta.properties").read_text().splitlines()
    return next(line for line in lines if line.startswith("cluster.id="))


def _wait(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
