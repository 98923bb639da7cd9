"""The light clients on a real broker, against the real flow of an institute: killed at any moment they lose nothing."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests.crash.world import SCHEMAS, SIGNER, World
from tests.unit.clients import REPORT, enrol, envelopes, indented, publish, subscribe

import tocsin.lab
from tocsin.flow import topics
from tocsin.flow.leases import claim_source
from tocsin.flow.opened import Opened
from tocsin.flow.ports import Outbound
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.rows import Submission
from tocsin.flow.send import Send
from tocsin.flow.setting import Setting
from tocsin.kafka.admin import Admin
from tocsin.kafka.plan import Plan, WantedTopic
from tocsin.kafka.read import TopicReader, read_to_end
from tocsin.kafka.write import TopicWriter
from tocsin.lab import Reporter
from tocsin.memory import MemoryStore
from tocsin.reader import Condition, Subscriber
from tocsin.trust import load_trust
from tocsin.wire.envelope import read_envelope
from tocsin.wire.reasons import Note, Reason

pytestmark = pytest.mark.kafka

REPORTING = """
import asyncio, itertools, sys
from tocsin.lab import Reporter

async def main():
    async with Reporter.from_file("lab.toml") as reporter:
        for n in itertools.count():
            pending = await reporter.report({"title": f"number {n}"})
            print(pending.record.hex(), flush=True)
            if n + 1 == int(sys.argv[1]):
                await asyncio.Event().wait()

asyncio.run(main())
"""


def now_ms():
    return time.time_ns() // 1_000_000


async def create(connection, *names):
    made = tuple(WantedTopic(name, {"message.timestamp.type": "LogAppendTime"}) for name in names)
    await Admin(connection).apply(Plan(create=made))


@contextlib.asynccontextmanager
async def institute(connection, folder, lab):
    """gb's side of one lab, by hand: read, receive, send receipts; gives its store."""
    store, signer, me = MemoryStore(), SIGNER["gb"], "gb-1"
    setting = Setting("gb", load_trust(json.loads((folder / "trust.json").read_text())), SCHEMAS)
    receive = Receive(lambda: setting, store, signer, now_ms, me, Opened())
    inlet = Inlet(topics.submissions("gb", lab), InletKind.SUBMISSIONS, lab)

    async def writer():
        return TopicWriter(connection)

    send, reader = Send(store, writer, now_ms, me), TopicReader(connection, inlet.topic)

    async def work():
        await claim_source(store, inlet.topic, me, now_ms())
        await reader.open(None)
        while True:
            records = await reader.fetch(50, 1.0)
            if records:
                await receive.take(inlet, records)
                await send.run()

    task = asyncio.create_task(work())
    try:
        yield store
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await reader.close()
        await send.close()


async def all_of(connection, topic):
    return [record async for batch in read_to_end(TopicReader(connection, topic), None) for record in batch]


def started(folder, code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True)


async def said_before_the_kill(folder, count, *arguments):
    """Records that a reporting process has printed by the time that it is killed: at least so many."""
    with started(folder, REPORTING, *arguments) as client:
        lines = [await asyncio.to_thread(client.stdout.readline) for _ in range(count)]
        client.send_signal(signal.SIGKILL)
        lines += [line for line in client.stdout if line.endswith("\n")]
    return [line.strip() for line in lines]


async def test_the_example_of_the_docstring_is_a_labs_first_report(plain, kafka, tmp_path):
    lab = "frontier-example"
    enrol(tmp_path, kafka.bootstrap, lab)
    await create(plain, topics.submissions("gb", lab), topics.receipts("gb", lab))
    async with institute(plain, tmp_path, lab) as store:
        client = started(tmp_path, indented(tocsin.lab.__doc__, "import asyncio"))
        said, _ = await asyncio.wait_for(asyncio.to_thread(client.communicate), 60)
        async with store.begin() as tx:
            (submission,) = await tx.find(Submission, {})
    assert client.returncode == 0
    assert said == f"ACCEPTED {submission.leaf.hex()}\n"


async def test_a_client_that_is_killed_before_it_could_send_has_lost_nothing(plain, kafka, tmp_path):
    lab = "frontier-killed"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        path = enrol(tmp_path, f"127.0.0.1:{nobody.getsockname()[1]}", lab)
        records = await said_before_the_kill(tmp_path, 3, "3")
    enrol(tmp_path, kafka.bootstrap, lab)
    await create(plain, topics.submissions("gb", lab), topics.receipts("gb", lab))
    async with institute(plain, tmp_path, lab), Reporter.from_file(path) as reporter:
        given = await reporter.pending()
        receipts = [await pending.receipt(60) for pending in given]
    assert [pending.record.hex() for pending in given] == records
    assert [receipt.decision for receipt in receipts] == ["ACCEPTED"] * 3
    arrived = await all_of(plain, topics.submissions("gb", lab))
    assert [read_envelope(record.value)[0].leaf for record in arrived] == [pending.leaf for pending in given]


