"""End to end on a real broker: gb's stream for jp → one node process → jp's stream for ke; throughput, latency, memory.

gb's stream is written beforehand by the node's own sealing code; jp is `tocsin run`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tests.bench import frozen
from tests.bench.timing import percentile
from tests.crash.world import seeded
from tests.federation.nodes import NodeProcess, free_port, wait_until, write_key

from tocsin.flow.ports import Outbound
from tocsin.kafka.admin import Admin
from tocsin.kafka.connection import Connection
from tocsin.kafka.dev import DevKafka
from tocsin.kafka.plan import Plan, WantedTopic
from tocsin.kafka.read import TopicReader
from tocsin.kafka.write import TopicWriter
from tocsin.wire.keys import KeyUse
from tocsin.wire.statement import is_statement

INLET, OUTLET, BARE = "tocsin.gb.out.jp", "tocsin.jp.out.ke", "tocsin.gb.out.bare"
WARM = 0.1
"""The part of a run that is not counted: connections, compiled statements, first pages of the store."""
PATIENCE_S = 60
MIB = 1024 * 1024


class Jp(NodeProcess):
    """jp as a process, with the frozen schema and one audience."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        self.id, self.folder, self.port, self.process = "jp", folder, free_port(), None
        folder.mkdir(parents=True)
        for use in (KeyUse.EVENT, KeyUse.RELAY):
            write_key(folder / "keys" / f"{use.value}.pem", seeded(f"jp/{use}"))
        (folder / "trust.json").write_text(json.dumps(frozen.TRUST_DOCUMENT))
        (folder / "policy.toml").write_bytes(frozen.policy_text(1))
        (folder / "tocsin.toml").write_text(f"""
[node]
id = "jp"
jurisdiction = "JP"
[keys]
event = "keys/event.pem"
[kafka]
bootstrap = "{bootstrap}"
[http]
listen = "127.0.0.1:{self.port}"
[schemas]
extra = ["{frozen.SCHEMAS_FOLDER}"]
[limits]
records_per_second = 100000
bytes_per_second = 1000000000
[[policy]]
file = "policy.toml"
[[peer]]
id = "gb"
bootstrap = "{bootstrap}"
[[reader]]
id = "ke"
""")

    def rss_mib(self) -> float:
        """Resident memory of the process."""
        return psutil.Process(self.process.pid).memory_info().rss / MIB

    def cpu_s(self) -> float:
        """CPU seconds that the process has used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


@dataclass
class Results:
    """What a run found."""

    produce_us: float = 0.0
    consume_us: float = 0.0
    reports: int = 0
    per_second: float = 0.0
    node_cpu_us: float = 0.0
    page_ms: float = 0.0
    rss_mib: dict[int, float] = field(default_factory=dict)
    latency_reports: int = 0
    latency_per_second: int = 0
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)


async def run(folder: Path, reports: int, rate: int, seconds: float) -> Results:
    """Everything that needs a broker. `reports` for throughput; `rate` reports a second for so many seconds."""
    found = Results(reports=reports, latency_per_second=rate, latency_reports=int(rate * seconds))
    with DevKafka(folder / "kafka", quick=False).running() as kafka:
        connection = Connection(bootstrap=kafka.bootstrap)
        created = tuple(
            WantedTopic(name, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "1048576"})
            for name in (INLET, BARE, "tocsin.gb.info")
        )
        await Admin(connection).apply(Plan(create=created))
        now_ms = time.time_ns() // 1_000_000
        stream = frozen.GbStream(now_ms)
        records = list(stream.records(reports))
        found.produce_us, found.consume_us = await _client(connection, records)
        node = Jp(folder / "jp", kafka.bootstrap)
        try:
            node.start()
            await _throughput(node, connection, found)
            stream.now_ms = time.time_ns() // 1_000_000
            await _latency(kafka.bootstrap, list(stream.records(found.latency_reports)), found)
        finally:
            if node.process is not None:
                node.kill()
    return found


async def _client(connection: Connection, records: list[Outbound]) -> tuple[float, float]:
    """Write gb's stream and read it again: CPU microseconds of the client, per record, of both."""
    writer, reader = TopicWriter(connection), TopicReader(connection, INLET)
    await writer.write(records[:64])
    begin = time.process_time()
    for start in range(64, len(records), 256):
        await writer.write(records[start : start + 256])
    produced = time.process_time() - begin
    await writer.close()
    await reader.open(64)
    begin, count = time.process_time(), 64
    while count < len(records):
        count += len(await reader.fetch(64, 5.0))
    consumed = time.process_time() - begin
    await reader.close()
    return produced / (len(records) - 64) * 1e6, consumed / (len(records) - 64) * 1e6


