"""What a rejected record leaves behind: one row of the quarantine, with all that a second trial needs."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from tocsin.flow.ports import Record
from tocsin.flow.rows import Quarantined
from tocsin.wire.reasons import NOT_YET_MS, Rejected

HEADERS_KEPT, KEY_KEPT, HEADER_KEPT = 16, 256, 256
"""What is kept of a rejected record beside its value: headers are hints, and a peer decides how many and how long."""
NEVER_MS: Final = 2**63 - 1


def row_of(record: Record, source: str, verdict: Rejected, now_ms: int, *, kept: bool) -> Quarantined:
    """The row of a record of that party; `kept` with the original bytes, else with their place and hash alone."""
    return Quarantined(
        topic=record.topic,
        offset=record.offset,
        source=source,
        reason=verdict.reason.value,
        state="HELD",
        kept=kept,
        at_ms=now_ms,
        retry_ms=retry_ms(verdict.until_ms, now_ms),
        digest=hashlib.sha256(record.value).digest(),
        size=len(record.value),
        record_key=record.key[:KEY_KEPT],
        headers=headers_kept(record),
        value=record.value if kept else b"",
    )


def headers_kept(record: Record) -> str:
    """The record's headers, as many and as long as are kept; for `record_of`."""
    return json.dumps([[n[:HEADER_KEPT], v[:HEADER_KEPT].hex()] for n, v in record.headers[:HEADERS_KEPT]])


def record_of(row: Quarantined) -> Record:
    """The record as it was, of a row that kept it."""
    headers = tuple((name, bytes.fromhex(value)) for name, value in json.loads(row.headers))
    return Record(row.topic, row.offset, row.record_key, row.value, headers, row.at_ms)


def retry_ms(until_ms: int, rejected_ms: int) -> int:
    """When a record that was rejected then is due again, if not before `until_ms`; NEVER_MS beyond the seven days."""
    return until_ms if until_ms <= rejected_ms + NOT_YET_MS else NEVER_MS
