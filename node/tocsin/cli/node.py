"""What the commands of an operator and an officer share: the desk, one transaction, and ids as people write them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from tocsin.cli.output import OPTIONS, SHORT, needing
from tocsin.config import load
from tocsin.errors import InputError
from tocsin.flow.ports import Between, Conflict, Store, Tx
from tocsin.flow.rows import Report, Submission

if TYPE_CHECKING:
    from tocsin.desk import Desk

T = TypeVar("T")

TRIES = 20
"""A running node writes all the time; a command that loses against it so often is told so."""
_LEAF_DIGITS = 64
_SHOWN, _CANDIDATES = 10, 1000


@asynccontextmanager
async def at_the_desk() -> AsyncIterator[Desk]:
    """The node's setting and store, beside a running node or without one."""
    with needing("node"):
        from tocsin.desk import desk  # noqa: PLC0415 - only a node has a database library; every other command starts sooner
    async with desk(load(OPTIONS.config)) as opened:
        yield opened


async def in_one(store: Store, work: Callable[[Tx], Awaitable[T]]) -> T:
    """The result of `work` within one transaction, tried again where another one got in between."""

    async def act() -> T:
        async with store.begin() as tx:
            return await work(tx)

    return await without_conflict(act)


async def without_conflict(act: Callable[[], Awaitable[T]]) -> T:
    """The result of an act that makes its own transaction: tried again where another one got in between.

    Nothing is done twice: of what ends as a `Conflict` nothing was written.
    """
    for _ in range(TRIES - 1):
        try:
            return await act()
        except Conflict:
            continue
    return await act()


async def find_report(tx: Tx, text: str) -> Report:
    """The report that a prefix of its leaf or of its incident names; of an incident the newest revision.

    `InputError` where none or several are meant, with the candidates.
    """
    prefix = _digits(text)
    by_leaf = await tx.find(Report, {"leaf": _beginning(prefix)}, limit=_CANDIDATES)
    newest_first = ("-incident", "-origin", "-revision")
    of_incident = await tx.find(Report, {"incident": _beginning(prefix)}, order=newest_first, limit=_CANDIDATES)
    found = list({r.leaf: r for r in (*by_leaf, *of_incident)}.values())
    if len({(r.origin, r.incident) for r in found}) == 1 and not any(r.leaf.hex().startswith(prefix) for r in found):
        newest = max(r.revision for r in found)
        found = [r for r in found if r.revision == newest]
    lines = [
        f"{r.leaf.hex()[: SHORT + 4]}  {r.origin} {r.stage} {r.revision}, incident {r.incident.hex()[:SHORT]}"
        for r in found
    ]
    return _one(text, found, lines, "report", "`tocsin list` shows the reports that are held")


async def find_submission(tx: Tx, text: str) -> Submission:
    """The submission whose leaf begins so; `InputError` where none or several do."""
    prefix = _digits(text)
    found = await tx.find(Submission, {"leaf": _beginning(prefix)}, limit=_CANDIDATES)
    lines = [f"{s.leaf.hex()[: SHORT + 4]}  from {s.lab}, {s.state}" for s in found]
    return _one(text, found, lines, "submission", "`tocsin inbox` shows what waits")


def by_prefix(text: str, items: Iterable[tuple[str, T]], what: str, remedy: str) -> T:
    """The item whose id begins with `text`; `InputError` where none or several do."""
    found = [(name, item) for name, item in items if name.startswith(text.lower())]
    return _one(text, [item for _, item in found], [name[: SHORT + 4] for name, _ in found], what, remedy)


def _beginning(prefix: str) -> Between:
    """The ids that begin with these hexadecimal digits."""
    return Between(bytes.fromhex(prefix + "0" * (len(prefix) % 2)), bytes.fromhex(prefix.ljust(_LEAF_DIGITS, "f")))


def _digits(text: str) -> str:
    prefix = text.strip().lower()
    if not prefix or len(prefix) > _LEAF_DIGITS or any(c not in "0123456789abcdef" for c in prefix):
        raise InputError(f"{text[:80]!r} is no id", remedy="An id is 1 to 64 hexadecimal digits, as the lists show it")
    return prefix


def _one(text: str, found: list[T], lines: list[str], what: str, remedy: str) -> T:
    if not found:
        raise InputError(f"no {what} begins with {text!r}", remedy=remedy)
    if len(found) > 1:
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        listed = "".join(f"\n  {line}" for line in lines[:_SHOWN])
        count = f"{_CANDIDATES} or more" if len(found) >= _CANDIDATES else len(found)
        raise InputError(f"{count} {what}s begin with {text!r}:{listed}{more}", remedy="Give more digits")
    return found[0]