async def test_whatever_report_returned_before_a_kill_arrives_once_and_in_order(plain, kafka, tmp_path):
    lab = "frontier-busy"
    path = enrol(tmp_path, kafka.bootstrap, lab)
    await create(plain, topics.submissions("gb", lab), topics.receipts("gb", lab))
    returned = []
    for count in (40, 90):  # killed twice, while it reports and sends
        returned += await said_before_the_kill(tmp_path, count, "0")
    async with institute(plain, tmp_path, lab) as store, Reporter.from_file(path) as reporter:
        last = await reporter.report(REPORT)
        await last.receipt(60)
        for pending in await reporter.pending():
            await pending.receipt(60)
        receipts = await reporter.receipts()
        async with store.begin() as tx:
            accepted = [submission.record.hex() for submission in await tx.find(Submission, {})]
    assert {receipt.decision for receipt in receipts} == {"ACCEPTED"}
    assert len(accepted) == len(set(accepted))
    assert set(returned) | {last.record.hex()} <= set(accepted)
    assert len(accepted) <= len(returned) + 3  # the last one, and at most one a kill whose print was cut off
    arrived = [record.value for record in await all_of(plain, topics.submissions("gb", lab))]
    once = list(dict.fromkeys(read_envelope(value)[0].leaf for value in arrived))
    assert len(set(arrived)) == len(once), "one report went out as other bytes"
    hashes = {receipt.leaf: receipt.record.hex() for receipt in receipts}
    order = [hashes[leaf] for leaf in once]
    assert [record for record in order if record in set(returned)] == returned


async def test_a_reader_resumes_sees_nothing_twice_and_tells_a_gap_from_quiet(plain, kafka, tmp_path):
    world = World(nodes=("gb",))
    world.clock.ms = now_ms()
    gb, stream = world.nodes["gb"], topics.stream("gb", "jp")
    await create(plain, stream)
    path, writer = subscribe(tmp_path, kafka.bootstrap), TopicWriter(plain)

    async def carry(records):
        await writer.write([Outbound(stream, r.key, r.value, r.headers) for r in records])

    first = await publish(world, "a", "b")
    sent = gb.broker.records(stream)
    await carry(sent)
    async with Subscriber.from_file(path) as subscriber:
        assert (await anext(subscriber)).leaf == first[0]
        assert (await anext(subscriber)).leaf == first[1]
    # One record is missing, strangers' bytes and a tombstone stand in between, and an old record comes again.
    second = await publish(world, "c", "d", "e")
    lost = envelopes(gb.broker)[3]
    await carry(record for record in gb.broker.records(stream)[len(sent) :] if record.value != lost.value)
    await writer.write([Outbound(stream, b"k", b"no envelope", ())])
    await carry(envelopes(gb.broker)[:1])
    async with Subscriber.from_file(path) as subscriber:
        shown = [seen.leaf async for seen in subscriber.available()]
        assert shown == [second[0], second[2]]
        health = subscriber.health()
        assert (health.condition, [(gap.first, gap.last) for gap in health.open]) == (Condition.GAP, [(4, 4)])
        assert [one.reason for one in await subscriber.quarantine()] == [Reason.FRAMING]
        # The releaser sends the range again while we wait for it.
        waiting = asyncio.ensure_future(anext(subscriber))
        await carry([lost])
        seen = await asyncio.wait_for(waiting, 30)
        assert (seen.leaf, seen.notes) == (second[1], (Note.HEALED,))
    async with Subscriber.from_file(path) as subscriber:
        assert [seen.leaf async for seen in subscriber.available()] == []
        assert [one.note for one in await subscriber.notes()] == [Note.GAP, Note.HEALED]
        assert (subscriber.health().condition, subscriber.health().lag) == (Condition.WHOLE, 0)
        assert subscriber.health().counts["repeat"] == 1
    await writer.close()


async def test_a_reader_waits_out_a_broker_that_is_killed(plain, kafka, tmp_path):
    world = World(nodes=("gb",))
    world.clock.ms = now_ms()
    stream, writer = topics.stream("gb", "ke"), TopicWriter(plain)
    await create(plain, stream)
    leaves = await publish(world, "a", "b")
    records = [Outbound(stream, r.key, r.value, r.headers) for r in world.nodes["gb"].broker.records(stream)]
    await writer.write(records[:-2])
    await writer.close()
    async with Subscriber.from_file(subscribe(tmp_path, kafka.bootstrap, "ke")) as subscriber:
        assert (await anext(subscriber)).leaf == leaves[0]
        waiting = asyncio.ensure_future(anext(subscriber))
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        writer = TopicWriter(plain)
        await writer.write(records[-2:])
        assert (await asyncio.wait_for(waiting, 120)).leaf == leaves[1]
        assert [seen async for seen in subscriber.available()] == []
        assert await subscriber.notes() == []
    await writer.close()
