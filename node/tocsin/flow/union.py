"""Union: what several copies of one report say together (protocol section 7); a node and a reader ask it alike."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tocsin.wire.avro import Malformed
from tocsin.wire.verify import Judged


def rungs_disagree(judged: Judged, held: Mapping[int, bytes]) -> bool:
    """Whether rungs of the copy at hand and of those held disagree: LADDER_MISMATCH, a note and evidence.

    `held` are encoded values by slot, of every copy held: a slot has one value in all of them, since it is committed to.
    """
    if not held:  # those of one copy agree, or it is refused (protocol section 6, step 7)
        return False
    union = dict(judged.values)
    for slot, value in held.items():
        if slot not in union and slot not in judged.unreadable and slot < len(judged.schema.fields):
            with suppress(Malformed):
                union[slot] = judged.schema.decode_slot(slot, value)
    return any(judged.schema.disagreements(union))
