"""`tocsin trace`: hop by hop, each signature checked now against the trust view; so that nobody must be believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.node import at_the_desk, find_report, in_one
from tocsin.cli.output import DONE, OPTIONS, SHORT, UNVERIFIED, Minute, command, now_ms, print_json, say
from tocsin.cli.trust import known_trust
from tocsin.errors import InputError
from tocsin.flow import topics
from tocsin.flow.rows import Copy, Decided, Outgoing
from tocsin.packaged import published_schemas
from tocsin.report.texts import date_text
from tocsin.signer import fingerprint
from tocsin.wire.envelope import Envelope, read_envelope
from tocsin.wire.header import Header
from tocsin.wire.hop import HOP_TYPE, Hop, HopBody, parse_body
from tocsin.wire.keys import Key, KeyUse, TrustView, pae, verify_signature
from tocsin.wire.reasons import Reason, Refused, Rejected
from tocsin.wire.verify import Schemas, verify, verify_own

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx

_DAY_MS, _MINUTE_MS = 86_400_000, 60_000

What = Annotated[str, typer.Argument(metavar="ID", help="A prefix of a leaf or an incident; or a framed file.")]
Audience = Annotated[str | None, typer.Option("--audience", help="What was sealed for that audience, not what came.")]
Trust = Annotated[Path | None, typer.Option("--trust", help="A trust view instead of the node's own.", exists=True)]


@command
async def trace(what: What, audience: Audience = None, trust: Trust = None) -> int:
    """Trace a report back to its origin's signature, hop by hop; exit code 3 if anything does not verify."""
    framed = _file(what)
    if framed is not None:
        traces = [_trace(framed, known_trust(trust), published_schemas(), now_ms())]
    else:
        async with at_the_desk() as desk:
            view = known_trust(trust) if trust else desk.setting.trust
            found = await in_one(desk.store, lambda tx: _framed(desk, tx, what, audience))
            traces = [_trace(one, view, desk.setting.schemas, now_ms()) for one in found]
    for number, one in enumerate(traces):
        if OPTIONS.json:
            print_json(one)
        else:
            say("" if number else f"report {one['leaf']}")
            _draw(one)
    return DONE if all(one["verdict"] == "verified" for one in traces) else UNVERIFIED


def _file(what: str) -> bytes | None:
    path = Path(what)
    return path.read_bytes() if path.is_file() else None


async def _framed(desk: Desk, tx: Tx, text: str, audience: str | None) -> list[bytes]:
    report = await find_report(tx, text)
    if audience is None:
        return [c.framed for c in await tx.find(Copy, {"leaf": report.leaf}, order=("accepted_ms", "chain"))]
    decided = await tx.find(Decided, {"audience": audience, "leaf": report.leaf})
    at = {
        "topic": topics.stream(desk.setting.node, audience),
        "epoch": sorted({row.epoch for row in decided}),
        "seq": sorted({row.seq for row in decided}),
    }
    sealed = [row for row in await tx.find(Outgoing, at, order=("row",)) if row.leaf == report.leaf]
    if decided and not sealed:
        thing = f"what was sealed for {audience!r} is no longer kept"
        raise InputError(thing, place=report.leaf.hex()[:SHORT], remedy="[store] keep_days says how long it is")
    if not sealed:
        remedy = "`tocsin policy explain` says why"
        raise InputError(f"nothing of it was sealed for {audience!r}", place=report.leaf.hex()[:SHORT], remedy=remedy)
    return [row.value for row in sealed]


def _trace(framed: bytes, trust: TrustView, schemas: Schemas, now: int) -> dict[str, Any]:
    """Every signature on its own, and the verdict of the whole (protocol section 6)."""
    try:
        envelope, header = read_envelope(framed)
    except Refused as refused:
        return {"leaf": "", "steps": [], "verdict": refused.reason.value}
    steps = [_report_step(envelope, header, trust, now)]
    steps += _hop_steps(envelope, trust, now)
    if envelope.hops:
        verdict = verify(framed, trust, schemas, now, None, lambda _: True)
    else:
        verdict = verify_own(framed, trust, schemas, now)
    said = verdict.reason.value if isinstance(verdict, Rejected) else "verified"
    return {"leaf": envelope.leaf.hex(), "incident": header.incident.hex(), "steps": steps, "verdict": said}


