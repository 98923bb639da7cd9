"""The lock of the broker's jars names every file, and a file that is not as locked is not taken as good."""

import hashlib
from pathlib import Path

import pytest

from tocsin.kafka.jars import Jar, _is_good, read_lock

LOCK = Path(__file__).parents[2] / "deploy" / "kafka" / "jars.lock"


def test_the_lock_holds_the_broker_and_its_tools():
    text = LOCK.read_text()
    broker, tools = read_lock(text), read_lock(text, "tools")
    assert (len(broker), len(tools)) == (46, 48)
    assert sum(jar.size for jar in broker) == pytest.approx(45_000_000, rel=0.01)
    assert {jar.version for jar in broker if jar.group == "org.apache.kafka"} == {"4.3.1"}


def test_a_file_counts_only_with_the_locked_size_and_hash(tmp_path):
    data = b"a jar"
    jar = Jar("broker", "org.example", "a", "1", len(data), hashlib.sha256(data).hexdigest())
    path = tmp_path / "org/example/a/1/a-1.jar"
    assert not _is_good(jar, tmp_path)
    path.parent.mkdir(parents=True)
    for content, good in ((data, True), (data[:-1], False), (b"b jar", False), (b"", False)):
        path.write_bytes(content)
        assert _is_good(jar, tmp_path) is good
