"""What a person, or with --json a program, sees; and how a command ends.

Exit codes: 0 done; 1 refused or failed, with the thing, the place and the remedy on the standard error; 2 wrong usage;
3 `verify` or `trace` found something that does not verify; 70 a bug of ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from tocsin.errors import TocsinError

P = ParamSpec("P")
T = TypeVar("T")

DONE, FAILED, USAGE, UNVERIFIED, BUG = 0, 1, 2, 3, 70


@dataclass
class Options:
    """What stands before the command."""

    config: Path = Path("tocsin.toml")
    json: bool = False
    traceback: bool = False


OPTIONS = Options()
_OUT = Console(highlight=False, soft_wrap=False)
_ERR = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """A line for a person; nothing with --json."""
    if not OPTIONS.json:
        _OUT.print(text, markup=False)


def give(data: Mapping[str, Any]) -> None:
    """One JSON line with --json; otherwise key and value, a line each."""
    if OPTIONS.json:
        print_json(data)
        return
    width = max((len(key) for key in data), default=0)
    for key, value in data.items():
        _OUT.print(f"{key:<{width}}  {plain(value)}", markup=False)


def rows(data: Iterable[Mapping[str, Any]], *, empty: str, columns: Sequence[str] = ()) -> None:
    """A table, or with --json one line per row; `empty` is what a person is told where there is none."""
    found = list(data)
    if OPTIONS.json:
        for row in found:
            print_json(row)
        return
    if not found:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns or list(found[0]):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(*(plain(row.get(column, "")) for column in columns or list(found[0])))
    _OUT.print(table)


def print_json(data: Mapping[str, Any]) -> None:
    """One compact line; bytes are hex."""
    sys.stdout.write(json.dumps(data, default=_json, ensure_ascii=False) + "\n")


def plain(value: Any) -> str:
    """A value for a person."""
    if isinstance(value, bytes):
        return value.hex()
    if value is None:
        return "unknown"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {plain(item)}" for key, item in value.items())
    return str(value)


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def command(work: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """A command over the event loop: an expected failure is said without a traceback, and sets the exit code."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = asyncio.run(work(*args, **kwargs))
        except TocsinError as fault:
            complain(fault)
            raise typer.Exit(FAILED) from (fault if OPTIONS.traceback else None)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        raise typer.Exit(code or DONE)

    return run


def complain(fault: TocsinError) -> None:
    """The thing, the place, the remedy."""
    if OPTIONS.json:
        sys.stderr.write(json.dumps({"error": fault.thing, "place": fault.place, "remedy": fault.remedy}) + "\n")
        return
    _ERR.print(f"[bold red]error[/] {_escape(fault.thing)}", soft_wrap=True)
    if fault.place:
        _ERR.print(f"   at {fault.place}", markup=False, soft_wrap=True)
    if fault.remedy:
        _ERR.print(f"   do {fault.remedy}", markup=False, soft_wrap=True)
    if OPTIONS.traceback:
        _ERR.print_exception()


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
