# ruff: noqa: INP001 - scripts beside their data
"""Reports for vectors: a plan says what is out of order, and everything else is built as it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from schemas.vectors.make_world import DAY, MINUTE, NOW, TEXTS, VALUES, encoded, fixed_bytes, id_of, private, trust

from tocsin.wire import records
from tocsin.wire.avro import Codec, frame
from tocsin.wire.envelope import entry_of, leaf_of
from tocsin.wire.keys import pae
from tocsin.wire.slots import ctx, mask_bytes, slot_digest, slots_root

HEADER, HOP_BODY, ENVELOPE = (Codec(s) for s in (records.HEADER, records.HOP_BODY, records.ENVELOPE))
HOP_TYPE = "application/vnd.tocsin.hop.v1+avro"
ALL = (1 << 14) - 1
NEVER = 2**31 - 1

Fields = dict[str, Any]
Edit = Callable[[Fields], None]
Bytes = Callable[[bytes], bytes]


def slots(*indices: int) -> int:
    """Mask bits."""
    return sum(1 << i for i in indices)


@dataclass
class Step:
    """One hop. None means: as it should be (the mask and TLP of before, WITHHELD for all that is withheld)."""

    releaser: str = "gb"
    kind: str = "MEMBER"
    audience: str = "jp"
    mask: int | None = None
    tlp: str | None = None
    limits: tuple[tuple[str, int, int], ...] = ()
    reasons: tuple[tuple[int, str, int, str], ...] | None = None
    policy: tuple[str, int, bytes] | None = None
    minute: int = MINUTE
    fields: Edit | None = None
    body: Bytes | None = None
    signer: tuple[str, str] | None = None
    key_id: bytes | None = None
    sign: Callable[[bytes], bytes] | None = None
    hop_type: str = HOP_TYPE


NO_POLICY = ("", 0, bytes(32))


@dataclass
class Plan:
    """One report, and what is done to it on the way."""

    steps: tuple[Step, ...] = (Step(),)
    header: Fields = field(default_factory=dict)
    header_bytes: Bytes | None = None
    schema: str = "test/1.0"
    values: Fields = field(default_factory=dict)
    raw_values: list[bytes] | None = None
    signer: tuple[str, str] | None = None
    sign: Callable[[bytes], bytes] | None = None
    report_type: str | None = None
    mask: int | None = None
    envelope: Edit | None = None
    framed: Bytes | None = None


@dataclass
class Built:
    """What a plan became."""

    framed: bytes
    leaf: bytes
    disclosed: dict[int, bytes]
    chain: list[str]
    reader: tuple[str, str]
    steps: dict[str, Any]


def header_fields(plan: Plan) -> Fields:
    """The header of a plan, before it is encoded."""
    origin = plan.header.get("origin", plan.steps[0].releaser if plan.steps else "gb")
    known = origin if (plan.signer is None) else plan.signer[0]
    return {
        "origin": origin,
        "key_id": id_of(known, "event"),
        "incident": fixed_bytes("incident", 16),
        "revision": 0,
        "stage": "INITIAL",
        "prev": bytes(32),
        "created_day": DAY,
        "schema": plan.schema,
        "schema_sha256": sha256(TEXTS.get(plan.schema, "").encode()).digest(),
        "tlp": "GREEN",
        "exercise": False,
    } | plan.header


def build(plan: Plan) -> Built:
    """Build the envelope of a plan."""
    fields = header_fields(plan)
    header = HEADER.encode(fields)
    if plan.header_bytes:
        header = plan.header_bytes(header)
    values = plan.raw_values if plan.raw_values is not None else encoded(VALUES | plan.values, plan.schema)
    n = len(values)
    salts = [fixed_bytes(f"salt {i}", 16) for i in range(n)]
    context = ctx(header)
    digests = [slot_digest(context, i, salts[i], values[i]) for i in range(n)]
    root = slots_root(digests)
    entry = entry_of(header, root) if plan.report_type is None else pae(plan.report_type, header + root)
    leaf = leaf_of(entry)
    signer = plan.signer or (fields["origin"], "event")
    signature = plan.sign(entry) if plan.sign else private(*signer).sign(entry)
    mask, hops = _hops(plan, fields, n, leaf)
    mask = mask if plan.mask is None else plan.mask
    shown = [i for i in range(n) if mask >> i & 1]
    envelope = {
        "header": header,
        "mask": mask_bytes(mask, n),
        "salts": b"".join(salts[i] for i in shown),
        "values": [values[i] for i in shown],
        "digests": b"".join(digests[i] for i in range(n) if not mask >> i & 1),
        "signature": signature,
        "hops": hops,
    }
    if plan.envelope:
        plan.envelope(envelope)
    framed = frame(ENVELOPE.fingerprint, ENVELOPE.encode(envelope))
    steps = {"header": header, "ctx": context, "slots": digests, "slots_root": root, "entry": entry, "leaf": leaf}
    steps |= {"salts": salts, "values": values, "signature": signature, "hops": hops, "fields": fields}
    return Built(
        framed=plan.framed(framed) if plan.framed else framed,
        leaf=leaf,
        disclosed={i: values[i] for i in shown},
        chain=[step.releaser for step in plan.steps],
        reader=(plan.steps[-1].releaser, plan.steps[-1].audience) if plan.steps else ("gb", "jp"),
        steps=steps,
    )


def _hops(plan: Plan, header: Fields, n: int, leaf: bytes) -> tuple[int, list[Fields]]:
    """The signed hops, and the last mask_out."""
    mask_in, tlp, prev = (1 << n) - 1, header["tlp"], leaf
    hops = []
    for step in plan.steps:
        mask = mask_in if step.mask is None else step.mask
        tlp = step.tlp or tlp
        gone = mask_in & ~mask
        reasons = ((gone, "WITHHELD", 0, ""),) if gone else ()
        policy = step.policy or (step.releaser, 3, fixed_bytes(f"policy {step.releaser}"))
        fields = {
            "releaser": step.releaser,
            "prev": prev,
            "mask_out": mask_bytes(mask, n),
            "tlp": tlp,
            "kind": step.kind,
            "audience": step.audience,
            "limits": [
                {"kind": kind, "slots": mask_bytes(which, n), "until": until} for kind, which, until in step.limits
            ],
            "policy": dict(zip(("id", "version", "sha256"), policy, strict=True)),
            "reasons": [
                {"slots": mask_bytes(which, n), "code": code, "until": until, "rule": rule}
                for which, code, until, rule in (reasons if step.reasons is None else step.reasons)
            ],
            "minute": step.minute,
        }
        if step.fields:
            step.fields(fields)
        body = HOP_BODY.encode(fields)
        body = step.body(body) if step.body else body
        message = pae(step.hop_type, body)
        signer = step.signer or (step.releaser, "relay")
        hop = {
            "body": body,
            "key_id": step.key_id or id_of(*signer),
            "signature": step.sign(message) if step.sign else private(*signer).sign(message),
        }
        hops.append(hop)
        prev = sha256(b"tocsin/hop/v1\0" + body + hop["key_id"] + hop["signature"]).digest()
        mask_in = mask
    return mask_in, hops


_AS_BUILT = ("", "")


def vector(
    about: str,
    plan: Plan,
    expect: Fields | str | None = None,
    *,
    parties: list[Fields] | None = None,
    schemas: tuple[str, ...] | None = None,
    texts: dict[str, str] | None = None,
    now: int = NOW,
    came_by: tuple[str, str] | None = _AS_BUILT,
    held: bool = False,
) -> Fields:
    """An accept vector (`expect` absent) or a reject vector (`expect` is the reason)."""
    built = build(plan)
    known = schemas if schemas is not None else tuple(s for s in (plan.schema,) if s in TEXTS)
    by = built.reader if came_by == _AS_BUILT else came_by
    accepted = {
        "leaf_hex": built.leaf.hex(),
        "disclosed": {str(i): value.hex() for i, value in built.disclosed.items()},
        "chain": built.chain,
    }
    return {
        "about": about,
        "trust": trust() if parties is None else parties,
        "schemas": {name: TEXTS[name] for name in known} if texts is None else texts,
        "now_ms": now,
        "came_by": None if by is None else {"releaser": by[0], "audience": by[1]},
        "held": [built.leaf.hex()] if held else [],
        "envelope_hex": built.framed.hex(),
        "expect": {"reason": expect} if isinstance(expect, str) else accepted,
    }
