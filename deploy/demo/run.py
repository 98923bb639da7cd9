"""One run: tell the story, go on until it is time or somebody interrupts, end everything, say the verdict."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.demo.brokers import Brokers
from deploy.demo.federation import Federation, federation, near
from deploy.demo.screen import Screen, Unmet
from deploy.demo.story import Story

_INTERRUPTED = 130


def run(folder: Path, brokers: Brokers, seconds: float, heard: Sequence[int]) -> bool:
    """Whether everything that was shown was true. `seconds` 0 goes on until somebody interrupts.

    `heard` are the signals that came before the run listened itself.
    """
    with asyncio.Runner() as runner:
        return runner.run(_run(Screen(), folder, brokers, seconds, heard))


async def _run(screen: Screen, folder: Path, brokers: Brokers, seconds: float, heard: Sequence[int]) -> bool:
    """Tell the story, go on until it is time or somebody interrupts, and end everything."""
    ending = _Ending()
    ending.listen(heard)
    try:
        async with federation(folder, brokers, screen) as fed:
            story = Story(fed, screen)
            try:
                await _first_of(story.tell(), fed.failed())
            except Unmet as unmet:
                screen.claim(str(unmet), False)
            else:
                ending.told = True
                _say_what_to_try(screen, fed, story, seconds)
                left = max(0.1, seconds - screen.seconds()) if seconds else None
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await _first_of(ending.stop.wait(), story.go_on(), fed.failed())
            screen.act("Everything ends")
    except asyncio.CancelledError:
        # A call to a broker that is gone now, or a download, may sit in a thread for long; nothing of it matters.
        screen.say("interrupted; every process has ended")
        sys.stdout.flush()
        os._exit(_INTERRUPTED)
    return _verdict(screen)


class _Ending:
    """The first signal ends the run in order, at once where the story is not told yet; the second one forces."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.told = False
        self._signals = 0
        self._telling: asyncio.Task[Any] | None = None

    def listen(self, heard: Sequence[int]) -> None:
        """From now on, for the task that calls it; what was heard before counts."""
        self._telling = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._heard)
        for _ in heard:
            self._heard()

    def _heard(self) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(_INTERRUPTED)  # children are tied to this process, and end with it
        if self.told:
            self.stop.set()
        elif self._telling is not None:
            self._telling.cancel()


async def _first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Until one of them ends, with its exception if it has one; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _verdict(screen: Screen) -> bool:
    failed = screen.failed()
    if failed or not screen.claims:
        screen.say(f"{len(failed)} of {len(screen.claims)} claims were not true:", style="bold red")
        for what in failed:
            screen.say(f"  {what}")
        return False
    screen.say(f"All {len(screen.claims)} claims were true; no process is left.", style="bold green")
    return True


def _say_what_to_try(screen: Screen, fed: Federation, story: Story, seconds: float) -> None:
    """Pages and commands, while it runs."""
    screen.act("Now try it yourself" + ("" if seconds else " (Ctrl-C ends it)"))
    for country, node in fed.nodes.items():
        screen.say(f"{country}  {node.url}/metrics   /readyz   /.well-known/tocsin")
    tocsin = near(Path(sys.executable).with_name("tocsin"))
    screen.say(f"In another terminal, with T={tocsin} and D={near(fed.prepared.folder)}:")
    leaf = story.flagship[:8]
    for command in (
        "$T -c $D/gb/tocsin.toml list",
        f"$T -c $D/ke/tocsin.toml show {leaf}",
        f"$T -c $D/ke/tocsin.toml trace {leaf}",
        f"$T -c $D/gb/tocsin.toml policy explain {leaf} --audience jp",
        "$T -c $D/gb/tocsin.toml hold list",
        "$T -c $D/ke/tocsin.toml quarantine list",
    ):
        screen.say(f"  {command}", style="dim")
