"""`tocsin hold …` and `tocsin withhold`: what an officer answers, and what an officer keeps back beyond the policy."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.node import at_the_desk, by_prefix, find_report, in_one
from tocsin.cli.output import Id, Moment, command, give, now_ms, rows, say
from tocsin.flow import officer as acts
from tocsin.flow.decide import explain
from tocsin.flow.facts import Facts
from tocsin.flow.opened import Opened
from tocsin.flow.rows import ANSWERED, OPEN, Decided, Hold, Report, Withholding
from tocsin.report.schema import Schema
from tocsin.wire.header import Tlp
from tocsin.wire.slots import mask_bits

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx

Answered = Annotated[bool, typer.Option("--all", help="Also those that are answered or superseded.")]
HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="A prefix of the hold's id, as `hold list` shows it.")]
HoldIds = Annotated[list[str], typer.Argument(metavar="HOLD...", help="Prefixes of holds' ids.")]
Officer = Annotated[str, typer.Option("--officer", envvar="TOCSIN_OFFICER", help="Who acts: a name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why: kept with the act.")]
ReportId = Annotated[str, typer.Argument(metavar="ID", help="A prefix of the report's leaf, or of its incident.")]
Fields = Annotated[list[str], typer.Argument(help="Fields to keep back, with their finer rungs.")]
Audience = Annotated[str, typer.Option("--audience", help="From whom.")]


@command
async def list_holds(answered: Answered = False) -> None:
    """Show the holds that wait for an officer, the most urgent first."""
    async with at_the_desk() as desk:

        async def look(tx: Tx) -> list[dict[str, Any]]:
            holds = await tx.find(Hold, {} if answered else {"state": OPEN}, order=("due_ms", "leaf"))
            reports = await tx.get(Report, [(hold.leaf,) for hold in holds])
            return [_row(hold, reports[hold.leaf,]) for hold in holds]

        found = await in_one(desk.store, look)
    columns = ["id", "leaf", "origin", "audience", "rule", "due"]
    rows(found, empty="no hold waits", columns=[*columns[:-1], "state"] if answered else columns)


@command
async def show_hold(hold: HoldId) -> None:
    """Show a hold: the report, and which fields the audience gets only once it is approved."""
    async with at_the_desk() as desk:
        data = await in_one(desk.store, lambda tx: _look(desk, tx, hold))
    give(data)
    if data["state"] == OPEN:
        short = data["id"][:12]
        say(f"\ntocsin hold approve {short} --officer NAME --reason WHY    (or refuse)")


@command
async def approve(holds: HoldIds, officer: Officer, reason: Reason) -> None:
    """Approve holds: what they alone kept back is then released, embargoes apart."""
    await _answer(holds, approve=True, officer=officer, reason=reason)


@command
async def refuse(holds: HoldIds, officer: Officer, reason: Reason) -> None:
    """Refuse holds: what they keep back stays back, until somebody approves after all."""
    await _answer(holds, approve=False, officer=officer, reason=reason)


@command
async def withhold(report: ReportId, fields: Fields, audience: Audience, officer: Officer, reason: Reason) -> None:
    """Keep fields of one report from one audience, beyond the policy; what is sent already cannot be taken back."""
    async with at_the_desk() as desk:

        async def act(tx: Tx) -> tuple[Withholding, Schema, int]:
            found = await find_report(tx, report)
            schema = _schema(desk, found)
            row = await acts.withhold(
                tx,
                found,
                schema,
                audience,
                fields,
                audiences=desk.setting.audiences(),
                officer=officer,
                reason=reason,
                now_ms=now_ms(),
            )
            where = {"incident": found.incident, "origin": found.origin, "leaf": found.leaf, "audience": audience}
            sent = [_bits(decided.mask) for decided in await tx.find(Decided, where)]
            return row, schema, reduce(or_, sent, 0)

        row, schema, sent = await in_one(desk.store, act)
    kept = _bits(row.slots)
    names = [f.name for f in schema.fields if kept >> f.index & 1]
    late = [f.name for f in schema.fields if (kept & sent) >> f.index & 1]
    told = {"leaf": Id(row.leaf), "audience": row.audience, "withheld": names, "officer": row.officer}
    give(told | {"sent_already": late} if late else told)


async def _answer(holds: list[str], *, approve: bool, officer: str, reason: str) -> None:
    async with at_the_desk() as desk:

        async def act(tx: Tx) -> list[Hold]:
            named = [await _find(tx, text) for text in holds]
            return [
                await acts.answer_hold(tx, one, approve=approve, officer=officer, reason=reason, now_ms=now_ms())
                for one in named
            ]

        answered = await in_one(desk.store, act)
    for one in answered:
        give({"id": _id(one), "state": one.state, "audience": one.audience, "rule": one.rule})


async def _find(tx: Tx, text: str) -> Hold:
    holds = await tx.find(Hold, {})
    return by_prefix(text, [(acts.hold_id(h), h) for h in holds], "hold", "`tocsin hold list --all` shows them")


async def _look(desk: Desk, tx: Tx, text: str) -> dict[str, Any]:
    hold = await _find(tx, text)
    report = (await tx.get(Report, [(hold.leaf,)]))[hold.leaf,]
    data = _row(hold, report) | {"id": acts.hold_id(hold), "leaf": hold.leaf, "stage": report.stage}
    data |= {"tlp": Tlp(report.tlp).name, "policy_version": hold.policy_version}
    facts, opened, now = await Facts.load(tx, [(hold.leaf, hold.audience)]), Opened(), now_ms()
    kept: list[str] = []
    basis = ""
    for copy in facts.copies[hold.leaf]:
        verified = opened.open(copy, desk.setting, now)
        if verified is None:
            continue
        question = facts.question(desk.setting, copy, verified, hold.audience, now)
        if hold.state == OPEN and question.policy is not None and question.policy.version != hold.policy_version:
            data["superseded"] = (
                f"version {question.policy.version} is in force; an answer to this hold changes nothing"
            )
        for line in explain(question).fields:
            because = next((b for b in line.because if b.rule == hold.rule), None)
            if because is not None and not line.barrier and line.field not in kept:
                kept.append(line.field)
                basis = because.basis
    data |= {"keeps_back": kept, "basis": basis}
    if hold.state in ANSWERED:
        data |= {"officer": hold.officer, "reason": hold.reason, "answered": Moment(hold.answered_ms)}
    return data


def _row(hold: Hold, report: Report) -> dict[str, Any]:
    return {
        "id": _id(hold),
        "leaf": Id(hold.leaf),
        "origin": report.origin,
        "audience": hold.audience,
        "rule": hold.rule,
        "state": hold.state,
        "opened": Moment(hold.opened_ms),
        "due": Moment(hold.due_ms),
        "overdue": hold.state == OPEN and hold.due_ms <= now_ms(),
    }


def _id(hold: Hold) -> Id:
    return Id(bytes.fromhex(acts.hold_id(hold)))


def _bits(mask: bytes) -> int:
    return mask_bits(mask, 8 * len(mask))


def _schema(desk: Desk, report: Report) -> Schema:
    name, _, version = report.schema.partition("/")
    found = desk.setting.schemas.exact(report.schema) or desk.setting.schemas.latest(name, int(version.split(".")[0]))
    assert found is not None  # noqa: S101 - a report of an unknown schema is not accepted
    return found
