"""`tocsin show`: which fields of a report are known, which are withheld, by whom and why; and what was sent to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.node import at_the_desk, find_report, in_one
from tocsin.cli.output import OPTIONS, Id, Minute, Moment, command, give, now_ms, print_json, rows, say
from tocsin.flow.opened import Opened
from tocsin.flow.ports import Between
from tocsin.flow.rows import Copy, Decided, Hold, Report, Submission, Withholding
from tocsin.reader.seen import Seen, seen_of
from tocsin.report.texts import date_text
from tocsin.wire.envelope import parse_envelope
from tocsin.wire.header import Tlp
from tocsin.wire.hop import parse_body
from tocsin.wire.slots import mask_bits

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx
    from tocsin.report.schema import Schema

ReportId = Annotated[str, typer.Argument(metavar="ID", help="A prefix of the report's leaf, or of its incident.")]


@command
async def show(report: ReportId) -> None:
    """Show a report: its fields, what is withheld, by whom and why, its copies, and what was sent to whom."""
    async with at_the_desk() as desk:
        data = await in_one(desk.store, lambda tx: _look(desk, tx, report))
    if OPTIONS.json:
        print_json(data)
        return
    about = dict(data["report"])
    if "unknown" in about:
        about["unknown"] = f"{len(about['unknown'])} fields, by the origin's own word"
    give(about)
    say("")
    verifies = any(copy["verifies"] for copy in data["copies"])
    empty = "no field has a value" if verifies else "no copy verifies under today's trust view"
    rows(data["fields"], empty=empty, columns=["field", "value"])
    say("")
    if verifies:
        columns = ["withheld", "by", "why", "until", "rule"]
        rows(data["withheld"], empty="nothing of it is withheld from us", columns=columns)
    _more("copies", data["copies"], ["came_by", "accepted", "fields", "tlp", "verifies"])
    _more("sent", data["decisions"], ["audience", "seq", "decided", "fields", "withheld", "cause", "policy"])
    _more("holds", data["holds"], ["audience", "rule", "state", "officer", "reason"])
    _more("withheld by officers", data["officers"], ["audience", "fields", "officer", "reason"])


def _more(title: str, found: list[dict[str, Any]], columns: list[str]) -> None:
    if found:
        say(f"\n{title}")
        rows(found, empty="", columns=columns)


async def _look(desk: Desk, tx: Tx, text: str) -> dict[str, Any]:
    report = await find_report(tx, text)
    opened, now = Opened(), now_ms()
    copies: list[tuple[Copy, Seen | None]] = []
    for copy in await tx.find(Copy, {"leaf": report.leaf}, order=("accepted_ms", "chain")):
        verified = opened.open(copy, desk.setting, now)
        copies.append((copy, seen_of(verified) if verified else None))
    seen = [one for _, one in copies if one is not None]
    fields = {name: value for one in seen for name, value in one.fields.items()}
    schema = desk.setting.schemas.exact(report.schema) or desk.setting.schemas.latest(report.schema.split("/")[0], 1)
    order = [f.name for f in schema.fields] if schema else sorted(fields)
    known = [name for name in order if fields.get(name) is not None]
    nulls = [name for name in order if name in fields and fields[name] is None]
    return {
        "report": await _about(tx, report, nulls),
        "fields": [{"field": name, "value": fields[name]} for name in known],
        "withheld": _withheld(seen, set(fields)),
        "copies": [_copy(copy, one) for copy, one in copies],
        "decisions": await _decisions(tx, report, schema),
        "holds": [
            {"audience": h.audience, "rule": h.rule, "state": h.state, "officer": h.officer, "reason": h.reason}
            for h in await tx.find(Hold, {"leaf": report.leaf})
        ],
        "officers": await _officers(tx, report, schema),
    }


async def _about(tx: Tx, report: Report, nulls: list[str]) -> dict[str, Any]:
    about: dict[str, Any] = {
        "leaf": report.leaf,
        "incident": report.incident,
        "origin": report.origin,
        "revision": report.revision,
        "stage": report.stage,
        "tlp": Tlp(report.tlp).name,
        "created": date_text(report.created_day),
        "accepted": Moment(report.accepted_ms),
        "schema": report.schema,
    }
    if report.exercise:
        about["exercise"] = True
    if report.revision:
        about["follows"] = Id(report.prev)
    of_incident = {"incident": report.incident, "origin": report.origin, "revision": Between(low=report.revision + 1)}
    newer = await tx.find(Report, of_incident, order=("-revision",), limit=1)
    if newer:
        about["newest_revision"] = Id(newer[0].leaf)
    retractions = await tx.find(Report, {"retracts": report.incident, "origin": report.origin}, limit=1)
    if retractions and retractions[0].leaf != report.leaf:
        about["retracted_by"] = Id(retractions[0].leaf)
    submission = (await tx.get(Submission, [(report.leaf,)])).get((report.leaf,))
    if submission:
        about["submission"] = submission.state
    if submission and submission.report:
        about["issued_as"] = submission.report
    if nulls:
        about["unknown"] = nulls  # the origin says that it does not know, or that it does not apply
    return about


def _withheld(seen: list[Seen], shown: set[str]) -> list[dict[str, Any]]:
    """What no copy shows, as each chain that brought a copy says."""
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for one in seen:
        for w in one.withheld:
            if w.name not in shown:
                until = "" if w.until is None else Moment(int(w.until.timestamp() * 1000))
                row = {"withheld": w.name, "by": w.by, "why": w.code.value, "until": until, "rule": w.rule}
                found[w.name, w.by, w.code.value, w.rule] = row
    return list(found.values())


def _copy(copy: Copy, seen: Seen | None) -> dict[str, Any]:
    if seen is None:
        return {"came_by": copy.releaser, "accepted": Moment(copy.accepted_ms), "verifies": False}
    last = seen.hops[-1] if seen.hops else None
    return {
        "came_by": " > ".join(hop.releaser for hop in seen.hops) if seen.hops else "issued here",
        "accepted": Moment(copy.accepted_ms),
        "fields": f"{len(seen.fields)} of {len(seen.fields) + len(seen.withheld) + len(seen.unreadable)}",
        "unreadable": list(seen.unreadable),
        "tlp": last.tlp.name if last else seen.header.tlp.name,
        "policy": f"{last.policy.id} {last.policy.version}" if last and last.policy.id else "",
        "verifies": True,
    }


async def _decisions(tx: Tx, report: Report, schema: Schema | None) -> list[dict[str, Any]]:
    found = []
    n = await _slots(tx, report)
    of = {"incident": report.incident, "origin": report.origin, "leaf": report.leaf}  # there is an index of incidents
    for row in await tx.find(Decided, of, order=("decided_ms", "audience")):
        body = parse_body(row.body, n)
        held_back = [
            {
                "fields": _names(why.slots, schema),
                "why": why.code.value,
                "until": Minute(why.until) if why.until else "",
                "rule": why.rule,
            }
            for why in body.reasons
        ]
        found.append(
            {
                "audience": row.audience,
                "epoch": row.epoch,
                "seq": row.seq,
                "decided": Moment(row.decided_ms),
                "fields": body.mask_out.bit_count(),
                "withheld": sum(why.slots.bit_count() for why in body.reasons),
                "cause": row.cause,
                "policy": f"{body.policy.id} {body.policy.version}",
                "tlp": body.tlp.name,
                "disclosed": _names(body.mask_out, schema),
                "reasons": held_back,
                "hop": Id(row.hop),
            }
        )
    return found


async def _officers(tx: Tx, report: Report, schema: Schema | None) -> list[dict[str, Any]]:
    n = await _slots(tx, report)
    return [
        {
            "audience": row.audience,
            "fields": _names(mask_bits(row.slots, n), schema),
            "officer": row.officer,
            "reason": row.reason,
            "at": Moment(row.at_ms),
        }
        for row in await tx.find(Withholding, {"leaf": report.leaf}, order=("at_ms",))
    ]


async def _slots(tx: Tx, report: Report) -> int:
    copies = await tx.find(Copy, {"leaf": report.leaf}, limit=1)
    return parse_envelope(copies[0].framed).n if copies else 0


def _names(slots: int, schema: Schema | None) -> list[str]:
    known = schema.fields if schema else ()
    return [known[i].name if i < len(known) else f"slot {i}" for i in range(slots.bit_length()) if slots >> i & 1]
