"""A small federation over the in-memory twins: lab → gb → jp → jp's public, and gb → ke; every part but I/O is real.

Nodes are stepped, not run, so that a crash at any commit point is repeatable.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field

from tocsin.flow import topics
from tocsin.flow.issue import Issue, Wanted
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import Remembered, StoreBehind
from tocsin.flow.ports import Outbound
from tocsin.flow.quarantine import Quarantine
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.recover import Recover
from tocsin.flow.release import Release
from tocsin.flow.rows import Source, Submission
from tocsin.flow.send import Send
from tocsin.flow.setting import Setting
from tocsin.flow.tell import Tell
from tocsin.memory import Disk, Faults, MemoryBroker, MemoryReader, MemorySigner, MemoryStore, MemoryWriter
from tocsin.packaged import published_schemas
from tocsin.policy.language import parse_policy
from tocsin.report.vocabulary import complete, encode_slots
from tocsin.trust import load_trust
from tocsin.wire.envelope import Draft, frame_envelope, sign_draft, with_hop
from tocsin.wire.header import Header, Stage, Tlp, encode_header
from tocsin.wire.hop import EMPTY, HOP_TYPE, AudienceKind, Hop, HopBody, encode_body
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.statement import StreamHead, is_statement, verify_statement
from tocsin.wire.stream import StreamState, decode_hint, take_head, take_record
from tocsin.wire.verify import Verified, verify

START_MS = 1_790_000_000_000
SCHEMAS = published_schemas()
SCHEMA = SCHEMAS.exact("incident/1.0")
PARTIES = {
    "gb": ("MEMBER", "GB"),
    "jp": ("MEMBER", "JP"),
    "ke": ("MEMBER", "KE"),
    "frontier": ("LAB", "GB"),
}
ROUTES = {"gb": ("jp", "ke"), "jp": ("gb", "public"), "ke": ("gb", "public")}


def policy_of(node):
    """Everything in three classes to members, a few fields to the public."""
    blocks = "".join(f'[audience.{a}]\nkind = "{"PUBLIC" if a == "public" else "MEMBER"}"\n' for a in ROUTES[node])
    rules = ""
    members = [a for a in ROUTES[node] if a != "public"]
    if members:
        rules += f'[[rule]]\nid = "members"\nto = {members!r}\ndisclose = ["@harm", "@narrative", "@system"]\n'.replace(
            "'", '"'
        )
    if "public" in ROUTES[node]:
        rules += '[[rule]]\nid = "public"\nto = ["public"]\ndisclose = ["title", "severity_band", "occurred_month"]\n'
    return (
        f'policy = "{node}"\nversion = 1\nschema = "incident/1.0"\njurisdiction = "{PARTIES[node][1]}"\n'
        f'effective_from = 2026-01-01T00:00:00Z\n{blocks}[onward]\nPUBLIC = ["title", "severity", "occurred_day"]\n{rules}'
    )


def holding(version, node="gb", reader="jp"):
    """The node's policies of that version, by which an officer must approve that the reader is told the title."""
    text = policy_of(node).replace("version = 1", f"version = {version}")
    rule = f'[[rule]]\nid = "ask"\nto = ["{reader}"]\nwithhold = ["title"]\nhold = true\nbasis = "example"\n'
    return (parse_policy(text + rule, SCHEMA),)


def seeded(name):
    """A fixed seed of 32 bytes for a fixed name."""
    return hashlib.sha256(name.encode()).digest()


SIGNER = {
    party: MemorySigner({use: seeded(f"{party}/{use}") for use in (KeyUse.EVENT, KeyUse.RELAY)}) for party in PARTIES
}


def trust_document(**changed):
    """The pinned trust view of the federation; `changed` gives a party's key record other fields."""
    return {
        "version": 1,
        "parties": [
            {
                "party": party,
                "kind": kind,
                "jurisdiction": jurisdiction,
                "keys": [
                    {
                        "use": use.value,
                        "suite": 1,
                        "public_hex": SIGNER[party].public(use).hex(),
                        "not_before_ms": 0,
                        "not_after_ms": 4_000_000_000_000,
                        "revoked_at_ms": None,
                        **changed.get(f"{party}_{use.value}", {}),
                    }
                    for use in (KeyUse.EVENT, KeyUse.RELAY)
                ],
            }
            for party, (kind, jurisdiction) in PARTIES.items()
        ],
    }


