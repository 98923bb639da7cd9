"""The loops of a running node, over ports: follow each source, keep the streams, release, send, tell, try again.

Each loop outlives every `AdapterError`: it reports it, rests, and goes on. Only cancellation ends one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

from tocsin.errors import AdapterError
from tocsin.flow import topics
from tocsin.flow.admit import owe
from tocsin.flow.issue import Issue, Rule
from tocsin.flow.leases import LEASE_MS, claim_outlet, claim_source
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import Outcome, What
from tocsin.flow.ports import Clock, Conflict, LeaseLost, RangeLost, Reader, Record, Store
from tocsin.flow.quarantine import Quarantine
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.recover import Recover, Recovered
from tocsin.flow.release import Done, Release
from tocsin.flow.rows import Marker, Outlet, Report, Source
from tocsin.flow.send import SKEW_STOP_MS, Send, Sent
from tocsin.flow.setting import Setting, minute_up
from tocsin.flow.tell import Tell

T = TypeVar("T")

POLL_S = 0.25
"""How soon a loop notices what another process (the command line) wrote into the store."""
HEAD_S = 0.5
"""A head follows the last envelope within a second (protocol section 4)."""


class State(StrEnum):
    """What the node is doing; READY is the only state in which everything is signed and sent."""

    STARTING = "STARTING"
    RECOVERING = "RECOVERING"
    READY = "READY"
    STOPPED_BY_CLOCK = "STOPPED_BY_CLOCK"
    DRAINING = "DRAINING"


class Watch(Protocol):
    """Who counts and logs what the loops did; called once per outcome, at the edge."""

    def outcome(self, outcome: Outcome) -> None:
        """One record was dealt with."""
        ...

    def done(self, done: Done) -> None:
        """One due decision was dealt with."""
        ...

    def sent(self, sent: Sent) -> None:
        """One round of sending."""
        ...

    def lag(self, inlet: Inlet, records: int) -> None:
        """How many records of a source are not read yet."""
        ...

    def recovered(self, audience: str, found: Recovered) -> None:
        """A stream was compared with its topic."""
        ...

    def fault(self, task: str, fault: AdapterError, rest_s: float) -> None:
        """Something outside failed; the loop rests and goes on."""
        ...

    def state(self, state: State) -> None:
        """The node's state changed."""
        ...

    def strangers(self, rights: list[str]) -> None:
        """Rights at the node's topics that its configuration does not know; empty where all is well."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loops drive; built by `app`, or by a test from the in-memory twins."""

    store: Store
    clock: Clock
    me: str
    setting: Callable[[], Setting]
    receive: Receive
    release: Release
    send: Send
    tell: Tell
    recover: Recover
    quarantine: Quarantine
    watch: Watch


@dataclass(frozen=True, slots=True)
class BackOff:
    """First rest after a failure and the longest one, in seconds; each failure doubles it (design 5)."""

    first_s: float = 10.0
    most_s: float = 6 * 3600.0

    def rest_s(self, failures: int) -> float:
        """The rest after so many failures in a row."""
        return float(min(self.most_s, self.first_s * 2.0 ** min(failures, 40)))


Pace = Callable[[int, int], float]
"""Seconds to rest after so many records and bytes of one source."""


