"""`tocsin report` as a lab, and `tocsin import`: documents from elsewhere."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.documents import named, read_document
from tocsin.cli.files import write_whole
from tocsin.cli.output import DONE, FAILED, Id, Moment, command, give, say
from tocsin.errors import InputError
from tocsin.wire.header import Stage, Tlp

File = Annotated[Path, typer.Argument(help="The report, by field name: JSON or TOML.", exists=True, dir_okay=False)]
Lab = Annotated[Path, typer.Option("--as", envvar="TOCSIN_LAB", help="The lab's TOML (`tocsin lab init`).")]
TlpName = Annotated[str, typer.Option("--tlp", help="CLEAR, GREEN, AMBER, AMBER_STRICT or RED.")]
StageName = Annotated[str | None, typer.Option("--stage", help="INITIAL, UPDATE, FINAL or RETRACTION.")]
Follows = Annotated[str | None, typer.Option("--follows", help="The leaf of the report that it continues.")]
Exercise = Annotated[bool, typer.Option("--exercise", help="A drill.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the receipt; 0 does not wait.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write them to.")]


@command
async def report(
    file: File,
    lab: Lab = Path("lab.toml"),
    tlp: TlpName = "AMBER",
    stage: StageName = None,
    follows: Follows = None,
    exercise: Exercise = False,
    wait: Wait = 0.0,
) -> int:
    """Sign a report as a lab and send it to its institute; it is on the disk before anything is sent.

    Its leaf is said as soon as it is in the spool: it will be sent then, whatever becomes of this command. With --json
    that is one line; with --wait the receipt is a second one.
    """
    from tocsin.lab import Reporter  # noqa: PLC0415 - the Kafka client costs half a second that others need not wait

    document = read_document(file)
    async with Reporter.from_file(lab) as reporter:
        pending = await reporter.report(
            document,
            tlp=named(tlp, Tlp.__members__, "--tlp"),
            stage=named(stage, Stage.__members__, "--stage") if stage else None,
            follows=_leaf(follows) if follows else None,
            exercise=exercise,
        )
        told = {"leaf": Id(pending.leaf), "incident": Id(pending.incident), "revision": pending.revision}
        give(told | {"record": Id(pending.record)})
        say(f"kept in the spool, and will be sent; to continue it later: --follows {pending.leaf.hex()}")
        if not wait:
            return DONE
        try:
            receipt = await pending.receipt(wait)
        except TimeoutError as late:
            remedy = "Do not report it again: it is in the spool, and the next report takes it along. Or wait longer"
            raise InputError(str(late), place=str(lab), remedy=remedy) from late
    answer = {"leaf": Id(pending.leaf), "receipt": receipt.decision, "reason": receipt.reason}
    give(answer | {"from": receipt.node, "at": Moment(receipt.time_ms)})
    return DONE if receipt.decision != "REJECTED" else FAILED


@command
async def import_genai_incidents(limit: Limit = None, out: Out = Path("genai-incidents")) -> None:
    """Write the landmark records of the package genai-incidents as documents; what a record does not say stays out."""
    from tocsin.formats.genai_incidents import document, incidents  # noqa: PLC0415 - loads the whole collection

    written = kept = 0
    for record in islice(incidents(), limit):
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{_file_name(str(record['id']))}.json"
        if path.exists():
            kept += 1
            continue
        write_whole(path, json.dumps(document(record), indent=2, ensure_ascii=False) + "\n")
        written += 1
    give({"written": written, "there_already": kept, "folder": str(out)})
    if written:
        say("`tocsin report FILE --as lab.toml` sends one; `tocsin issue --new FILE` issues one")


def _leaf(text: str) -> bytes:
    try:
        leaf = bytes.fromhex(text)
    except ValueError:
        leaf = b""
    if len(leaf) != 32:
        remedy = "Give all 64 hexadecimal digits that `tocsin report` showed"
        raise InputError(f"{text[:80]!r} is no leaf", place="--follows", remedy=remedy)
    return leaf


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
