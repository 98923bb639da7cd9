"""What a node knows: one frozen row class per table, primitive values only.

The store maps each class to a table of the same columns, the in-memory twin to a dictionary; KEY names the primary
key. Masks are the wire's mask bytes, digests and ids are bytes, times are integers: `_ms` since 1970, `minute` as in
the protocol. Enumerations are kept by their symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Row:
    """Base of every row; KEY is the tuple of the columns that name one row."""

    KEY: ClassVar[tuple[str, ...]] = ()

    def key(self) -> tuple[object, ...]:
        """The values of the key columns, in order."""
        return tuple(getattr(self, name) for name in self.KEY)


@dataclass(frozen=True, slots=True)
class Report(Row):
    """One report (leaf) that was verified here, or issued here.

    `retracts` is the incident again, in a RETRACTION alone, so that retractions have an index of their own: one over
    incident and stage PostgreSQL took for questions about revisions, too, and read every revision there is.
    """

    KEY: ClassVar[tuple[str, ...]] = ("leaf",)
    leaf: bytes
    origin: str
    incident: bytes
    revision: int
    stage: str
    retracts: bytes
    prev: bytes
    tlp: int
    created_day: int
    schema: str
    exercise: bool
    accepted_ms: int


@dataclass(frozen=True, slots=True)
class Copy(Row):
    """One envelope of a report as it was received; `chain` is the hash of its last hop, empty for an own report."""

    KEY: ClassVar[tuple[str, ...]] = ("leaf", "chain")
    leaf: bytes
    chain: bytes
    releaser: str
    mask: bytes
    framed: bytes
    accepted_ms: int


@dataclass(frozen=True, slots=True)
class Source(Row):
    """A topic that is read: the offset to read next (a hint), and the reader's side of the stream as JSON.

    `head_ms` is the latest time that a valid stream head bore, by the peer's clock; 0 before the first.
    """

    KEY: ClassVar[tuple[str, ...]] = ("topic",)
    topic: str
    offset: int
    stream: str
    holder: str
    until_ms: int
    failures: int = 0
    retry_ms: int = 0
    head_ms: int = 0


@dataclass(frozen=True, slots=True)
class ShownHead(Row):
    """A stream head that was shown; two rows for one (topic, epoch, seq) are a FORK, and evidence."""

    KEY: ClassVar[tuple[str, ...]] = ("topic", "epoch", "seq", "head")
    topic: str
    epoch: int
    seq: int
    head: bytes
    framed: bytes
    shown_ms: int


@dataclass(frozen=True, slots=True)
class NoteRow(Row):
    """A note: what was recorded and alarmed about the record at (topic, offset), and refuses no content."""

    KEY: ClassVar[tuple[str, ...]] = ("topic", "offset", "ordinal")
    topic: str
    offset: int
    ordinal: int
    note: str
    subject: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Quarantined(Row):
    """A rejected record at rest. `state` is HELD, REPLAY (asked for by an officer), REPLAYED or DROPPED.

    Beyond the cap of its source it is not `kept`: `value` is empty, coordinates, hash and reason stay, and replay
    fetches it again. A record from the future is not tried by itself before `retry_ms`; 0 for every other reason.
    """

    KEY: ClassVar[tuple[str, ...]] = ("topic", "offset")
    topic: str
    offset: int
    source: str
    reason: str
    state: str
    kept: bool
    at_ms: int
    retry_ms: int
    digest: bytes
    size: int
    record_key: bytes
    headers: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Submission(Row):
    """A lab's report in the inbox: `state` is NEW, ISSUED or DISMISSED; `report` the national leaf, or empty.

    `told` is true once the receipt that says ISSUED is sealed; `basis` the legal basis for issuing wider than the
    lab's TLP, which that receipt says; of a DISMISSED one by whom and why, which no receipt says.
    """

    KEY: ClassVar[tuple[str, ...]] = ("leaf",)
    leaf: bytes
    lab: str
    record: bytes
    state: str
    received_ms: int
    report: bytes
    told: bool
    basis: str


@dataclass(frozen=True, slots=True)
class Due(Row):
    """A decision that is owed: one report, one audience, not before `minute`, because of `cause`."""

    KEY: ClassVar[tuple[str, ...]] = ("leaf", "audience")
    leaf: bytes
    audience: str
    minute: int
    cause: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Decided(Row):
    """A sealed decision: the hop's signed body says what, the columns say where it stands."""

    KEY: ClassVar[tuple[str, ...]] = ("audience", "leaf", "hop")
    audience: str
    leaf: bytes
    hop: bytes
    origin: str
    incident: bytes
    chain: bytes
    body: bytes
    mask: bytes
    cause: str
    epoch: int
    seq: int
    decided_ms: int


OPEN, APPROVED, REFUSED, SUPERSEDED = "OPEN", "APPROVED", "REFUSED", "SUPERSEDED"
ANSWERED = frozenset({APPROVED, REFUSED})


@dataclass(frozen=True, slots=True)
class Hold(Row):
    """An open or answered hold; `state` is OPEN, APPROVED, REFUSED or SUPERSEDED. An approval lifts no embargo.

    SUPERSEDED is one that nobody answered before another version of the policy came into force, or its incident was
    retracted.
    """

    KEY: ClassVar[tuple[str, ...]] = ("leaf", "policy_version", "rule", "audience")
    leaf: bytes
    policy_version: int
    rule: str
    audience: str
    state: str
    opened_ms: int
    due_ms: int
    officer: str
    reason: str
    answered_ms: int


@dataclass(frozen=True, slots=True)
class Withholding(Row):
    """One act by which an officer withholds slots of a report from an audience beyond the policy; acts add up."""

    KEY: ClassVar[tuple[str, ...]] = ("leaf", "audience", "at_ms")
    leaf: bytes
    audience: str
    at_ms: int
    slots: bytes
    officer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outlet(Row):
    """A topic that is written. For a stream: epoch, seq and head of the last sealed record.

    `rows` counts the sealed outbox rows, `acked` is the unbroken acknowledged prefix of them;
    `headed` is the seq of the last sealed head and `headed_ms` its time.
    """

    KEY: ClassVar[tuple[str, ...]] = ("topic",)
    topic: str
    audience: str
    epoch: int
    seq: int
    head: bytes
    rows: int
    acked: int
    headed: int
    headed_ms: int
    holder: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Outgoing(Row):
    """A sealed outbox row: the exact record bytes of row `row` of a topic. seq 0 and `head` for statements."""

    KEY: ClassVar[tuple[str, ...]] = ("topic", "row")
    topic: str
    row: int
    epoch: int
    seq: int
    statement: bool
    record_key: bytes
    value: bytes
    leaf: bytes
    sealed_ms: int


@dataclass(frozen=True, slots=True)
class Resend(Row):
    """An officer's order to send a range of a reader's stream again, same bytes."""

    KEY: ClassVar[tuple[str, ...]] = ("topic", "from_seq", "to_seq")
    topic: str
    from_seq: int
    to_seq: int
    asked_ms: int


@dataclass(frozen=True, slots=True)
class Spoken(Row):
    """A verified descriptor or policy statement of a node (own or peer's), as framed; two digests for one are evidence."""

    KEY: ClassVar[tuple[str, ...]] = ("node", "type", "id", "version", "digest")
    node: str
    type: str
    id: str
    version: int
    digest: bytes
    framed: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class Marker(Row):
    """A small fact that must survive a restart, such as which policies were in force when all was last decided."""

    KEY: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    value: str
