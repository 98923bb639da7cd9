"""`tocsin store backup | restore`: a SQLite store copied and put back; PostgreSQL has its own tools for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.output import OPTIONS, command, give, needing, say
from tocsin.config import Config, load
from tocsin.errors import InputError

To = Annotated[Path, typer.Argument(metavar="FILE", help="A new file; it holds all that the store does.")]
From = Annotated[Path, typer.Argument(metavar="FILE", help="What `store backup` wrote.", exists=True, dir_okay=False)]


@command
async def backup(to: To) -> None:
    """Copy a SQLite store to a new file, of mode 0600, while the node runs."""
    with needing("node"):
        from tocsin.store.backup import back_up  # noqa: PLC0415 - see `cli.node.at_the_desk`
    file = _file(load(OPTIONS.config))
    try:
        await asyncio.to_thread(back_up, file, to)
    except FileExistsError:
        raise InputError("there is a file already", place=str(to), remedy="Nothing is overwritten") from None
    give({"backup": str(to), "bytes": to.stat().st_size})


@command
async def restore(backup: From) -> None:
    """Put a backup in the place of a SQLite store, with the node stopped; the old store is kept beside it."""
    with needing("node"):
        from tocsin.desk import only_one  # noqa: PLC0415 - as above
        from tocsin.store.backup import restore as put_back  # noqa: PLC0415 - as above
    config = load(OPTIONS.config)
    file = _file(config)
    aside = f"before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    config.node.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with only_one(config.node.data):
        old = await asyncio.to_thread(put_back, backup, file, aside)
    give({"restored": str(file)} | ({"kept": str(old)} if old else {}))
    say("Start the node: it reads back from its topics what it sent since, before it signs anything.")


def _file(config: Config) -> Path:
    with needing("node"):
        from tocsin.store.store import sqlite_file  # noqa: PLC0415 - as above
    file = sqlite_file(config.store_url())
    if file is None:
        remedy = "Use pg_dump and pg_restore: see the handbook, section 10"
        raise InputError("the store is no SQLite file", place="[store] url", remedy=remedy)
    return file
