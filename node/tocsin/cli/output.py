"""What a person, or with --json a program, sees; and how a command ends.

Exit codes: 0 done; 1 refused or failed, with the thing, the place and the remedy on the standard error; 2 wrong usage;
3 `verify` or `trace` found something that does not verify; 70 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import unicodedata
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.errors import InputError, TocsinError
from tocsin.wire.hop import NEVER

P = ParamSpec("P")
T = TypeVar("T")

DONE, FAILED, USAGE, UNVERIFIED, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130
SHORT = 12
"""Hexadecimal digits of an id that a person is shown; any unique prefix is taken back."""
_JOINERS = "\n\t\u200c\u200d"
"""Line breaks, and what holds Persian words and emoji together; every other control character is shown as its number."""


@dataclass
class Options:
    """What stands before the command, or anywhere."""

    config: Path = Path("tocsin.toml")
    json: bool = False
    traceback: bool = False


OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Id:
    """An id: its first digits for a person, the whole for a program."""

    raw: bytes

    def __str__(self) -> str:
        return self.raw.hex()[:SHORT]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in ms since 1970: UTC to the minute for a person, ISO 8601 for a program."""

    ms: int

    def __str__(self) -> str:
        return self._utc().strftime("%Y-%m-%d %H:%MZ")

    def iso(self) -> str:
        """As programs read it."""
        return self._utc().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _utc(self) -> datetime:
        return datetime.fromtimestamp(self.ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute of the protocol. One that never comes is `never` for a person, null for a program."""

    number: int

    def __str__(self) -> str:
        return str(self.moment() or "never")

    def moment(self) -> Moment | None:
        """Its beginning; None where it never comes."""
        return None if self.number >= NEVER else Moment(self.number * 60_000)


@dataclass(frozen=True, slots=True)
class Marked:
    """A value; a person is shown marks before it that nobody may overlook, a program has them as fields of their own."""

    value: Any
    marks: Sequence[str]

    def __str__(self) -> str:
        marks = f"({', '.join(self.marks)}) " if self.marks else ""
        return marks + plain(self.value)


class _JsonLog(logging.Handler):
    """What libraries and the light clients log, as lines that a program can read among the errors."""

    def emit(self, record: logging.LogRecord) -> None:
        told = {"level": record.levelname.lower(), "library": record.name, "said": record.getMessage()}
        _write_json(told, sys.stderr)


def begin_output() -> None:
    """What a stream cannot hold is shown by its number: no text of others can end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def log_as_json() -> None:
    """With --json, what is logged as a warning or worse is JSON, too."""
    logging.basicConfig(handlers=[_JsonLog()])


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def say(text: str, *, whole: bool = False) -> None:
    """A line for a person, wrapped between words unless it is `whole`; nothing with --json."""
    if not OPTIONS.json:
        _out().print(Text(harmless(text)), soft_wrap=whole)


def give(data: Mapping[str, Any]) -> None:
    """One JSON line with --json; otherwise key and value, a line each."""
    if OPTIONS.json:
        print_json(data)
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for key, value in data.items():
        grid.add_row(Text(key.replace("_", " ")), Text(plain(value)))
    _out().print(grid)


def rows(data: Iterable[Mapping[str, Any]], *, empty: str, columns: Sequence[str] = ()) -> None:
    """A table, or with --json one line per row; `empty` is what a person is told where there is none.

    A person sees `columns` only, which must fit into 80 characters; the last one takes what is left.
    """
    found = list(data)
    if OPTIONS.json:
        for row in found:
            print_json(row)
        return
    if not found:
        say(empty)
        return
    names = columns or list(found[0])
    cells = [[" ".join(plain(row.get(name, "")).split()) for name in names] for row in found]
    console = _out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(names):
        # A title is a stranger's text: a list is read at a glance, and `show` has the whole of it.
        cut = name == "title"
        others = sum(max(map(len, [names[j], *(row[j] for row in cells)])) + 2 for j in range(len(names)) if j != i)
        table.add_column(
            name.replace("_", " "),
            overflow="ellipsis" if cut else "fold",
            max_width=max(console.width - others, 16) if cut else None,
            no_wrap=cut or name in {"id", "leaf"},
        )
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)


def print_json(data: Mapping[str, Any]) -> None:
    """One compact line; bytes are hex, times ISO 8601."""
    _write_json(data, sys.stdout)


