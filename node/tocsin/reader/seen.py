"""What a reader is shown of one report: what the origin signed of it, what is withheld, by whom and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tocsin.report.document import to_document
from tocsin.report.schema import Schema
from tocsin.wire.header import Header
from tocsin.wire.hop import Code, HopBody
from tocsin.wire.reasons import Note
from tocsin.wire.verify import Verified


@dataclass(frozen=True, slots=True)
class Withheld:
    """One field that is not shown: `by` is the releaser that withheld it, `until` the end of an embargo (UTC)."""

    name: str
    by: str
    code: Code
    until: datetime | None
    rule: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One report as one chain brought it; the same leaf comes again where another chain brings it.

    `fields` are the disclosed fields by name as `Reporter.report` takes them, and as JSON can hold them; None is the
    origin's word that it does not know or that it does not apply. `unreadable` are disclosed fields that only a later
    schema explains. `chain` is the hash of the last hop. `framed` verifies anywhere: `tocsin verify`.
    """

    leaf: bytes
    chain: bytes
    header: Header
    fields: Mapping[str, Any]
    withheld: tuple[Withheld, ...]
    unreadable: tuple[str, ...]
    hops: tuple[HopBody, ...]
    notes: tuple[Note, ...]
    framed: bytes


def seen_of(verified: Verified) -> Seen:
    """The verified report for a reader, without notes yet."""
    judged = verified.judged
    schema: Schema = judged.schema
    readable = {schema.fields[i].name: value for i, value in judged.values.items()}
    return Seen(
        leaf=verified.leaf,
        chain=verified.chain,
        header=verified.header,
        fields=to_document(readable, schema),
        withheld=tuple(one for _, one in sorted(_withheld(verified.hops, schema), key=lambda found: found[0])),
        unreadable=tuple(_name(i, schema) for i in sorted(judged.unreadable)),
        hops=verified.hops,
        notes=(),
        framed=verified.framed,
    )


def _withheld(hops: tuple[HopBody, ...], schema: Schema) -> Iterator[tuple[int, Withheld]]:
    """Slot and word for it, over all hops: each slot is withheld by one hop and is gone for all later ones."""
    for hop in hops:
        for why in hop.reasons:
            until = datetime.fromtimestamp(why.until * 60, UTC) if why.code is Code.EMBARGOED else None
            for slot in range(why.slots.bit_length()):
                if why.slots >> slot & 1:
                    yield slot, Withheld(_name(slot, schema), hop.releaser, why.code, until, why.rule)


def _name(slot: int, schema: Schema) -> str:
    """The field's name; of a later schema than is known only its number."""
    return schema.fields[slot].name if slot < len(schema.fields) else f"slot {slot}"
