"""The loops of a running node, over ports: follow each source, keep the streams, release, send, tell, try again.

Each loop outlives every `AdapterError`: it reports it, rests, and goes on. Cancellation ends one, and a damaged store.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from tocsin.errors import AdapterError, StoreDamaged
from tocsin.flow import release, send, topics
from tocsin.flow.follow import BackOff, Follow, Pace
from tocsin.flow.holds import superseded
from tocsin.flow.issue import Issue, Rule
from tocsin.flow.leases import LEASE_MS, claim_outlet, is_held_elsewhere
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import Outcome, What
from tocsin.flow.owed import owe, told
from tocsin.flow.parts import Parts, State, Watch
from tocsin.flow.ports import Between, Conflict, Reader, TopicMissing
from tocsin.flow.prune import Prune
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.recover import Recovered
from tocsin.flow.release import Done
from tocsin.flow.rows import Due, Marker, Outlet, Report
from tocsin.flow.setting import Setting, minute_up
from tocsin.wire.header import Stage

__all__ = ["BackOff", "Loops", "Pace", "Parts", "State", "Watch"]

T = TypeVar("T")

POLL_S = 0.25
"""How soon a loop notices what another process (the command line) wrote into the store."""
HEAD_S = 0.5
"""A head follows the last envelope within a second (protocol section 4)."""
ASK_S = 10.0
"""How often the broker's clock is asked while it stops the node."""
PRUNE_S, PRUNE_AGAIN_S = 3600.0, 1.0
"""How often the store is looked through for what was kept long enough; and how soon again, while anything goes."""
STREAMS_AT_ONCE = 16
"""Streams that are recovered side by side: each has connections of its own, and up to a thousand records in memory."""
OWED_AT_ONCE = 256
"""Reports that are owed anew in one transaction, so that a change of policy holds up nothing else."""