class Loops:
    """Shared wake-ups and state of one process's loops."""

    def __init__(self, parts: Parts) -> None:
        """No I/O."""
        self._parts = parts
        self._due = asyncio.Event()
        self._sealed = asyncio.Event()
        self._recovered: set[str] = set()
        self._read_back: set[str] = set()
        self._moved = True
        self.state = State.STARTING
        self.troubles: dict[str, str] = {}
        """What failed at its last try, by task: why the node is not ready."""

    def setting_moved(self) -> None:
        """Trust, schemas or policies changed: what rested may now be accepted, what is decided may change."""
        self._moved = True
        self._due.set()

    def drain(self) -> None:
        """Decide nothing more; what is sealed is still sent."""
        self._become(State.DRAINING)
        self._sealed.set()

    def _become(self, state: State) -> None:
        if state is not self.state and self.state is not State.DRAINING:
            self.state = state
            self._parts.watch.state(state)

    async def follow(
        self,
        inlet: Inlet,
        new_reader: Callable[[], Reader],
        back_off: BackOff,
        batch: int,
        pace: Pace,
    ) -> None:
        """Read one source for ever. `pace` says how long to rest after so many bytes, to keep its quota.

        A dead or slow source costs nothing but this task.
        """
        parts = self._parts
        while True:
            source = await self._claimed(inlet)
            await asyncio.sleep(max(0.0, (source.retry_ms - parts.clock()) / 1000))
            reader = new_reader()
            try:
                if inlet.kind is InletKind.SUBMISSIONS and inlet.topic not in self._read_back:
                    await parts.recover.receipts(inlet.party)
                    self._read_back.add(inlet.topic)
                await self._read(inlet, reader, source, batch, pace)
            except LeaseLost as lost:
                parts.watch.fault(inlet.topic, lost, LEASE_MS / 3000)
                await asyncio.sleep(LEASE_MS / 3000)
            except AdapterError as fault:
                rest_s = back_off.rest_s(source.failures)
                parts.watch.fault(inlet.topic, fault, rest_s)
                await self._remember_failure(inlet, rest_s)
            finally:
                await reader.close()

    async def _claimed(self, inlet: Inlet) -> Source:
        parts = self._parts
        while True:
            try:
                source = await claim_source(parts.store, inlet.topic, parts.me, parts.clock())
            except AdapterError as fault:
                parts.watch.fault(inlet.topic, fault, 1.0)
                source = None
            if source is not None:
                return source
            await asyncio.sleep(1.0)

    async def _read(self, inlet: Inlet, reader: Reader, source: Source, batch: int, pace: Pace) -> None:
        parts = self._parts
        try:
            await reader.open(source.offset if source.offset >= 0 else None)
        except RangeLost as lost:
            # The place is gone (retention, or a topic made anew): what is left is read; the signed heads show a gap.
            parts.watch.fault(inlet.topic, lost, 0.0)
            await reader.open(None)
            await self._move(inlet, await reader.position())
        renewed = parts.clock()
        while True:
            records = await reader.fetch(batch, 1.0)
            if parts.clock() - renewed > LEASE_MS // 3 or source.failures:
                source = await self._renew(inlet)
                renewed = parts.clock()
            if not records:
                parts.watch.lag(inlet, 0)
                continue
            outcomes = await self._take(inlet, records)
            for outcome in outcomes:
                parts.watch.outcome(outcome)
            if any(o.what in {What.ACCEPTED, What.MERGED} for o in outcomes):
                self._due.set()
            self._sealed.set()  # receipts
            parts.watch.lag(inlet, await reader.end() - records[-1].offset - 1)
            await asyncio.sleep(pace(len(records), sum(len(r.value) for r in records)))

    async def _take(self, inlet: Inlet, records: list[Record]) -> list[Outcome]:
        while True:
            try:
                return await self._parts.receive.take(inlet, records)
            except Conflict:
                await asyncio.sleep(0)

    async def _move(self, inlet: Inlet, offset: int) -> None:
        async with self._parts.store.begin() as tx:
            source = (await tx.get(Source, [(inlet.topic,)]))[inlet.topic,]
            await tx.swap(dataclasses.replace(source, offset=offset), expect={"holder": self._parts.me})

    async def _renew(self, inlet: Inlet) -> Source:
        """Renew the lease; contact was made, so earlier failures no longer count."""
        parts = self._parts
        async with parts.store.begin() as tx:
            source = (await tx.get(Source, [(inlet.topic,)]))[inlet.topic,]
            kept = dataclasses.replace(source, until_ms=parts.clock() + LEASE_MS, failures=0, retry_ms=0)
            await tx.swap(kept, expect={"holder": parts.me})
        return kept

    async def _remember_failure(self, inlet: Inlet, rest_s: float) -> None:
        parts = self._parts
        try:
            async with parts.store.begin() as tx:
                source = (await tx.get(Source, [(inlet.topic,)]))[inlet.topic,]
                retry_ms = parts.clock() + int(rest_s * 1000)
                await tx.put([dataclasses.replace(source, failures=source.failures + 1, retry_ms=retry_ms)])
        except AdapterError as fault:
            parts.watch.fault(inlet.topic, fault, 1.0)
            await asyncio.sleep(1.0)

    async def keep_streams(self) -> None:
        """Hold and recover the stream of every audience; renew the leases; owe everything anew when policies change."""
        parts = self._parts
        while True:
            setting = parts.setting()
            audiences = setting.audiences() | (await self._guard("outlets", self._begun) or frozenset())
            await asyncio.gather(*(self._keep_stream(setting, audience) for audience in sorted(audiences)))
            whole = audiences <= self._recovered
            if whole and self.state is not State.STOPPED_BY_CLOCK:
                self._become(State.READY)
            await self._guard("policies", self._owe_if_policies_moved)
            await asyncio.sleep(LEASE_MS / 3000 if whole else 1.0)

    async def _begun(self) -> frozenset[str]:
        """Streams that were begun: their readers may be owed a correction though no policy names them any more."""
        async with self._parts.store.begin() as tx:
            return frozenset(outlet.audience for outlet in await tx.find(Outlet, {}) if outlet.audience)

    async def _keep_stream(self, setting: Setting, audience: str) -> None:
        parts = self._parts
        topic = topics.stream(setting.node, audience)

        async def keep() -> None:
            if not await claim_outlet(parts.store, topic, parts.me, parts.clock()):
                self._recovered.discard(audience)
            elif audience not in self._recovered:
                self._become(State.RECOVERING)
                found = await parts.recover.stream(audience)
                self._recovered.add(audience)
                parts.watch.recovered(audience, found)
                self._due.set()
                self._sealed.set()

        await self._guard(topic, keep)

    async def _owe_if_policies_moved(self) -> None:
        """A change of policy or of audiences is a cause to decide again; what was said before is not said twice."""
        parts = self._parts
        setting, now_ms = parts.setting(), parts.clock()
        minute = minute_up(now_ms)
        in_force = sorted(
            f"{p.id}/{p.version}/{p.sha256.hex()}" for p in setting.policies if p.effective_minute <= minute
        )
        digest = hashlib.sha256("\n".join(in_force).encode()).hexdigest()
        async with parts.store.begin() as tx:
            known = (await tx.get(Marker, [("policies",)])).get(("policies",))
            if known is not None and known.value == digest:
                return
            if known is not None:
                submitted = {p.id for p in setting.trust.parties.values() if p.kind.value == "LAB"}
                for report in await tx.find(Report, {}):
                    if report.origin not in submitted:
                        await tx.put(owe([report.leaf], setting.audiences(), now_ms, "POLICY"))
            await tx.put([Marker("policies", digest)])
        self._due.set()

    async def releasing(self) -> None:
        """Decide and seal whatever is due."""
        parts = self._parts
        while True:
            self._due.clear()
            done: list[Done] = []
            if self.state is State.READY:
                done = await self._guard("release", parts.release.run) or []
            for one in done:
                parts.watch.done(one)
            if done:
                self._sealed.set()
            else:
                await _wait(self._due, POLL_S)

    async def issuing(self, issue: Issue, rules: Mapping[str, Rule]) -> None:
        """Issue by the rules of the configuration."""
        while True:
            if await self._guard("issue", partial(issue.by_rule, rules)):
                self._due.set()
            else:
                await asyncio.sleep(POLL_S)

    async def sending(self) -> None:
        """Carry sealed rows to Kafka."""
        parts = self._parts
        while True:
            self._sealed.clear()
            sent = await self._guard("send", parts.send.run)
            await self._guard("resend", parts.send.resend)
            if sent is not None:
                parts.watch.sent(sent)
                if sent.skew_ms >= SKEW_STOP_MS:
                    self._become(State.STOPPED_BY_CLOCK)
                elif sent.acked and self.state is State.STOPPED_BY_CLOCK:
                    self._become(State.READY)
            if sent is None or not sent.acked:
                await _wait(self._sealed, POLL_S)

    async def telling(self) -> None:
        """Heads after records and as a sign of life; receipts for what was issued."""
        parts = self._parts
        while True:
            if self.state is State.READY:
                heads = await self._guard("heads", parts.tell.heads)
                receipts = await self._guard("receipts", parts.tell.issued)
                if heads or receipts:
                    self._sealed.set()
            await asyncio.sleep(HEAD_S)

    async def retrying(self, inlets: Callable[[], Mapping[str, Inlet]], every_s: float = 5.0) -> None:
        """Try again what rests in quarantine."""
        parts = self._parts
        while True:
            moved, self._moved = self._moved, False
            outcomes = await self._guard("quarantine", partial(parts.quarantine.retry, inlets(), moved=moved))
            for outcome in outcomes or []:
                parts.watch.outcome(outcome)
            if outcomes:
                self._due.set()
            await asyncio.sleep(every_s)

    async def _guard(self, task: str, act: Callable[[], Awaitable[T]]) -> T | None:
        """Run one step; an `AdapterError` is reported and rested upon, a bug ends the process."""
        try:
            done = await act()
        except Conflict:
            return None
        except StoreBehind as behind:
            self._recovered.clear()
            self._become(State.RECOVERING)
            self._trouble(task, behind)
        except AdapterError as fault:
            self._trouble(task, fault)
        else:
            self.troubles.pop(task, None)
            return done
        await asyncio.sleep(1.0)
        return None

    def _trouble(self, task: str, fault: AdapterError) -> None:
        self.troubles[task] = fault.thing
        self._parts.watch.fault(task, fault, 1.0)


async def _wait(event: asyncio.Event, at_most_s: float) -> None:
    try:
        async with asyncio.timeout(at_most_s):
            await event.wait()
    except TimeoutError:
        pass
