"""Per step: what one report costs one core, in microseconds, through the node's own code."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from statistics import median

from tests.bench import frozen
from tests.bench.timing import cpu_us

from tocsin.flow.admit import report_row
from tocsin.flow.decide import Decision, decide
from tocsin.flow.facts import Facts
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import Remembered, new_outlet
from tocsin.flow.ports import Ack, Record
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.release import Release
from tocsin.flow.rows import Copy, Source
from tocsin.flow.send import Send
from tocsin.flow.setting import Setting
from tocsin.store.store import SqlStore
from tocsin.wire.envelope import Envelope, frame_envelope, read_envelope, with_hop, withhold
from tocsin.wire.keys import KeyUse, verify_signature
from tocsin.wire.slots import mask_bytes
from tocsin.wire.verify import Verified, verify

BATCH = 64
CEILING = (
    "verify, 1 hop (2 signatures)",
    "policy, 1 audience",
    "withhold",
    "encode envelope",
    "encode and sign hop",
    "store (SQLite, batches of 64)",
    "produce (client)",
    "consume (client)",
)
"""What one report cannot do without, on its way from gb's stream to jp's: together the ceiling of one core."""
NOW_MS = time.time_ns() // 1_000_000
SEED = sha256(b"the frozen report").digest()


def setting(audiences: int) -> Setting:
    """jp, with a policy for so many audiences."""
    return Setting("jp", frozen.TRUST, frozen.SCHEMAS, (frozen.policy(audiences),))


def verified(framed: bytes, releaser: str, reader: str) -> Verified:
    """The envelope as its reader verifies it."""
    found = verify(framed, frozen.TRUST, frozen.SCHEMAS, NOW_MS, (releaser, reader), lambda _: False)
    assert isinstance(found, Verified), found
    return found


class Case:
    """The frozen report as jp has it from gb, and what jp decides about it."""

    def __init__(self) -> None:
        self.framed = frozen.envelope(SEED, NOW_MS)
        self.verified = verified(self.framed, "gb", "jp")
        self.settings = {n: setting(n) for n in (1, 5, 20)}
        mask = mask_bytes(self.verified.envelope.mask, self.verified.envelope.n)
        self.copy = Copy(self.verified.leaf, self.verified.chain, "gb", mask, self.framed, NOW_MS)
        report = report_row(self.verified.leaf, self.verified.header, NOW_MS)
        self.facts = Facts(reports={report.leaf: report}, copies={report.leaf: [self.copy]})
        self.facts.know(report)
        self.decision = self.decide("ke", 1)
        self.twice = self.seal(self.verified.envelope, self.decision)
        verified(self.twice, "jp", "ke")

    def decide(self, audience: str, audiences: int, what: Verified | None = None) -> Decision:
        """The facts put together, and the decision."""
        question = self.facts.question(self.settings[audiences], self.copy, what or self.verified, audience, NOW_MS)
        decision = decide(question)
        assert isinstance(decision, Decision), decision
        return decision

    def decide_all(self, audiences: int) -> None:
        """A decision for every audience of the policy; nothing is remembered from the call before."""
        self.facts._asked = None
        for audience in self.settings[audiences].audiences():
            self.decide(audience, audiences)

    def seal(self, envelope: Envelope, decision: Decision) -> bytes:
        """Sign the hop, withhold, frame; as `Release` does."""
        hop = frozen.signed_hop("jp", decision.body)
        return frame_envelope(with_hop(withhold(envelope, decision.body.mask_out), hop))

    def whole(self) -> bytes:
        """Verify, decide and seal for one audience; nothing is remembered from the call before."""
        found = verify(self.framed, frozen.TRUST, frozen.SCHEMAS, NOW_MS, ("gb", "jp"), lambda _: False)
        assert isinstance(found, Verified)
        return self.seal(found.envelope, self.decide("ke", 1, found))


def pure_steps(rounds: int) -> dict[str, float]:
    """Microseconds per report of every step that touches neither disk nor network."""
    case = Case()
    whole, decision = case.verified.envelope, case.decision
    hop = frozen.signed_hop("jp", decision.body)
    public = frozen.TRUST.parties["gb"].keys[0].public
    reduced = with_hop(withhold(whole, decision.body.mask_out), hop)

    def fresh() -> Envelope:
        """An envelope whose digests are known, as after `verify`."""
        copy = replace(whole)
        copy.__dict__["all_digests"] = whole.all_digests
        return copy

    calls: dict[str, Callable[[], object]] = {
        "unit": frozen.unit,
        "decode envelope": lambda: read_envelope(case.framed),
        "one signature checked": lambda: verify_signature(public, whole.entry, whole.signature),
        "verify, 1 hop (2 signatures)": lambda: verified(case.framed, "gb", "jp"),
        "verify, 2 hops (3 signatures)": lambda: verified(case.twice, "jp", "ke"),
        "policy, 1 audience": lambda: case.decide_all(1),
        "policy, 5 audiences": lambda: case.decide_all(5),
        "policy, 20 audiences": lambda: case.decide_all(20),
        "withhold": lambda: withhold(fresh(), decision.body.mask_out),
        "encode envelope": lambda: frame_envelope(reduced),
        "encode and sign hop": lambda: frozen.signed_hop("jp", decision.body),
        "verify + decide + seal": case.whole,
    }
    return cpu_us(calls, rounds)


async def store_steps(folder: Path, batches: int) -> dict[str, float]:
    """What a report costs the store, and what the whole of `receive` and `release` costs, per report in batches of 64.

    The store's share is the time inside its calls, by a wrapper that counts; process CPU, not waiting for the disk.
    """
    store = CountingStore(SqlStore(f"sqlite:///{folder / 'bench.db'}"))
    await store.inner.migrate()
    held, topic, clock = setting(1), "tocsin.gb.out.jp", lambda: NOW_MS
    outlet = new_outlet("tocsin.jp.out.ke", "jp", "ke", NOW_MS // 1000, "jp-1", 2**60)
    async with store.begin() as tx:
        await tx.add([Source(topic, 0, "", "jp-1", 2**60), outlet])
    opened, signer = Opened(), FrozenSigner()
    receive = Receive(lambda: held, store, signer, clock, "jp-1", opened)
    release = Release(lambda: held, store, signer, clock, "jp-1", opened, Remembered())
    send = Send(store, FrozenWriter.made, clock, "jp-1")
    inlet = Inlet(topic, InletKind.STREAM, "gb")
    stream = frozen.GbStream(NOW_MS, every=2**30)
    records = [r for r in stream.records(batches * BATCH) if dict(r.headers).get("tocsin-seq")]
    whole, stored = [], []
    for batch in range(batches):
        part = records[batch * BATCH : (batch + 1) * BATCH]
        read = [Record(topic, batch * BATCH + i, r.key, r.value, r.headers, NOW_MS) for i, r in enumerate(part)]
        store.cpu, begin = 0.0, time.process_time()
        await receive.take(inlet, read)
        await release.run()
        while (await send.run()).acked:
            pass
        whole.append((time.process_time() - begin) / BATCH * 1e6)
        stored.append(store.cpu / BATCH * 1e6)
    await store.inner.close()
    return {"store (SQLite, batches of 64)": median(stored), "receive + release + send, no broker": median(whole)}


class CountingStore:
    """The real store; adds up the CPU seconds from the call of each of its methods to its return."""

    def __init__(self, inner: SqlStore) -> None:
        self.inner, self.cpu = inner, 0.0

    @asynccontextmanager
    async def begin(self):
        """A transaction whose every call is counted, its begin and commit too."""
        block = self.inner.begin()
        tx = await self.count(block.__aenter__())
        try:
            yield CountingTx(tx, self.count)
        except BaseException as error:
            if not await block.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await self.count(block.__aexit__(None, None, None))

    async def count(self, call):
        """Await a call of the store."""
        begin = time.process_time()
        try:
            return await call
        finally:
            self.cpu += time.process_time() - begin


class CountingTx:
    """Every method of a transaction, counted."""

    def __init__(self, tx, count) -> None:
        self._tx, self._count = tx, count

    def __getattr__(self, name):
        method = getattr(self._tx, name)
        return lambda *args, **named: self._count(method(*args, **named))


class FrozenSigner:
    """jp's relay key; the port's shape."""

    def key_id(self, use: KeyUse) -> bytes:
        return frozen.key_id("jp", use)

    async def sign(self, use: KeyUse, message: bytes) -> bytes:
        return frozen.sign("jp", use, message)


class FrozenWriter:
    """Acknowledges at once: what a record costs the Kafka client is measured on the real broker."""

    def __init__(self) -> None:
        self._offsets = itertools.count()

    @classmethod
    async def made(cls) -> FrozenWriter:
        return cls()

    async def write(self, records):
        acks: dict[str, list[Ack]] = {}
        for record in records:
            acks.setdefault(record.topic, []).append(Ack(next(self._offsets), NOW_MS))
        return acks

    async def close(self) -> None:
        pass
