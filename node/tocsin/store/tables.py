"""Every table of the store, one per row class of `tocsin.flow.rows`, with the same columns in the same order.

To add a column: add it to the row class, add the same name here at the same place, then make a migration
(see migrations/README.md). `tests/integration/test_store_databases.py` compares rows, tables and migrations.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, Table, Text

from tocsin.flow import rows

METADATA = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"},
)

_BYTES = LargeBinary()
_INTEGER = BigInteger()
_FLAG = Boolean()
# Ordered by code point in both databases, so that "ordered by the key" means the same everywhere.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _bytes(name: str, comment: str, *, key: bool = False) -> Column[bytes]:
    return Column(name, _BYTES, primary_key=key, nullable=False, comment=comment)


def _text(name: str, comment: str, *, key: bool = False) -> Column[str]:
    return Column(name, _TEXT, primary_key=key, nullable=False, comment=comment)


def _integer(name: str, comment: str, *, key: bool = False) -> Column[int]:
    return Column(name, _INTEGER, primary_key=key, autoincrement=False, nullable=False, comment=comment)


def _flag(name: str, comment: str) -> Column[bool]:
    return Column(name, _FLAG, nullable=False, comment=comment)


TABLES: dict[type[rows.Row], Table] = {
    rows.Report: Table(
        "report",
        METADATA,
        _bytes("leaf", "Report id: hash over the signed entry, 32 bytes", key=True),
        _text("origin", "Party whose event key signed"),
        _bytes("incident", "Incident id, 16 bytes; (origin, incident) names the incident"),
        _integer("revision", "0, 1, 2 …"),
        _text("stage", "INITIAL, UPDATE, FINAL or RETRACTION"),
        _bytes("retracts", "Incident of a RETRACTION; empty for other reports"),
        _bytes("prev", "Leaf of revision − 1; zeros for revision 0"),
        _integer("tlp", "Strictness of the header's TLP, 0 CLEAR to 4 RED"),
        _integer("created_day", "Days since 1970"),
        _text("schema", "Schema id of the header"),
        _flag("exercise", "A drill"),
        _integer("accepted_ms", "When it was first accepted, ms since 1970"),
        Index(None, "incident", "origin", "revision"),
        Index(None, "retracts", "origin"),  # none begins with incident or stage besides: see `rows.Report`
        Index(None, "accepted_ms", "leaf"),
        comment="Reports that were verified or issued here",
    ),
    rows.Copy: Table(
        "copy",
        METADATA,
        _bytes("leaf", "The report", key=True),
        _bytes("chain", "Hash of the last hop; empty for an own report", key=True),
        _text("releaser", "Party of the last hop"),
        _bytes("mask", "Disclosed slots, the wire's mask bytes"),
        _bytes("framed", "The envelope, exactly as received"),
        _integer("accepted_ms", "When it was accepted, ms since 1970"),
        comment="Envelopes of a report, one per chain that brought it",  # by leaf: the primary key's first column
    ),
    rows.Source: Table(
        "source",
        METADATA,
        _text("topic", "Topic that is read", key=True),
        _integer("offset", "Offset to read next; a hint"),
        _text("stream", "The reader's side of the stream, JSON"),
        _text("holder", "Process that holds the lease"),
        _integer("until_ms", "End of the lease, ms since 1970"),
        _integer("failures", "Failures in a row, for the back-off"),
        _integer("retry_ms", "Not to be tried again before, ms since 1970"),
        _integer("head_ms", "Latest time of a valid stream head, ms since 1970, or 0"),
        comment="Topics that are read, their positions and leases",
    ),
    rows.ShownHead: Table(
        "shown_head",
        METADATA,
        _text("topic", "Topic of the stream", key=True),
        _integer("epoch", "Epoch of the stream", key=True),
        _integer("seq", "Last seq that the head covers", key=True),
        _bytes("head", "Chained hash of the stream", key=True),
        _bytes("framed", "The signed statement"),
        _integer("shown_ms", "When it was seen, ms since 1970"),
        Index(None, "topic", "epoch", "seq", "shown_ms"),
        comment="Stream heads shown by peers; two for one (topic, epoch, seq) are evidence of a FORK",
    ),
    rows.NoteRow: Table(
        "note",
        METADATA,
        _text("topic", "Topic of the record", key=True),
        _integer("offset", "Its offset", key=True),
        _integer("ordinal", "Which note about it", key=True),
        _text("note", "GAP, MISMATCH, FORK …"),
        _text("subject", "What it is about; identifiers only"),
        _integer("at_ms", "When it was recorded, ms since 1970"),
        Index(None, "at_ms"),
        comment="Notes: recorded and alarmed, refusing no content",
    ),
    rows.Quarantined: Table(
        "quarantined",
        METADATA,
        _text("topic", "Topic of the record", key=True),
        _integer("offset", "Its offset", key=True),
        _text("source", "Party that wrote the topic"),
        _text("reason", "Why it was rejected"),
        _text("state", "HELD, REPLAY, REPLAYED or DROPPED"),
        _flag("kept", "The value is here; beyond the cap of its source it is only in the topic"),
        _integer("at_ms", "When it was rejected, ms since 1970"),
        _integer("retry_ms", "Not tried by itself before, ms since 1970; 0 where time changes nothing"),
        _bytes("digest", "SHA-256 of the value"),
        _integer("size", "Bytes of the value"),
        _bytes("record_key", "Original key"),
        _text("headers", "Original headers, JSON"),
        _bytes("value", "Original value, or empty"),  # last: SQLite reads a row from its beginning
        Index(None, "topic", "state", "offset"),
        Index(None, "topic", "state", "reason", "retry_ms", "offset"),
        Index(None, "topic", "state", "kept", "at_ms"),
        # None begins with the state: PostgreSQL took it for the oldest row of one topic, past the rows of all others.
        comment="Rejected records at rest",
    ),
    rows.Submission: Table(
        "submission",
        METADATA,
        _bytes("leaf", "The lab's report", key=True),
        _text("lab", "Who submitted"),
        _bytes("record", "SHA-256 of the record that brought it"),
        _text("state", "NEW, ISSUED or DISMISSED"),
        _integer("received_ms", "When it was received, ms since 1970"),
        _bytes("report", "Leaf of the national report, or empty"),
        _flag("told", "The receipt that says ISSUED is sealed"),
        _text("basis", "Legal basis for issuing wider than the source's TLP, or who dismissed it and why, or empty"),
        Index(None, "state", "lab", "received_ms"),
        Index(None, "state", "told", "leaf"),
        Index(None, "report"),
        comment="The inbox of labs' reports",
    ),
    rows.Due: Table(
        "due",
        METADATA,
        _bytes("leaf", "The report", key=True),
        _text("audience", "Whom it is decided for", key=True),
        _integer("minute", "Not before, minutes since 1970"),
        _text("cause", "Why it is owed"),
        _integer("since_ms", "Owed since, ms since 1970"),
        Index(None, "minute", "since_ms", "leaf"),
        comment="Decisions that are owed",
    ),
    rows.Decided: Table(
        "decided",
        METADATA,
        _text("audience", "Whom it was decided for", key=True),
        _bytes("leaf", "The report", key=True),
        _bytes("hop", "Hash of the sealed hop", key=True),
        _text("origin", "Origin of the report"),
        _bytes("incident", "Incident of the report"),
        _bytes("chain", "Hash of the hop that it continues; empty for an own report"),
        _bytes("body", "The hop's signed body"),
        _bytes("mask", "Disclosed slots, the wire's mask bytes"),
        _text("cause", "Why it was decided"),
        _integer("epoch", "Epoch of the stream"),
        _integer("seq", "Its place in the stream"),
        _integer("decided_ms", "When it was sealed, ms since 1970"),
        Index(None, "incident", "origin"),
        comment="Sealed decisions",  # by (audience, leaf): the primary key's first columns
    ),
    rows.Hold: Table(
        "hold",
        METADATA,
        _bytes("leaf", "The report", key=True),
        _integer("policy_version", "Version of the policy whose rule holds", key=True),
        _text("rule", "Id of that rule", key=True),
        _text("audience", "Whom it is held from", key=True),
        _text("state", "OPEN, APPROVED, REFUSED or SUPERSEDED"),
        _integer("opened_ms", "When it was opened, ms since 1970"),
        _integer("due_ms", "When it alarms, ms since 1970"),
        _text("officer", "Who answered, or empty"),
        _text("reason", "The officer's reason, or empty"),
        _integer("answered_ms", "When it was answered or superseded, ms since 1970, or 0"),
        Index(None, "state", "due_ms"),
        comment="Holds, open and answered",
    ),
    rows.Withholding: Table(
        "withholding",
        METADATA,
        _bytes("leaf", "The report", key=True),
        _text("audience", "Whom it is withheld from", key=True),
        _integer("at_ms", "When it was recorded, ms since 1970", key=True),
        _bytes("slots", "Withheld slots, the wire's mask bytes"),
        _text("officer", "Who withholds"),
        _text("reason", "The officer's reason"),
        comment="What officers withhold beyond the policy",
    ),
    rows.Outlet: Table(
        "outlet",
        METADATA,
        _text("topic", "Topic that is written", key=True),
        _text("audience", "Audience of the stream, or empty"),
        _integer("epoch", "Epoch of the stream"),
        _integer("seq", "Last sealed seq"),
        _bytes("head", "Chained hash at that seq"),
        _integer("rows", "Sealed outbox rows"),
        _integer("acked", "Unbroken acknowledged prefix of them"),
        _integer("headed", "Seq of the last sealed head"),
        _integer("headed_ms", "Time of the last sealed head, ms since 1970"),
        _text("holder", "Process that holds the lease"),
        _integer("until_ms", "End of the lease, ms since 1970"),
        comment="Topics that are written, their stream state and leases",
    ),
    rows.Outgoing: Table(
        "outgoing",
        METADATA,
        _text("topic", "Topic", key=True),
        _integer("row", "Place in the topic's outbox, from 1", key=True),
        _integer("epoch", "Epoch of the stream"),
        _integer("seq", "Seq of an envelope or a head; 0 for other statements"),
        _flag("statement", "A statement, not an envelope"),
        _bytes("record_key", "Key of the record"),
        _bytes("value", "Exact bytes of the record"),
        _bytes("leaf", "The report; empty for a statement"),
        _integer("sealed_ms", "When it was sealed, ms since 1970"),
        Index(None, "topic", "epoch", "seq"),
        comment="The outbox: exact record bytes, in order",
    ),
    rows.Resend: Table(
        "resend",
        METADATA,
        _text("topic", "Topic", key=True),
        _integer("from_seq", "First seq to send again", key=True),
        _integer("to_seq", "Last seq to send again", key=True),
        _integer("asked_ms", "When it was ordered, ms since 1970"),
        comment="Officers' orders to send a range again",
    ),
    rows.Spoken: Table(
        "spoken",
        METADATA,
        _text("node", "Node that signed", key=True),
        _text("type", "descriptor or policy", key=True),
        _text("id", "Id of the policy, or empty", key=True),
        _integer("version", "Version of the policy, or 0", key=True),
        _bytes("digest", "SHA-256 of what is said", key=True),
        _bytes("framed", "The signed statement"),
        _integer("time_ms", "Its time, ms since 1970"),
        comment="Verified descriptors and policies; two digests of one version are evidence",
    ),
    rows.Marker: Table(
        "marker",
        METADATA,
        _text("name", "What it is about", key=True),
        _text("value", "The fact"),
        comment="Small facts that must survive a restart",
    ),
}
