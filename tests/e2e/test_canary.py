"""A canary in every value that can hold one: no sink shows a canary of a slot that was withheld from it.

Two real nodes under the real policy packs. A sink is a topic as its bytes are, a page, a log, a listing.
"""

import asyncio
import json
import os
import time
import urllib.request

import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.crash.world import SCHEMA, submission
from tests.federation.nodes import NodeProcess, wait_until
from typer.testing import CliRunner

from tocsin.cli.main import app
from tocsin.flow import topics
from tocsin.flow.ports import Outbound
from tocsin.kafka.connection import Connection
from tocsin.kafka.write import TopicWriter
from tocsin.packaged import packaged
from tocsin.report.texts import time_text
from tocsin.wire.envelope import read_envelope
from tocsin.wire.statement import is_statement

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

RULE = '[[issue]]\nlab = "frontier"\nmax_severity = 7\ntlp = "CLEAR"\n'
# Values with rules of their own, in which a canary would break the vocabulary; and the leaves, which the node puts in.
UNFIT = {"language", "countries", "regions", "same_as", "part_of", "sources"}
COUNTS = {"deaths": 918_273_645_546_371, "injured": 827_364_554_637_281, "affected": 736_455_463_728_191}
BEGAN_MS = 1_733_217_654_321


def canary(name, part=""):
    return f"CANARY-{SCHEMA.index(name):02d}-{name}{part}"


def value_of(field):
    """A value of that field with canaries in all its texts, or None where its type holds no text."""
    name, item = field.name, field.type.items
    if field.type.kind == "string":
        return canary(name)
    if item is not None and item.kind == "string":
        return [canary(name)]
    records = {
        "evidence": {"uri": canary(name), "digest": "", "media_type": canary(name, "-type")},
        "external_ids": {"scheme": "canary", "id": canary(name)},
        "ai_system": {part: canary(name, f"-{part}") for part in ("name", "version", "model", "serial", "eu_db_id")},
        "source_severity": {"scale": canary(name, "-scale"), "value": canary(name, "-value")},
        "actions_taken": {"kind": "OTHER", "text": canary(name), "at": ""},
    }
    return [records[name]] if name in records else None


def varint(number):
    number, out = number << 1, bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


VALUES = {f.name: v for f in SCHEMA.fields if f.name not in UNFIT and (v := value_of(f)) is not None}
VALUES |= COUNTS | {"occurred_from": BEGAN_MS, "severity": 5, "critical_function": False}
CANARIES = {
    **{SCHEMA.index(n): [canary(n).encode()] for n, v in VALUES.items() if isinstance(v, str | list)},
    **{SCHEMA.index(n): [varint(v), str(v).encode()] for n, v in COUNTS.items()},
    SCHEMA.index("occurred_from"): [varint(BEGAN_MS), str(time_text(BEGAN_MS)).encode()],
}
"""Byte strings by slot: how its value looks in Avro, and how it would look in a text."""


def shown(sink):
    """The slots of which a sink shows a canary, as it is or in hex."""
    return {slot for slot, texts in CANARIES.items() if any(t in sink or t.hex().encode() in sink for t in texts)}


