"""`tocsin inbox`, `tocsin dismiss`, `tocsin list`: what waits for an officer, what will not be issued, what is held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.holds import Officer, Reason
from tocsin.cli.node import at_the_desk, find_submission, in_one
from tocsin.cli.output import Id, Marked, Moment, command, give, now_ms, rows, say
from tocsin.flow import officer as acts
from tocsin.flow.opened import Opened
from tocsin.flow.rows import Copy, Report, Submission
from tocsin.report.texts import date_text
from tocsin.wire.header import Stage, Tlp

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx

Leaves = Annotated[list[str], typer.Argument(metavar="LEAF...", help="Submissions, by prefixes of their leaves.")]
Everything = Annotated[bool, typer.Option("--all", help="Also those that are issued or dismissed.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")]
Origin = Annotated[str | None, typer.Option("--origin", help="Only reports of that party.")]
Own = Annotated[bool, typer.Option("--own", help="Only the reports that this node issued.")]


@command
async def inbox(everything: Everything = False, limit: Limit = 50) -> None:
    """Show the labs' submissions that wait to be issued, oldest first."""
    async with at_the_desk() as desk:

        async def look(tx: Tx) -> list[dict[str, Any]]:
            where = {} if everything else {"state": "NEW"}
            found = await tx.find(Submission, where, order=("-received_ms",), limit=limit)
            reports = await tx.get(Report, [(s.leaf,) for s in found])
            shown = await _values(desk, tx, [s.leaf for s in found])
            retracted = await _retracted(tx, reports.values())
            return [
                {
                    "leaf": Id(s.leaf),
                    "lab": s.lab,
                    "received": Moment(s.received_ms),
                    "tlp": Tlp(reports[s.leaf,].tlp).name,
                    "severity": shown.get(s.leaf, {}).get("severity"),
                    "state": s.state,
                    "dismissed": s.basis if s.state == "DISMISSED" else "",
                    "report": Id(s.report) if s.report else "",
                    "stage": reports[s.leaf,].stage,
                    "retracted": s.leaf in retracted,
                    "exercise": reports[s.leaf,].exercise,
                    "title": Marked(
                        shown.get(s.leaf, {}).get("title"),
                        _marks(reports[s.leaf,], retracted, stage=True),
                    ),
                }
                for s in reversed(found)
            ]

        found = await in_one(desk.store, look)
    columns = ["leaf", "lab", "received", "tlp", "state" if everything else "severity", "title"]
    rows(found, empty="nothing waits to be issued", columns=columns)
    for row in found:
        if row["dismissed"]:
            say(f"{row['leaf']} was dismissed by {row['dismissed']}")


@command
async def dismiss(leaves: Leaves, officer: Officer, reason: Reason) -> None:
    """Take submissions that will not be issued out of the inbox; the lab is not told: no receipt says it."""
    async with at_the_desk() as desk:

        async def act(tx: Tx) -> list[Submission]:
            meant = [await find_submission(tx, text) for text in leaves]
            return [await acts.dismiss(tx, one, officer=officer, reason=reason) for one in meant]

        dismissed = await in_one(desk.store, act)
    for one in dismissed:
        give({"leaf": Id(one.leaf), "lab": one.lab, "state": one.state})


@command
async def list_reports(origin: Origin = None, own: Own = False, limit: Limit = 50) -> None:
    """Show the reports that are held, oldest first; submissions are in `inbox`."""
    async with at_the_desk() as desk:
        wanted = desk.setting.node if own else origin

        async def look(tx: Tx) -> list[dict[str, Any]]:
            found = await _newest(desk, tx, wanted, limit)
            shown = await _values(desk, tx, [r.leaf for r in found])
            retracted = await _retracted(tx, found)
            return [
                {
                    "leaf": Id(r.leaf),
                    "incident": Id(r.incident),
                    "origin": r.origin,
                    "revision": r.revision,
                    "stage": r.stage,
                    "tlp": Tlp(r.tlp).name,
                    "created": date_text(r.created_day),
                    "accepted": Moment(r.accepted_ms),
                    "retracted": r.leaf in retracted,
                    "exercise": r.exercise,
                    "title": Marked(shown.get(r.leaf, {}).get("title", "(withheld)"), _marks(r, retracted)),
                }
                for r in reversed(found)
            ]

        found = await in_one(desk.store, look)
    rows(found, empty="no report is held", columns=["leaf", "origin", "stage", "tlp", "created", "title"])


async def _newest(desk: Desk, tx: Tx, origin: str | None, limit: int) -> list[Report]:
    """The newest reports of an origin, or of everybody but labs. What labs sent stands between: if need be, more is read."""
    most = limit
    while True:
        found = await tx.find(Report, {"origin": origin} if origin else {}, order=("-accepted_ms", "-leaf"), limit=most)
        wanted = [r for r in found if origin or r.origin not in desk.setting.labs]
        if len(wanted) >= limit or len(found) < most:
            return wanted[:limit]
        most *= 4


async def _retracted(tx: Tx, reports: Iterable[Report]) -> set[bytes]:
    """The leaves of those whose incident another report retracts."""
    meant = {r.leaf: (r.origin, r.incident) for r in reports if r.stage != Stage.RETRACTION}
    origins, incidents = {origin for origin, _ in meant.values()}, {incident for _, incident in meant.values()}
    found = await tx.find(Report, {"retracts": sorted(incidents), "origin": sorted(origins)}) if meant else []
    retracted = {(r.origin, r.incident) for r in found}
    return {leaf for leaf, incident in meant.items() if incident in retracted}


def _marks(report: Report, retracted: Collection[bytes], *, stage: bool = False) -> tuple[str, ...]:
    """What nobody may overlook at a glance."""
    marks = [report.stage.lower()] if stage and report.stage != Stage.INITIAL else []
    marks += ["retracted"] if report.leaf in retracted else []
    return (*marks, "drill") if report.exercise else tuple(marks)


async def _values(desk: Desk, tx: Tx, leaves: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
    """Per leaf, the disclosed values by field name, of all copies together."""
    opened, now = Opened(), now_ms()
    shown: dict[bytes, dict[str, Any]] = {}
    for copy in await tx.find(Copy, {"leaf": list(leaves)}) if leaves else ():
        verified = opened.open(copy, desk.setting, now)
        if verified is not None:
            names = verified.judged.schema.fields
            shown.setdefault(copy.leaf, {}).update({names[i].name: v for i, v in verified.judged.values.items()})
    return shown
