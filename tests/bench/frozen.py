"""What is measured: one frozen report of 25 fields and 1.5 kB, its parties and policies, and the unit of all numbers.

Nothing in here may change, or numbers of different days could not be compared.
"""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import fastavro
from tests.crash.world import seeded

from tocsin.flow import topics
from tocsin.flow.outbox import Item, Outbox, new_outlet, outbound
from tocsin.memory import MemorySigner
from tocsin.policy.language import parse_policy
from tocsin.report.schema import KnownSchemas, load_schema
from tocsin.trust import load_trust
from tocsin.wire.envelope import Draft, frame_envelope, sign_draft, with_hop
from tocsin.wire.header import Header, Stage, Tlp, encode_header
from tocsin.wire.hop import HOP_TYPE, AudienceKind, Hop, HopBody, Limit, PolicyRef, encode_body
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.statement import StreamHead, encode_statement, frame_statement

SCHEMAS_FOLDER = Path(__file__).parent / "frozen"
_TEXT = (SCHEMAS_FOLDER / "bench" / "1.0" / "bench.avsc").read_bytes()
SCHEMA = load_schema("bench/1.0", _TEXT)
SCHEMAS = KnownSchemas([SCHEMA])
VALUE = {
    "title": "Triage assistant sent urgent cases to the routine queue",
    "description": "Between Monday evening and Wednesday noon the assistant of a hospital group ranked incoming referrals "
    "by an outdated list of codes. Referrals with two codes were read as if they had only the second one, so that "
    "urgent cases were put into the routine queue. A nurse noticed it when a patient asked for the third time. Eleven "
    "patients waited longer than the group's own limit; one of them was admitted to intensive care. The rule had been "
    "changed by a supplier on the evening before, outside the agreed window, and no test covered referrals with more "
    "than one code.",
    "language": "en",
    "event_kind": "INCIDENT",
    "incident_status": "CONTAINED",
    "submitter_organisation": "Northern Hospitals Group, Clinical Safety",
    "submitter_contact": "duty-officer@northern-hospitals.example",
    "occurred_from": 1_790_000_000_000,
    "occurred_day": 20_717,
    "occurred_month": 20_697,
    "countries": ["GB", "IE"],
    "regions": ["154"],
    "evidence": [
        {"uri": f"https://evidence.example/case/2026/{n}", "media_type": "application/pdf", "sha256": bytes([n]) * 32}
        for n in (17, 18)
    ],
    "ai_system": [{"name": "Referral Ranker", "version": "4.2.1", "developer": "Ward Systems Limited"}],
    "autonomy": "MEDIUM_ACTION",
    "sectors": ["HEALTH"],
    "severity": 5,
    "severity_band": "HIGH",
    "harm_types": ["PHYSICAL_INJURY", "PSYCHOLOGICAL"],
    "critical_function": False,
    "affected": 11,
    "affected_magnitude": 1,
    "root_cause": "A list of codes was replaced without its tests; the reader of the list kept the last code of a referral "
    "where the old list had kept all of them.",
    "actions_taken": "The old list was put back within an hour of the report. All referrals of the three days were read "
    "again by people, and the patients concerned were called on the same day. The supplier may change lists only in the "
    "agreed window, and only after two people have signed for it.",
    "reproduction_steps": "Send a referral with the codes U1 and R4, in this order, to a ranker with list 2026-09.",
}
ENCODED = tuple(SCHEMA.encode_slot(i, VALUE[field.name]) for i, field in enumerate(SCHEMA.fields))
PARSED = fastavro.parse_schema(json.loads(_TEXT))
BODY = b"".join(ENCODED)
"""The report as one Avro record: what a plain Kafka consumer with Avro would decode."""
assert len(SCHEMA.fields) == 25, "the frozen report has 25 fields"
assert 1_450 <= len(BODY) <= 1_550, f"the frozen report has 1.5 kB, not {len(BODY)} bytes"


def unit() -> object:
    """The unit: one fastavro decode of the frozen report."""
    return fastavro.schemaless_reader(io.BytesIO(BODY), PARSED, None)


# ---- parties and policies ------------------------------------------------------------------------------------------

AUDIENCES = {
    "ke": "MEMBER",
    "public": "PUBLIC",
    "jp-regulator": "AUTHORITY",
    "community-research": "COMMUNITY",
    **{f"m{n:02}": "MEMBER" for n in range(16)},
}
"""Of jp, in the order in which they are added: a report for 1, 5 or 20 of them."""
_PARTIES = {
    "gb": ("MEMBER", "GB"),
    "jp": ("MEMBER", "JP"),
    **{name: (kind, "JP") for name, kind in AUDIENCES.items() if kind in {"MEMBER", "AUTHORITY"}},
}
_SIGNERS = {
    party: MemorySigner({use: seeded(f"{party}/{use}") for use in (KeyUse.EVENT, KeyUse.RELAY)}) for party in _PARTIES
}
_WINDOW = {"not_before_ms": 0, "not_after_ms": 4_000_000_000_000, "revoked_at_ms": None}
TRUST_DOCUMENT = {
    "version": 1,
    "parties": [
        {
            "party": party,
            "kind": kind,
            "jurisdiction": jurisdiction,
            "keys": [
                {"use": use.value, "suite": 1, "public_hex": _SIGNERS[party].public(use).hex(), **_WINDOW}
                for use in (KeyUse.EVENT, KeyUse.RELAY)
            ],
        }
        for party, (kind, jurisdiction) in _PARTIES.items()
    ],
}
TRUST = load_trust(TRUST_DOCUMENT)
_RULES = """
[onward]
AUTHORITY = ["@harm", "@system"]
[[rule]]
id = "core"
to = ["*"]
disclose = ["title", "language", "occurred_month", "regions", "severity_band", "event_kind", "affected_magnitude"]
[[rule]]
id = "members"
to = ["members"]
disclose = ["@harm", "@system", "description", "actions_taken"]
[[rule]]
id = "members-grave"
to = ["members"]
when = { severity = ">= 4" }
disclose = ["@people", "countries", "occurred_day"]
reveals = ["severity"]
[[rule]]
id = "public-later"
to = ["*"]
disclose = ["sectors", "harm_types"]
after = "P14D"
[[rule]]
id = "critical-hold"
to = ["*"]
when = { critical_function = true }
withhold = ["@technical", "@system"]
hold = true
reveals = ["critical_function"]
[[rule]]
id = "early"
to = ["*"]
when = { stage = ["INITIAL"], tlp = ">= AMBER" }
withhold = ["@people"]
embargo = "P3D"
[[rule]]
id = "restricted"
to = ["*"]
withhold = ["@restricted"]
"""


