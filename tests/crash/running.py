"""Whole nodes over the in-memory twins, with their real loops, in a time that passes only while nobody works.

A day of back-off takes no longer than what is done in it, and a run with one seed is always the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from contextlib import suppress

from tests.crash.world import ROUTES, SCHEMA, SCHEMAS, START_MS, Checker, policy_of, seeded, submission, trust_document

from tocsin.flow import topics
from tocsin.flow.issue import Issue, Rule
from tocsin.flow.loops import BackOff, Loops, Parts
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import Remembered
from tocsin.flow.ports import Outbound
from tocsin.flow.quarantine import Quarantine
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.recover import Recover
from tocsin.flow.release import Release
from tocsin.flow.send import Send
from tocsin.flow.setting import Setting
from tocsin.flow.tell import Tell
from tocsin.memory import Crash, Disk, Faults, MemoryBroker, MemoryReader, MemorySigner, MemoryStore, MemoryWriter
from tocsin.policy.language import parse_policy
from tocsin.trust import load_trust
from tocsin.wire.header import Tlp
from tocsin.wire.keys import KeyUse

RULES = {"frontier": Rule(max_severity=7, tlp=Tlp.CLEAR)}
VALUES = {"title": "from the lab", "severity": 3, "severity_assessed_by": "frontier"}


class Warp(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when nothing is ready: nothing outside it is ever waited for."""

    def __init__(self):
        self._now = 0.0
        super().__init__()

    def time(self):
        return self._now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0]._when)
        super()._run_once()


def warped(work):
    """Run a coroutine in such a time; leftovers of it are cancelled."""
    with asyncio.Runner(loop_factory=Warp) as runner:
        return runner.run(work)


class Clock:
    """The wall clock beside the loop's; `apart_ms` sets it wrong."""

    def __init__(self):
        self.apart_ms = 0

    def __call__(self):
        return START_MS + int(asyncio.get_running_loop().time() * 1000) + self.apart_ms


class Seen:
    """A Watch that remembers."""

    def __init__(self):
        self.outcomes, self.states, self.faults, self.found = [], [], [], []

    def outcome(self, outcome):
        self.outcomes.append(outcome)

    def done(self, done):
        pass

    def sent(self, sent):
        pass

    def lag(self, inlet, records):
        pass

    def recovered(self, audience, found):
        self.found.append((audience, found))

    def fault(self, task, fault, rest_s):
        self.faults.append((task, type(fault).__name__, rest_s))

    def state(self, state):
        self.states.append(state)


class Federation:
    """Brokers and disks of three nodes, the clock of everybody, and whatever processes run."""

    def __init__(self, nodes=("gb", "jp", "ke"), clock=None):
        self.ids = nodes
        self.clock = clock or Clock()
        self.brokers = {node: MemoryBroker(Clock()) for node in nodes}
        self.disks = {node: Disk() for node in nodes}
        counter = itertools.count()
        self.entropy = lambda n: hashlib.sha256(b"%d" % next(counter)).digest()[:n]
        for node in nodes:
            self.brokers[node].create(*[topics.stream(node, audience) for audience in ROUTES[node]])
        if "gb" in nodes:
            self.brokers["gb"].create(topics.submissions("gb", "frontier"), topics.receipts("gb", "frontier"))

    def submit(self, values=VALUES):
        """One submission of the lab, written to gb's broker."""
        framed = submission(values, self.clock(), self.entropy)
        self.brokers["gb"].append(Outbound(topics.submissions("gb", "frontier"), b"", framed, ()))
        return framed

    def look(self, node, audience):
        """What a reader of one stream that was there all the time knows: state, notes, reports."""
        return Checker(node, audience).read(self.brokers[node], self.clock())

    def complete(self, reports):
        """Whether every reader was shown so many reports and a head for the last."""
        if any(broker.down for broker in self.brokers.values()):
            return False
        for node in self.ids:
            for audience in ROUTES[node]:
                state, _, seen = self.look(node, audience)
                expected = reports if audience != "gb" else 0
                if len(self.brokers[node].records(topics.stream(node, audience))) <= expected:
                    return False  # not even a head behind them: cheaper than to verify each
                if len(seen) != expected or state.position is None or state.position.seq != expected or state.open:
                    return False
        return True

    def inlets(self, node):
        """(inlet, the node whose broker carries it) of every source."""
        found = [
            (Inlet(topics.stream(peer, node), InletKind.STREAM, peer), peer)
            for peer in self.ids
            if node in ROUTES[peer]
        ]
        if node == "gb":
            found.append((Inlet(topics.submissions("gb", "frontier"), InletKind.SUBMISSIONS, "frontier"), "gb"))
        return found


