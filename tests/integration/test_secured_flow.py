"""Real node processes on a real broker with TLS, SCRAM and access control: who may not, cannot; who may, is answered."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from tests.crash.world import seeded, trust_document
from tests.federation.nodes import NodeProcess, wait_until, write_key
from tests.integration.conftest import _started
from tests.integration.test_kill import RULE

from tocsin.config import load
from tocsin.flow.ports import Outbound, WriteFailed
from tocsin.kafka.admin import Admin
from tocsin.kafka.configured import wanted
from tocsin.kafka.connection import Connection
from tocsin.kafka.faults import BrokerError, Cause
from tocsin.kafka.plan import compare
from tocsin.kafka.read import TopicReader, read_to_end
from tocsin.kafka.write import TopicWriter
from tocsin.lab import Reporter
from tocsin.wire.keys import KeyUse
from tocsin.wire.statement import is_statement

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
PASSWORDS = {"frontier": "frontier-secret", "bolt": "bolt-secret"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker of its own: what others leave on a shared one would be read by these nodes."""
    running = _started(tmp_path_factory.mktemp("secured-flow"), secured=True)
    yield running
    running.stop()


def way(broker, name):
    """The way of the party with a certificate of that name."""
    pair = broker.pki.client(name)
    return Connection(
        bootstrap=broker.bootstrap, tls=True, ca=broker.pki.ca, certificate=pair.certificate, key=pair.key
    )


def lab_way(broker, name):
    bootstrap, password = broker.labs_bootstrap, PASSWORDS[name]
    return Connection(bootstrap=bootstrap, tls=True, ca=broker.pki.ca, username=name, password=password)


def node(folder, name, peers, broker, extra=""):
    """A node that reaches its own cluster and its peers' by its own certificate; both are this broker."""
    brokers = dict.fromkeys((name, *peers), broker.bootstrap)
    process = NodeProcess(folder / name, name, brokers, extra=extra)
    pair = broker.pki.client(name)
    file = process.folder / "tocsin.toml"
    mtls = f'\nsecurity = "mtls"\nca = "{broker.pki.ca}"\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"'
    line = f'bootstrap = "{broker.bootstrap}"'
    file.write_text(file.read_text().replace(line, line + mtls))
    return process


@pytest.fixture(scope="module")
def nodes(broker, tmp_path_factory):
    """gb with two labs, and jp and ke that read it; the operator has made topics and rights."""
    folder = tmp_path_factory.mktemp("nodes")
    made = {
        "gb": node(folder, "gb", (), broker, RULE + '[[lab]]\nid = "bolt"\n'),
        "jp": node(folder, "jp", ("gb",), broker),
        # ke's operator was careless: it reads by jp's certificate.
        "ke": node(folder, "ke", ("gb",), broker),
    }
    stolen = made["ke"].folder / "tocsin.toml"
    peers, own = broker.pki.client("jp"), broker.pki.client("ke")
    head, peer = stolen.read_text().split("[[peer]]")
    peer = peer.replace(str(own.certificate), str(peers.certificate)).replace(str(own.key), str(peers.key))
    stolen.write_text(f"{head}[[peer]]{peer}")

    async def apply():
        operator = Admin(way(broker, "broker"))
        for name, process in made.items():
            config = load(process.folder / "tocsin.toml")
            audiences = frozenset(reader.audience for reader in config.readers)
            want = wanted(config, audiences)
            await operator.apply(compare(name, want, await operator.find(want)))
        for lab, password in PASSWORDS.items():
            await operator.set_password(lab, password)

    asyncio.run(apply())
    for process in made.values():
        process.start()
    wait_until(lambda: all(process.ready() for process in made.values()), "three nodes ready")
    yield made
    for process in made.values():
        process.kill()


@pytest.fixture(scope="module")
def issued(nodes, broker, tmp_path_factory):
    """The receipts that a SCRAM lab got for a report that the rule issued."""
    folder = tmp_path_factory.mktemp("lab")
    for use in (KeyUse.EVENT, KeyUse.RELAY):
        write_key(folder / "keys" / f"{use.value}.pem", seeded(f"frontier/{use}"))
    (folder / "trust.json").write_text(json.dumps(trust_document()))
    (folder / "password").write_text(PASSWORDS["frontier"])
    (folder / "password").chmod(0o600)
    (folder / "lab.toml").write_text(
        f"""
[lab]
id = "frontier"
[node]
id = "gb"
[trust]
file = "trust.json"
[kafka]
bootstrap = "{broker.labs_bootstrap}"
security = "scram"
ca = "{broker.pki.ca}"
username = "frontier"
password = {{ file = "password" }}
"""
    )

    async def report():
        async with Reporter.from_file(folder / "lab.toml") as reporter:
            values = {"title": "over SCRAM", "severity": 3, "severity_assessed_by": "frontier"}
            pending = await reporter.report(values, tlp="CLEAR")
            return await pending.receipt(60), await pending.issued(60)

    return asyncio.run(report())