def policy_text(audiences: int) -> bytes:
    """jp's policy for the first so many of its audiences."""
    named = dict(itertools.islice(AUDIENCES.items(), audiences))
    members = [name for name, kind in named.items() if kind == "MEMBER"]
    tables = "".join(f'[audience.{name}]\nkind = "{kind}"\n' for name, kind in named.items())
    head = (
        'policy = "jp"\nversion = 1\nschema = "bench/1.0"\njurisdiction = "JP"\neffective_from = 2026-01-01T00:00:00Z\n'
    )
    return f"{head}{tables}[sets]\nmembers = {json.dumps(members)}\n{_RULES}".encode()


def policy(audiences: int):
    """The same, parsed."""
    return parse_policy(policy_text(audiences), SCHEMA)


# ---- gb's stream for jp --------------------------------------------------------------------------------------------

_WITHHELD = ("submitter_contact", "reproduction_steps")
"""gb keeps nothing from jp, and asks jp to keep these from everybody."""
_POLICY = PolicyRef("gb", 1, sha256(b"gb").digest())


def sign(party: str, use: KeyUse, message: bytes) -> bytes:
    """A signature of that party."""
    return _private(party, use).sign(message)


@cache
def _private(party: str, use: KeyUse):
    return _SIGNERS[party]._key(use)


@cache
def key_id(party: str, use: KeyUse) -> bytes:
    """That party's key id."""
    return _SIGNERS[party].key_id(use)


def signed_hop(party: str, body: HopBody) -> Hop:
    """The hop of that party: encoded and signed."""
    raw = encode_body(body, len(ENCODED))
    return Hop(raw, key_id(party, KeyUse.RELAY), sign(party, KeyUse.RELAY, pae(HOP_TYPE, raw)))


@dataclass
class GbStream:
    """gb's stream for jp, sealed as a node seals: numbered, chained, with a signed head after every 64 records."""

    now_ms: int
    every: int = 64

    def __post_init__(self) -> None:
        topic = topics.stream("gb", "jp")
        self.outbox = Outbox(new_outlet(topic, "gb", "jp", self.now_ms // 1000, "gb-1", 0), self.now_ms)
        self._numbers = itertools.count()
        self._first = [outbound(self._head())]

    def records(self, count: int):
        """The next so many reports as Kafka records, with the heads among them; at the end there is a head."""
        yield from self._first
        self._first = []
        for n in range(1, count + 1):
            incident = sha256(b"bench %d" % next(self._numbers)).digest()
            row = self.outbox.envelope(Item(envelope(incident, self.now_ms), key=incident[:16].hex().encode()))
            yield outbound(row)
            if n % self.every == 0 or n == count:
                yield outbound(self._head())

    def _head(self):
        at = self.outbox.outlet
        kind, raw = encode_statement(StreamHead("gb", "jp", at.epoch, at.seq, at.head, self.now_ms))
        signature = sign("gb", KeyUse.RELAY, pae(kind, raw))
        framed = frame_statement(kind, raw, key_id("gb", KeyUse.RELAY), signature)
        return self.outbox.statement(Item(framed, key=b"stream-head"), seq=at.seq)


def envelope(seed: bytes, now_ms: int) -> bytes:
    """The frozen report as gb releases it to jp, framed; incident and salts follow from the seed of 32 bytes."""
    header = Header(
        "gb", key_id("gb", KeyUse.EVENT), seed[:16], 0, Stage.INITIAL, bytes(32),
        now_ms // 86_400_000, SCHEMA.id, SCHEMA.sha256, Tlp.CLEAR, exercise=False,
    )  # fmt: skip
    salts = tuple(sha256(seed + bytes([i])).digest()[:16] for i in range(len(ENCODED)))
    draft = Draft(encode_header(header), ENCODED, salts)
    signed = sign_draft(draft, sign("gb", KeyUse.EVENT, draft.entry))
    asked = sum(1 << SCHEMA.index(name) for name in _WITHHELD)
    limits = tuple(Limit(kind, asked, 2**31 - 1) for kind in AudienceKind)
    everything = (1 << len(ENCODED)) - 1
    minute = -(-now_ms // 60_000)
    body = HopBody(
        "gb", draft.leaf, everything, Tlp.CLEAR, AudienceKind.MEMBER, "jp", limits, _POLICY, (), minute
    )  # fmt: skip
    return frame_envelope(with_hop(signed, signed_hop("gb", body)))