def _write_json(data: Mapping[str, Any], stream: TextIO) -> None:
    """The line. What only UTF-8 can hold is escaped where the stream is none, and what a terminal obeys always."""
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    stream.write(harmless(json.dumps(data, default=_json, ensure_ascii=not unicode)) + "\n")
    stream.flush()


def plain(value: Any) -> str:
    """A value for a person: what came from others cannot move the cursor or turn the text round."""
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "unknown"}[value]
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {plain(item)}" for key, item in value.items())
    return harmless(str(value))


def harmless(text: str) -> str:
    """The text with control and direction characters escaped as JSON escapes them."""
    return "".join(
        c if c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs" else json.dumps(c)[1:-1] for c in text
    )


def _json(value: Any) -> Any:
    if isinstance(value, Id):
        return value.raw.hex()
    if isinstance(value, Moment):
        return value.iso()
    if isinstance(value, Minute):
        return value.moment()
    if isinstance(value, Marked):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _out() -> Console:
    """The console of the standard output as it is now: 80 columns where it is no terminal."""
    return Console(highlight=False)


def ask(question: str, option: str) -> str:
    """The person's answer; where nobody can be asked, `InputError` that names the option."""
    if OPTIONS.json or not sys.stdin.isatty():
        raise InputError(f"{option} is missing", remedy=f"Give {option}: there is nobody to ask")
    answer: str = typer.prompt(question)
    return answer.strip()


def confirm(question: str, *, sure: bool) -> None:
    """Go on only where the person says so, or `--yes` did; `InputError` otherwise."""
    if sure:
        return
    if OPTIONS.json or not sys.stdin.isatty():
        raise InputError("this must be confirmed", remedy="Give --yes once you have made sure: there is nobody to ask")
    if not typer.confirm(question):
        raise InputError("not confirmed; nothing was changed")


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Import what only an extra of the package brings; `InputError` with the remedy where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise InputError(
            f"this command needs the Python package {missing.name!r}", remedy=f'pip install "tocsin[{extra}]"'
        ) from missing


def command(work: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """A command over the event loop: an expected failure is said without a traceback, and sets the exit code."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = asyncio.run(work(*args, **kwargs)) or DONE
        except TocsinError as fault:
            complain(fault)
            code = FAILED
        except KeyboardInterrupt:
            code = INTERRUPTED
        except (
            BrokenPipeError,
            typer.Exit,
            typer.Abort,
        ):  # who reads no more, and a prompt that is left: typer's business
            raise
        except OSError as fault:
            complain(refused_by_the_system(fault))
            code = FAILED
        except Exception as bug:  # noqa: BLE001 - said in a sentence, and whole with --traceback
            thing = f"a bug in tocsin: {type(bug).__name__}"
            complain(TocsinError(thing, remedy="Run it again with --traceback and report what it says"))
            code = BUG
        raise typer.Exit(code)

    return run


def refused_by_the_system(error: OSError) -> InputError:
    """What a person is told of a path that cannot be read or written as it was meant."""
    remedy = "Name another path, or let the user that runs this read and write there"
    if not error.filename:  # a stream, as with a full disk: the command may have done what it was asked by then
        remedy = "Look at the disk, and at where the output goes; see what was done before you run it again"
    return InputError(f"the system refuses: {error.strerror or error}", place=str(error.filename or ""), remedy=remedy)


def complain(fault: TocsinError) -> None:
    """The thing, the place, the remedy; all problems where there are several."""
    if OPTIONS.json:
        data: dict[str, Any] = {"error": fault.thing, "place": fault.place, "remedy": fault.remedy}
        problems = getattr(fault, "problems", ())
        if problems:
            data["problems"] = [_problem(problem) for problem in problems]
        _write_json(data, sys.stderr)
    else:
        console = Console(stderr=True, highlight=False)
        console.print(Text.assemble(("error ", "bold red"), harmless(fault.thing)), soft_wrap=True)
        for word, text in (("at", fault.place), ("do", fault.remedy)):
            if text:
                console.print(Text(f"   {word} {harmless(text)}"), soft_wrap=True)
    if OPTIONS.traceback:
        Console(stderr=True).print_exception()


def _problem(problem: Any) -> Mapping[str, str]:
    if isinstance(problem, TocsinError):
        return {"thing": problem.thing, "place": problem.place, "remedy": problem.remedy}
    return {name: getattr(problem, name) for name in ("field", "value", "expected")}
