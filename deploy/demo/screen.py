"""What the demonstration shows, at 80 columns, and the claims that it makes: each is an assertion on what was seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from deploy.demo import BEGAN
from rich.console import Console, RenderableType
from rich.text import Text

T = TypeVar("T")

WIDTH = 80
_STYLES = {"gb": "cyan", "jp": "magenta", "ke": "green"}
_POLL_S = 0.1


class Unmet(Exception):
    """Something that the demonstration waited for did not come."""


@dataclass
class Screen:
    """Lines for people; without colours where the output is no terminal."""

    console: Console = field(default_factory=lambda: Console(width=WIDTH, highlight=False, markup=False, emoji=False))
    began: float = BEGAN
    claims: list[tuple[str, bool]] = field(default_factory=list)

    def act(self, title: str) -> None:
        """The head of a new act."""
        self.console.print()
        self.console.rule(Text(title, style="bold"), align="left", characters="─")

    def line(self, who: str, text: str, style: str = "") -> None:
        """One line: the second, who, and what; cut to the width."""
        row = Text.assemble(
            (f"{self.seconds():5.1f}s ", "dim"), (f"{who:<13.13}", _STYLES.get(who[:2], "bold")), (text, style)
        )
        row.truncate(WIDTH, overflow="ellipsis")
        self.console.print(row)

    def say(self, text: str = "", style: str = "", *, indent: int = 0) -> None:
        """Words, wrapped; what is wrapped stands two columns further in."""
        lines = Text(text, style=style).wrap(self.console, WIDTH - indent - 2)
        for i, part in enumerate(lines):
            part.rstrip()
            self.console.print(Text(" " * (indent + (2 if i else 0))) + part)

    def show(self, what: RenderableType) -> None:
        """A table."""
        self.console.print(what)

    def seconds(self) -> float:
        """Since the demonstration began, its imports included."""
        return time.monotonic() - self.began

    def claim(self, what: str, true: bool, seen: object = "") -> bool:
        """Show a claim with its verdict; a false one makes the run fail."""
        self.claims.append((what, true))
        mark, style = ("✓", "green") if true else ("✗", "bold red")
        found = f" (seen: {seen})" if not true and seen != "" else ""
        text = Text(f"{what}{found}")
        for i, part in enumerate(text.wrap(self.console, WIDTH - 4)):
            part.rstrip()
            self.console.print(Text.assemble(("  " + (mark if i == 0 else " ") + " ", style), part))
        return true

    def failed(self) -> list[str]:
        """The claims that were false."""
        return [what for what, true in self.claims if not true]


async def until(what: str, look: Callable[[], Awaitable[T | None]], timeout_s: float = 30.0) -> T:
    """The first answer of `look` that is something; `Unmet` where none comes in time."""
    end = time.monotonic() + timeout_s
    while True:
        found = await look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > end:
            raise Unmet(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(_POLL_S)
