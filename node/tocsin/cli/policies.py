"""`tocsin policy explain | preview | validate`: through the very decision of the release (design 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.node import at_the_desk, find_report, in_one
from tocsin.cli.output import (
    DONE,
    FAILED,
    OPTIONS,
    SHORT,
    Minute,
    command,
    needing,
    now_ms,
    print_json,
    say,
)
from tocsin.config import load
from tocsin.errors import InputError
from tocsin.flow.decide import Explanation, Nothing, explain
from tocsin.flow.facts import Facts
from tocsin.flow.opened import Opened
from tocsin.packaged import published_schemas
from tocsin.policy.explain import Because, FieldLine
from tocsin.policy.invariants import hop_minute
from tocsin.policy.language import schema_of, validate
from tocsin.policy.question import Question
from tocsin.wire.header import Tlp
from tocsin.wire.hop import AudienceKind, allowed

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx
    from tocsin.report.schema import KnownSchemas

_WHY = {
    "POLICY": "no policy for this schema is loaded and in force",
    "CHAIN": "the chain that brought it cannot be continued by this node: a submission never goes onward, nor does an own "
    "report that was read back after a restore",
    "AUDIENCE": "the policy does not name the audience, nobody trusts it with that kind, or it had the report before",
    "STOPPED": "it is retracted, or two reports claim this revision",
    "EXERCISE": "a drill, and this audience accepts none",
    "HANDLING": "its TLP forbids this hop",
    "NO_SLOT": "no field of it is given",
}

ReportId = Annotated[str, typer.Argument(metavar="ID", help="A prefix of the report's leaf, or of its incident.")]
Audience = Annotated[str, typer.Option("--audience", help="Whom it would be for.")]
File = Annotated[Path, typer.Argument(help="The policy's TOML.", exists=True, dir_okay=False)]


@command
async def explain_report(report: ReportId, audience: Audience) -> None:
    """Explain, field by field, which rule gives or takes it for one audience, now and later."""
    async with at_the_desk() as desk:
        answers = await in_one(desk.store, lambda tx: _explained(desk, tx, report, [audience]))
    for question, found in answers:
        if OPTIONS.json:
            print_json(_outcome(question, found) | {"fields": [_field(line) for line in found.fields]})
            continue
        _say_outcome(question, found, fields=False)
        if question.policy is not None and audience not in question.policy.audiences:
            say(f"  the policy names {', '.join(sorted(question.policy.audiences)) or 'nobody'}")
            continue
        for line in _grouped(question, found.fields):
            say(line)


@command
async def preview(report: ReportId) -> None:
    """Show what each audience would get of a report if it were decided now; nothing is sent."""
    async with at_the_desk() as desk:
        audiences = sorted(desk.setting.audiences())
        if not audiences:
            raise InputError("no policy names any audience", remedy="Nothing is released without one: see [[policy]]")
        answers = await in_one(desk.store, lambda tx: _explained(desk, tx, report, audiences))
    if OPTIONS.json:
        for question, found in answers:
            print_json(_outcome(question, found))
        return
    for number, (question, found) in enumerate(answers):
        if number:
            say("")
        _say_outcome(question, found)


@command
async def validate_file(file: File) -> int:
    """Say everything that is wrong with a policy, with line and column; exit code 1 if anything is."""
    text = file.read_bytes()
    named = schema_of(text)
    problems = validate(text, _schemas().exact(named or ""))
    if OPTIONS.json:
        found = [{"line": p.line, "column": p.column, "thing": p.thing, "remedy": p.remedy} for p in problems]
        print_json({"file": str(file), "valid": not problems, "problems": found})
    for problem in problems:
        remedy = f". {problem.remedy}" if problem.remedy else ""
        say(f"{file}:{problem.line}:{problem.column}: {problem.thing}{remedy}", whole=True)
    if not problems:
        say(f"{file}: valid, for {named}")
    return FAILED if problems else DONE


async def _explained(desk: Desk, tx: Tx, text: str, audiences: Sequence[str]) -> list[tuple[Question, Explanation]]:
    """For each audience and each chain that brought the report: what would be decided now."""
    report, now, opened = await find_report(tx, text), now_ms(), Opened()
    facts = await Facts.load(tx, [(report.leaf, audience) for audience in audiences])
    verified = [(copy, opened.open(copy, desk.setting, now)) for copy in facts.copies[report.leaf]]
    if not any(one for _, one in verified):
        raise InputError(
            "no copy of the report verifies under today's trust view: nothing of it is sent",
            place=report.leaf.hex()[:SHORT],
            remedy="`tocsin trace` shows which signature it is",
        )
    questions = [
        facts.question(desk.setting, copy, one, audience, now)
        for audience in audiences
        for copy, one in verified
        if one is not None
    ]
    return [(question, explain(question)) for question in questions]


def _outcome(question: Question, found: Explanation) -> dict[str, Any]:
    outcome = found.outcome
    told: dict[str, Any] = {
        "audience": question.audience,
        "came_by": [hop.releaser for hop in question.chain],
        "policy": f"{question.policy.id} {question.policy.version}" if question.policy else "",
        "next": Minute(outcome.next) if outcome.next is not None else None,
        "open_holds": list(outcome.open_holds),
    }
    if isinstance(outcome, Nothing):
        return told | {"nothing": outcome.why.value}
    body = outcome.body
    return told | {
        "tlp": body.tlp.name,
        "disclosed": _names(question, body.mask_out),
        "withheld": [
            {
                "fields": _names(question, why.slots),
                "why": why.code.value,
                "until": Minute(why.until) if why.until else "",
                "rule": why.rule,
            }
            for why in body.reasons
        ],
        "limits": [
            {"kind": entry.kind.value, "until": Minute(entry.until), "fields": _names(question, entry.slots)}
            for entry in body.limits
        ],
    }


def _say_outcome(question: Question, found: Explanation, *, fields: bool = True) -> None:
    told = _outcome(question, found)
    by = " > ".join(told["came_by"]) or "issued here"
    if "nothing" in told:
        say(f"{told['audience']}: nothing, {told['nothing']} ({_WHY[told['nothing']]}); came by: {by}")
    else:
        count = len(told["disclosed"])
        say(f"{told['audience']}: {count} fields at {told['tlp']}, policy {told['policy']}; came by: {by}")
        if fields:
            say("  gets " + (_listed(question, told["disclosed"]) or "no field: only the word that it is retracted"))
            for line in _reason_lines(question, told):
                say("  " + line)
    if told["open_holds"]:
        say(f"  an officer's answer is awaited on: {', '.join(told['open_holds'])} (`tocsin hold list`)")
    if told["next"]:
        say(f"  by time alone it changes at {told['next']}")


def _reason_lines(question: Question, told: dict[str, Any]) -> Iterator[str]:
    for why in told["withheld"]:
        until = f" until {why['until']}" if why["until"] else ""
        rule = f" by {why['rule']}" if why["rule"] else ""
        yield f"{why['why'].lower()}{until}{rule}: {_listed(question, why['fields'])}"
    kinds: dict[tuple[Minute, str], list[str]] = {}
    place = len(question.chain) + 1
    open_to = {k.value for k in AudienceKind if allowed(Tlp[told["tlp"]], k, place, empty_retraction=False)}
    if open_to < {kind.value for kind in AudienceKind}:
        whom = ", ".join(kind.value for kind in AudienceKind if kind.value in open_to)
        yield f"by its TLP, {told['tlp']}, it may be passed on to {whom or 'nobody'}" + (" alone" if whom else "")
    for limit in told["limits"]:
        if limit["kind"] not in open_to:
            continue
        whole = limit["fields"] == told["disclosed"]
        what = "nothing" if whole and limit["until"].moment() is None else _listed(question, limit["fields"])
        kinds.setdefault((limit["until"], what), []).append(limit["kind"])
    for (moment, what), named in kinds.items():
        if what == "nothing":
            yield f"may pass nothing of it on to {', '.join(named)}"
        else:
            yield f"may pass on to {', '.join(named)} {f'from {moment}' if moment.moment() else moment}: {what}"


def _listed(question: Question, names: Sequence[str]) -> str:
    """The fields that say something; those that the origin left null are only counted."""
    nulls = {name for name in names if (of := question.schema.named(name)) and question.slots[of.index] is None}
    said = ", ".join(name for name in names if name not in nulls)
    count = f"{len(nulls)} that the origin left unknown" if nulls else ""
    return f"{said}, and {count}" if said and count else said or count


def _grouped(question: Question, lines: Sequence[FieldLine]) -> Iterator[str]:
    """Fields that stand alike, under what gives or takes them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        given = "given" if line.given else "not given" if line.since is None else f"from {Minute(line.since)}"
        words = [line.barrier] if line.barrier else []
        words += [_because(b, hop_minute(question)) for b in line.because] or ["no rule that matches names it"]
        groups.setdefault((given, "; ".join(words)), []).append(line.field)
    for (given, because), names in groups.items():
        yield f"\n{given}: {because}"
        valued = [n for n in names if (of := question.schema.named(n)) and question.slots[of.index] is not None]
        if valued:
            yield "  " + ", ".join(valued)
        if len(valued) < len(names):
            yield "  unknown to the origin: " + ", ".join(name for name in names if name not in valued)


