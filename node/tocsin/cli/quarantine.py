"""`tocsin quarantine …` and `tocsin resend`: rejected records at rest, and a reader's gap. Never any payload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.node import at_the_desk, in_one
from tocsin.cli.output import Moment, command, give, now_ms, rows, say
from tocsin.errors import InputError
from tocsin.flow import officer as acts
from tocsin.flow.rows import Quarantined, Resend
from tocsin.wire.reasons import RETRIABLE

if TYPE_CHECKING:
    from tocsin.flow.ports import Tx

Everything = Annotated[bool, typer.Option("--all", help="Also what was replayed or dropped.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")]
Source = Annotated[str | None, typer.Option("--source", help="Only what came from that party.")]
Row = Annotated[str, typer.Argument(metavar="TOPIC@OFFSET", help="As `quarantine list` shows it.")]
Rows = Annotated[list[str], typer.Argument(metavar="TOPIC@OFFSET...", help="As `quarantine list` shows them.")]
Reader = Annotated[str, typer.Argument(help=r"An entry of [\[reader]], or an audience.")]
From = Annotated[int, typer.Argument(metavar="FROM", min=1, help="The first seq.")]
To = Annotated[int, typer.Argument(metavar="TO", min=1, help="The last seq.")]


@command
async def list_rows(everything: Everything = False, source: Source = None, limit: Limit = 50) -> None:
    """Show the records that were rejected, oldest first."""
    async with at_the_desk() as desk:
        where: dict[str, Any] = {} if everything else {"state": ["HELD", "REPLAY"]}
        if source:
            where["source"] = source
        found = await in_one(
            desk.store, lambda tx: tx.find(Quarantined, where, order=("-at_ms", "-topic", "-offset"), limit=limit)
        )
    shown = [_line(row) for row in reversed(found)]
    rows(shown, empty="the quarantine is empty", columns=["record", "reason", "size", "state", "rejected"])


@command
async def show_row(record: Row) -> None:
    """Show one rejected record: where it is, why it was rejected, its size and hash; never its content."""
    async with at_the_desk() as desk:
        row = await in_one(desk.store, lambda tx: _find(tx, record))
    again = "when trust, schemas or the clock move" if row.reason in RETRIABLE else "only where an officer asks for it"
    give(
        _line(row)
        | {
            "source": row.source,
            "sha256": row.digest,
            "bytes_kept": row.kept,
            "tried_again": again,
        }
    )


@command
async def replay(records: Rows) -> None:
    """Have the running node try rejected records again, within seconds."""
    await _act(records, acts.replay)


@command
async def drop(records: Rows) -> None:
    """Let go of rejected records: their bytes go; place, reason and hash stay."""
    await _act(records, acts.drop)


@command
async def resend(reader: Reader, first: From, last: To) -> None:
    """Have the running node send a range of a reader's stream again: the same bytes under the same numbers."""
    async with at_the_desk() as desk:
        audience = next((r.audience for r in desk.config.readers if r.id == reader), reader)

        async def act(tx: Tx) -> Resend:
            return await acts.resend(tx, desk.setting.node, audience, first, last, now_ms())

        order = await in_one(desk.store, act)
    give({"topic": order.topic, "from": order.from_seq, "to": order.to_seq})
    say("the running node sends it within seconds")


async def _act(records: list[str], act: Callable[[Tx, Quarantined], Awaitable[Quarantined]]) -> None:
    async with at_the_desk() as desk:

        async def work(tx: Tx) -> list[Quarantined]:
            return [await act(tx, await _find(tx, text)) for text in records]

        done = await in_one(desk.store, work)
    for row in done:
        give({"record": _name(row), "state": row.state})


async def _find(tx: Tx, text: str) -> Quarantined:
    topic, at, offset = text.rpartition("@")
    if not at or not offset.isdecimal():
        remedy = "Write TOPIC@OFFSET, as `tocsin quarantine list` shows it"
        raise InputError(f"{text!r} names no record", remedy=remedy)
    found = (await tx.get(Quarantined, [(topic, int(offset))])).get((topic, int(offset)))
    if found is None:
        remedy = "`tocsin quarantine list --all` shows all there are"
        raise InputError(f"no rejected record is at {text}", remedy=remedy)
    return found


def _line(row: Quarantined) -> dict[str, Any]:
    return {
        "record": _name(row),
        "reason": row.reason,
        "size": row.size,
        "state": row.state,
        "rejected": Moment(row.at_ms),
    }


def _name(row: Quarantined) -> str:
    return f"{row.topic}@{row.offset}"