def read_all(bootstrap):
    """Every record of every topic, by topic, through another client library."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "canary", "auto.offset.reset": "earliest"})
    try:
        names = [name for name in consumer.list_topics(timeout=10).topics if name.startswith("tocsin.")]
        ends = {name: consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10)[1] for name in names}
        found = {name: [] for name in names}
        consumer.assign([TopicPartition(name, 0, 0) for name in names if ends[name]])
        reached = dict.fromkeys(names, 0)
        while any(reached[name] < ends[name] for name in names):
            message = consumer.poll(10)
            assert message is not None, reached
            assert message.error() is None
            reached[message.topic()] = message.offset() + 1
            found[message.topic()].append((message.key() or b"", message.value() or b"", message.headers() or []))
        return found
    finally:
        consumer.close()


def write(bootstrap, topic, value):
    async def work():
        writer = TopicWriter(Connection(bootstrap=bootstrap))
        try:
            await writer.write([Outbound(topic, b"", value, ())])
        finally:
            await writer.close()

    asyncio.run(work())


def envelopes(records):
    return [value for _, value, _ in records if not is_statement(value)]


def slots_given(records):
    """The slots that the envelopes of a topic disclose, by their masks."""
    given = 0
    for value in envelopes(records):
        given |= read_envelope(value)[0].mask
    return {slot for slot in CANARIES if given >> slot & 1}


def command(node, *words):
    """What a command of the operator prints."""
    done = CliRunner().invoke(app, ["-c", str(node.folder / "tocsin.toml"), *words])
    assert done.exit_code == 0, done.output
    return done.output.encode()


def page(node, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}{path}", timeout=5) as answer:
        return answer.read() + str(answer.headers).encode()


def tampered(framed):
    """The record with the last byte of its last signature changed (before the end of the array of hops): rejected."""
    return framed[:-2] + bytes([framed[-2] ^ 1]) + framed[-1:]


@pytest.fixture(scope="module")
def federation(kafka, tmp_path_factory):
    """gb and jp under their packs; one report went all its ways, and a damaged copy of it rests in each quarantine."""
    brokers = {"gb": kafka.bootstrap, "jp": kafka.bootstrap}
    folder = tmp_path_factory.mktemp("canary")
    nodes = {name: NodeProcess(folder / name, name, brokers, extra=RULE if name == "gb" else "") for name in brokers}
    try:
        for name, node in nodes.items():
            (node.folder / "policy.toml").write_bytes(packaged(f"packs/{name}/incident.toml"))
            node.start()
        wait_until(lambda: all(node.ready() for node in nodes.values()), "both nodes ready")
        framed = submission(VALUES, time.time_ns() // 1_000_000, os.urandom)
        write(kafka.bootstrap, topics.submissions("gb", "frontier"), framed)
        ways = [topics.stream("gb", a) for a in ("jp", "ke", "public")]
        ways += [topics.stream("jp", a) for a in ("ke", "public")]
        found = wait_until(
            lambda: (all_ := read_all(kafka.bootstrap)) and all(envelopes(all_[w]) for w in ways) and all_,
            "the report went all its ways",
        )
        write(kafka.bootstrap, topics.submissions("gb", "frontier"), tampered(framed))
        write(kafka.bootstrap, topics.stream("gb", "jp"), tampered(envelopes(found[topics.stream("gb", "jp")])[0]))

        def rejected(node):
            return sum(v for k, v in node.metrics().items() if k.startswith("tocsin_records_rejected_total"))

        wait_until(lambda: all(rejected(node) == 1 for node in nodes.values()), "a damaged copy in each quarantine")
        yield nodes, read_all(kafka.bootstrap)
    finally:
        for node in nodes.values():
            if node.process is not None:
                node.kill()


def test_every_kind_of_value_has_a_canary():
    """Most slots that can hold a text do, of every class that a policy names."""
    assert {SCHEMA.fields[slot].cls for slot in CANARIES} >= {
        "identity", "system", "people", "narrative", "technical", "restricted",
    }  # fmt: skip
    assert len(CANARIES) >= 25


@pytest.mark.parametrize(
    ("node", "audience"), [("gb", "jp"), ("gb", "ke"), ("gb", "public"), ("jp", "ke"), ("jp", "public")]
)
def test_a_stream_shows_the_canaries_of_the_slots_that_it_was_given_and_no_other(federation, node, audience):
    _, found = federation
    records = found[topics.stream(node, audience)]
    given = slots_given(records)
    sink = b"\0".join(part for key, value, headers in records for part in (key, value, repr(headers).encode()))
    assert shown(sink) == given
    assert given != set(CANARIES), "something is withheld from everybody"


def test_some_canary_is_given_to_somebody_and_the_public_is_given_less(federation):
    _, found = federation
    given = {audience: slots_given(found[topics.stream("gb", audience)]) for audience in ("jp", "ke", "public")}
    assert given["public"] < given["jp"]
    assert slots_given(found[topics.stream("jp", "public")]) <= given["jp"]
    assert not {SCHEMA.index("title")} & slots_given(found[topics.stream("jp", "public")]), "gb's limit binds jp"


def test_receipts_descriptors_and_policies_show_no_canary(federation):
    _, found = federation
    for topic in (topics.receipts("gb", "frontier"), topics.info("gb"), topics.info("jp")):
        assert found[topic]
        assert not shown(b"\0".join(repr(headers).encode() + key + value for key, value, headers in found[topic]))


def test_the_leaf_of_the_submission_goes_nowhere_but_back_to_its_lab(federation):
    """`sources` binds the national report to it, and is restricted: who holds the leaf would recognise the submission."""
    _, found = federation
    leaf = read_envelope(envelopes(found[topics.submissions("gb", "frontier")])[0])[0].leaf
    for topic, records in found.items():
        if ".out." in topic or topic.endswith(".info"):
            assert not [1 for key, value, _ in records if leaf in value or leaf.hex().encode() in key + value], topic


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz", "/healthz", "/.well-known/tocsin", "/.well-known/tocsin/descriptor"]
)
def test_no_page_shows_a_canary(federation, path):
    nodes, _ = federation
    for node in nodes.values():
        assert not shown(page(node, path))


def test_no_line_of_a_log_shows_a_canary(federation):
    nodes, _ = federation
    for node in nodes.values():
        log = node.log()
        assert [json.loads(line) for line in log.splitlines() if '"REJECTED"' in line or '"rejected"' in line]
        assert not shown(log.encode())


def test_a_quarantine_lists_what_rests_in_it_without_its_canaries(federation):
    nodes, _ = federation
    for node in nodes.values():
        for words in (("quarantine", "list"), ("--json", "quarantine", "list")):
            listed = command(node, *words)
            assert b"tocsin." in listed, "a damaged copy is listed"
            assert not shown(listed)


def test_what_jp_can_look_at_shows_no_canary_that_was_withheld_from_jp(federation):
    """Its quarantine in full, and every view of its store that its officers have."""
    nodes, found = federation
    given = slots_given(found[topics.stream("gb", "jp")])
    row = json.loads(command(nodes["jp"], "--json", "quarantine", "list").splitlines()[0])
    report = json.loads(command(nodes["jp"], "--json", "list").splitlines()[0])
    views = [("quarantine", "show", str(row["record"])), ("show", report["leaf"]), ("trace", report["leaf"])]
    for words in views:
        assert shown(command(nodes["jp"], "--json", *words)) <= given, words
    assert not shown((nodes["jp"].folder / "data" / "tocsin.db").read_bytes()) - given
