"""Clients of the small federation (tests/crash/world.py): their files, the way to a broker, and what gb sends them."""

import asyncio
import dataclasses
import json
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.crash.world import SCHEMA, SIGNER, seeded, sign, signed_hop, trust_document

from tocsin.flow import topics
from tocsin.flow.issue import Wanted
from tocsin.flow.ports import Outbound
from tocsin.light.topic import Carriage
from tocsin.memory import MemoryReader, MemoryWriter
from tocsin.wire.envelope import Draft, frame_envelope, parse_envelope, sign_draft, with_hop, withhold
from tocsin.wire.header import Tlp, encode_header, parse_header
from tocsin.wire.hop import Code, WhyNot, parse_body
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.statement import StreamHead, encode_statement, frame_statement, is_statement, verify_statement

OUT = topics.stream("gb", "jp")
LIES = {"severity": 4, "severity_band": "NONE"}
REPORT = {"title": "Agent deleted a production database", "severity": 2, "severity_assessed_by": "frontier"}


def enrol(folder, bootstrap="127.0.0.1:9092", lab="frontier"):
    """The lab's files: keys, trust view, lab.toml; returns the latter. Whatever its name, its keys are frontier's."""
    for use in (KeyUse.EVENT, KeyUse.RELAY):
        private = Ed25519PrivateKey.from_private_bytes(seeded(f"frontier/{use}"))
        path = folder / f"{use}.pem"
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
    write_trust(folder, lab=lab)
    path = folder / "lab.toml"
    path.write_text(
        f'[lab]\nid = "{lab}"\n[node]\nid = "gb"\n[keys]\nevent = "event.pem"\nrelay = "relay.pem"\n'
        f'[trust]\nfile = "trust.json"\n[kafka]\nbootstrap = "{bootstrap}"\n'
    )
    return path


def subscribe(folder, bootstrap="127.0.0.1:9092", audience="jp", more=""):
    """The reader's files: trust view, reader.toml; returns the latter."""
    write_trust(folder)
    path = folder / "reader.toml"
    path.write_text(
        f'[reader]\naudience = "{audience}"\n{more}[node]\nid = "gb"\n'
        f'[trust]\nfile = "trust.json"\n[kafka]\nbootstrap = "{bootstrap}"\n'
    )
    return path


def write_trust(folder, version=1, without=(), lab="frontier", **changed):
    """The trust view of the federation, of that version, without the keys of some parties; a new file each time."""
    document = trust_document(**changed) | {"version": version}
    for party in document["parties"]:
        if party["party"] in without:
            party["keys"] = []
        if party["kind"] == "LAB":
            party["party"] = lab
    fresh = folder / "trust.json.new"
    fresh.write_text(json.dumps(document))
    fresh.rename(folder / "trust.json")


def in_memory(broker, faults=None):
    """The carriage over the in-memory twins."""
    return Carriage(lambda: MemoryWriter(broker, faults), lambda topic: MemoryReader(broker, topic, faults))


def indented(docstring, begin):
    """The indented block of a docstring whose first line begins so, as text."""
    match = re.search(rf"^    {re.escape(begin)}.*?(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return re.sub(r"^    ", "", match[0], flags=re.MULTILINE)


async def when(world, work):
    """The result of `work`, while everything else runs on until it is there."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(20):
        while not task.done():
            await world.settle()
            await asyncio.sleep(0.01)
    return await task


async def read(subscriber):
    """Every report that is there now."""
    return [seen async for seen in subscriber.available()]


async def publish(world, *titles, **values):
    """gb issues a report of each title and releases it; returns their leaves."""
    gb, leaves = world.nodes["gb"], []
    for title in titles:
        report = Wanted(values={"title": title, "description": "text", "developer": ["x"], **values}, tlp=Tlp.CLEAR)
        leaves.append(await gb.issue.issue(report, SCHEMA))
        await world.settle()
    return leaves


def copy(broker, to, keep=lambda record: True):
    """What another broker shows of the stream: some of its records, at other offsets."""
    to.create(OUT)
    for record in broker.records(OUT):
        if keep(record):
            to.append(Outbound(OUT, record.key, record.value, record.headers))
    return to


def envelopes(broker, topic=OUT):
    """The records of a stream that are no heads."""
    return [record for record in broker.records(topic) if not is_statement(record.value)]


def exercise_of(framed):
    """The same report as a drill, as gb would sign and release it."""
    return signed_anew(framed, exercise=True, incident=b"\7" * 16)


def signed_anew(framed, **changes):
    """A report with these changes to the header and other salts, as gb would sign and release it."""
    old = parse_envelope(framed)
    header = dataclasses.replace(parse_header(old.header), **changes)
    values = tuple(old.disclosed.get(i, b"\0") for i in range(old.n))
    draft = Draft(encode_header(header), values, tuple(bytes([i]) * 16 for i in range(old.n)))
    envelope = sign_draft(draft, sign("gb", KeyUse.EVENT, draft.entry))
    body = parse_body(old.hops[0].body, old.n)
    tlp = max(body.tlp, header.tlp)
    body = dataclasses.replace(body, prev=draft.leaf, mask_out=envelope.mask, tlp=tlp, reasons=(), limits=())
    return frame_envelope(with_hop(envelope, signed_hop(body, old.n)))


def copies_that_disagree(framed):
    """Two copies of one report, severe by the one and harmless by the other, as gb would sign and release them."""
    old = parse_envelope(framed)
    header = dataclasses.replace(parse_header(old.header), incident=b"\6" * 16)
    lied = {SCHEMA.index(name): SCHEMA.encode_slot(SCHEMA.index(name), value) for name, value in LIES.items()}
    values = tuple(lied.get(i, b"\0") for i in range(old.n))
    draft = Draft(encode_header(header), values, tuple(bytes([i]) * 16 for i in range(old.n)))
    envelope = sign_draft(draft, sign("gb", KeyUse.EVENT, draft.entry))
    body = parse_body(old.hops[0].body, old.n)
    for later, (name, _) in enumerate(LIES.items()):
        mask = 1 << SCHEMA.index(name) | 1 << SCHEMA.index("title")
        reasons = (WhyNot(envelope.mask & ~mask, Code.WITHHELD, 0, ""),)
        minute = body.minute + later
        hop = dataclasses.replace(body, prev=draft.leaf, mask_out=mask, reasons=reasons, limits=(), minute=minute)
        yield frame_envelope(with_hop(withhold(envelope, mask), signed_hop(hop, old.n)))


def forked_head(gb, seq, head):
    """Another head for a seq, signed by gb all the same; as a record of the stream for jp."""
    shown = [r.value for r in gb.broker.records(OUT) if is_statement(r.value)][-1]
    body = verify_statement(shown, gb.trust, gb.world.clock(), None).body
    assert isinstance(body, StreamHead)
    kind, raw = encode_statement(dataclasses.replace(body, seq=seq, head=head))
    framed = frame_statement(kind, raw, SIGNER["gb"].key_id(KeyUse.RELAY), sign("gb", KeyUse.RELAY, pae(kind, raw)))
    return Outbound(OUT, b"", framed, ())