def _names(question: Question, slots: int) -> list[str]:
    fields = question.schema.fields
    return [fields[i].name if i < len(fields) else f"slot {i}" for i in range(slots.bit_length()) if slots >> i & 1]


def _field(line: FieldLine) -> dict[str, Any]:
    return {
        "field": line.field,
        "given": line.given,
        "since": Minute(line.since) if line.since is not None else None,
        "barrier": line.barrier,
        "because": [
            {
                "rule": b.rule,
                "effect": b.effect.value,
                "sure": b.sure,
                "moment": Minute(b.moment) if b.moment is not None else None,
                "answer": b.answer,
                "basis": b.basis,
            }
            for b in line.because
        ],
    }


def _because(b: Because, now: int) -> str:
    word = {"GRANT": "given by", "FOREVER": "withheld by", "EMBARGO": "embargoed by", "HOLD": "held by"}[b.effect.value]
    said = f"{word} {b.rule}"
    if b.moment is not None and b.moment > now:
        said += f" {'until' if b.effect.value == 'EMBARGO' else 'from'} {Minute(b.moment)}"
    if b.effect.value == "HOLD":
        said += f" ({b.answer or 'open'})"
    return said if b.sure else f"{said} (its condition is not known)"


def _schemas() -> KnownSchemas:
    """The published schemas, and those of the node's configuration where there is one."""
    if not OPTIONS.config.is_file():
        return published_schemas()
    with needing("node"):
        from tocsin.desk import read_schemas  # noqa: PLC0415 - a policy's author needs no node
    return read_schemas(load(OPTIONS.config))
