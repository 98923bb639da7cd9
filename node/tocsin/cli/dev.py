"""`tocsin dev kafka up | down`: a real Apache Kafka broker from packages alone, for trying things out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.output import command, give, needing, say
from tocsin.errors import InputError

Folder = Annotated[Path, typer.Option("--folder", help="Its data, certificates, log and pid file.")]
Secured = Annotated[bool, typer.Option("--secured", help="Mutual TLS, SCRAM and access control, default deny.")]
Clients = Annotated[
    list[str] | None, typer.Option("--client", help="With --secured: a certificate of that name; `broker` may do all.")
]


@command
async def kafka_up(folder: Folder = Path("dev-kafka"), secured: Secured = False, client: Clients = None) -> None:
    """Start a broker that stays until `dev kafka down`; the first time its jars are downloaded."""
    with needing("dev"):
        from tocsin.kafka.dev import DevKafka  # noqa: PLC0415 - nobody but a developer has a Java runtime installed
    if client and not secured:
        raise InputError("certificates are of a secured broker", place="--client", remedy="Give --secured as well")
    broker = DevKafka(folder, secured=secured, tied=False, quick=False)
    await asyncio.to_thread(broker.start)
    told = {"bootstrap": broker.bootstrap, "folder": str(broker.folder), "log": str(broker.log)}
    if secured:
        told |= {"labs": broker.labs_bootstrap, "ca": str(broker.pki.ca)}
    for name in client or ():
        pair = broker.pki.client(name)
        told |= {f"certificate {name}": str(pair.certificate), f"key {name}": str(pair.key)}
    give(told)


@command
async def kafka_down(folder: Folder = Path("dev-kafka")) -> None:
    """Stop the broker of a folder; its data stay."""
    with needing("dev"):
        from tocsin.kafka.dev import DevKafka  # noqa: PLC0415 - as above
    instance = folder / "instance.json"
    if not instance.is_file():
        raise InputError("no broker was ever started here", place=str(folder), remedy="Name its folder by --folder")
    broker = DevKafka(folder, secured="labs" in json.loads(instance.read_text()), tied=False)
    running = broker.running_pid() is not None
    await asyncio.to_thread(broker.stop)
    say("stopped" if running else "it was not running")