def read(connection, topic):
    async def all_of_it():
        return [record async for batch in read_to_end(TopicReader(connection, topic), None) for record in batch]

    return asyncio.run(all_of_it())


def fault_of(connection, topic):
    async def look():
        reader = TopicReader(connection, topic)
        try:
            async with asyncio.timeout(20):
                await reader.open(None)
        except BrokerError as fault:
            return fault
        finally:
            await reader.close()
        return None

    return asyncio.run(look())


def test_a_scram_lab_submits_and_gets_its_receipts(issued):
    """Over TLS with a password alone: ACCEPTED, then ISSUED with the national leaf."""
    first, second = issued
    assert (first.decision, second.decision) == ("ACCEPTED", "ISSUED")
    assert second.report is not None


def test_the_report_reaches_the_peer_by_its_certificate_and_goes_on(issued, broker):
    """gb's stream for jp is read over mTLS by jp's node, which relays it to its own public."""
    found = wait_until(
        lambda: [r for r in read(way(broker, "jp"), "tocsin.jp.out.public") if not is_statement(r.value)],
        "a report in jp's public stream",
    )
    assert len(found) == 1


def test_one_peers_certificate_does_not_open_anothers_stream(issued, nodes, broker):
    """jp's principal is refused at ke's stream; a node that tries says FORBIDDEN's words, holds nothing and goes on."""
    assert fault_of(way(broker, "jp"), "tocsin.gb.out.ke").cause is Cause.FORBIDDEN
    wait_until(lambda: "tocsin.gb.out.ke" in faults(nodes["ke"]), "ke's node says what it may not read")
    assert nodes["ke"].ready()
    assert not [r for r in read(way(broker, "ke"), "tocsin.ke.out.public") if not is_statement(r.value)]


def faults(process):
    """What the node could not do, by task."""
    lines = [json.loads(line) for line in process.log().splitlines() if line.startswith("{")]
    return {line["task"]: line["error"] for line in lines if line.get("event") == "fault"}


def test_a_cluster_that_is_as_its_nodes_want_it_raises_no_alarm(nodes):
    """Topics and rights as the operator made them: nothing drifted, nothing is wrong, nobody is unknown."""
    gauges = ["tocsin_topic_drift", "tocsin_topic_problems", "tocsin_unknown_acl_readers"]
    assert {name: [node.metrics()[g] for g in gauges] for name, node in nodes.items()} == dict.fromkeys(nodes, [0] * 3)


def test_a_lab_writes_to_no_other_labs_topic_and_reads_no_stream(nodes, broker):
    """Whatever a lab's password opens, it is its own topic and its own receipts."""

    async def write(topic):
        writer = TopicWriter(lab_way(broker, "frontier"))
        try:
            await writer.write([Outbound(topic, b"", b"not mine", ())])
        finally:
            await writer.close()

    for topic in ("tocsin.gb.in.bolt", "tocsin.gb.out.jp", "tocsin.gb.back.frontier"):
        with pytest.raises(WriteFailed, match="TopicAuthorizationFailed"):
            asyncio.run(write(topic))
    for topic in ("tocsin.gb.out.jp", "tocsin.gb.back.bolt", "tocsin.gb.in.bolt"):
        assert fault_of(lab_way(broker, "frontier"), topic).cause is Cause.FORBIDDEN
    assert read(way(broker, "gb"), "tocsin.gb.in.bolt") == []


def test_a_node_whose_broker_is_down_at_its_start_can_still_be_stopped(tmp_path):
    """SIGTERM ends a node that waits for its cluster: an operator need not kill it."""
    alone = NodeProcess(tmp_path / "gb", "gb", {"gb": "127.0.0.1:1"})
    alone.start()
    wait_until(lambda: "fault" in alone.log(), "the node says that its cluster is down")
    process, began = alone.process, time.monotonic()
    alone.stop()
    assert process.returncode == 0
    assert time.monotonic() - began < 20
