"""`tocsin run`: the node itself, until a signal. The first one drains, the second one forces."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tocsin.app import App
from tocsin.cli.output import OPTIONS, command
from tocsin.config import check_files, load
from tocsin.desk import desk, make_signer, only_one
from tocsin.logs import Log


@command
async def run_node() -> int:
    """Run the node until SIGTERM or Ctrl-C; SIGHUP reads trust, schemas and policies again."""
    config = load(OPTIONS.config)
    check_files(config)
    async with desk(config) as opened, only_one(config.node.data):
        signer = make_signer(config)
        await signer.open()
        log = Log(sys.stderr, config.log.level)
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
        loop.add_signal_handler(signal.SIGHUP, app.reload)
        await app.run(stop)
    return 0