def _report_step(envelope: Envelope, header: Header, trust: TrustView, now: int) -> dict[str, Any]:
    key = trust.key(header.origin, header.key_id, KeyUse.EVENT)
    begin = header.created_day * _DAY_MS
    fault = _fault(key, envelope.entry, envelope.signature, KeyUse.EVENT)
    if key is not None and fault is None and not (begin < key.not_after_ms and key.not_before_ms < begin + _DAY_MS):
        fault = Reason.KEY_WINDOW
    return {
        "step": "report",
        "by": header.origin,
        "key": header.key_id.hex(),
        "signed": f"{header.stage.value} {header.revision}, {header.tlp.name}, {date_text(header.created_day)}",
        "slots": envelope.n,
        "revoked": key is not None and key.revoked(now),
        "reason": fault.value if fault else "",
    }


def _hop_steps(envelope: Envelope, trust: TrustView, now: int) -> Iterator[dict[str, Any]]:
    before: Hop | None = None
    for number, hop in enumerate(envelope.hops):
        step: dict[str, Any] = {"step": f"hop {number}", "by": "", "key": hop.key_id.hex()}
        try:
            body = parse_body(hop.body, envelope.n)
        except Refused as refused:
            yield step | {"reason": refused.reason.value}
            return
        yield step | _hop_step(hop, body, before.hash if before else envelope.leaf, envelope, trust, now)
        before = hop


def _hop_step(hop: Hop, body: HopBody, prev: bytes, envelope: Envelope, trust: TrustView, now: int) -> dict[str, Any]:
    key = trust.key(body.releaser, hop.key_id, KeyUse.RELAY)
    fault = _fault(key, pae(HOP_TYPE, hop.body), hop.signature, KeyUse.RELAY)
    if fault is None and body.prev != prev:
        fault = Reason.HOP_PREV
    if fault is None and key is not None and not key.valid_at(body.minute * _MINUTE_MS):
        fault = Reason.HOP_KEY_WINDOW
    if fault is None and key is not None and key.revoked(now):
        fault = Reason.HOP_KEY_REVOKED
    return {
        "by": body.releaser,
        "to": body.audience,
        "kind": body.kind.value,
        "minute": Minute(body.minute),
        "tlp": body.tlp.name,
        "disclosed": body.mask_out.bit_count(),
        "withheld": sum(why.slots.bit_count() for why in body.reasons),
        "slots": envelope.n,
        "policy": f"{body.policy.id} {body.policy.version}" if body.policy.id else "",
        "policy_sha256": body.policy.sha256.hex(),
        "reason": fault.value if fault else "",
    }


def _fault(key: Key | None, message: bytes, signature: bytes, use: KeyUse) -> Reason | None:
    hop = use is KeyUse.RELAY
    if key is None:
        return Reason.HOP_KEY_UNKNOWN if hop else Reason.KEY_UNKNOWN
    if not verify_signature(key.public, message, signature):
        return Reason.HOP_SIGNATURE_INVALID if hop else Reason.SIGNATURE_INVALID
    return None


def _draw(found: dict[str, Any]) -> None:
    for step in found["steps"]:
        mark = "ok  " if not step["reason"] else "BAD "
        if step["step"] == "report":
            say(f"{mark} signed by {step['by']}: {step['signed']}, {step['slots']} fields")
        else:
            policy = f" under policy {step['policy']}" if step.get("policy") else ""
            say(f"{mark} {step['step']}: {step['by']} > {step.get('to', '?')}, {step.get('minute', '')}{policy}")
            if "disclosed" in step:
                say(
                    f"       {step['disclosed']} of {step['slots']} fields disclosed, {step['withheld']} withheld here,"
                    f" {step['tlp']}"
                )
        say(f"       key {fingerprint(bytes.fromhex(step['key']))}")
        if step.get("revoked"):
            say("       the key is revoked since; a report that was held before stays valid")
        if step["reason"]:
            say(f"       {step['reason']}")
    say(f"{'ok  ' if found['verdict'] == 'verified' else 'BAD '} the whole: {found['verdict']}")
