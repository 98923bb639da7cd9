"""`tocsin issue`: the officer's act that makes the national report from submissions (design 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.documents import named, read_document
from tocsin.cli.node import at_the_desk, find_report, find_submission, in_one, without_conflict
from tocsin.cli.output import OPTIONS, Id, command, give, now_ms, print_json, say
from tocsin.errors import InputError
from tocsin.flow.issue import Wanted
from tocsin.flow.opened import Opened
from tocsin.flow.rows import Copy
from tocsin.report.document import from_document, to_document
from tocsin.wire.header import Stage, Tlp

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx
    from tocsin.flow.rows import Report
    from tocsin.report.schema import Schema
    from tocsin.wire.header import Header

SCHEMA = "incident/1.0"

Leaves = Annotated[list[str] | None, typer.Argument(help="Submissions that it rests on (prefixes of their leaves).")]
With = Annotated[Path | None, typer.Option("--with", help="What the officer adds or corrects: JSON or TOML.")]
New = Annotated[Path | None, typer.Option("--new", help="A report that rests on no submission: JSON or TOML.")]
TlpName = Annotated[str | None, typer.Option("--tlp", help="CLEAR … RED. Default: the strictest of what it rests on.")]
Basis = Annotated[str, typer.Option("--basis", help="Legal basis for a TLP wider than a source's; the lab is told.")]
StageName = Annotated[str | None, typer.Option("--stage", help="INITIAL, UPDATE, FINAL or RETRACTION.")]
Follows = Annotated[str | None, typer.Option("--follows", help="The report or incident that it continues.")]
Exercise = Annotated[bool, typer.Option("--exercise", help="A drill: only audiences that accept drills get it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the report and what is wrong with it; sign nothing.")]


@dataclass(frozen=True, slots=True)
class _Held:
    """A report as all copies of it that verify show it together: what is known, and what none of them has."""

    leaf: bytes
    header: Header
    known: Mapping[str, Any]
    lost: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a report rests on: verified submissions, and the own revision that it continues."""

    sources: Sequence[_Held]
    previous: _Held | None

    @property
    def all(self) -> list[_Held]:
        return [*self.sources, *([self.previous] if self.previous else [])]


@command
async def issue(
    leaves: Leaves = None,
    officers: With = None,
    new: New = None,
    tlp: TlpName = None,
    basis: Basis = "",
    stage: StageName = None,
    follows: Follows = None,
    exercise: Exercise = False,
    dry_run: DryRun = False,
) -> None:
    """Issue a national report.

    Its values are those of its sources together (of the revision that it continues, for an update), with the officer's
    document over them; a null there takes a value away. Coarser rungs follow from finer ones by themselves.
    """
    if new is not None and (leaves or officers):
        raise InputError("--new is a report without submissions", remedy="Give what is to be added by --with instead")
    if not (leaves or new or follows):
        remedy = "Name submissions (`tocsin inbox`), or give --new FILE, or --follows ID"
        raise InputError("there is nothing to issue", remedy=remedy)
    document = read_document(path) if (path := new or officers) else {}
    async with at_the_desk() as desk:
        rests_on = await in_one(desk.store, lambda tx: _basis(desk, tx, leaves or [], follows))
        schema = desk.setting.schemas.exact(SCHEMA)
        assert schema is not None  # noqa: S101 - it comes with the software
        wanted_stage = named(stage, Stage.__members__, "--stage") if stage else None
        wanted_stage = Stage(wanted_stage or (Stage.UPDATE if follows else Stage.INITIAL))
        base = {} if wanted_stage is Stage.RETRACTION else _base(rests_on, schema, document)
        merged = {**base, **document}
        wanted = Wanted(
            values=from_document(merged, schema),
            tlp=Tlp[named(tlp, Tlp.__members__, "--tlp")] if tlp else _strictest(rests_on.all),
            stage=wanted_stage,
            sources=tuple(v.leaf for v in rests_on.sources),
            follows=rests_on.previous.leaf if rests_on.previous else None,
            exercise=_is_drill(rests_on.all, exercise=exercise),
            basis=basis.strip(),
        )
        if dry_run:
            _show_draft(wanted, schema)
            return
        issuing = await desk.issue()
        leaf = await without_conflict(lambda: issuing.issue(wanted, schema))
    give(
        {"issued": Id(leaf), "stage": wanted.stage, "tlp": wanted.tlp.name, "sources": [Id(s) for s in wanted.sources]}
    )
    say("the running node decides what of it goes to whom: `tocsin policy preview` shows what that is")