class Loops:
    """Shared wake-ups and state of one process's loops."""

    def __init__(self, parts: Parts) -> None:
        """No I/O."""
        self._parts = parts
        self._due = asyncio.Event()
        self._sealed = asyncio.Event()
        self._unsure = asyncio.Event()
        self._recovered: set[str] = set()
        self.elsewhere: set[str] = set()
        """Audiences whose stream another process holds."""
        self._absent: set[str] = set()
        self._read_back: set[str] = set()
        self._labs: dict[str, Inlet] = {}
        self._connections = parts.connections()
        self._clock_stopped = False
        self._settings = 0
        self.state = State.STARTING
        self.troubles: dict[str, str] = {}
        """What failed at its last try, by task: why the node is not ready."""

    def setting_moved(self) -> None:
        """Trust, schemas or policies changed: what rested may now be accepted, what is decided may change."""
        self._settings += 1
        self._due.set()
        self._unsure.set()

    def drain(self) -> None:
        """Decide nothing more; what is sealed is still sent."""
        self._become(State.DRAINING)
        self._sealed.set()

    def may_sign(self) -> bool:
        """READY, and over the connection to the store by which the streams were recovered (design 2)."""
        if self._connections != self._parts.connections():
            self._doubt()
        return self.state is State.READY

    def _doubt(self) -> None:
        """The store may be older than our topics: nothing is signed until they were compared again."""
        self._connections = self._parts.connections()
        self._recovered.clear()
        self._read_back.clear()
        self._become(State.RECOVERING)
        self._unsure.set()

    def _clock_is_apart(self, skew_ms: int) -> None:
        """Four minutes between our clock and the broker's stop signing, until they agree again."""
        stopped, self._clock_stopped = self._clock_stopped, skew_ms >= send.SKEW_STOP_MS
        if self._clock_stopped:
            self._become(State.STOPPED_BY_CLOCK)
        elif stopped:
            self._become(State.RECOVERING)
            self._unsure.set()

    def _become(self, state: State) -> None:
        if self._clock_stopped and state is not State.DRAINING:
            state = State.STOPPED_BY_CLOCK
        if state is not self.state and self.state is not State.DRAINING:
            self.state = state
            self._parts.watch.state(state)

    async def follow(
        self, inlet: Inlet, new_reader: Callable[[], Reader], back_off: BackOff, batch: int, pace: Pace
    ) -> None:
        """Read one source for ever."""
        if inlet.kind is InletKind.SUBMISSIONS:
            self._labs[inlet.topic] = inlet

        async def may_take() -> bool:
            return inlet.kind is not InletKind.SUBMISSIONS or await self._may_answer(inlet)

        def taken(outcomes: list[Outcome]) -> None:
            if any(outcome.what in {What.ACCEPTED, What.MERGED} for outcome in outcomes):
                self._due.set()
            if inlet.kind is InletKind.SUBMISSIONS:
                self._sealed.set()  # receipts

        await Follow(
            self._parts,
            inlet,
            new_reader,
            back_off=back_off,
            batch=batch,
            pace=pace,
            may_take=may_take,
            taken=taken,
            doubt=self._doubt,
        ).run()

    async def _may_answer(self, inlet: Inlet) -> bool:
        """A lab is heard while receipts can be signed, and after what was issued from its reports was read back."""
        if self.may_sign():
            await self._read_receipts(inlet)
        return self.may_sign() and inlet.topic in self._read_back

    async def _read_receipts(self, inlet: Inlet) -> None:
        if inlet.topic not in self._read_back:
            made = self._connections
            await self._parts.recover.receipts(inlet.party)
            if made == self._parts.connections():
                self._read_back.add(inlet.topic)

    async def keep_streams(self) -> None:
        """Hold and recover the stream of every audience; renew the leases; owe everything anew when policies change."""
        parts = self._parts
        while True:
            setting = parts.setting()
            begun = await self._guard("outlets", self._begun)
            audiences = setting.audiences() | (begun or frozenset())
            new = audiences - begun if begun is not None else frozenset()
            self._unsure.clear()
            self.may_sign()
            at_once = asyncio.Semaphore(STREAMS_AT_ONCE)
            await asyncio.gather(
                *(self._keep_stream(setting, audience, at_once, new=audience in new) for audience in sorted(audiences))
            )
            if self._all_there(audiences):
                # Before anything is signed: what a lab was told already is not told again. One whose topic is away
                # holds up no other.
                hear = [self._guard(topic, partial(self._read_receipts, lab)) for topic, lab in self._labs.items()]
                await asyncio.gather(*hear)
            if whole := self._all_there(audiences):  # asked again: a doubt may have come meanwhile
                self._become(State.READY)
            await self._guard("policies", self._owe_if_setting_moved)
            await _wait(self._unsure, LEASE_MS / 3000 if whole else 1.0)

    def _all_there(self, audiences: frozenset[str]) -> bool:
        return audiences <= self._recovered | self.elsewhere | self._absent

    async def _begun(self) -> frozenset[str]:
        """Streams that were begun: their readers may be owed a correction though no policy names them any more."""
        async with self._parts.store.begin() as tx:
            return frozenset(outlet.audience for outlet in await tx.find(Outlet, {}) if outlet.audience)

    async def _keep_stream(self, setting: Setting, audience: str, at_once: asyncio.Semaphore, *, new: bool) -> None:
        parts = self._parts
        topic = topics.stream(setting.node, audience)

        async def keep() -> None:
            self.elsewhere.discard(audience)
            self._absent.discard(audience)
            if await is_held_elsewhere(parts.store, topic, parts.me, parts.clock()):
                self._recovered.discard(audience)
                self.elsewhere.add(audience)
                return
            if audience not in self._recovered:
                if new:
                    # A policy may name an audience before its topic is there. Nothing was ever sealed for it, and until
                    # it is claimed nothing will be: so it holds up no other.
                    try:
                        await parts.recover.require_topic(audience)
                    except TopicMissing:
                        self._absent.add(audience)
                        raise
                # Before the claim: from then on the stream counts as ours, and nothing may be sealed into it yet.
                self._become(State.RECOVERING)
            if not await claim_outlet(parts.store, topic, parts.me, parts.clock()):
                self._recovered.discard(audience)
            elif audience not in self._recovered:
                made = self._connections
                found = await parts.recover.stream(audience)
                if made == parts.connections():
                    self._recovered.add(audience)
                parts.watch.recovered(audience, found)
                self._due.set()
                self._sealed.set()

        async with at_once:
            await self._guard(topic, keep)

    async def _owe_if_setting_moved(self) -> None:
        """A change of policies, trust or schemas is a cause to decide again; what was said before is not said twice."""
        parts = self._parts
        setting, minute = parts.setting(), minute_up(parts.clock())
        in_force = sorted(
            f"{p.id}/{p.version}/{p.sha256.hex()}" for p in setting.policies if p.effective_minute <= minute
        )
        told_by = [f"trust/{setting.trust.version}", *(s.sha256.hex() for s in setting.schemas), *in_force]
        digest = hashlib.sha256("\n".join(told_by).encode()).hexdigest()
        async with parts.store.begin() as tx:
            known = (await tx.get(Marker, [("policies",)])).get(("policies",))
        if known is not None and (known.value == digest or not await self._owe_anew(setting)):
            return
        async with parts.store.begin() as tx:
            await tx.put([Marker("policies", digest)])
        self._due.set()

    async def _owe_anew(self, setting: Setting) -> bool:
        """Every report to every audience that a policy names, and corrections to whoever was told.

        What is owed to an audience that is no longer named, and was never sent anything, is owed no more. A page at a
        time. False where the setting moved again meanwhile; that and a death midway begin anew.
        """
        parts, after = self._parts, b""
        named = setting.audiences() | await self._begun()
        while True:
            now_ms = parts.clock()
            async with parts.store.begin() as tx:
                if parts.setting() is not setting:
                    return False
                page = await tx.find(Report, {"leaf": Between(low=after)}, order=("leaf",), limit=OWED_AT_ONCE)
                some = [report for report in page if report.origin not in setting.labs]
                owed = await tx.find(Due, {"leaf": [report.leaf for report in some]})
                await tx.drop([due for due in owed if due.audience not in named])
                await tx.put(owe([report.leaf for report in some], setting.audiences(), now_ms, "POLICY"))
                await tx.put(await superseded(tx, setting, some, now_ms))
                for report in some:
                    if report.stage == Stage.RETRACTION:
                        for readers in (await told(tx, [report])).values():
                            await tx.put(owe([report.leaf], readers, now_ms, "POLICY"))
            if len(page) < OWED_AT_ONCE:
                return True
            after = page[-1].leaf + b"\0"

    async def releasing(self) -> None:
        """Decide and seal whatever is due."""
        parts = self._parts

        async def in_turn() -> list[Done]:
            async with parts.turn:
                return await parts.release.run() if self.may_sign() else []

        while True:
            self._due.clear()
            done = await self._guard("release", in_turn) or []
            for one in done:
                parts.watch.done(one)
            if done:
                self._sealed.set()
            if len(done) < release.BATCH:  # no more than that was due; what came since has set the event
                await _wait(self._due, POLL_S)

    async def issuing(self, issue: Issue, rules: Mapping[str, Rule]) -> None:
        """Issue by the rules of the configuration."""
        while True:
            node = self._parts.setting().node
            ready = self._read_back if self.may_sign() else set()
            heard = {lab: rule for lab, rule in rules.items() if topics.submissions(node, lab) in ready}
            if await self._guard("issue", partial(issue.by_rule, heard)):
                self._due.set()
            else:
                await asyncio.sleep(POLL_S)

    async def sending(self) -> None:
        """Carry sealed rows to Kafka."""
        parts, loop, look_at = self._parts, asyncio.get_running_loop(), 0.0
        while True:
            self._sealed.clear()
            sent = await self._guard("send", parts.send.run)
            if parts.send.failing:
                self.troubles["send"] = "; ".join(f"{topic}: {why}" for topic, why in parts.send.failing.items())
            if loop.time() >= look_at:  # officers' orders need not be looked for at every batch
                look_at = loop.time() + POLL_S
                await self._guard("resend", parts.send.resend)
            if sent is not None:
                parts.watch.sent(sent)
                for audience in sent.anew:
                    parts.watch.recovered(audience, Recovered.BEHIND)
            if sent is not None and sent.acked:
                self._clock_is_apart(sent.skew_ms)
            if sent is not None and sum(sent.acked.values()) >= send.BATCH:
                continue  # more may wait than was read
            if self._clock_stopped:
                await _wait(self._sealed, ASK_S)
                skew_ms = await self._guard("clock", parts.send.ask_clock)
                self._clock_is_apart(send.SKEW_STOP_MS if skew_ms is None else skew_ms)
            else:
                await _wait(self._sealed, POLL_S)

    async def telling(self) -> None:
        """Heads after records and as a sign of life; receipts for what was issued."""
        parts = self._parts
        while True:
            if self.may_sign():
                heads = await self._guard("heads", parts.tell.heads)
                receipts = await self._guard("receipts", parts.tell.issued)
                if heads or receipts:
                    self._sealed.set()
            await asyncio.sleep(HEAD_S)

    async def pruning(self, prune: Prune) -> None:
        """Let go of what was kept long enough."""
        while True:
            gone = await self._guard("prune", prune.run)
            await asyncio.sleep(PRUNE_S if gone == 0 else PRUNE_AGAIN_S)

    async def retrying(self, inlets: Iterable[Inlet], every_s: float = 5.0) -> None:
        """Try again what rests in quarantine, each source by itself: a flood from one holds up no other."""
        try:
            async with asyncio.TaskGroup() as each:
                for inlet in inlets:
                    each.create_task(self._retrying(inlet, every_s))
                await asyncio.Event().wait()  # a node of no source goes on too: a loop that ends would end it
        except* StoreDamaged as damaged:
            raise damaged.exceptions[0] from None

    async def _retrying(self, inlet: Inlet, every_s: float) -> None:
        parts, tried = self._parts, -1
        while True:
            settings, outcomes = self._settings, None
            if inlet.kind is not InletKind.SUBMISSIONS or self.may_sign():
                moved = settings != tried
                outcomes = await self._guard("quarantine", partial(parts.quarantine.retry, inlet, moved=moved))
            if outcomes is not None:
                tried = settings
            for outcome in outcomes or []:
                parts.watch.outcome(outcome)
            if outcomes:
                self._due.set()
            await asyncio.sleep(every_s)

    async def _guard(self, task: str, act: Callable[[], Awaitable[T]]) -> T | None:
        """Run one step; an `AdapterError` is reported and rested upon; a bug, and a damaged store, end the process."""
        try:
            done = await act()
        except Conflict:
            return None
        except StoreBehind as behind:
            self._doubt()
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
