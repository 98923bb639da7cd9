"""What a database driver raises, told as an `AdapterError` without a value of any row in it.

Drivers quote values in their messages ("Key (leaf)=(…) already exists"), so a message is never passed on; only closed
sets are: names of error classes, SQLSTATE codes, SQLite's error names. The one exception is a connection that cannot
be made: its message speaks of hosts and users, and is what an operator needs.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tocsin.errors import AdapterError, StoreDamaged
from tocsin.flow.ports import Conflict

T = TypeVar("T")

# Text or integers that no column can hold fail in the driver before there is a database error.
FAILURES = (SQLAlchemyError, sqlite3.Error, OSError, UnicodeError, OverflowError)

# PostgreSQL: serialization_failure, deadlock_detected, unique_violation (under SERIALIZABLE also a lost race),
# lock_not_available. SQLite: the writer before us did not finish within the busy timeout; a key that is there.
_CONFLICTS = frozenset(
    {"40001", "40P01", "23505", "55P03", "SQLITE_BUSY", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}
)
# SQLite's own word for it, and PostgreSQL's data_corrupted and index_corrupted.
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002")
ONCE_MORE = (
    "Nothing was written: try again. If it stays so, find what keeps the store locked (a backup, a shell), and end it"
)
"""What to do about a `Conflict` that a person sees."""


def told(error: BaseException, place: str, secret: str = "") -> AdapterError | StoreDamaged:
    """The failure as the flow knows it. `secret` never appears in it."""
    if isinstance(error, PoolTimeout):
        return Conflict("other transactions kept the store busy", place=place, remedy=ONCE_MORE)
    if not isinstance(error, DBAPIError | sqlite3.Error):
        return AdapterError(f"the store failed: {type(error).__name__}", place=place)
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    if code in _CONFLICTS:
        return Conflict(f"another transaction got in between ({code})", place=place, remedy=ONCE_MORE)
    if isinstance(error, DBAPIError) and error.statement is None and not code:
        said = " ".join(str(cause).split())
        thing = f"the database cannot be reached: {said.replace(secret, '…') if secret else said}"
        return AdapterError(thing, place=place, remedy="Look at [store] url, and whether the server runs")
    if code.startswith(_DAMAGED):
        return StoreDamaged(
            f"the store is damaged ({code})", place=place, remedy="Restore a backup: handbook, section 10"
        )
    thing = f"the store failed: {' '.join(filter(None, (type(cause).__name__, code)))}"
    return AdapterError(thing, place=place, remedy="Look at the disk; a database server says more in its log")


async def attempt(call: Coroutine[Any, Any, T], place: str, secret: str = "") -> T:
    """Await `call`; what the driver raises becomes an `AdapterError` (or `StoreDamaged`) that neither names nor carries it."""
    try:
        return await call
    except FAILURES as error:
        failure = told(error, place, secret)
    # Outside the except block, so that no traceback shows the driver's error (and its values) as context.
    raise failure


async def to_the_end(call: Awaitable[T]) -> T:
    """Await `call` and let no cancellation cut it in half; a cancellation meanwhile is raised after it."""
    task = asyncio.ensure_future(call)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # looked at: a failure that nobody waits for any more is no error of the loop
        raise cancelled
    return task.result()
