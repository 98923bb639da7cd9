"""The store over SQLAlchemy: SQLite for one process and its command line, PostgreSQL for more."""

import logging
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Executable, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tocsin.errors import AdapterError, ConfigError
from tocsin.flow.ports import Tx
from tocsin.store import migrate, sqlite
from tocsin.store.failures import FAILURES, attempt, to_the_end
from tocsin.store.transaction import Answer, Run, SqlTx

T = TypeVar("T")

BUSY_S = 10
"""How long to wait for another writer before it is a `Conflict`; the command line's transactions are short."""
IDLE_S = 60
"""PostgreSQL undoes a transaction whose process stopped for so long in the middle of it."""

# A server that is gone is noticed within half a minute; nothing waits for ever.
_POSTGRES = {
    "application_name": "tocsin",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": f"-c lock_timeout={BUSY_S}s -c idle_in_transaction_session_timeout={IDLE_S}s",
}

# Settings of PostgreSQL under which it may lose what it has acknowledged, when they are off.
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class SqlStore:
    """`tocsin.flow.ports.Store` over `sqlite:////path/to/file` or `postgresql://user:password@host/name`.

    Construct, `migrate` (or only `check`), `begin` as often as needed, `close`. The transactions of one process wait
    for each other, in order: one inside another ends as a `Conflict`, and inside a block nothing but the store is
    waited for. One transaction is used by one task. A block that is cancelled, or loses its server, *while it commits*
    is in doubt, like one whose process dies there: whoever goes on reads the store again.
    """

    def __init__(self, url: str) -> None:
        """No I/O. `ConfigError` where the URL names neither a SQLite file nor a PostgreSQL database."""
        self._url = _parsed(url)
        self._dialect = self._url.get_backend_name()
        self._file = Path(self._url.database or "") if self._dialect == "sqlite" else None
        self.place = _public(self._url)
        """The URL without user, password and options, for messages."""
        self.connections = 0
        """How many connections were made. A new one may lead to another server: then `recover` looks (design 2)."""
        self._engine = _sqlite(self._url) if self._file else _postgres(self._url)
        event.listen(self._engine.sync_engine, "connect", self._count)

    async def migrate(self) -> None:
        """Bring the tables to this version's; makes a SQLite file (0600) where there is none.

        `AdapterError` where the database cannot be reached, or a newer version of Tocsin wrote it.
        """
        if self._file:
            _make(self._file)
        # Not SERIALIZABLE: whoever waited for another's migration must see what it did.
        async with self._connection({"isolation_level": "READ COMMITTED"}) as connection:
            await self._attempt(connection.run_sync(migrate.upgrade, self.place))
            await self._attempt(to_the_end(connection.commit()))

    async def check(self) -> None:
        """`AdapterError` unless the store can be used: reachable, of exactly this version, and durable."""
        async with self._connection({}) as connection:
            await self._attempt(connection.run_sync(migrate.require_head, self.place))
            for setting in _DURABLE if self._file is None else ():
                if await self._attempt(connection.scalar(text(f"SHOW {setting}"))) == "off":
                    thing = f"the database may lose what it has acknowledged: {setting} is off"
                    raise AdapterError(thing, place=self.place, remedy=f"Set {setting} = on there.")

    async def close(self) -> None:
        """Let go of every connection; never raises."""
        with suppress(*FAILURES):
            await self._engine.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction (see the port): durable when the block has ended, undone where it raises."""
        async with self._connection({}) as connection:
            run = sqlite.runner(connection) if self._file else _runner(connection)
            tx = SqlTx(run, self._dialect, self.place)
            yield tx
            tx.require_sound()
            await self._attempt(to_the_end(connection.commit()))

    @asynccontextmanager
    async def _connection(self, options: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction; what is not committed at the end of the block is rolled back."""
        if self._file and not self._file.exists():
            raise AdapterError("there is no store", place=self.place, remedy="Run `tocsin store migrate`.")
        connection = self._engine.connect()
        try:
            await self._attempt(self._open(connection, options))
            yield connection
        finally:
            # Whatever a dead connection answers to its rollback: nothing was committed, and the pool throws it away.
            with suppress(*FAILURES):
                await to_the_end(connection.close())

    async def _open(self, connection: AsyncConnection, options: dict[str, Any]) -> None:
        await connection.start()
        if options and not self._file:
            await connection.execution_options(**options)
        await connection.begin()

    async def _attempt(self, call: Coroutine[Any, Any, T]) -> T:
        return await attempt(call, self.place, str(self._url.password or ""))

    def _count(self, *_: object) -> None:
        self.connections += 1


def _runner(connection: AsyncConnection) -> Run:
    """Does the statements of `connection`'s transaction, as SQLAlchemy does them."""

    def at_once(connection: Connection, statement: Executable, parameters: Any) -> Answer:
        result = connection.execute(statement, parameters)
        return (result.all() if result.returns_rows else ()), result.rowcount

    async def run(statement: Executable, parameters: Any) -> Answer:
        return await connection.run_sync(at_once, statement, parameters)

    return run


def _parsed(text_: str) -> URL:
    try:
        url = make_url(text_)
    except (ArgumentError, ValueError):  # its text is not passed on: there may be a password in it
        url = URL.create("none")
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    if url.drivername in {"postgresql", "postgres"} and url.database:
        return url.set(drivername="postgresql")
    remedy = "Write sqlite:////path/to/file or postgresql://user:password@host/database."
    raise ConfigError("the store's URL names no SQLite file and no PostgreSQL database", remedy=remedy)


def _public(url: URL) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.drivername}://{url.host or ''}{port}/{url.database}"


def _engine(url: URL, **options: Any) -> AsyncEngine:
    # One connection, whose pool is a fair queue. SQLite has one writer; and over PostgreSQL eight connections gave two
    # serialisation failures for every commit, and half the commits a second, where the tables were small (measured).
    queue = {"pool_size": 1, "max_overflow": 0, "pool_timeout": BUSY_S}
    return create_async_engine(url, hide_parameters=True, **queue, **options)


def _sqlite(url: URL) -> AsyncEngine:
    # mode=rw: only `migrate` makes a file.
    query = {"mode": "rw", "uri": "true"}
    place = URL.create(sqlite.DRIVER, database=f"file:{quote(url.database or '')}", query=query)
    engine = _engine(place, connect_args={"factory": sqlite.Driver})
    event.listen(engine.sync_engine, "connect", lambda connection, _: sqlite.prepare(connection, BUSY_S))
    event.listen(engine.sync_engine, "begin", lambda connection: sqlite.begin(connection, BUSY_S))
    return engine


def _postgres(url: URL) -> AsyncEngine:
    # A batch that fails is reported by `attempt`; psycopg's own "error ignored" about its pipeline adds nothing.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    settings = {name: value for name, value in _POSTGRES.items() if name not in url.query}
    return _engine(url.set(drivername="postgresql+psycopg"), isolation_level="SERIALIZABLE", connect_args=settings)


def _make(file: Path) -> None:
    """An empty file of its owner alone; SQLite gives its write-ahead log the same mode."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        remedy = "The folder must exist and belong to the user that runs the node."
        raise AdapterError(f"cannot make the store: {error.strerror}", place=str(file), remedy=remedy) from error
