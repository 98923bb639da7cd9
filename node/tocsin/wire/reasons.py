"""Why a record is refused, and what is noted about one that is not: closed enumerations (protocol sections 4 to 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Every reason of protocol sections 5 and 6, in the order of the checks; metric label, log field, vector."""

    SIZE = "SIZE"
    FRAMING = "FRAMING"
    ENVELOPE_MALFORMED = "ENVELOPE_MALFORMED"
    HEADER_MALFORMED = "HEADER_MALFORMED"
    HEADER_INVALID = "HEADER_INVALID"
    SHAPE = "SHAPE"
    HOPS_COUNT = "HOPS_COUNT"
    HOP_MALFORMED = "HOP_MALFORMED"
    HOP_INVALID = "HOP_INVALID"
    HOP_PREV = "HOP_PREV"
    HOP_RELEASER = "HOP_RELEASER"
    HOP_MASK = "HOP_MASK"
    HOP_REASONS = "HOP_REASONS"
    HOP_TLP = "HOP_TLP"
    HOP_HANDLING = "HOP_HANDLING"
    HOP_LIMIT = "HOP_LIMIT"
    HOP_TIME = "HOP_TIME"
    STREAM_SOURCE = "STREAM_SOURCE"
    HOP_KEY_UNKNOWN = "HOP_KEY_UNKNOWN"
    HOP_KEY_WINDOW = "HOP_KEY_WINDOW"
    HOP_KEY_REVOKED = "HOP_KEY_REVOKED"
    HOP_SIGNATURE_INVALID = "HOP_SIGNATURE_INVALID"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_WINDOW = "KEY_WINDOW"
    KEY_REVOKED = "KEY_REVOKED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    HOP_READER_UNKNOWN = "HOP_READER_UNKNOWN"
    NOT_YET_VALID = "NOT_YET_VALID"
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    SLOT_COUNT = "SLOT_COUNT"
    SLOT_MALFORMED = "SLOT_MALFORMED"
    LADDER_MISSING = "LADDER_MISSING"
    LADDER_MISMATCH = "LADDER_MISMATCH"
    STATEMENT_MALFORMED = "STATEMENT_MALFORMED"
    STATEMENT_KEY = "STATEMENT_KEY"
    STATEMENT_SIGNATURE = "STATEMENT_SIGNATURE"
    STATEMENT_PLACE = "STATEMENT_PLACE"
    INTERNAL = "INTERNAL"
    """A node's own bug on one record; no verifier gives it, and no vector has it."""


RETRIABLE = frozenset(
    {
        Reason.HOP_KEY_UNKNOWN,
        Reason.KEY_UNKNOWN,
        Reason.HOP_READER_UNKNOWN,
        Reason.SCHEMA_UNKNOWN,
        Reason.NOT_YET_VALID,
    }
)
"""What may change when trust, schemas or the clock move (protocol section 6); every other reason is final."""
NOT_YET_MS: Final = 7 * 86_400_000
"""A record that is NOT_YET_VALID is tried again for at most 7 days (protocol section 6)."""


class Note(StrEnum):
    """What is recorded and alarmed and never refuses content (protocol sections 4 and 6)."""

    GAP = "GAP"
    MISMATCH = "MISMATCH"
    FORK = "FORK"
    EPOCH = "EPOCH"
    HEALED = "HEALED"
    REVISION_MISSING = "REVISION_MISSING"
    REVISION_FORK = "REVISION_FORK"
    LIFECYCLE = "LIFECYCLE"
    LADDER_MISMATCH = "LADDER_MISMATCH"
    """Rungs of different copies of one report disagree in their union (protocol section 7)."""
    CHAINS_CAPPED = "CHAINS_CAPPED"
    """One source brought more chains of one leaf than a node keeps (design 5); the report itself is held."""
    STATEMENT_FORK = "STATEMENT_FORK"
    """One (id, version) of a policy with two texts (protocol section 5)."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A verdict of refusal. `accused` is the neighbour's party id, or "" where only the carriage can be at fault.

    `until_ms`: where the reason is NOT_YET_VALID, the moment from which it no longer holds; otherwise 0.
    """

    reason: Reason
    accused: str = ""
    until_ms: int = 0


class Refused(Exception):
    """Carries a reason from a check to the verdict, inside `wire` only."""

    def __init__(self, reason: Reason) -> None:
        """`reason` is the verdict."""
        super().__init__(reason)
        self.reason = reason
