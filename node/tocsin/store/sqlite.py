"""SQLite in the thread of the loop, on the driver of the standard library.

A statement on a local file takes some ten microseconds. The usual asynchronous drivers hand it to a thread and back
three or four times, and SQLAlchemy's way to a driver and back costs as much again: together fifty times the statement
(measured), and a busy second thread delays the loop. So SQLAlchemy writes the SQL, and the statements run here. Only
what waits leaves the loop's thread: a commit waits for the disk in a thread; the beginning of a transaction waits for
another process's to end, by trying again.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import ClauseElement, Connection, Executable, create_engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import NullPool

from tocsin.errors import AdapterError
from tocsin.flow.ports import Conflict
from tocsin.store.failures import ONCE_MORE, to_the_end
from tocsin.store.transaction import Answer

T = TypeVar("T")

_AGAIN_S = 0.005
# FULL: the write-ahead log is on disk before a commit returns (WAL's default, NORMAL, may lose the last commits).
_PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
_DIALECT = SQLiteDialect_pysqlite()


class Sqlite:
    """One file over one connection, which is made when it is first needed. Transactions wait in line for it."""

    dialect = "sqlite"

    def __init__(self, file: Path, place: str, busy_s: float) -> None:
        """No I/O. `place` is said in errors; `busy_s` is how long to wait for other transactions."""
        self.file = file
        self._place = place
        self._busy_s = busy_s
        self._turn = asyncio.Lock()
        self._driver: sqlite3.Connection | None = None
        self.connections = 0

    def make(self) -> None:
        """An empty file of its owner alone, if there is none; SQLite gives its write-ahead log the same mode."""
        try:
            os.close(os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            remedy = "The folder must exist and belong to the user that runs the node."
            raise AdapterError(
                f"cannot make the store: {error.strerror}", place=str(self.file), remedy=remedy
            ) from error

    async def inspect(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds or does over a connection of SQLAlchemy, within one transaction.

        In the loop's thread, though it may wait there for another process: a start has nothing else to do, and
        Alembic's context is one for all threads, so that two migrations at once would each use the other's.
        """
        self._require_file()
        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with engine.begin() as connection:
            return look(connection)

    async def begin(self) -> "SqliteSession":
        """Open a transaction, when those before it have ended."""
        self._require_file()
        await self._wait_in_line()
        try:
            driver = self._driver or self._opened()
            await self._begin(driver)
        except BaseException:
            self._turn.release()
            raise
        return SqliteSession(driver, self._turn.release)

    async def close(self) -> None:
        """Let go of the connection."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _require_file(self) -> None:
        if not os.path.exists(self.file):  # noqa: PTH110 - before every transaction, and pathlib takes six times as long
            remedy = "Restore the backup, then start `tocsin run`: without a store it makes an empty one."
            raise AdapterError("there is no store", place=self._place, remedy=remedy)

    async def _wait_in_line(self) -> None:
        """Transactions of one process are done in the order in which they were begun."""
        try:
            async with asyncio.timeout(self._busy_s if self._turn.locked() else None):
                await self._turn.acquire()
        except TimeoutError:
            raise Conflict("other transactions kept the store busy", place=self._place, remedy=ONCE_MORE) from None

    def _opened(self) -> sqlite3.Connection:
        driver = self._connect()
        driver.execute("PRAGMA busy_timeout=0").close()  # from now on `_begin` does the waiting
        self._driver = driver
        self.connections += 1
        return driver

    def _connect(self) -> sqlite3.Connection:
        """mode=rw: only `make` makes a file."""
        driver = sqlite3.connect(
            f"file:{quote(str(self.file))}?mode=rw",
            uri=True,
            timeout=self._busy_s,
            isolation_level=None,  # the driver begins no transaction of its own
            check_same_thread=False,  # one transaction at a time, and its commit in a thread
        )
        try:
            for pragma in _PRAGMAS:
                driver.execute(pragma).close()
        except sqlite3.Error:
            driver.close()
            raise
        return driver

    async def _begin(self, driver: sqlite3.Connection) -> None:
        """IMMEDIATE takes the write lock at once: a transaction that reads first can never fail to write afterwards."""
        give_up = time.monotonic() + self._busy_s
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE").close()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return


class SqliteSession:
    """One transaction."""

    def __init__(self, driver: sqlite3.Connection, ended: Callable[[], None]) -> None:
        self._driver = driver
        self._ended = ended
        self._before = driver.total_changes

    async def run(self, statement: Executable, parameters: Any) -> Answer:
        """Do a statement."""
        sql, names, constants = _sql(statement)
        if isinstance(parameters, list):
            cursor = self._driver.executemany(sql, [[one[name] for name in names] for one in parameters])
        else:
            given = constants | parameters
            cursor = self._driver.execute(sql, [given[name] for name in names])
        rows = cursor.fetchall()
        cursor.close()
        return rows, cursor.rowcount

    async def commit(self) -> None:
        """Make it durable."""
        if self._driver.total_changes == self._before:  # nothing was written, so there is no disk to wait for
            self._driver.commit()
        else:
            await to_the_end(asyncio.get_running_loop().run_in_executor(None, self._driver.commit))

    async def end(self) -> None:
        """Undo what is not committed, and let the next one begin."""
        try:
            self._driver.rollback()
        finally:
            self._ended()


@lru_cache(maxsize=1024)
def _sql(statement: ClauseElement) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The SQL of a statement, its parameters in their order, and the values of those that are SQLAlchemy's own."""
    compiled: Any = statement.compile(dialect=_DIALECT)
    return str(compiled), tuple(compiled.positiontup), dict(compiled.params)
