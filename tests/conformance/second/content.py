"""What the slots say: section 6, step 7."""

from __future__ import annotations

from typing import Any

from tests.conformance.second.avro import MalformedError
from tests.conformance.second.hops import Hop
from tests.conformance.second.ladder import UndefinedError
from tests.conformance.second.messages import RefusedError, refuse_unless, slots_of
from tests.conformance.second.schema import VERSION, Schema


def check_content(
    header: dict[str, Any],
    n: int,
    disclosed: dict[int, bytes],
    chain: list[Hop],
    schemas: dict[tuple[str, int, int], Schema],
) -> None:
    """Check the slots by the schema that the header names, or by the latest minor that is known."""
    match = VERSION.fullmatch(header["schema"])
    if match is None:
        raise AssertionError("step 2 checks it")
    name, major, minor = match[1], int(match[2]), int(match[3])
    minors = [known[2] for known in schemas if known[:2] == (name, major)]
    is_later = bool(minors) and minor > max(minors)
    refuse_unless(minor in minors or is_later, "SCHEMA_UNKNOWN")
    schema = schemas[name, major, max(minors) if is_later else minor]
    refuse_unless(is_later or schema.sha256 == header["schema_sha256"], "SCHEMA_MISMATCH")
    fields = len(schema.fields)
    refuse_unless(n >= fields if is_later else n == fields, "SLOT_COUNT")
    said: dict[int, Any] = {}
    for i, value in disclosed.items():
        try:
            if i < fields:
                said[i] = schema.fields[i].read(value)
        except MalformedError as error:
            if not is_later:
                raise RefusedError("SLOT_MALFORMED") from error
    if not is_later:
        refuse_unless(all(_has_rungs(hop, schema, n) for hop in chain), "LADDER_MISSING")
    refuse_unless(all(_agrees(i, said, schema) for i in said), "LADDER_MISMATCH")


def _has_rungs(hop: Hop, schema: Schema, n: int) -> bool:
    """Whether for each coarsened slot the hop lets some coarser rung through."""
    for reason in hop.body["reasons"]:
        if reason["code"] != "COARSENED":
            continue
        slots = int(slots_of(reason["slots"], n) or 0)
        for i in range(n):
            if slots >> i & 1 and not any(hop.mask_out >> j & 1 for j in _coarser(i, schema)):
                return False
    return True


def _coarser(i: int, schema: Schema) -> list[int]:
    found = []
    while i in schema.coarser:
        i = schema.coarser[i][0]
        found.append(i)
    return found


def _agrees(i: int, said: dict[int, Any], schema: Schema) -> bool:
    """Whether every coarser rung that is disclosed is what slot i makes it."""
    value = said[i]
    if value is None:
        return True
    is_defined = True
    while i in schema.coarser:
        i, rung = schema.coarser[i]
        try:
            value = rung.function(value) if is_defined else None
        except UndefinedError:
            is_defined = False
        if i in said and (not is_defined or said[i] != value):
            return False
    return True
