"""`tocsin watch`: a stream as it goes out, or with --reader as it comes in, one line per report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.node import at_the_desk, in_one
from tocsin.cli.output import OPTIONS, SHORT, Id, Moment, command, now_ms, print_json, say
from tocsin.errors import InputError
from tocsin.flow import topics
from tocsin.flow.ports import Between
from tocsin.flow.rows import Outgoing, Outlet
from tocsin.reader.seen import Seen, seen_of
from tocsin.wire.verify import Rejected, verify

if TYPE_CHECKING:
    from tocsin.desk import Desk
    from tocsin.flow.ports import Tx

POLL_S = 0.5
BATCH = 200
_COLUMNS = 80

Audience = Annotated[str | None, typer.Argument(help="Whose stream of this node: a reader's id, public, community-….")]
ReaderFile = Annotated[
    Path | None, typer.Option("--reader", help="A reader's TOML: watch that stream by its own client.", exists=True)
]
Last = Annotated[int, typer.Option("--last", "-n", min=0, help="Begin with so many that are there already.")]
Once = Annotated[bool, typer.Option("--once", help="End after what is there now.")]


@command
async def watch(audience: Audience = None, reader: ReaderFile = None, last: Last = 10, once: Once = False) -> None:
    """Watch a stream until Ctrl-C: seq, origin, stage, TLP, fields shown and withheld, title."""
    if (audience is None) == (reader is None):
        raise InputError("name an audience of this node, or a reader's file by --reader")
    lines = _coming_in(reader, once=once) if reader is not None else _going_out(str(audience), last, once=once)
    async with aclosing(lines):
        async for line in lines:
            if OPTIONS.json:
                print_json(line)
            else:
                say(_drawn(line))


async def _going_out(audience: str, last: int, *, once: bool) -> AsyncGenerator[dict[str, Any], None]:
    """The sealed records of the node's own stream, as the store holds them, sent or about to be."""
    async with at_the_desk() as desk:
        topic = topics.stream(desk.setting.node, audience)

        async def begin(tx: Tx) -> int:
            outlet = (await tx.get(Outlet, [(topic,)])).get((topic,))
            if outlet is None and audience not in desk.setting.audiences():
                known = ", ".join(sorted(desk.setting.audiences())) or "none"
                raise InputError(f"this node has no audience {audience!r}", remedy=f"Its policies name: {known}")
            newest = await tx.find(Outgoing, {"topic": topic, "statement": False}, order=("-row",), limit=last + 1)
            return newest[-1].row if len(newest) > last else 0

        row = await in_one(desk.store, begin)
        while True:
            found = await in_one(desk.store, partial(_after, topic, row))
            for record in found:
                row = record.row
                if not record.statement:
                    yield _sealed(desk, record)
            if once and not found:
                return
            if not found:
                await asyncio.sleep(POLL_S)


async def _after(topic: str, row: int, tx: Tx) -> list[Outgoing]:
    return await tx.find(Outgoing, {"topic": topic, "row": Between(low=row + 1)}, order=("row",), limit=BATCH)


def _sealed(desk: Desk, record: Outgoing) -> dict[str, Any]:
    place: dict[str, Any] = {"seq": record.seq, "epoch": record.epoch, "sealed": Moment(record.sealed_ms)}
    verdict = verify(record.value, desk.setting.trust, desk.setting.schemas, now_ms(), None, lambda _: True)
    if isinstance(verdict, Rejected):
        return place | {"leaf": Id(record.leaf), "reason": verdict.reason.value}
    return place | _line(seen_of(verdict))


async def _coming_in(file: Path, *, once: bool) -> AsyncGenerator[dict[str, Any], None]:
    """What a subscriber is shown; its position moves, as for any program that reads by it."""
    from tocsin.reader import Subscriber  # noqa: PLC0415 - the Kafka client costs half a second that others need not wait

    async with Subscriber.from_file(file) as subscriber, aclosing(_shown(subscriber, once=once)) as shown:
        async for seen in shown:
            yield _line(seen)
        if once:
            health = subscriber.health()
            say(f"that is all; the stream is {health.condition.value.lower()}")


async def _shown(subscriber: Any, *, once: bool) -> AsyncGenerator[Seen, None]:
    async for seen in subscriber.available() if once else subscriber:
        yield seen


def _line(seen: Seen) -> dict[str, Any]:
    header = seen.header
    return {
        "leaf": Id(seen.leaf),
        "incident": Id(header.incident),
        "origin": header.origin,
        "came_by": [hop.releaser for hop in seen.hops],
        "stage": header.stage.value,
        "revision": header.revision,
        "tlp": seen.hops[-1].tlp.name if seen.hops else header.tlp.name,
        "exercise": header.exercise,
        "fields": dict(seen.fields),
        "withheld": [{"field": w.name, "by": w.by, "why": w.code.value, "rule": w.rule} for w in seen.withheld],
        "notes": [note.value for note in seen.notes],
    }


def _drawn(line: Mapping[str, Any]) -> str:
    """One line of at most 80 columns."""
    seq = f"{line['seq']:>5} " if "seq" in line else ""
    leaf = line["leaf"].raw.hex()[: SHORT - 4]
    if "reason" in line:
        return f"{seq}{leaf} does not verify under today's trust view: {line['reason']}"
    title = str(line["fields"].get("title") or "(no title)").replace("\n", " ")
    counts = f"{len(line['fields'])}+{len(line['withheld'])}"
    by = ">".join(line["came_by"])
    drill = "DRILL " if line["exercise"] else ""
    notes = f" [{', '.join(line['notes'])}]" if line["notes"] else ""
    start = f"{seq}{leaf} {by:<8} {line['stage'][:8]:<8} {line['tlp']:<6} {counts:>6} {drill}"
    room = max(_COLUMNS - len(start) - len(notes), 10)
    return start + (title if len(title) <= room else title[: room - 1] + "…") + notes