def of(federation, node, kind):
    """The rows of a kind on a node's disk."""
    return list(federation.disks[node].rows.get(kind, {}).values())


class Process:
    """One process of a node, over the node's disk and broker."""

    def __init__(self, federation, node, number=1, rules=RULES, setting=None, store=None):
        self.node, self.me = node, f"{node}-{number}"
        self.faults = Faults()
        self.watch = Seen()
        self.connections = 1
        self.store = store or MemoryStore(federation.disks[node], self.faults)
        self.trust = load_trust(trust_document())
        self.policies = (parse_policy(policy_of(node), SCHEMA),)
        self.setting_now = setting or Setting(node, self.trust, SCHEMAS, self.policies)
        self._federation, self._rules = federation, rules
        self._broker = federation.brokers[node]
        self._tasks = []
        self._build()

    def _build(self):
        federation, faults = self._federation, self.faults
        store, clock = self.store, federation.clock
        signer = MemorySigner({use: seeded(f"{self.node}/{use}") for use in (KeyUse.EVENT, KeyUse.RELAY)}, faults)
        opened, remembered = Opened(), Remembered()

        def setting():
            return self.setting_now

        async def writer():
            return MemoryWriter(self._broker, faults)

        async def refetch(inlet, offset):
            return None

        receive = Receive(setting, store, signer, clock, self.me, opened)
        self.issue = Issue(setting, store, signer, clock, federation.entropy, opened)
        self.parts = Parts(
            store=store,
            clock=clock,
            me=self.me,
            setting=setting,
            receive=receive,
            release=Release(setting, store, signer, clock, self.me, opened, remembered),
            send=Send(store, writer, clock, self.me),
            tell=Tell(setting, store, signer, clock, self.me, remembered),
            recover=Recover(
                setting, store, signer, clock, self.me, remembered, lambda t: MemoryReader(self._broker, t, faults)
            ),
            quarantine=Quarantine(setting, store, receive, clock, refetch),
            watch=self.watch,
            connections=lambda: getattr(store, "connections", self.connections),
        )
        self.loops = Loops(self.parts)

    def start(self, *, follow=True):
        """Run every loop, as the node does; without `follow`, nothing is read."""
        loops, inlets = self.loops, self._federation.inlets(self.node)
        work = [loops.keep_streams(), loops.releasing(), loops.sending(), loops.telling()]
        work += [loops.issuing(self.issue, self._rules), loops.retrying([inlet for inlet, _ in inlets])]
        for inlet, peer in inlets if follow else ():
            broker = self._federation.brokers[peer]
            work.append(
                loops.follow(
                    inlet, self._reader(broker, inlet.topic), BackOff(first_s=1.0, most_s=8.0), 4, lambda _r, _b: 0.0
                )
            )
        self._tasks = [asyncio.create_task(one) for one in work]
        return self

    def _reader(self, broker, topic):
        return lambda: MemoryReader(broker, topic, self.faults)

    def dead(self):
        """Whether a crash was hit; anything else that ended a loop is raised: it is a bug."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                error = task.exception()
                if isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                if not isinstance(error, Crash):
                    raise error or AssertionError("a loop ended")
                return True
        return self.faults.dead

    async def kill(self):
        """SIGKILL: nothing that is under way goes on."""
        self.faults.dead = True
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def until(self, condition, what, seconds=900.0):
        """Wait in the loop's own time."""
        give_up = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert not self.dead(), f"the process died before: {what}"
            assert asyncio.get_running_loop().time() < give_up, f"never came: {what}; {self.watch.faults[-5:]}"
            await asyncio.sleep(0.5)