class Clock:
    """A clock that moves only when told to."""

    def __init__(self):
        self.ms = START_MS

    def __call__(self):
        return self.ms


@dataclass
class Node:
    """One node: what survives (disk, broker), and the process, which `boot` makes anew."""

    id: str
    world: World
    disk: Disk = field(default_factory=Disk)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self):
        self.broker = MemoryBroker(self.world.clock)
        for audience in ROUTES[self.id]:
            self.broker.create(topics.stream(self.id, audience))
        self.broker.create(topics.info(self.id))
        for lab in self.labs:
            self.broker.create(topics.submissions(self.id, lab), topics.receipts(self.id, lab))
        self.trust = load_trust(trust_document())
        self.policies = (parse_policy(policy_of(self.id), SCHEMA),)
        self.boot()

    @property
    def labs(self):
        return ("frontier",) if self.id == "gb" else ()

    def setting(self):
        """What holds now; a new object only where it changed, as in the running node."""
        if getattr(self, "_setting", None) is None:
            self._setting = Setting(self.id, self.trust, SCHEMAS, self.policies)
        return self._setting

    def moved(self):
        self._setting = None

    def boot(self):
        """A new process over what is there."""
        self.faults.restart()
        store = MemoryStore(self.disk, self.faults)
        self.store = store
        signer = MemorySigner({use: seeded(f"{self.id}/{use}") for use in (KeyUse.EVENT, KeyUse.RELAY)}, self.faults)
        clock, me, opened, remembered = self.world.clock, f"{self.id}-1", Opened(), Remembered()
        self.opened = opened
        self.receive = Receive(self.setting, store, signer, clock, me, opened)
        self.release = Release(self.setting, store, signer, clock, me, opened, remembered)
        self.send = Send(store, self._writer, clock, me)
        self.tell = Tell(self.setting, store, signer, clock, me, remembered)
        self.recover = Recover(
            self.setting, store, signer, clock, me, remembered, lambda topic: MemoryReader(self.broker, topic)
        )
        self.quarantine = Quarantine(self.setting, store, self.receive, clock, self._refetch)
        self.issue = Issue(self.setting, store, signer, clock, self.world.entropy)
        self.recovered = set()
        self.found = {}
        self.outcomes = []

    async def _writer(self):
        return MemoryWriter(self.broker, self.faults)

    async def _refetch(self, inlet, offset):
        return None

    def inlets(self):
        """(inlet, broker that carries it) of every source."""
        found = [
            (Inlet(topics.stream(peer, self.id), InletKind.STREAM, peer), self.world.nodes[peer].broker)
            for peer in PARTIES
            if peer in self.world.nodes and self.id in ROUTES[peer]
        ]
        return found + [
            (Inlet(topics.submissions(self.id, lab), InletKind.SUBMISSIONS, lab), self.broker) for lab in self.labs
        ]

    async def step(self):
        """Everything that one process does, once; returns whether anything moved."""
        moved = False
        begins = not self.recovered
        for audience in ROUTES[self.id]:
            if audience not in self.recovered:
                self.found[audience] = await self.recover.stream(audience)
                self.recovered.add(audience)
                moved = True
        for lab in self.labs if begins else ():
            await self.recover.receipts(lab)
        try:
            for inlet, broker in self.inlets():
                moved |= await self._read(inlet, broker)
            while await self.release.run():
                moved = True
            moved |= bool(await self.tell.heads())
            moved |= bool(await self.tell.issued())
        except StoreBehind:
            self.recovered.clear()
            return True
        while (sent := await self.send.run()).acked or sent.failed:
            moved = True
            self.world.clock.ms += 70_000 if sent.failed else 10
        return moved

    async def _read(self, inlet, broker):
        from tocsin.flow.leases import claim_source  # noqa: PLC0415 - beside its use

        source = await claim_source(self.store, inlet.topic, f"{self.id}-1", self.world.clock())
        assert isinstance(source, Source)
        reader = MemoryReader(broker, inlet.topic, self.faults)
        await reader.open(source.offset if source.offset >= 0 else None)
        records = await reader.fetch(self.world.batch, 0.0)
        if records:
            self.outcomes += await self.receive.take(inlet, records)
        return bool(records)

    async def inbox(self):
        async with self.store.begin() as tx:
            return await tx.find(Submission, {"state": "NEW"})