async def _throughput(node: Jp, connection: Connection, found: Results) -> None:
    """jp works off what waits for it. Its rate is read off the broker's own append times of what it released."""
    await asyncio.to_thread(wait_until, node.ready, "jp ready")
    reader = TopicReader(connection, OUTLET)
    await reader.open(None)
    times: list[int] = []
    marks = [1_000, found.reports] if found.reports > 1_000 else [found.reports]
    first = max(1, int(found.reports * WARM))
    cpu, moved = 0.0, time.monotonic()
    pages = asyncio.create_task(_slowest_page(node, found))
    while len(times) < found.reports:
        before = len(times)
        records = await reader.fetch(1_000, 1.0)
        times += [record.timestamp_ms for record in records if not is_statement(record.value)]
        if before < first <= len(times):
            cpu, first = node.cpu_s(), len(times)
        while marks and len(times) >= marks[0]:
            found.rss_mib[marks.pop(0)] = node.rss_mib()
        moved = time.monotonic() if len(times) > before else moved
        if time.monotonic() - moved > PATIENCE_S:
            raise AssertionError(
                f"jp released {len(times)} of {found.reports} reports and then nothing for a long time"
            )
        await asyncio.sleep(0.05)
    pages.cancel()
    await reader.close()
    counted = len(times) - first
    found.node_cpu_us = (node.cpu_s() - cpu) / counted * 1e6
    found.per_second = counted / max(0.001, (times[-1] - times[first - 1]) / 1000)


async def _slowest_page(node: Jp, found: Results) -> None:
    """Ask for /metrics once a second while the node works as hard as it can; keep the longest answer."""
    while True:
        begin = time.perf_counter()
        await asyncio.to_thread(node.metrics)
        found.page_ms = max(found.page_ms, (time.perf_counter() - begin) * 1000)
        await asyncio.sleep(1.0)


async def _latency(bootstrap: str, records: list[Outbound], found: Results) -> None:
    """The same pace of the same records: first a bare produce and consume, then through jp."""
    envelopes = [record for record in records if not is_statement(record.value)]
    rate = found.latency_per_second
    for name, given, source, sink in (("bare", envelopes, BARE, BARE), ("node", records, INLET, OUTLET)):
        times = await _paced(bootstrap, given, source, sink, rate)
        found.latency_ms[name] = {f"p{p}": percentile(times, p) * 1000 for p in (50, 90, 99, 100)}


async def _paced(bootstrap: str, records: list[Outbound], source: str, sink: str, rate: int) -> list[float]:
    """Seconds from `send` to the arrival at a consumer, of every envelope, at so many envelopes a second."""
    async with _producer(bootstrap) as producer, _consumer(bootstrap, sink) as consumer:
        sent: dict[bytes, float] = {}
        writing = asyncio.create_task(_write_paced(producer, records, source, rate, sent))
        total = sum(not is_statement(record.value) for record in records)
        took: list[float] = []
        async with asyncio.timeout(60 + 3 * total / rate):
            while len(took) < total:
                for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                    now = time.perf_counter()
                    took += [now - sent.pop(record.key) for record in batch if record.key in sent]
        await writing
    return took


async def _write_paced(
    producer: AIOKafkaProducer, records: Iterable[Outbound], topic: str, rate: int, sent: dict[bytes, float]
) -> None:
    begin, number = time.perf_counter(), 0
    for record in records:
        if not is_statement(record.value):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            number += 1
            sent[record.key] = time.perf_counter()
        await producer.send(topic, record.value, key=record.key, partition=0, headers=list(record.headers))
    await producer.flush()


@asynccontextmanager
async def _producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _consumer(bootstrap: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer at the end of the topic as it is now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        ends = await consumer.end_offsets([partition])
        consumer.seek(partition, ends[partition])
        await consumer.getmany(timeout_ms=500)
        yield consumer
    finally:
        await consumer.stop()
