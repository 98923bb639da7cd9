"""The one place that builds a node: from its desk (setting, store, keys) to the running whole; start, run, drain."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from tocsin import __version__
from tocsin.desk import Desk, now_ms, read_setting
from tocsin.edge import Edge
from tocsin.errors import AdapterError, StoreDamaged, TocsinError
from tocsin.flow import topics
from tocsin.flow.issue import Issue, Rule
from tocsin.flow.loops import BackOff, Loops, Parts, State
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import Remembered
from tocsin.flow.ports import Record, Writer
from tocsin.flow.prune import Prune
from tocsin.flow.quarantine import Quarantine
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.recover import Recover
from tocsin.flow.release import Release
from tocsin.flow.rows import Outlet, Spoken
from tocsin.flow.send import Send
from tocsin.flow.setting import Setting, minute_up
from tocsin.flow.tell import Tell
from tocsin.http.pages import Facts, Introduction, PublishedPolicy, Readiness, pages
from tocsin.http.serve import HttpServer
from tocsin.kafka.admin import Admin
from tocsin.kafka.configured import reach, wanted
from tocsin.kafka.connection import Connection
from tocsin.kafka.plan import Plan, compare, require_room
from tocsin.kafka.read import TopicReader
from tocsin.kafka.write import TopicWriter
from tocsin.logs import Log
from tocsin.metrics import Metrics
from tocsin.signer import FileSigner
from tocsin.survey import survey
from tocsin.trust import replaces
from tocsin.wire.keys import KeyUse

OWN = BackOff(first_s=0.5, most_s=30.0)
"""The node's own cluster is waited for impatiently: nothing works without it."""
PATIENT_S = 5.0
"""The longest rest while the node waits for its topics: for rights that somebody has to give, or for its broker."""
DRAIN_S = 10.0
SPEAK_S = 6 * 3600.0
SURVEY_S = 5.0
RIGHTS_S = 300.0