async def _basis(desk: Desk, tx: Tx, leaves: Sequence[str], follows: str | None) -> _Basis:
    opened, now = Opened(), now_ms()

    async def held(leaf: bytes) -> _Held:
        copies = [opened.open(copy, desk.setting, now) for copy in await tx.find(Copy, {"leaf": leaf})]
        good = [verified for verified in copies if verified is not None]
        if not good:
            raise InputError(
                "the report does not verify under today's trust view",
                place=leaf.hex()[:16],
                remedy="`tocsin trace` shows which signature it is",
            )
        fields = good[0].judged.schema.fields
        values = {fields[i].name: value for verified in good for i, value in verified.judged.values.items()}
        known = {name: value for name, value in values.items() if value is not None}
        return _Held(leaf, good[0].header, known, [of.name for of in fields if of.name not in values])

    meant = [(await find_submission(tx, text)).leaf for text in leaves]
    previous: Report | None = await find_report(tx, follows) if follows else None
    return _Basis([await held(leaf) for leaf in dict.fromkeys(meant)], await held(previous.leaf) if previous else None)


def _base(rests_on: _Basis, schema: Schema, document: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the new report starts from, as a document; what the officer's document says is not asked of it.

    `InputError` with every field on which the sources disagree: that is for the officer to decide.
    """
    if rests_on.previous is not None:
        _require_whole(rests_on.previous, schema, document)
    values = dict(rests_on.previous.known) if rests_on.previous else {}
    told = [source.known for source in rests_on.sources]
    disagreed = []
    for of in schema.fields:
        given = [one[of.name] for one in told if one.get(of.name) is not None]
        if not given:
            continue
        if of.is_set:
            members = {repr(member): member for value in given for member in value}
            values[of.name] = list(members.values())
        else:
            values[of.name] = given[0]
            if of.name not in document and any(value != given[0] for value in given):
                disagreed.append(of.name)
    said = [of.index for of in schema.fields if of.name in document]
    settled = {schema.fields[i].name for slot in said for i in (*schema.finer(slot), *schema.coarser(slot))}
    derived = {of.name for of in schema.fields if any(schema.fields[i].name in values for i in schema.finer(of.index))}
    disagreed = [name for name in disagreed if name not in settled | derived]
    if disagreed:
        remedy = "Say in a file by --with what the national report says, or null"
        raise InputError("the sources disagree on " + ", ".join(disagreed), remedy=remedy)
    return to_document({n: v for n, v in values.items() if n not in settled | derived}, schema)


def _require_whole(previous: _Held, schema: Schema, document: Mapping[str, Any]) -> None:
    """Of a report that came back from its topics some fields may be gone: nobody signs "unknown" over them unasked."""
    said = {of.index for of in schema.fields if of.name in document or of.name in previous.known}
    settled = said | {rung for slot in said for rung in schema.coarser(slot)}
    lost = [name for name in previous.lost if (of := schema.named(name)) and of.index not in settled]
    if lost:
        raise InputError(
            f"this node no longer holds these fields of the revision before: {', '.join(lost)}",
            place=previous.leaf.hex()[:16],
            remedy="Say each in a file by --with: its value, or null where it is not known",
        )


def _strictest(reports: Sequence[_Held]) -> Tlp:
    return max((v.header.tlp for v in reports), default=Tlp.AMBER)


def _is_drill(reports: Sequence[_Held], *, exercise: bool) -> bool:
    """A drill stays a drill, and never mixes with what happened."""
    kinds = {v.header.exercise for v in reports} | ({True} if exercise else set())
    if len(kinds) > 1:
        raise InputError(
            "a drill and a real report cannot become one report", remedy="Issue drills apart, by --exercise"
        )
    return kinds == {True}


def _show_draft(wanted: Wanted, schema: Schema) -> None:
    shown = {name: value for name, value in to_document(wanted.values, schema).items() if value is not None}
    if OPTIONS.json:
        print_json({"stage": wanted.stage, "tlp": wanted.tlp.name, "exercise": wanted.exercise, "values": shown})
        return
    give({"stage": wanted.stage, "tlp": wanted.tlp.name, "exercise": wanted.exercise, **shown})
    say("nothing was signed")