async def rows(node, kind, **where):
    """What the node's store holds of a kind."""
    async with node.store.begin() as tx:
        return await tx.find(kind, where)


class World:
    """Three nodes, one lab, one clock, repeatable entropy."""

    def __init__(self, *, batch=3, nodes=("gb", "jp", "ke")):
        self.clock = Clock()
        self.batch = batch
        counter = itertools.count()
        self.entropy = lambda n: hashlib.sha256(b"%d" % next(counter)).digest()[:n]
        self.nodes = {}
        for name in nodes:
            self.nodes[name] = None
        self.nodes = {}
        for name in nodes:
            self.nodes[name] = Node(name, self)

    async def settle(self, limit=50):
        """Step all nodes until nothing moves."""
        for _ in range(limit):
            self.clock.ms += 10
            if not any([await node.step() for node in self.nodes.values()]):
                return
        raise AssertionError("the world does not come to rest")

    def submit(self, *, ahead_ms=0, **values):
        """The lab's framed submission, as its client makes it by a clock that is ahead, written to gb's broker."""
        framed = submission(values, self.clock() + ahead_ms, self.entropy)
        self.nodes["gb"].broker.append(Outbound(topics.submissions("gb", "frontier"), b"", framed, ()))
        return framed


def submission(values, now_ms, entropy, *, tlp=Tlp.CLEAR):
    """A lab's report with its hop 0 to gb."""
    slots = encode_slots(complete(values, SCHEMA), SCHEMA)
    header = Header(
        "frontier", SIGNER["frontier"].key_id(KeyUse.EVENT), entropy(16), 0, Stage.INITIAL, bytes(32),
        now_ms // 86_400_000, SCHEMA.id, SCHEMA.sha256, tlp, exercise=False,
    )  # fmt: skip
    draft = Draft(encode_header(header), slots, tuple(entropy(16) for _ in slots))
    envelope = sign_draft(draft, sign("frontier", KeyUse.EVENT, draft.entry))
    n = len(slots)
    body = HopBody(
        "frontier", draft.leaf, (1 << n) - 1, tlp, AudienceKind.MEMBER, "gb", (), EMPTY, (), -(-now_ms // 60_000)
    )
    return frame_envelope(with_hop(envelope, signed_hop(body, n)))


def signed_hop(body, n):
    """A hop with this body, signed by its releaser."""
    raw, signer = encode_body(body, n), SIGNER[body.releaser]
    return Hop(raw, signer.key_id(KeyUse.RELAY), sign(body.releaser, KeyUse.RELAY, pae(HOP_TYPE, raw)))


def sign(party, use, message):
    return SIGNER[party]._key(use).sign(message)


class Checker:
    """A reader of one stream that was there all the time: what it saw, in order, and what its stream proves."""

    def __init__(self, node, audience):
        self.node, self.audience = node, audience

    def read(self, broker, now_ms):
        """Judge the whole topic as it stands."""
        trust = load_trust(trust_document())
        state, notes, seen, seqs, heads = StreamState.empty(self.node, self.audience), [], [], {}, {}
        for record in broker.records(topics.stream(self.node, self.audience)):
            came_by = (self.node, self.audience)
            if is_statement(record.value):
                body = verify_statement(record.value, trust, now_ms, came_by).body
                assert isinstance(body, StreamHead)
                state, more = take_head(state, body, heads.get((body.epoch, body.seq)))
                heads.setdefault((body.epoch, body.seq), body.head)
            else:
                verdict = verify(record.value, trust, SCHEMAS, now_ms, came_by, lambda _: False)
                assert isinstance(verdict, Verified), verdict
                hint = decode_hint(dict(record.headers)["tocsin-seq"])
                assert seqs.setdefault(hint, record.value) == record.value, "one seq with two bytes"
                state, more = take_record(state, record.value, hint)
                if (verdict.leaf, verdict.chain) not in [(v.leaf, v.chain) for v in seen]:
                    seen.append(verdict)
            notes += more
        return state, notes, seen


def wanted(source, **values):
    """What gb's officer issues from one submission."""
    return Wanted(values=values, tlp=Tlp.CLEAR, sources=(source,))