class App:
    """A running node."""

    def __init__(self, desk: Desk, signer: FileSigner, log: Log) -> None:
        """No I/O; `run` does it."""
        self.config = desk.config
        self.setting = desk.setting
        self.store = desk.store
        self.signer = signer
        self.log = log
        self.metrics = Metrics(
            clock=now_ms,
            sources={
                **{peer.id: peer.retention_days for peer in self.config.peers},
                **{lab.id: self.config.kafka.retention_days for lab in self.config.labs},
            },
            audiences=self.setting.audiences(),
            version=__version__,
        )
        self.watch = watch = Edge(log, self.metrics)
        self.me = f"{self.config.node.id}-{desk.instance}"
        own = self._own = reach(self.config.kafka, self.config.node.id)
        opened, remembered = Opened(), Remembered()
        setting, clock = self.current, now_ms
        receive = Receive(setting, self.store, signer, clock, self.me, opened, watch.bug)

        async def writer() -> Writer:
            return TopicWriter(own)

        self.tell = Tell(setting, self.store, signer, clock, self.me, remembered)
        self.parts = Parts(
            store=self.store,
            clock=clock,
            me=self.me,
            setting=setting,
            receive=receive,
            release=Release(setting, self.store, signer, clock, self.me, opened, remembered, watch.bug),
            send=Send(self.store, writer, clock, self.me),
            tell=self.tell,
            recover=Recover(
                setting, self.store, signer, clock, self.me, remembered, lambda topic: TopicReader(own, topic)
            ),
            quarantine=Quarantine(setting, self.store, receive, clock, self._refetch, watch.bug),
            watch=watch,
            connections=lambda: self.store.connections,
        )
        self.loops = Loops(self.parts)
        self._issue = Issue(setting, self.store, signer, clock, secrets.token_bytes, opened)
        self._http = HttpServer(
            pages(Facts(self.metrics.page, self.readiness, lambda: self._introduction)),
            self.config.http.host,
            self.config.http.port,
        )
        self._introduction: Introduction | None = None
        self._readers = dict(self._sources())

    def current(self) -> Setting:
        """What the node holds true at this moment."""
        return self.setting

    def readiness(self) -> Readiness:
        """Ready where every stream is recovered and the cluster keeps what is sealed."""
        state = self.loops.state
        reasons = [f"{task}: {thing}" for task, thing in sorted(self.loops.troubles.items())]
        if state is not State.READY:
            reasons.insert(0, f"the node is {state.value}")
        if self.loops.elsewhere:
            held = ", ".join(sorted(self.loops.elsewhere))
            reasons.append(f"another process over this store writes the streams of {held}: end one of the two")
        return Readiness(state.value, tuple(reasons))

    def _sources(self) -> list[tuple[Inlet, Callable[[], TopicReader]]]:
        node, found = self.config.node.id, []
        for peer in self.config.peers:
            if not peer.suspended:
                connection = reach(peer, node)
                for topic, kind in (
                    (topics.stream(peer.id, node), InletKind.STREAM),
                    (topics.info(peer.id), InletKind.INFO),
                ):
                    found.append((Inlet(topic, kind, peer.id), _reader(connection, topic)))
        for lab in self.config.labs:
            topic = topics.submissions(node, lab.id)
            found.append((Inlet(topic, InletKind.SUBMISSIONS, lab.id), _reader(self._own, topic)))
        return found

    async def _refetch(self, inlet: Inlet, offset: int) -> Record | None:
        """A record again from its topic, where it is retained."""
        reader = self._readers[inlet]()
        try:
            await reader.open(offset)
            found = await reader.fetch(1, 5.0)
        except AdapterError:
            return None
        finally:
            await reader.close()
        return found[0] if found and found[0].offset == offset else None

    def reload(self) -> None:
        """Read trust, schemas and policies again. Where anything is wrong the old ones stay, and the fault is said."""
        try:
            fresh = read_setting(self.config)
            if fresh.trust != self.setting.trust:
                replaces(self.setting.trust, fresh.trust)
            fresh.require_new_versions({(p.id, p.version, p.sha256) for p in self.setting.policies})
        except TocsinError as fault:
            self.watch.fault("reload", AdapterError(fault.thing, place=fault.place, remedy=fault.remedy), 0.0)
            return
        self.setting = fresh
        self.log.info("reloaded", trust=fresh.trust.version, policies=[f"{p.id} {p.version}" for p in fresh.policies])
        self.loops.setting_moved()
        self._tell_what_gets_nothing()

    def _tell_what_gets_nothing(self) -> None:
        """By name, what the gauges only count: audiences that are strangers, and schemas without a policy."""
        for audience in sorted(self.setting.strangers()):
            remedy = (
                "Have the party added to the trust view, with the kind that the policy gives it, or correct the policy"
            )
            self.log.warning("unknown-audience", audience=audience, remedy=remedy)
        for schema in sorted(self.setting.unserved(minute_up(now_ms()))):
            self.log.warning("no-policy", place=schema, remedy="Configure a [[policy]] for it that is in force")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; then read no more, send what is sealed, and let go."""
        self.watch.state(State.STARTING)
        self._tell_what_gets_nothing()
        await self._http.start()
        stopping = asyncio.create_task(stop.wait(), name="stop")
        preparing = asyncio.create_task(self._prepare_topics(), name="topics")
        try:
            # A node whose cluster is down can still be stopped.
            await asyncio.wait([stopping, preparing], return_when=asyncio.FIRST_COMPLETED)
            if preparing.done():
                preparing.result()
                await self._require_new_versions()
                await self._work(stopping)
        finally:
            await _cancel([stopping, preparing])
            await self.parts.send.close()
            await self._http.stop()

    async def _require_new_versions(self) -> None:
        """`PolicyError` where a policy's text is not the one that this node has published under its version."""
        async with self.store.begin() as tx:
            spoken = await tx.find(Spoken, {"node": self.config.node.id, "type": "policy"})
        self.setting.require_new_versions({(s.id, s.version, s.digest) for s in spoken})

    async def _work(self, stopping: asyncio.Task[Any]) -> None:
        """Every loop, until one of them shows a bug or the node is stopped."""
        reading = [asyncio.create_task(self._follow(inlet), name=inlet.topic) for inlet in self._readers]
        loops = self.loops
        rules = {rule.lab: Rule(rule.max_severity, rule.tlp) for rule in self.config.issue_rules}
        working = [
            asyncio.create_task(work, name=name)
            for name, work in {
                "streams": loops.keep_streams(),
                "release": loops.releasing(),
                "issue": loops.issuing(self._issue, rules),
                "send": loops.sending(),
                "tell": loops.telling(),
                "quarantine": loops.retrying(self._readers),
                "prune": loops.pruning(Prune(self.store, now_ms, self.config.store.keep_days)),
                "speak": self._speaking(),
                "survey": self._surveying(),
                "topics": self._watching_rights(),
            }.items()
        ]
        try:
            done, _ = await asyncio.wait([stopping, *reading, *working], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                error = task.exception()
                if isinstance(error, StoreDamaged):
                    self.log.fault(task.get_name(), error, 0.0)
                elif error is not None:
                    self.log.bug(task.get_name(), error)
                task.result()  # a loop that ends is a bug, or nothing can go on: let its exception end the process
            await _cancel(reading)
            loops.drain()
            await self._drained()
        finally:
            await _cancel([*reading, *working])

    async def _follow(self, inlet: Inlet) -> None:
        limits = self.config.limits
        own = inlet.kind is InletKind.SUBMISSIONS
        quota = limits.bytes_per_second if inlet.kind is not InletKind.INFO else limits.bytes_per_second // 4

        def pace(records: int, size: int) -> float:
            """Seconds to rest so that records and bytes of this source stay within its quota."""
            return max(size / quota, records / limits.records_per_second)

        await self.loops.follow(inlet, self._readers[inlet], OWN if own else BackOff(), limits.batch, pace)

    async def _prepare_topics(self) -> None:
        """Verify, and where the node may, create what it writes and reads at its own cluster (design 5).

        Raises ConfigError where a topic that is there takes no whole report. What else is not as it should be is told,
        and left to the operator, whose doing it may be.
        """
        for failures in itertools.count():
            rest_s = min(PATIENT_S, OWN.rest_s(failures))
            if (plan := await self._compare(rest_s)) is not None:
                require_room(plan)
                if not plan.create:
                    return
                try:
                    await Admin(self._own).apply(dataclasses.replace(plan, change=()))
                except AdapterError as fault:
                    self.watch.fault("topics", fault, rest_s)
            await asyncio.sleep(rest_s)

    async def _compare(self, rest_s: float = RIGHTS_S) -> Plan | None:
        """What the cluster lacks, has otherwise, and lets in unasked; it is told. None where the cluster cannot say."""
        want = wanted(self.config, self.setting.audiences())
        try:
            plan = compare(self.config.node.id, want, await Admin(self._own).find(want))
        except AdapterError as fault:
            self.loops.troubles["topics"] = fault.thing
            self.watch.fault("topics", fault, rest_s)
            return None
        self.loops.troubles.pop("topics", None)
        self.watch.compared(plan)
        return plan

    async def _watching_rights(self) -> None:
        rest_s = RIGHTS_S
        while True:
            await asyncio.sleep(rest_s)
            rest_s = RIGHTS_S if await self._compare(PATIENT_S) is not None else PATIENT_S

    async def _surveying(self) -> None:
        """Keep the gauges fresh; a look that fails is tried again."""
        since_ms = now_ms()
        while True:
            keys = {use: self._ends_ms(use) for use in self.signer.uses()}
            try:
                self.metrics.set_gauges(await survey(self.store, self.setting, self._readers, now_ms(), since_ms, keys))
            except AdapterError as fault:
                self.watch.fault("survey", fault, SURVEY_S)
            await asyncio.sleep(SURVEY_S)

    def _ends_ms(self, use: KeyUse) -> int:
        """When the node's own key of that use ends, by its trust view; 0 where that does not know the key."""
        key = self.setting.trust.key(self.config.node.id, self.signer.key_id(use), use)
        return key.not_after_ms if key is not None else 0

    async def _speaking(self) -> None:
        """Descriptor and policies: at the start, when they change, and often enough to stay in a compacted topic."""
        said: Setting | None = None
        at = 0.0
        while True:
            due = said is not self.setting or time.monotonic() - at > SPEAK_S
            if due and self.loops.may_sign():
                try:
                    spoken = await self.tell.speak(self.config.node.jurisdiction, f"tocsin {__version__}")
                    self._introduction = self._introduced(spoken)
                except AdapterError as fault:
                    self.watch.fault("speak", fault, 1.0)
                else:
                    said, at = self.setting, time.monotonic()
            await asyncio.sleep(1.0)

    def _introduced(self, spoken: Sequence[Spoken]) -> Introduction:
        """What the pages say of this node, by the trust view's own word on its keys."""
        setting, (descriptor, *policies) = self.setting, spoken
        party = setting.trust.party(setting.node)
        schemas = {(p.id, p.version): p.schema.id for p in setting.policies}
        return Introduction(
            node=setting.node,
            jurisdiction=self.config.node.jurisdiction,
            protocol=1,
            keys=party.keys if party else (),
            descriptor=descriptor.framed,
            policies=tuple(
                PublishedPolicy(p.id, p.version, schemas[p.id, p.version], p.digest, p.framed) for p in policies
            ),
        )

    async def _drained(self) -> None:
        """Wait until what is sealed is sent, but not for ever."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            async with self.store.begin() as tx:
                if all(outlet.acked >= outlet.rows for outlet in await tx.find(Outlet, {})):
                    return
            await asyncio.sleep(0.1)


def _reader(connection: Connection, topic: str) -> Callable[[], TopicReader]:
    return lambda: TopicReader(connection, topic)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
