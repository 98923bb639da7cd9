"""Policy vectors: so that a policy means the same on every node (design 4, "Policy vectors")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.errors import PolicyError, SchemaError
from tocsin.flow.decide import Decision, Nothing, decide
from tocsin.policy.conditions import UNREADABLE, WITHHELD
from tocsin.policy.language import Policy, parse_policy, schema_of
from tocsin.policy.question import Incident, Question
from tocsin.report.schema import KnownSchemas, Schema, load_schema
from tocsin.wire.header import ZERO_DIGEST, Stage, Tlp
from tocsin.wire.hop import EMPTY, AudienceKind, HopBody, Limit
from tocsin.wire.keys import PartyKind

_MARKS = {"withheld": WITHHELD, "unreadable": UNREADABLE}


@dataclass(frozen=True, slots=True)
class _Header:
    """The part of a header that a vector gives."""

    origin: str
    stage: Stage
    tlp: Tlp
    exercise: bool
    schema: str
    created_day: int = 0


def run_policy_vector(vector: Mapping[str, Any]) -> dict[str, Any]:
    """`{valid}`, `{nothing, next}` or `{disclosed, withheld, tlp, minute, limits, next}`; what is absent is empty."""
    schemas = _schemas(vector.get("schemas") or {})
    policy = _policy(vector["policy"], schemas)
    report = vector.get("report")
    if report is None:
        return {"valid": policy is not None}
    schema = _read_by(report["header"]["schema"], schemas)
    if schema is None:
        # No such report can be accepted, so that there is no chain to continue.
        return {"nothing": "CHAIN" if _serves_now(policy, vector) else "POLICY", "next": None}
    question = _question(vector, policy, schema)
    return _said(decide(question), question)


def _schemas(texts: Mapping[str, str]) -> KnownSchemas:
    """Those that load; one that does not counts as not known (protocol section 7)."""
    loaded = []
    for schema_id, text in texts.items():
        try:
            loaded.append(load_schema(schema_id, text.encode()))
        except SchemaError:
            continue
    return KnownSchemas(loaded)


def _policy(text: str, schemas: KnownSchemas) -> Policy | None:
    try:
        return parse_policy(text, schemas.exact(schema_of(text) or ""))
    except PolicyError:
        return None


def _read_by(schema_id: str, schemas: KnownSchemas) -> Schema | None:
    """The version itself, or the latest minor known where it is later than that."""
    exact = schemas.exact(schema_id)
    if exact is not None:
        return exact
    name, _, version = schema_id.partition("/")
    major, _, minor = version.partition(".")
    latest = schemas.latest(name, int(major))
    return latest if latest is not None and int(minor) > latest.minor else None


def _serves_now(policy: Policy | None, vector: Mapping[str, Any]) -> bool:
    if policy is None or vector.get("now_minute", 0) < policy.effective_minute:
        return False
    name, _, version = vector["report"]["header"]["schema"].partition("/")
    return policy.serves(name, version.partition(".")[0])


def _question(vector: Mapping[str, Any], policy: Policy | None, schema: Schema) -> Question:
    header, slots = vector["report"]["header"], vector["report"].get("slots") or {}
    incident = vector.get("incident") or {}
    return Question(
        policy=policy,
        node=vector["node"],
        audience=vector["audience"],
        parties={party: (PartyKind(kind), of) for party, (kind, of) in (vector.get("parties") or {}).items()},
        header=_Header(
            header["origin"],
            Stage(header["stage"]),
            Tlp[header["tlp"]],
            header.get("exercise", False),
            header["schema"],
        ),
        schema=schema,
        slots=tuple(_slot(slots.get(field.name)) for field in schema.fields),
        chain=tuple(_hop(hop, schema) for hop in vector.get("chain") or ()),
        prev=ZERO_DIGEST,
        incident=Incident(
            Tlp[incident.get("latest_tlp", Tlp.CLEAR.name)],
            sent=incident.get("sent", False),
            retracted=incident.get("retracted", False),
            forked=incident.get("forked", False),
        ),
        now_minute=vector.get("now_minute", 0),
        first_accepted_minute=vector.get("first_accepted_minute", 0),
        approvals={(a["rule"], a["audience"]): a["approved"] for a in vector.get("approvals") or ()},
    )


def _slot(value: Any) -> Any:
    """A value as in JSON, or the mark of a slot without one. No slot of a test has such a table as its value."""
    if isinstance(value, Mapping) and len(value) == 1:
        mark = next(iter(value))
        if value[mark] is True:
            return _MARKS.get(mark, value)
    return value


def _hop(hop: Mapping[str, Any], schema: Schema) -> HopBody:
    """A hop of the chain, as far as a decision reads it."""
    return HopBody(
        releaser=hop["releaser"],
        prev=ZERO_DIGEST,
        mask_out=0,
        tlp=Tlp[hop["tlp"]],
        kind=AudienceKind(hop["kind"]),
        audience=hop["audience"],
        limits=tuple(
            Limit(AudienceKind(limit["kind"]), sum(1 << schema.index(name) for name in limit["slots"]), limit["until"])
            for limit in hop.get("limits") or ()
        ),
        policy=EMPTY,
        reasons=(),
        minute=hop["minute"],
    )


def _said(outcome: Decision | Nothing, question: Question) -> dict[str, Any]:
    if isinstance(outcome, Nothing):
        return {"nothing": outcome.why.value, "next": outcome.next}
    body, schema = outcome.body, question.schema
    withheld = {
        name: {"code": why.code.value, "until": why.until, "rule": why.rule}
        for why in body.reasons
        for name in _names(schema, why.slots)
    }
    return {
        "disclosed": _names(schema, body.mask_out),
        "withheld": {field.name: withheld[field.name] for field in schema.fields if field.name in withheld},
        "tlp": body.tlp.name,
        "minute": body.minute,
        "limits": [
            {"kind": limit.kind.value, "until": limit.until, "slots": _names(schema, limit.slots)}
            for limit in body.limits
        ],
        "next": outcome.next,
    }


def _names(schema: Schema, slots: int) -> list[str]:
    return [field.name for field in schema.fields if slots >> field.index & 1]
