"""What an officer may do, as rows that the running node picks up: each within the caller's transaction.

An officer gives an answer to a hold, takes more away than the policy does, dismisses a submission, has a rejected
record tried again or lets go of it, and has a reader's range sent again. Nothing here releases anything: that is
decided as ever (design 3).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

from tocsin.errors import InputError
from tocsin.flow import topics
from tocsin.flow.owed import owe
from tocsin.flow.ports import Tx
from tocsin.flow.rows import (
    APPROVED,
    REFUSED,
    SUPERSEDED,
    Copy,
    Hold,
    Outgoing,
    Outlet,
    Quarantined,
    Report,
    Resend,
    Submission,
    Withholding,
)
from tocsin.report.schema import Schema
from tocsin.wire.envelope import parse_envelope
from tocsin.wire.slots import mask_bytes


def hold_id(hold: Hold) -> str:
    """A short name for one hold, for people: 64 hexadecimal digits of which a few suffice."""
    name = f"{hold.leaf.hex()}/{hold.policy_version}/{hold.rule}/{hold.audience}"
    return hashlib.sha256(name.encode()).hexdigest()


async def answer_hold(tx: Tx, hold: Hold, *, approve: bool, officer: str, reason: str, now_ms: int) -> Hold:
    """Answer a hold, and have the release decided again. A refusal may be approved later; an approval is final."""
    _require_person(officer, reason)
    found = (await tx.get(Hold, [hold.key()])).get(hold.key(), hold)
    place = f"hold {hold_id(hold)[:12]}"
    if found.state == APPROVED:
        remedy = "What is sent cannot be taken back; `tocsin withhold` keeps back what is not sent yet"
        raise InputError(f"{found.officer} has approved it already", place=place, remedy=remedy)
    if found.state == SUPERSEDED:
        remedy = "`tocsin hold list` shows what the policy in force waits for"
        thing = "its incident was retracted, or another version of the policy has taken its place"
        raise InputError(thing, place=place, remedy=remedy)
    if found.state == REFUSED and not approve:
        remedy = "`tocsin hold approve` approves it after all"
        raise InputError(f"{found.officer} has refused it already", place=place, remedy=remedy)
    answered = dataclasses.replace(
        found,
        state=APPROVED if approve else REFUSED,
        officer=officer.strip(),
        reason=reason.strip(),
        answered_ms=now_ms,
    )
    await tx.put([answered, *owe([hold.leaf], [hold.audience], now_ms, answered.state)])
    return answered


async def withhold(
    tx: Tx,
    report: Report,
    schema: Schema,
    audience: str,
    fields: Iterable[str],
    *,
    audiences: Iterable[str],
    officer: str,
    reason: str,
    now_ms: int,
) -> Withholding:
    """Keep fields, with their finer rungs, of one report from one audience, besides what other acts keep.

    `audiences` are all that the policies name: what a public audience no longer gets also changes what the hops to
    others ask of whoever relays further, so every decision about the report is made again.
    """
    _require_person(officer, reason)
    named = set(audiences)
    if audience not in named:
        remedy = f"Known: {', '.join(sorted(named)) or 'none'}"
        raise InputError(f"no policy names the audience {audience!r}", place="--audience", remedy=remedy)
    slots = 0
    for name in fields:
        field = schema.named(name)
        if field is None:
            raise InputError(f"{schema.id} has no field {name!r}", remedy="`tocsin show` lists the fields of a report")
        slots |= sum(1 << i for i in (field.index, *schema.finer(field.index)))
    n = await _slots_of(tx, report)
    before = await tx.find(Withholding, {"leaf": report.leaf})
    at_ms = max([now_ms, *(row.at_ms + 1 for row in before)])  # each act stays, also two within a millisecond
    row = Withholding(report.leaf, audience, at_ms, mask_bytes(slots, n), officer.strip(), reason.strip())
    await tx.put([row, *owe([report.leaf], named, now_ms, "OFFICER")])
    return row


async def _slots_of(tx: Tx, report: Report) -> int:
    copies = await tx.find(Copy, {"leaf": report.leaf}, limit=1)
    if not copies:
        raise InputError("no copy of the report is held", place=report.leaf.hex()[:12])
    return parse_envelope(copies[0].framed).n


async def dismiss(tx: Tx, submission: Submission, *, officer: str, reason: str) -> Submission:
    """Take a submission that will not be issued out of the inbox; whoever thinks better of it issues it after all.

    The lab is told nothing: its receipt says ACCEPTED, which stays true, and no other decision of a receipt fits.
    """
    _require_person(officer, reason)
    place = submission.leaf.hex()[:12]
    if submission.state == "ISSUED":
        remedy = "`tocsin issue --follows ID --stage RETRACTION` retracts what it became"
        raise InputError("the submission is issued already", place=place, remedy=remedy)
    if submission.state == "DISMISSED":
        remedy = "`tocsin issue LEAF` issues it after all"
        raise InputError("the submission is dismissed already", place=place, remedy=remedy)
    dismissed = dataclasses.replace(submission, state="DISMISSED", basis=f"{officer.strip()}: {reason.strip()}")
    await tx.put([dismissed])
    return dismissed


async def replay(tx: Tx, row: Quarantined) -> Quarantined:
    """Have the node try a rejected record again, by the trust and the schemas of then."""
    if row.state not in {"HELD", "REPLAY"}:
        raise InputError(f"the record is {row.state}", place=_place(row), remedy="Only a record that is HELD is tried")
    asked = dataclasses.replace(row, state="REPLAY")
    await tx.put([asked])
    return asked


async def drop(tx: Tx, row: Quarantined) -> Quarantined:
    """Let go of a rejected record: its bytes go; coordinates, reason and hash stay."""
    if row.state == "REPLAYED":
        raise InputError("the record was accepted at its replay", place=_place(row))
    dropped = dataclasses.replace(row, state="DROPPED", kept=False, value=b"", record_key=b"", headers="[]")
    await tx.put([dropped])
    return dropped


async def resend(tx: Tx, node: str, audience: str, first: int, last: int, now_ms: int) -> Resend:
    """Order a range of a stream's present epoch to be sent again, the same bytes under the same seq."""
    topic = topics.stream(node, audience)
    outlet = (await tx.get(Outlet, [(topic,)])).get((topic,))
    if outlet is None:
        remedy = "`tocsin reader list` shows the audiences of readers"
        raise InputError(f"nothing was ever sealed for {audience!r}", place=topic, remedy=remedy)
    if not 1 <= first <= last <= outlet.seq:
        remedy = f"Its present epoch has 1 to {outlet.seq}" if outlet.seq else "Its present epoch has no record yet"
        raise InputError(f"{first} to {last} is no range of the stream", place=topic, remedy=remedy)
    if not await tx.find(Outgoing, {"topic": topic, "epoch": outlet.epoch, "seq": first, "statement": False}, limit=1):
        remedy = "[store] keep_days says how long it does"
        raise InputError(f"the store does not hold {first} any more", place=topic, remedy=remedy)
    order = Resend(topic, first, last, now_ms)
    await tx.put([order])
    return order


def _require_person(officer: str, reason: str) -> None:
    """An officer's act is accounted for by a name and a reason."""
    for value, option in ((officer, "--officer"), (reason, "--reason")):
        if not value.strip():
            raise InputError("an officer's act needs a name and a reason", place=option, remedy="Say who, and why")


def _place(row: Quarantined) -> str:
    return f"{row.topic} at {row.offset}"
