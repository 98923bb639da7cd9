"""The benchmark runs whole; what it measures is judged by people, on a quiet machine."""

import json
import os
import subprocess
import sys

import pytest

from tocsin.errors import TocsinError
from tocsin.kafka.dev import cache_folder, deploy_folder
from tocsin.kafka.jars import fetch_jars, read_lock

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


def require_kafka() -> None:
    """Skip with the reason where no broker can be had; in CI fail."""
    try:
        fetch_jars(read_lock((deploy_folder() / "jars.lock").read_text()), cache_folder() / "jars")
    except TocsinError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Apache Kafka here: {error}")


def test_the_quick_benchmark_measures_every_number_of_the_table(tmp_path):
    """Every step, both rates, both latencies and the memory are there and above zero; the table fits 80 columns."""
    require_kafka()
    command = [sys.executable, "-m", "tests.bench", "--quick", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    found = json.loads(next(tmp_path.glob("*.json")).read_text())
    numbers = [*found["steps_us"].values(), found["ceiling_per_second"], found["end_to_end"]["per_second"]]
    numbers += [value for ms in found["end_to_end"]["latency_ms"].values() for value in ms.values()]
    numbers += list(found["end_to_end"]["rss_mib"].values())
    assert len(numbers) >= 26
    assert min(numbers) > 0
