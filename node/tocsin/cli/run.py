"""`tocsin run`: the node itself, until a signal. The first one drains, the second one forces."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

from tocsin.app import App
from tocsin.cli.output import OPTIONS, command
from tocsin.config import Config, check_files, differing, load
from tocsin.desk import desk, make_signer, only_one
from tocsin.errors import TocsinError
from tocsin.logs import Log


@command
async def run_node() -> int:
    """Run the node until SIGTERM or Ctrl-C; SIGHUP reads trust, schemas and policies again, not the configuration."""
    config = load(OPTIONS.config)
    check_files(config)
    async with desk(config) as opened, only_one(config.node.data):
        await opened.store.require_whole()
        signer = make_signer(config)
        await signer.open()
        log = Log(sys.stderr, config.log.level, human=False if OPTIONS.json else None)
        log.take_over_libraries()
        app = App(opened, signer, log)
        stop = asyncio.Event()

        def stopped() -> None:
            if stop.is_set():
                os._exit(1)  # the second signal forces; what is sealed is sent at the next start
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped)

        def reload() -> None:
            app.reload()
            tell_what_waits(config, OPTIONS.config, log)

        loop.add_signal_handler(signal.SIGHUP, reload)
        # What was imported and loaded lives as long as the process. The collector would walk all of it again and again
        # while reports wait: 50 ms each time (measured).
        gc.freeze()
        await app.run(stop)
    return 0


def tell_what_waits(running: Config, path: Path, log: Log) -> None:
    """After a reload: which tables of the file differ from what the node runs with, and so wait for a restart."""
    try:
        waiting = differing(running, load(path))
    except TocsinError as fault:
        log.fault("reload", fault, 0.0)
        return
    if waiting:
        log.warning("restart-needed", place=", ".join(waiting), remedy="They are taken when the node is restarted")
