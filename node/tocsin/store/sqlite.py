"""SQLite in the thread of the loop, on the driver itself.

A statement on a local file takes some ten microseconds. The usual asynchronous drivers hand it to a thread and back
three or four times, and SQLAlchemy's way to a driver and back costs as much again: together fifty times the statement
(measured), and a busy second thread delays the loop. So SQLAlchemy writes the SQL, opens, begins and commits; statements
run here. Only what waits leaves the loop's thread: a commit waits for the disk in a thread; the beginning of a
transaction waits for another process's to end, by trying again.
"""

import asyncio
import sqlite3
import time
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement, Connection, Executable
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only

from tocsin.store.transaction import Answer, Run

DRIVER = "sqlite+inloop"
_AGAIN_S = 0.005
# FULL: the write-ahead log is on disk before a commit returns (WAL's default, NORMAL, may lose the last commits).
_PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")


class InLoop(SQLiteDialect_pysqlite):
    """The driver of the standard library, for SQLAlchemy's asynchronous engine."""

    is_async = True
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: Any) -> Any:  # noqa: ARG003 - the shape of the dialect
        """A fair queue of tasks."""
        return AsyncAdaptedQueuePool

    def do_commit(self, dbapi_connection: Any) -> None:
        """Durable when it returns; the loop goes on meanwhile. Where nothing was written there is nothing to wait for."""
        if dbapi_connection.wrote():
            await_only(asyncio.to_thread(dbapi_connection.commit))
        else:
            dbapi_connection.commit()


_DIALECT = InLoop()


class Driver(sqlite3.Connection):
    """Knows whether the transaction has changed a row."""

    _changes_before = 0

    def begun(self) -> None:
        """Call at the beginning of a transaction."""
        self._changes_before = self.total_changes

    def wrote(self) -> bool:
        """Whether a row was inserted, changed or deleted since."""
        return self.total_changes != self._changes_before


def runner(connection: AsyncConnection) -> Run:
    """Does the statements of `connection`'s transaction."""
    driver: Any = connection.sync_connection.connection.dbapi_connection  # type: ignore[union-attr]  # it is open

    async def run(statement: Executable, parameters: Any) -> Answer:
        sql, names, constants = _sql(statement)
        if isinstance(parameters, list):
            cursor = driver.executemany(sql, [[one[name] for name in names] for one in parameters])
        else:
            given = constants | parameters
            cursor = driver.execute(sql, [given[name] for name in names])
        rows = cursor.fetchall()
        cursor.close()
        return rows, cursor.rowcount

    return run


@lru_cache(maxsize=1024)
def _sql(statement: ClauseElement) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The SQL of a statement, its parameters in their order, and the values of those that are SQLAlchemy's own."""
    compiled: Any = statement.compile(dialect=_DIALECT)
    return str(compiled), tuple(compiled.positiontup), dict(compiled.params)


registry.register("sqlite.inloop", __name__, InLoop.__name__)


def prepare(connection: sqlite3.Connection, busy_s: float) -> None:
    """Make a new connection ready; meanwhile the driver waits for other processes, afterwards `begin` does."""
    connection.isolation_level = None  # the driver begins no transaction of its own
    try:
        for pragma in (f"PRAGMA busy_timeout={int(busy_s * 1000)}", *_PRAGMAS, "PRAGMA busy_timeout=0"):
            connection.execute(pragma).close()
    except sqlite3.Error:
        connection.close()  # the pool forgets a connection whose preparation failed
        raise


def begin(connection: Connection, busy_s: float) -> None:
    """IMMEDIATE takes the write lock at once: a transaction that reads first can never fail to write afterwards."""
    give_up = time.monotonic() + busy_s
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0)
            if code & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            await_only(asyncio.sleep(_AGAIN_S))
        else:
            driver: Any = connection.connection.dbapi_connection
            driver.begun()
            return
