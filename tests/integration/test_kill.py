"""Killed at random moments under load, nothing is lost, seen twice or out of order; an independent check counts."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import threading
import time
from contextlib import closing, contextmanager

import pytest
from kafka import KafkaAdminClient, TopicPartition
from tests.crash.world import submission
from tests.federation.nodes import NodeProcess, wait_until
from tests.integration.checker import STATEMENT, count, read_all
from tests.integration.conftest import _started

from tocsin.flow.ports import Outbound, WriteFailed
from tocsin.kafka.connection import Connection
from tocsin.kafka.write import TopicWriter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]
RULE = '[[issue]]\nlab = "frontier"\nmax_severity = 7\ntlp = "CLEAR"\n'
STREAMS = [("gb", "jp"), ("gb", "ke"), ("jp", "public")]


@contextmanager
def federation(folder, kafka, store=""):
    """gb and jp as processes over one cluster; topics are made by the nodes themselves."""
    brokers = {"gb": kafka.bootstrap, "jp": kafka.bootstrap}
    nodes = {name: NodeProcess(folder / name, name, brokers, extra=RULE if name == "gb" else "") for name in brokers}
    try:
        for node in nodes.values():
            node.start()
        wait_until(lambda: all(node.ready() for node in nodes.values()), "both nodes ready")
        yield nodes
    finally:
        for node in nodes.values():
            if node.process is not None:
                node.kill()


class Lab:
    """A lab that submits at a steady pace from a thread, and again whatever was in doubt, same bytes."""

    def __init__(self, bootstrap, reports, pause_s):
        self.bootstrap, self.reports, self.pause_s = bootstrap, reports, pause_s
        self.sent = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    async def _run(self):
        writer = TopicWriter(Connection(bootstrap=self.bootstrap))
        while self.sent < self.reports:
            values = {"title": f"report {self.sent}", "severity": self.sent % 8, "severity_assessed_by": "frontier"}
            framed = submission(values, time.time_ns() // 1_000_000, os.urandom)
            while True:
                try:
                    await writer.write([Outbound("tocsin.gb.in.frontier", b"", framed, ())])
                    break
                except WriteFailed:
                    await writer.close()
                    await asyncio.sleep(0.2)
                    writer = TopicWriter(Connection(bootstrap=self.bootstrap))
            self.sent += 1
            await asyncio.sleep(self.pause_s)
        await writer.close()

    def done(self):
        return not self._thread.is_alive()


def totals(kafka, reports):
    now_ms = time.time_ns() // 1_000_000
    return {stream: count(kafka.bootstrap, *stream, now_ms, reports) for stream in STREAMS}


def arrived(kafka, reports):
    """Whether every stream has so many reports and a head after the last of them."""
    return all(not (total.lost or total.open) for total in totals(kafka, reports).values())


def check(kafka, reports):
    wait_until(lambda: arrived(kafka, reports), f"{reports} reports in every stream", 180)
    for stream, total in totals(kafka, reports).items():
        assert (total.lost, total.twice, total.disordered, total.open) == (0, 0, 0, []), (stream, total)
        assert len(total.epochs) == 1, stream
        assert set(total.notes) <= {"GAP", "HEALED", "MISMATCH"}, (stream, total.notes)


@pytest.fixture
def kafka(tmp_path):
    """A broker of its own: the count is of whole topics."""
    own = _started(tmp_path / "kafka")
    yield own
    own.stop()


def test_nodes_killed_at_random_moments(kafka, tmp_path):
    """SIGKILL of a node at random moments under load (20 times; 6 in the short version)."""
    kills = 20 if os.environ.get("TOCSIN_CAMPAIGN") else 6
    dice = random.Random(7)
    with federation(tmp_path, kafka) as nodes:
        lab = Lab(kafka.bootstrap, reports=40 * kills, pause_s=0.02)
        for _ in range(kills):
            time.sleep(dice.uniform(0.3, 3.0))  # a random moment is what is tested; nothing waits for it
            node = nodes[dice.choice(["gb", "jp"])]
            node.kill()
            node.start()
        wait_until(lab.done, "the lab has submitted everything", 300)
        wait_until(lambda: all(node.ready() for node in nodes.values()), "both nodes ready again")
        check(kafka, lab.sent)


def test_the_broker_killed(kafka, tmp_path):
    """SIGKILL of the broker under load (5 times; 2 in the short version): everything acknowledged is there."""
    kills = 5 if os.environ.get("TOCSIN_CAMPAIGN") else 2
    dice = random.Random(11)
    with federation(tmp_path, kafka):
        lab = Lab(kafka.bootstrap, reports=60 * kills, pause_s=0.02)
        for _ in range(kills):
            time.sleep(dice.uniform(1.0, 3.0))  # as above
            kafka.kill()
            kafka.start()
        wait_until(lab.done, "the lab has submitted everything", 300)
        check(kafka, lab.sent)


def test_a_store_restored_from_an_older_backup(kafka, tmp_path):
    """A node whose store is an older backup reads its own streams back and signs no second head."""

    def submitted(so_far):
        lab = Lab(kafka.bootstrap, reports=30, pause_s=0)
        wait_until(lab.done, "the lab is done")
        check(kafka, so_far)

    with federation(tmp_path, kafka) as nodes:
        submitted(30)
        for node in nodes.values():
            node.stop()
            shutil.copytree(node.folder / "data", node.folder / "backup")
            node.start()
        submitted(60)
        for node in nodes.values():
            node.kill()
            shutil.rmtree(node.folder / "data")
            shutil.copytree(node.folder / "backup", node.folder / "data")
            node.start()
        submitted(90)
        assert any('"found": "AHEAD"' in line for line in nodes["gb"].log().splitlines())


def test_what_retention_took_while_a_node_was_away_is_a_gap_until_the_peer_resends_it(kafka, tmp_path):
    """The reader goes on with what is left, knows from the signed heads what is missing, and its officer can tell."""
    stream = "tocsin.gb.out.jp"

    def submitted(so_far):
        lab = Lab(kafka.bootstrap, reports=10, pause_s=0)
        wait_until(lab.done, "the lab is done")
        wait_until(lambda: totals(kafka, so_far)["gb", "jp"].lost == 0, "gb has sent them")

    with federation(tmp_path, kafka) as nodes:
        submitted(10)
        wait_until(lambda: totals(kafka, 10)["jp", "public"].lost == 0, "jp has relayed")
        nodes["jp"].kill()
        submitted(20)
        records = read_all(kafka.bootstrap, stream)
        reports = [at for at, (value, _) in enumerate(records) if not value.startswith(STATEMENT)]
        # All that jp has read, and five that it has not. What is marked for deletion goes at once, as retention would.
        where = {TopicPartition(stream, 0): reports[15]}
        with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
            admin.delete_records(where)
        nodes["jp"].start()
        told = 'tocsin_open_ranges{source="gb"}'
        wait_until(lambda: nodes["jp"].ready() and nodes["jp"].metrics().get(told) == 1, "jp knows of the gap")
        wait_until(lambda: totals(kafka, 20)["jp", "public"].lost == 5, "jp goes on with what is left")
        assert "is lost: the topic holds" in nodes["jp"].log()
        [row] = nodes["jp"].command("peer", "status")
        first, last = row["missing"][0].split()
        assert (int(first), int(last)) == (11, 20), "between two signed heads: which of them are missing, no head says"
        nodes["gb"].command("resend", "jp", first, last)
        wait_until(lambda: nodes["jp"].metrics()[told] == 0, "the gap is closed")
        wait_until(lambda: totals(kafka, 20)["jp", "public"].lost == 0, "and the public has them all")
