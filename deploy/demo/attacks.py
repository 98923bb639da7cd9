"""What must be stopped, tried in earnest: by whoever runs a broker, and by a relay that signs with its real key."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deploy.demo.clusters import Clusters
from deploy.demo.screen import Unmet

from tocsin.flow import topics
from tocsin.flow.ports import Outbound, Record, Signer
from tocsin.flow.setting import minute_up
from tocsin.kafka.read import TopicReader, read_to_end
from tocsin.kafka.write import TopicWriter
from tocsin.wire.envelope import Envelope, frame_envelope, read_envelope, with_hop
from tocsin.wire.header import Header
from tocsin.wire.hop import HOP_TYPE, AudienceKind, Hop, HopBody, PolicyRef, encode_body, hop_hash, parse_body
from tocsin.wire.keys import SUITE_ED25519_SHA256, KeyUse, key_id, pae
from tocsin.wire.reasons import Reason
from tocsin.wire.statement import is_statement


@dataclass(frozen=True, slots=True)
class Attack:
    """Bytes that somebody puts into `writer`'s stream for `reader`, and the reason for which they must be refused."""

    what: str
    writer: str
    reader: str
    framed: bytes
    reason: Reason
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def digest(self) -> bytes:
        """By which the quarantine names the record."""
        return hashlib.sha256(self.framed).digest()

    @property
    def leaf(self) -> bytes:
        """The report that it claims to be."""
        return read_envelope(self.framed)[0].leaf


class Attacker:
    """Holds the superuser's certificate of every cluster, and jp's real relay key."""

    def __init__(self, clusters: Clusters, jp: Signer, jp_policy: PolicyRef) -> None:
        self._clusters = clusters
        self._jp = jp
        self._policy = jp_policy

    async def prepare(self, flagship: bytes, amber: bytes) -> list[Attack]:
        """Every attack, from what stands in the topics: on the report `flagship`, and on `amber` of TLP AMBER."""
        relayed = await self._find("jp", "ke", lambda header, _: header.origin == "gb")
        for_jp = await self._find("gb", "jp", lambda _, leaf: leaf == flagship)
        restricted = await self._find("gb", "jp", lambda _, leaf: leaf == amber)
        own = await self._find("jp", "gb", lambda header, _: header.origin == "jp")
        stranger = Ed25519PrivateKey.generate()
        return [
            Attack("a copy tampered with on its way", "jp", "ke", _tampered(relayed.value), Reason.HOP_PREV),
            Attack(
                "a copy that its relay changed and signed again",
                *("jp", "ke", await self._forged(relayed.value), Reason.SIGNATURE_INVALID),
            ),
            Attack(
                "a copy signed with a key that nobody knows",
                *("jp", "gb", _signed_by(stranger, own.value), Reason.HOP_KEY_UNKNOWN),
            ),
            Attack(
                "a record replayed out of jp's stream",
                *("gb", "ke", for_jp.value, Reason.STREAM_SOURCE, for_jp.headers),
            ),
            Attack(
                "a relay gives away what gb's limits forbid",
                *("jp", "ke", await self._relayed(for_jp.value), Reason.HOP_LIMIT),
            ),
            Attack(
                "a relay passes on what its TLP forbids (AMBER)",
                *("jp", "ke", await self._relayed(restricted.value), Reason.HOP_HANDLING),
            ),
        ]

    async def carry_out(self, attack: Attack) -> None:
        """Write it into the stream, past every right: brokers are not trusted."""
        writer = TopicWriter(self._clusters.as_superuser(attack.writer))
        topic = topics.stream(attack.writer, attack.reader)
        try:
            await writer.write([Outbound(topic, b"", attack.framed, attack.headers)])
        finally:
            await writer.close()

    async def records(self, country: str, topic: str) -> list[Record]:
        """Everything that a topic holds."""
        reader = TopicReader(self._clusters.as_superuser(country), topic)
        return [record async for batch in read_to_end(reader, None) for record in batch]

    async def _find(self, writer: str, reader: str, fits: Callable[[Header, bytes], bool]) -> Record:
        for record in await self.records(writer, topics.stream(writer, reader)):
            if not is_statement(record.value):
                envelope, header = read_envelope(record.value)
                if envelope.values and fits(header, envelope.leaf):
                    return record
        raise Unmet(f"no such report in the stream of {writer} for {reader}")

    async def _forged(self, framed: bytes) -> bytes:
        """A value changed, and every hop made to fit; the last one with the relay's real key."""
        changed, _ = read_envelope(_tampered(framed))
        first = _body(changed, 0)
        hop = dataclasses.replace(
            changed.hops[0], body=encode_body(dataclasses.replace(first, prev=changed.leaf), changed.n)
        )
        last = dataclasses.replace(_body(changed, 1), prev=hop_hash(hop))
        return frame_envelope(dataclasses.replace(changed, hops=(hop, await self._sign(last, changed.n))))

    async def _relayed(self, framed: bytes) -> bytes:
        """All that jp was given, passed on to ke."""
        envelope, _ = read_envelope(framed)
        last = _body(envelope, -1)
        body = HopBody(
            releaser="jp",
            prev=hop_hash(envelope.hops[-1]),
            mask_out=envelope.mask,
            tlp=last.tlp,
            kind=AudienceKind.MEMBER,
            audience="ke",
            limits=(),
            policy=self._policy,
            reasons=(),
            minute=max(last.minute, minute_up(time.time_ns() // 1_000_000)),
        )
        return frame_envelope(with_hop(envelope, await self._sign(body, envelope.n)))

    async def _sign(self, body: HopBody, n: int) -> Hop:
        raw = encode_body(body, n)
        return Hop(raw, self._jp.key_id(KeyUse.RELAY), await self._jp.sign(KeyUse.RELAY, pae(HOP_TYPE, raw)))


def _body(envelope: Envelope, index: int) -> HopBody:
    return parse_body(envelope.hops[index].body, envelope.n)


def _tampered(framed: bytes) -> bytes:
    """One bit of the last disclosed value is another."""
    envelope, _ = read_envelope(framed)
    *values, last = envelope.values
    changed = last[:-1] + bytes([last[-1] ^ 1])
    return frame_envelope(dataclasses.replace(envelope, values=(*values, changed)))


def _signed_by(key: Ed25519PrivateKey, framed: bytes) -> bytes:
    """The last hop signed with another key."""
    envelope, _ = read_envelope(framed)
    *hops, last = envelope.hops
    named = key_id(SUITE_ED25519_SHA256, KeyUse.RELAY, key.public_key().public_bytes_raw())
    stranger = Hop(last.body, named, key.sign(pae(HOP_TYPE, last.body)))
    return frame_envelope(dataclasses.replace(envelope, hops=(*hops, stranger)))
